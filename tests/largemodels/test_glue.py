"""A glued number must reach the prose exactly as computed, and nowhere disturb a notebook."""

import nbformat
import numpy as np
import pytest
from myst_nb.core.variables import format_plain_text
from myst_nb.ext.glue import extract_glue_data_cell
from nbclient import NotebookClient

from largemodels.glue import glue, scientific


def execute(source: str) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, kernel_name="python3").execute()
    return notebook.cells[0]


def test_the_site_finds_what_a_page_glues():
    cell = execute(
        "import numpy as np\n"
        "from largemodels.glue import glue\n"
        "glue(plain=235146, numpy=np.float32(0.5), array=np.array([1.5]).max(), text='MNIST')"
    )
    glued = {name: output.data["text/plain"] for name, output in extract_glue_data_cell(cell)}
    assert format_plain_text(glued["plain"], ",d") == "235,146"
    assert format_plain_text(glued["numpy"], ".1%") == "50.0%"
    assert format_plain_text(glued["array"], ".2f") == "1.50"
    assert format_plain_text(glued["text"], "s") == "MNIST"


def test_the_notebook_itself_shows_nothing():
    cell = execute("from largemodels.glue import glue\nglue(number=1)")
    assert [list(output.data) for output in cell.outputs] == [
        ["application/papermill.record/text/plain"]
    ]


def test_outside_a_notebook_nothing_happens(capsys):
    glue(number=np.float64(1.0))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "text"), [(7.3e-11, "7 × 10⁻¹¹"), (9.6e5, "1 × 10⁶"), (-2.0, "-2 × 10⁰")]
)
def test_scientific_numbers_look_as_in_a_book(value, text):
    assert scientific(value).replace("\u00a0", " ") == text

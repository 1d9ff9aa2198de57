"""A mistake as a notebook shows it: short, coloured, without a stack trace of our own."""

import subprocess
import sys

import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook

SETUP = """
import numpy as np
from largemodels import check

def linear(x, weight):
    return x @ weight

def stub(x):
    # YOUR CODE HERE
    raise NotImplementedError()
"""


@pytest.fixture(scope="module")
def cells():
    """Run one notebook, each cell whatever the one before does."""
    sources = [
        SETUP,
        'with check.task("relu"):\n    check.close([1.0, 2.0], [1.0, -2.0], name="relu(x)")',
        'with check.task("linear"):\n    linear(np.ones((5, 3)), np.ones((4, 3)))',
        'with check.task("stub"):\n    stub(1.0)',
        'with check.task("never"):\n    never(1.0)',
        'with check.task("softmax"):\n    np.exp(np.array([1000.0]))',
        "with check.when_ready():\n    stub(1.0)",
        "with check.when_ready():\n    never(1.0)",
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    NotebookClient(notebook, allow_errors=True, kernel_name="python3").execute()
    return notebook.cells


def only(outputs):
    [output] = outputs
    return output


def test_a_mistake_shows_its_text_and_no_stack_trace(cells):
    output = only(cells[1].outputs)
    assert output.ename == "Mistake"
    assert output.evalue == (
        "relu(x) is wrong: 1 of 2 numbers differs, at [1].\nYou computed 2, expected -2.\n"
        "Likely cause: the numbers are right, but all are positive: an absolute value too many."
    )
    first, *rest = output.traceback
    assert first == "\x1b[1;31m✗ relu(x) is wrong: 1 of 2 numbers differs, at [1].\x1b[0m"
    assert rest == output.evalue.splitlines()[1:]


def test_the_students_own_error_keeps_its_trace_and_gets_advice(cells):
    output = only(cells[2].outputs)
    trace = "\n".join(output.traceback)
    assert output.ename == "ValueError"
    assert "two arrays do not fit together" in output.evalue
    assert "return" in trace
    assert "two arrays do not fit together" in trace
    assert "session.py" not in trace


def test_unfinished_work_is_said_in_one_sentence(cells):
    assert only(cells[3].outputs).evalue.startswith("stub is not written yet.")
    assert only(cells[4].outputs).evalue.startswith("never does not exist yet.")
    assert only(cells[6].outputs).text.startswith("Later: stub is not written yet.")
    assert only(cells[7].outputs).text.startswith("Later: never does not exist yet.")


def test_a_warning_writes_nothing_to_stderr(cells):
    assert {output.name for output in cells[5].outputs} == {"stdout"}
    assert "overflow" in "".join(output.text for output in cells[5].outputs)


def test_the_message_can_be_read_on_an_exported_page(cells):
    page, _ = HTMLExporter().from_notebook_node(new_notebook(cells=[cells[1]]))
    assert "✗ relu(x) is wrong" in page
    assert "an absolute value too many" in page


def test_the_message_can_be_read_in_a_terminal():
    result = subprocess.run(
        [sys.executable, "-c", "from largemodels import check; check.close(2.0, 1.0, name='loss')"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr.splitlines()[-3:] == [
        "largemodels.check.Mistake: loss is wrong.",
        "You computed 2, expected 1.",
        "Likely cause: the number is twice too large: look for a factor 2.",
    ]


def test_the_room_is_light():
    code = "import sys, largemodels.check; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "tensorflow", "matplotlib", "sklearn", "pandas", "IPython", "scipy"}
    assert not heavy & set(result.stdout.split())

"""The generated set-up cell: one sentence or one installation, and nothing where all is there."""

import doctest
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from coursekit import setup_cell as module
from coursekit.execution import execute
from coursekit.setup_cell import setup_cell

ADDRESS = "https://github.com/OWNER/NAME"


def python(source: str) -> str:
    """A cell as the Python that IPython makes of it."""
    return TransformerManager().transform_cell(source)


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_it_is_a_cell_that_python_can_read(address: str) -> None:
    compile(python(setup_cell("a.md", "course release", address).source), "cell", "exec")


def test_it_installs_from_the_address_and_moves_nothing() -> None:
    source = setup_cell("a.md", "course release", ADDRESS).source
    [line] = [line for line in source.splitlines() if "%pip" in line]
    assert line.strip() == f'%pip install --quiet "largemodels @ git+{ADDRESS}"'
    # No upgrade, no pin, no torch or tensorflow, no drive: what Colab brings stays.
    for word in ("-U", "--upgrade", "--force", "==", "torch", "tensorflow", "numpy", "drive"):
        assert word not in source


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_it_says_and_does_nothing_where_the_package_is(tmp_path: Path, address: str) -> None:
    cell = setup_cell("a.md", "course release", address)
    # Twice: a reader runs it again.
    again = nbformat.v4.new_code_cell(cell.source)
    notebook = nbformat.v4.new_notebook(cells=[cell, again])
    execute(notebook, tmp_path, name="set-up")
    assert [cell.outputs for cell in notebook.cells] == [[], []]


def test_without_an_address_it_says_how_to_install(tmp_path: Path) -> None:
    # An interpreter without site-packages has no `largemodels`.
    command = [sys.executable, "-I", "-S", "-c", setup_cell("a.md", "course release", "").source]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "The package `largemodels` is not installed here: run "
        "`%pip install /path/to/your/clone/of/the/course` in a new cell, then this cell again.\n"
    )


def test_a_failed_installation_is_one_sentence(tmp_path: Path) -> None:
    # An interpreter without packages, and a pip that installs nothing.
    shell = (
        "class Shell:\n    def run_line_magic(self, *words): print(*words)\nget_ipython = Shell\n"
    )
    code = shell + python(setup_cell("a.md", "course release", ADDRESS).source)
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == f'pip install --quiet "largemodels @ git+{ADDRESS}"\n'
    assert done.stderr.endswith(
        f"ModuleNotFoundError: `largemodels` could not be installed from {ADDRESS} "
        "(pip says why, above): mend that and run this cell again.\n"
    )


def test_the_example_in_its_documentation() -> None:
    failed, attempted = doctest.testmod(module)
    assert (failed, attempted) == (0, 2)

"""nbval runs the notebook of every page and of every solution again and compares marked outputs.

The references hold outputs: those of a page were stored by `make book`; of a solution it is known
beforehand what its checks print.
"""

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_output

from coursekit.execution import execute
from coursekit.exercises import Exercise, find_exercises
from coursekit.notebook_files import to_text
from coursekit.notebooks import find_pages, is_checked, page_notebook, require_executed
from coursekit.references import Book
from coursekit.release import source_notebook
from coursekit.repository import Repository

REPOSITORY = Repository.find(Path(__file__))
BOOK = Book(REPOSITORY)
PAGES = find_pages(REPOSITORY)
EXERCISES = find_exercises(REPOSITORY)


def nbval(notebook: NotebookNode, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run nbval on a reference, in a folder with nothing else."""
    require_executed(notebook, "reference")
    path = folder / "reference.ipynb"
    path.write_text(to_text(notebook), encoding="utf-8")
    options = "--nbval-lax --nbval-current-env --nbval-cell-timeout 300 -q -p no:cacheprovider"
    command = [sys.executable, "-m", "pytest", *options.split(), f"--rootdir={folder}", path.name]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def assert_passes(notebook: NotebookNode, folder: Path) -> None:
    done = nbval(notebook, folder)
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{cells} passed" in done.stdout, "nbval did not run every cell:\n" + done.stdout


def solved(exercise: Exercise) -> NotebookNode:
    """The solution of an exercise with what its checks print: that every one of them passes."""
    notebook = source_notebook(REPOSITORY, exercise)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count  # nbval compares no cell without one.
        if cell.metadata.get("nbgrader", {}).get("grade"):
            [task] = re.findall(r'^with check\.task\("([^"]+)"\):', cell.source)
            cell.metadata.setdefault("tags", []).append("nbval-check-output")
            cell.outputs = [
                new_output("stream", name="stdout", text=f"✓ {task}: all checks passed.\n")
            ]
    return notebook


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=REPOSITORY.name)
def test_a_page_gives_its_stored_results_again(page: Path, tmp_path: Path) -> None:
    assert_passes(page_notebook(BOOK, page, executed=True), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_a_solution_passes_its_checks_in_a_kernel(exercise: Exercise, tmp_path: Path) -> None:
    assert_passes(solved(exercise), tmp_path)


def test_there_are_pages_and_exercises() -> None:
    assert PAGES
    assert EXERCISES


def test_a_tampered_result_fails(course: Repository, tmp_path: Path) -> None:
    source = page_notebook(Book(course), course.book / "part" / "page.md")
    reference = execute(source, tmp_path, name="page")
    assert_passes(reference, tmp_path)
    tampered = copy.deepcopy(reference)
    [cell] = [cell for cell in tampered.cells if cell.cell_type == "code" and is_checked(cell)]
    cell.outputs[0].text = "98.5\n"
    done = nbval(tampered, tmp_path)
    assert done.returncode == 1
    assert "Cell outputs differ" in done.stdout
    # The mark as a comment compares as well; without a mark nothing would.
    cell.metadata.tags = []
    cell.source = f"# NBVAL_CHECK_OUTPUT\n{cell.source}"
    assert nbval(tampered, tmp_path).returncode == 1

"""nbval runs the notebook of every page and of every solution again and compares marked outputs.

The references hold outputs: those of a page were stored by `make book`, those of a solution are
made here by a first run, which is kept under `build/` while its text and the package stay.
"""

import copy
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from nbformat import NotebookNode

from coursekit.execution import execute
from coursekit.exercises import Exercise, find_exercises
from coursekit.notebook_files import read_notebook, to_text, write
from coursekit.notebooks import find_pages, is_checked, page_notebook, require_executed
from coursekit.release import source_notebook
from coursekit.repository import Repository

REPOSITORY = Repository.find(Path(__file__))
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
    """The solution of an exercise with the outputs of a first run."""
    notebook = source_notebook(REPOSITORY, exercise)
    for cell in notebook.cells:
        # A check prints one line, and always the same one.
        if cell.metadata.get("nbgrader", {}).get("grade") and cell.cell_type == "code":
            cell.metadata.setdefault("tags", []).append("nbval-check-output")
    package = sorted((REPOSITORY.root / "src" / "largemodels").rglob("*.py"))
    parts = [to_text(notebook).encode(), *(file.read_bytes() for file in package)]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    path = REPOSITORY.build / "executed" / f"{exercise.topic}-{key}.ipynb"
    if not path.is_file():
        folder = path.parent / "empty"
        folder.mkdir(parents=True, exist_ok=True)
        execute(notebook, folder, name=exercise.source_name)
        write({path: to_text(notebook)})
    return read_notebook(path, path.name)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=REPOSITORY.name)
def test_a_page_gives_its_stored_results_again(page: Path, tmp_path: Path) -> None:
    assert_passes(page_notebook(REPOSITORY, page, executed=True), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_a_solution_gives_its_stored_results_again(exercise: Exercise, tmp_path: Path) -> None:
    assert_passes(solved(exercise), tmp_path)


def test_there_are_pages_and_exercises() -> None:
    assert PAGES
    assert EXERCISES


def test_a_tampered_result_fails(course: Repository, tmp_path: Path) -> None:
    source = page_notebook(course, course.book / "part" / "page.md")
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

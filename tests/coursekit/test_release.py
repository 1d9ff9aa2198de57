"""`course release`: nbgrader's own release, with the same bytes each time, whole or not at all."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from coursekit.errors import CourseError
from coursekit.notebook_files import write
from coursekit.repository import Repository

Change = Callable[[str, str, str], None]
RELEASE = [sys.executable, "-m", "coursekit", "release"]


def release(course: Repository, *names: str) -> subprocess.CompletedProcess[str]:
    command = [*RELEASE, *names]
    return subprocess.run(command, cwd=course.root, capture_output=True, text=True, check=False)


@pytest.fixture
def path(course: Repository) -> Path:
    """The released notebook."""
    done = release(course)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "exercises/01_tiny/tiny.ipynb\n"
    return course.exercises / "01_tiny" / "tiny.ipynb"


def test_the_release_is_a_notebook_for_students(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    sources = {cell.id: cell.source for cell in notebook.cells}
    assert sources["mean"].endswith("    # YOUR CODE HERE\n    raise NotImplementedError()")
    assert "hidden_rows" not in path.read_text()
    assert sources["question"] == "YOUR ANSWER HERE"
    assert "<summary>Hint</summary>" in path.read_text(), "the MyST of a hint is not for Colab"
    assert not any(cell.get("outputs") for cell in notebook.cells)


def test_the_first_cell_says_that_the_file_is_generated(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    first = notebook.cells[0]
    assert first.cell_type == "code"
    assert first.source.startswith("# Generated from solutions/01_tiny/tiny.md by `course release`")
    # It is the student's to run and to change, and gives no points.
    assert "nbgrader" not in first.metadata
    assert first.metadata.get("editable", True)


def test_a_second_release_gives_the_same_bytes(course: Repository, path: Path) -> None:
    before, time = path.read_bytes(), path.stat().st_mtime_ns
    assert release(course, "tiny").returncode == 0
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == time, "an unchanged file is not touched"
    text = before.decode()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def test_an_error_leaves_the_old_release(course: Repository, path: Path, change: Change) -> None:
    before = path.read_bytes()
    change("solutions/01_tiny/tiny.md", "### END SOLUTION", "")
    done = release(course)
    assert done.returncode == 1
    assert done.stderr.startswith("course: solutions/01_tiny/tiny.md, cell `mean`: each")
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["tiny.ipynb"]


def test_what_nbgrader_refuses_is_one_sentence(course: Repository, change: Change) -> None:
    change(
        "solutions/01_tiny/tiny.md",
        '"schema_version": 3, "solution": true',
        '"schema_version": 99, "solution": true',
    )
    done = release(course)
    assert done.returncode == 1
    assert done.stderr.startswith("course: 01_tiny: nbgrader generate_assignment failed (")
    assert done.stderr.count("\n") == 1


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.ipynb"
    target.write_text("old")

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(CourseError, match=r"a\.ipynb: cannot be written \(No space left on dev"):
        write({target: "new"})
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]

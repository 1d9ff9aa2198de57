"""An assignment of a class becomes a package, or one sentence says why not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from coursekit.errors import CourseError
from coursekit.exercises import Exercise
from coursekit.grading.assignment import Classroom, load_package
from coursekit.notebook_files import to_text
from coursekit.release import release_notebook, source_notebook
from coursekit.repository import Repository

NAME = "01_small"
Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(classroom: Classroom) -> Edit:
    """Replace the source of a cell."""

    def edit(step: str, name: str, source: str) -> None:
        path = classroom.root / step / NAME / "small.ipynb"
        notebook = json.loads(path.read_text())
        next(cell for cell in notebook["cells"] if cell["id"] == name)["source"] = source
        path.write_text(json.dumps(notebook))

    return edit


def test_a_package_has_hidden_tests_and_no_solution(classroom: Classroom) -> None:
    package = load_package(classroom, NAME, "a secret")
    assert (package.assignment, package.topic, package.secret) == (NAME, "small", "a secret")
    source = {cell["id"]: cell["source"] for cell in package.source["cells"]}
    assert "assert secret" in source["test_mean"]
    assert source["mean"] == "raise NotImplementedError()"
    assert source["why"] == "YOUR ANSWER HERE"
    assert "secret" not in json.dumps(package.release)


def test_what_nbgrader_releases_is_taken(
    tiny: Exercise, course: Repository, tmp_path: Path
) -> None:
    source = source_notebook(course, tiny)
    notebooks = {"source": source, "release": release_notebook(source, tiny)}
    root = tmp_path / "spring"
    for step, notebook in notebooks.items():
        (root / step / tiny.name).mkdir(parents=True)
        (root / step / tiny.name / "tiny.ipynb").write_text(to_text(notebook))
    (root / "nbgrader_config.py").touch()
    package = load_package(Classroom.find(root), tiny.name)
    cells = {cell["id"]: cell for cell in package.source["cells"]}
    assert "hidden_rows" in cells["mean-check"]["source"]
    assert "total" not in json.dumps(package.source), "the solution is in the package"
    assert "share one sign" not in json.dumps(package.source), "the model answer is in the package"


@pytest.mark.parametrize(
    ("step", "cell", "text"),
    [
        ("source", "test_mean", "assert mean([1]) == 2"),
        ("source", "imports", "import cmath"),
        ("source", "mean", "given = 1\n### BEGIN SOLUTION\nmean = 7\n### END SOLUTION"),
        ("source", "reader", "rows = []"),
        ("source", "next", "## After"),
        ("release", "test_centre", "pass"),
    ],
)
def test_a_change_since_the_release_is_named(
    classroom: Classroom, edit: Edit, step: str, cell: str, text: str
) -> None:
    edit(step, cell, text)
    with pytest.raises(CourseError) as caught:
        load_package(classroom, NAME)
    known = {"imports": "1", "next": "4"}.get(cell, cell)
    assert f"changed since it was handed out: cell `{known}` in source/" in str(caught.value)
    assert "nbgrader generate_assignment 01_small --force" in str(caught.value)


def test_changed_points_and_missing_cells_are_named(classroom: Classroom) -> None:
    path = classroom.root / "source" / NAME / "small.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][2]["metadata"]["nbgrader"]["points"] = 7
    path.write_text(json.dumps(notebook))
    with pytest.raises(CourseError, match="cell `test_mean`"):
        load_package(classroom, NAME)
    notebook["cells"][2]["metadata"]["nbgrader"]["points"] = 6
    del notebook["cells"][-1]
    path.write_text(json.dumps(notebook))
    with pytest.raises(CourseError, match="cell `8`"):
        load_package(classroom, NAME)


def test_a_change_of_hidden_tests_or_solutions_is_no_change_of_the_release(
    classroom: Classroom, edit: Edit
) -> None:
    before = load_package(classroom, NAME)
    edit("source", "mean", "### BEGIN SOLUTION\nanother = 'way'\n### END SOLUTION")
    assert load_package(classroom, NAME).fingerprint == before.fingerprint
    edit(
        "source",
        "test_mean",
        "assert mean([1]) == 1\n### BEGIN HIDDEN TESTS\nassert more\n### END HIDDEN TESTS",
    )
    assert load_package(classroom, NAME).fingerprint != before.fingerprint
    assert load_package(classroom, NAME, "secret").fingerprint != before.fingerprint


@pytest.mark.parametrize("name", ["02_large", "../source/01_small", "*", ""])
def test_an_unknown_assignment_is_told_with_the_known_ones(classroom: Classroom, name: str) -> None:
    with pytest.raises(CourseError, match=r"no such assignment in .*source; there are: 01_small\."):
        load_package(classroom, name)


def test_an_assignment_that_is_not_released(classroom: Classroom) -> None:
    (classroom.root / "release" / NAME / "small.ipynb").unlink()
    with pytest.raises(CourseError, match=r"not released yet.*generate_assignment 01_small"):
        load_package(classroom, NAME)


def test_a_second_notebook_and_another_name_are_told(classroom: Classroom) -> None:
    folder = classroom.root / "source" / NAME
    (folder / "more.ipynb").write_text("{}")
    with pytest.raises(CourseError, match=r"holds more.ipynb, small.ipynb; one notebook is graded"):
        load_package(classroom, NAME)
    (folder / "small.ipynb").unlink()
    with pytest.raises(CourseError, match=r"source/ holds more.ipynb, release/ small.ipynb"):
        load_package(classroom, NAME)


def test_a_file_that_is_no_notebook_is_named(classroom: Classroom) -> None:
    path = classroom.root / "release" / NAME / "small.ipynb"
    for damage in ("", "[]", '{"cells": 3}', '{"cells": [3]}'):
        path.write_text(damage)
        with pytest.raises(CourseError, match=r"small.ipynb: not a notebook \(.+\); generate"):
            load_package(classroom, NAME)


def test_a_folder_that_is_no_class(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=r"not the folder of a class .* `course class FOLDER`"):
        Classroom.find(tmp_path)


def test_the_configuration_names_course_and_database(classroom: Classroom) -> None:
    assert classroom.course == "large-models"
    assert classroom.database == f"sqlite:///{classroom.root}/gradebook.db"
    path = classroom.root / "nbgrader_config.py"
    path.write_text("c = get_config()\nc.CourseDirectory.db_url = 'postgresql:///grades'\n")
    assert Classroom.find(classroom.root).database == "postgresql:///grades"
    path.write_text("c = get_config(\n")
    with pytest.raises(CourseError, match=r"nbgrader_config.py: cannot be read \(SyntaxError"):
        _ = Classroom.find(classroom.root).database


def test_the_only_assignment_needs_no_name(classroom: Classroom) -> None:
    assert classroom.only_assignment() == NAME
    (classroom.root / "source" / "02_more").mkdir()
    (classroom.root / "source" / "02_more" / "more.ipynb").touch()
    with pytest.raises(CourseError, match=r"--assignment: say which one; there are 01_small, 02"):
        classroom.only_assignment()

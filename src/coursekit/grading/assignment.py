"""The folder of a class, and one of its assignments as a package."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from coursekit.errors import CourseError
from coursekit.grading.package import Package

__all__ = ["Classroom", "load_package"]

_CONFIGURATION = "nbgrader_config.py"
_SOLUTION = ("BEGIN SOLUTION", "END SOLUTION")
_HIDDEN = ("BEGIN HIDDEN TESTS", "END HIDDEN TESTS")
_MARK_SCHEME = ("BEGIN MARK SCHEME", "END MARK SCHEME")

Cell = dict[str, Any]


@dataclass(frozen=True)
class Classroom:
    """A folder made by `course class`, in nbgrader's layout.

    Args:
        root: The folder that holds `nbgrader_config.py`.
    """

    root: Path

    @classmethod
    def find(cls, folder: Path | None = None) -> "Classroom":
        """Open the class whose folder this is.

        Args:
            folder: The folder; the current one by default.

        Raises:
            CourseError: It is no folder of a class.
        """
        folder = (folder or Path.cwd()).resolve()
        if not (folder / _CONFIGURATION).is_file():
            raise CourseError(
                f"{folder}: not the folder of a class (no {_CONFIGURATION}); make one with "
                "`course class FOLDER` in your clone, and change into it."
            )
        return cls(folder)

    def only_assignment(self) -> str:
        """The name of the one assignment.

        Raises:
            CourseError: There is none, or more than one.
        """
        there = self.assignments()
        if len(there) != 1:
            named = f"there are {', '.join(there)}" if there else "there is none in source/"
            raise CourseError(f"--assignment: say which one; {named}.")
        return there[0]

    def assignments(self) -> list[str]:
        """Names of the assignments in `source/`."""
        return sorted({path.parent.name for path in self.root.glob("source/*/*.ipynb")})

    def folder(self, step: str, assignment: str, student: str = "") -> Path:
        """Where a step of nbgrader keeps an assignment, e.g. `autograded/doejane/03_cnn`."""
        return self.root / step / student / assignment

    def grading(self, assignment: str) -> Path:
        """Where the engine keeps what it knows of an assignment."""
        return self.root / "grading" / assignment

    @cached_property
    def configuration(self) -> Any:
        """What `nbgrader_config.py` says, as traitlets gives it.

        Raises:
            CourseError: It is not Python, or fails.
        """
        from traitlets.config.loader import PyFileConfigLoader

        try:
            return PyFileConfigLoader(_CONFIGURATION, path=str(self.root)).load_config()
        except Exception as error:  # It is a program of the user's: anything may happen.
            reason = f"{type(error).__name__}: {error}"
            raise CourseError(
                f"{self.root / _CONFIGURATION}: cannot be read ({reason}); mend that line."
            ) from error

    @property
    def course(self) -> str:
        """What nbgrader calls the course."""
        return str(self.configuration.CourseDirectory.get("course_id", ""))

    @property
    def database(self) -> str:
        """Address of the grade book: the configuration's, else that of `gradebook.db`."""
        named = self.configuration.CourseDirectory.get("db_url", "")
        return str(named) or f"sqlite:///{self.root / 'gradebook.db'}"


def load_package(classroom: Classroom, assignment: str, secret: str = "") -> Package:
    """Read an assignment of a class.

    The solutions stay where they are: the package holds the release, and its tests as the
    instructor wrote them.

    Args:
        classroom: The class.
        assignment: Name of the assignment, e.g. `03_cnn`.
        secret: The course secret.

    Raises:
        CourseError: There is no such assignment, it was not released, or it was changed since.
    """
    written = _notebook(classroom, "source", assignment)
    if written is None:
        there = classroom.assignments()
        mend = f"there are: {', '.join(there)}" if there else "`course class` puts them there"
        raise CourseError(
            f"{assignment}: no such assignment in {classroom.root / 'source'}; {mend}."
        )
    given = _notebook(classroom, "release", assignment)
    if given is None:
        raise CourseError(
            f"{assignment}: not released yet, so nothing can have been handed in; "
            f"run `nbgrader generate_assignment {assignment} --create`."
        )
    if written.stem != given.stem:
        raise CourseError(
            f"{assignment}: source/ holds {written.name}, release/ {given.name}; "
            "name them alike, as you handed it out."
        )
    source, release = _read(written), _read(given)
    changed = _difference(source["cells"], release["cells"])
    if changed:
        raise CourseError(
            f"{assignment}: changed since it was handed out: {changed} in source/ is not what "
            f"release/ shows of it; put it back, or run `nbgrader generate_assignment {assignment} "
            "--force` and hand out what it writes."
        )
    tested = [
        grown | {"source": _text(cell)}
        if _role(cell, "grade") and not _role(cell, "solution")
        else grown
        for cell, grown in zip(source["cells"], release["cells"], strict=True)
    ]
    return Package(assignment, given.stem, release | {"cells": tested}, release, secret)


def _notebook(classroom: Classroom, step: str, assignment: str) -> Path | None:
    """The notebook of an assignment, which must be one."""
    # A name with a slash would lead out of the class.
    found = [
        path for path in classroom.root.glob(f"{step}/*/*.ipynb") if path.parent.name == assignment
    ]
    if len(found) > 1:
        names = ", ".join(sorted(path.name for path in found))
        raise CourseError(f"{found[0].parent}: holds {names}; one notebook is graded, so keep one.")
    return found[0] if found else None


def _read(path: Path) -> dict[str, Any]:
    """Read a notebook of the instructor, each source as one text."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8-sig"))
        for cell in notebook["cells"]:
            cell["source"] = _text(cell)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CourseError(f"{path}: not a notebook ({error}); generate the file again.") from error
    return notebook


def _difference(source: list[Cell], release: list[Cell]) -> str:
    """Name the first cell whose visible part was changed after the release; empty if none was."""
    for number, (cell, grown) in enumerate(zip(source, release, strict=False), 1):
        same = (
            _name(cell) == _name(grown)
            and cell["cell_type"] == grown["cell_type"]
            and _points(cell) == _points(grown)
            and re.fullmatch(_visible(cell), grown["source"])
        )
        if not same:
            return f"cell `{_name(cell) or number}`"
    if len(source) != len(release):
        return f"cell `{min(len(source), len(release)) + 1}`"
    return ""


def _visible(cell: Cell) -> str:
    """A regular expression for what students see of a cell."""
    solution = _role(cell, "solution")
    pieces = list(_pieces(_text(cell).split("\n"), solution))
    if solution and not any(piece is None for piece in pieces):
        return r"(?s:.*)"  # nbgrader replaces all of it.
    # What nbgrader writes in place of a solution is a matter of its configuration.
    return r"\n".join(r"(?s:.*)" if piece is None else re.escape(piece) for piece in pieces)


def _pieces(lines: list[str], solution: bool) -> Iterator[str | None]:
    """The lines that students see; None for a solution."""
    until = ""
    for line in lines:
        if until:
            until = "" if until in line else until
            continue
        begun = [end for begin, end in (_SOLUTION, _HIDDEN, _MARK_SCHEME) if begin in line]
        if not begun:
            yield line
            continue
        [until] = begun
        if until == _SOLUTION[1]:
            yield None


def _role(cell: Cell, role: str) -> bool:
    return bool(cell["metadata"].get("nbgrader", {}).get(role))


def _name(cell: Cell) -> str:
    known = cell["metadata"].get("nbgrader", {})
    return known.get("grade_id", "") if any(_role(cell, r) for r in _ROLES) else ""


_ROLES = ("grade", "solution", "locked", "task")


def _points(cell: Cell) -> float:
    return float(cell["metadata"].get("nbgrader", {}).get("points", 0)) if _name(cell) else 0.0


def _text(cell: Cell) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)

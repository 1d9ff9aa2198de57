"""Notebooks for people: `submitted/` as it came, `autograded/` as it was graded.

Both are where nbgrader looks for them, so that Formgrader opens them. They are made from the
journal and can be made again; no state is read from them but whose work it was that they show.

Formgrader shows a notebook as a page of Jupyter itself, where a script of a student could do all
that the instructor can. So nothing of a student's comes in there that a browser would run: of the
outputs, text and pictures; of Markdown, no HTML and no links.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coursekit.errors import CourseError
from coursekit.grading.assignment import Classroom
from coursekit.grading.intake.parse import RefusedError
from coursekit.grading.intake.rebuild import rebuild
from coursekit.grading.intake.store import write_file
from coursekit.grading.intake.student_names import safe_name
from coursekit.grading.package import Package
from coursekit.grading.results import Result

__all__ = ["Desk", "Shown"]


@dataclass(frozen=True)
class Shown:
    """What the autograded notebook of a student shows.

    Args:
        submission: SHA-256 of what was handed in; empty where there is no notebook.
        key: Key of its result in the journal.
    """

    submission: str = ""
    key: str = ""


@dataclass(frozen=True)
class Desk:
    """The notebooks of one assignment.

    Args:
        classroom: The class.
        package: The assignment.
    """

    classroom: Classroom
    package: Package

    def shown(self, student: str) -> Shown:
        """What lies there of a student."""
        try:
            notebook = json.loads(self._path("autograded", student).read_bytes())
            return Shown(**notebook["metadata"]["course"])
        except (OSError, ValueError, KeyError, TypeError):
            return Shown()

    def lay(self, student: str, submission: bytes, result: Result, shown: Shown) -> None:
        """Write both notebooks of a student.

        Args:
            student: Who handed it in.
            submission: What was handed in.
            result: What came of it.
            shown: What the notebook will say that it shows.

        Raises:
            CourseError: They cannot be written.
        """
        notebook = self._notebook(submission, result)
        try:
            write_file(self._path("submitted", student), submission, mode=0o644, durable=False)
            if notebook is None:
                return
            notebook.setdefault("metadata", {})["course"] = vars(shown)
            # A text that is no Unicode, which a program may print, must not end in an error.
            text = json.dumps(notebook, ensure_ascii=False).encode(errors="replace")
            write_file(self._path("autograded", student), text, mode=0o444, durable=False)
        except OSError as error:
            raise CourseError(
                f"{error.filename or self.classroom.root}: cannot be written ({error.strerror}); "
                "mend that and run it again: what is graded stays."
            ) from error

    def _path(self, step: str, student: str) -> Path:
        folder = self.classroom.folder(step, self.package.assignment, safe_name(student))
        return folder / f"{self.package.topic}.ipynb"

    def _notebook(self, submission: bytes, result: Result) -> dict[str, Any] | None:
        """The notebook that was graded, with hidden tests and with what came out."""
        notebook: Mapping[str, Any] = result.notebook
        if not notebook:
            try:
                notebook = rebuild(self.package.release_notebook, submission).notebook
            except RefusedError:
                return None
        tests = {_name(cell): cell for cell in self.package.source["cells"] if _is_locked(cell)}
        given = {(cell["cell_type"], cell["source"]) for cell in self.package.release["cells"]}
        cells = []
        for cell in notebook["cells"]:
            shown = dict(tests.get(_name(cell), cell)) | {"id": cell["id"]}
            if shown["cell_type"] == "code":
                outputs = _harmless(result.outputs.get(cell["id"], ()))
                shown |= {"outputs": outputs, "execution_count": None}
            elif (cell["cell_type"], cell["source"]) not in given:
                shown["source"] = _tame(cell["source"])
            cells.append(shown)
        return {**notebook, "metadata": dict(notebook["metadata"]), "cells": cells}


def _harmless(outputs: Iterable[Any]) -> list[dict[str, Any]]:
    """What a browser shows and does not run; whatever the outputs are, the form is nbformat's."""
    return [shown for one in outputs if isinstance(one, dict) and (shown := _output(one))]


def _output(one: dict[str, Any]) -> dict[str, Any] | None:
    kind = one.get("output_type")
    if kind == "stream":
        name = "stderr" if one.get("name") == "stderr" else "stdout"
        return {"output_type": kind, "name": name, "text": _text(one.get("text"))}
    if kind == "error":
        traceback = one.get("traceback")
        lines = [_text(line) for line in traceback] if isinstance(traceback, list) else []
        ended = {name: _text(one.get(name)) for name in ("ename", "evalue")}
        return {"output_type": kind, **ended, "traceback": lines}
    if kind in ("display_data", "execute_result"):
        data = one.get("data")
        shown = _only_shown(data if isinstance(data, dict) else {})
        number = {"execution_count": None} if kind == "execute_result" else {}
        return {"output_type": kind, "data": shown, "metadata": {}, **number}
    return None


def _only_shown(data: Mapping[str, Any]) -> dict[str, str]:
    shown = {"text/plain": _text(data["text/plain"])} if "text/plain" in data else {}
    for kind in ("image/png", "image/jpeg"):
        picture = _text(data.get(kind))
        if re.fullmatch(r"[A-Za-z0-9+/=\s]+", picture):
            shown[kind] = picture
    return shown or {"text/plain": f"({', '.join(sorted(map(_text, data)))}: not shown here)"}


def _text(value: Any) -> str:
    """A text, which nbformat may hold as a list of lines."""
    if isinstance(value, list):
        return "".join(map(_text, value))
    return value if isinstance(value, str) else ""


def _tame(markdown: str) -> str:
    """Markdown without HTML and without links; a space is all that makes the difference."""
    return re.sub(r"\](?=[(:\[])", "] ", re.sub(r"<(?=[A-Za-z/!?])", "< ", markdown))


def _name(cell: Mapping[str, Any]) -> str:
    return str(cell["metadata"].get("nbgrader", {}).get("grade_id", ""))


def _is_locked(cell: Mapping[str, Any]) -> bool:
    known = cell["metadata"].get("nbgrader", {})
    return bool(known) and not known.get("solution")

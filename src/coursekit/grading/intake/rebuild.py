"""The notebook to grade: the release, with nothing of the student's but answers and extra cells.

Every cell of the release is there once, in the order of the release. Three kinds of source come
from the submission: those of solution cells, those of plain cells of the release, which are the
student's to change, and extra cells. An extra cell goes before the cell that it stood before.
All else that a submission says (tests, points, ids, types, metadata, outputs) is not even read.

Where two cells claim one solution, the last is the answer, as in nbgrader, and the others run
before it: Jupyter copies the `grade_id` when a student splits a cell. An untouched copy of the
released cell never replaces an answer.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from coursekit.errors import CourseError
from coursekit.grading.intake.parse import RefusedError, SubmittedCell, parse
from coursekit.grading.notebook import NotebookNode

__all__ = ["Rebuilt", "rebuild"]

# A person reads no more; what a student may write ten thousand times would fill the report.
_NOTES = 20
_NAME = 80


@dataclass(frozen=True)
class Rebuilt:
    """A notebook that is safe to grade.

    Args:
        notebook: The release with the student's work.
        missing: Solution cells that the submission lacks; they are as released.
        notes: What a person should know, one sentence each.
    """

    notebook: NotebookNode
    missing: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class _Work:
    """What is taken from a submission; keys are indices of cells of the release."""

    sources: dict[int, str] = field(default_factory=dict)
    extras: dict[int, list[SubmittedCell]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)


def rebuild(release: NotebookNode, submission: bytes) -> Rebuilt:
    """Put a student's work into the released notebook.

    Args:
        release: What the students got, without hidden tests.
        submission: The file that a student handed in.

    Raises:
        RefusedError: The submission is no notebook, or that of another exercise.
        CourseError: The release names a cell twice.
    """
    places = _places(release)
    cells = parse(submission)
    work = _take(release, cells, places)
    solutions = [name for name, index in places.items() if _is_solution(release.cells[index])]
    missing = tuple(name for name in solutions if places[name] not in work.sources)
    if missing and len(missing) == len(solutions):
        raise RefusedError(_nothing_of_it(cells))
    # Cells are new, what is in them is the release's own: nobody changes it.
    notebook = NotebookNode({**release, "cells": []})
    for index, cell in enumerate(release.cells):
        notebook.cells += map(_extra, work.extras.get(index, []))
        notebook.cells.append(_released(cell, work.sources.get(index, cell.source)))
    notebook.cells += map(_extra, work.extras.get(len(release.cells), []))
    _name_extras(notebook.cells)
    notes = [*work.notes, *(f"`{name}` is missing; it is as released." for name in missing)]
    if len(notes) > _NOTES:
        notes[_NOTES:] = [f"{len(notes) - _NOTES} more remarks are left out."]
    return Rebuilt(notebook, missing, tuple(notes))


def _nothing_of_it(cells: Sequence[SubmittedCell]) -> str:
    """Say that no answer is there, and what is in its place."""
    names = [_shown(cell.name) for cell in cells if cell.known][:3]
    of_another = f"; it has {', '.join(names)}: the notebook of another exercise?" if names else ""
    return f"none of the answers of this assignment is in it{of_another}"


def _shown(name: str) -> str:
    """A name that a student wrote, short enough to be read."""
    return f"`{name[:_NAME]}…`" if len(name) > _NAME else f"`{name}`"


def _take(release: NotebookNode, cells: Sequence[SubmittedCell], places: dict[str, int]) -> _Work:
    """Sort the cells of a submission into answers and extra cells."""
    work = _Work()
    found = [_find(release, cell, places) for cell in cells]
    answers = {
        index: _answer(
            release.cells[index], [c for c, i in zip(cells, found, strict=True) if i == index]
        )
        for index in set(found) - {None}
        if index is not None and not _is_locked(release.cells[index])
    }
    before = len(release.cells)
    for cell, index in zip(reversed(cells), reversed(found), strict=True):
        if index is None:
            if cell.known:
                work.notes.append(f"{_shown(cell.name)} is no cell of the release; it is left out.")
            elif cell.source.strip():
                work.extras[before].insert(0, cell)
            continue
        before = index
        grown = release.cells[index]
        if index not in answers:
            if cell.source != grown.source or cell.kind != grown.cell_type:
                work.notes.append(f"`{_grade_id(grown)}` was changed; the released cell counts.")
        elif cell is answers[index]:
            work.sources[index] = cell.source
        else:
            work.notes.append(f"`{cell.name}` is there more than once; the last answer counts.")
            if cell.source not in (grown.source, answers[index].source):
                work.extras[index].insert(0, cell)
    work.notes.reverse()
    return work


def _answer(released: NotebookNode, copies: list[SubmittedCell]) -> SubmittedCell:
    """The copy of a cell that counts: the last one with work in it."""
    worked = [cell for cell in copies if cell.source != released.source]
    return (worked or copies)[-1]


def _places(release: NotebookNode) -> dict[str, int]:
    """Where the cells of the release are, by `grade_id`, else by the cell's own id."""
    places: dict[str, int] = {}
    for index, cell in enumerate(release.cells):
        name = _grade_id(cell) or cell.get("id", "")
        if name in places:
            raise CourseError(f"the release names two cells `{name}`; run `course release` again.")
        if name:
            places[name] = index
    return places


def _find(release: NotebookNode, cell: SubmittedCell, places: dict[str, int]) -> int | None:
    """Which cell of the release this is: by name; a plain cell also by its source."""
    if cell.name in places:
        return places[cell.name]
    if cell.known:
        return None
    same = (
        index
        for index, released in enumerate(release.cells)
        if not _grade_id(released)
        and (released.cell_type, released.source) == (cell.kind, cell.source)
    )
    return next(same, None)


def _released(cell: NotebookNode, source: str) -> NotebookNode:
    cell = NotebookNode({**cell, "source": source})
    cell.pop("attachments", None)
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    return cell


def _extra(cell: SubmittedCell) -> NotebookNode:
    # `_name_extras` gives it an id that is the same each time.
    extra: dict[str, Any] = {
        "id": "",
        "cell_type": cell.kind,
        "metadata": NotebookNode(),
        "source": cell.source,
    }
    if cell.kind == "code":
        extra |= {"execution_count": None, "outputs": []}
    return NotebookNode(extra)


def _name_extras(cells: list[NotebookNode]) -> None:
    """Give the extra cells ids that no cell of the release has."""
    taken = {cell.get("id") for cell in cells}
    number = 0
    for cell in cells:
        while cell.get("id") == "":
            number += 1
            if f"extra-{number}" not in taken:
                cell.id = f"extra-{number}"


def _grade_id(cell: NotebookNode) -> str:
    metadata = cell.metadata.get("nbgrader", {})
    roles = ("grade", "solution", "locked", "task")
    return metadata.get("grade_id", "") if any(metadata.get(role) for role in roles) else ""


def _is_solution(cell: NotebookNode) -> bool:
    return bool(_grade_id(cell) and cell.metadata["nbgrader"].get("solution"))


def _is_locked(cell: NotebookNode) -> bool:
    """Whether the release alone says what is in the cell: all that is graded or read-only."""
    return bool(_grade_id(cell)) and not _is_solution(cell)

"""A class without names: students are numbered, and no text tells who they are."""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from coursekit.grading.people.feedback import Template
from coursekit.grading.records.marks import Marks, Sheet
from coursekit.grading.results import Result

if TYPE_CHECKING:
    from coursekit.grading.people.class_report import Ended

__all__ = ["without_names"]


def without_names(
    template: Template, marks: Marks, ended: "Sequence[Ended]"
) -> "tuple[Marks, list[Ended]]":
    """Number the students in an order that says nothing, and take their names out of all texts."""
    students = sorted({sheet.student for sheet in marks.sheets} | {one.student for one in ended})
    order = students[:]
    random.SystemRandom().shuffle(order)
    width = len(str(len(order)))
    number = {student: f"student {place:0{width}}" for place, student in enumerate(order, 1)}
    words = {word for sheet in marks.sheets for word in _words(sheet)}
    words |= {word for student in students for word in _words(Sheet(student))}
    hide = _eraser(words, set(template.cells))
    sheets = (
        Sheet(
            number[sheet.student],
            submitted=sheet.submitted,
            timestamp=sheet.timestamp,
            penalty=sheet.penalty,
            marks=sheet.marks,
        )
        for sheet in marks.sheets
    )
    return (
        replace(marks, sheets=tuple(sorted(sheets, key=lambda sheet: sheet.student))),
        [
            replace(one, student=number[one.student], result=one.result and _hide(one.result, hide))
            for one in ended
        ],
    )


def _hide(result: Result, hide: Callable[[str], str]) -> Result:
    """A result with all its texts cleared of names."""
    return replace(
        result,
        reason=hide(result.reason),
        notes=tuple(map(hide, result.notes)),
        cells=tuple(replace(cell, message=hide(cell.message)) for cell in result.cells),
    )


def _words(sheet: Sheet) -> Iterable[str]:
    """Everything that names a student."""
    for text in (
        sheet.student,
        sheet.name,
        sheet.first_name,
        sheet.last_name,
        sheet.email,
        sheet.account,
    ):
        yield text
        yield from re.split(r"[^\w-]+", text)


def _eraser(words: Iterable[str], cells: set[str]) -> Callable[[str], str]:
    """A function that takes names out of a text, and names of cells that a student chose."""
    # Two Latin letters say little about a student, and are words of their own.
    known = {word for word in words if len(word) > 2 or not word.isascii()}
    names = sorted(known, key=len, reverse=True)
    pattern = "|".join(map(re.escape, names))
    named = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE) if names else None

    def hide(text: str) -> str:
        if named:
            text = named.sub("…", text)
        if " is no cell of the release" in text:
            text = re.sub(r"`([^`]*)`", lambda m: m[0] if m[1] in cells else "`…`", text)
        return text

    return hide

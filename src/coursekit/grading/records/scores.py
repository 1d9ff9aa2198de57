"""What a student gets: points that somebody gave, or the reason why there are none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from coursekit.grading.records.marks import Marks, Sheet
from coursekit.grading.results import Outcome

__all__ = ["Ending", "Score", "score_of", "sheets_of"]

Status = Literal["graded", "waiting", "failed", "person", "ungraded", "absent"]

# How the last submission of a student ended, and why; `ungraded` where it has not.
Ending = tuple[Outcome | Literal["ungraded"], str]

_WORDS = {
    "waiting": "answers wait for a person",
    "failed": "failed",
    "person": "needs a person",
    "ungraded": "handed in, but not graded",
    "absent": "handed in nothing",
}


@dataclass(frozen=True)
class Score:
    """What one student gets for one assignment.

    Args:
        sheet: The student's part of the grade book.
        maximum: Points that can be reached.
        status: `graded`, `waiting` (some answers still lack points), or why there is no score.
        reason: More about that, if there is more.
    """

    sheet: Sheet
    maximum: float
    status: Status
    reason: str = ""

    @property
    def points(self) -> float | None:
        """The score; None where there is none to give."""
        return self.sheet.score if self.status in {"graded", "waiting"} else None

    @property
    def why(self) -> str:
        """Status and reason in words."""
        words = _WORDS.get(self.status, "")
        return f"{words}: {self.reason}" if words and self.reason else words


def score_of(sheet: Sheet, maximum: float, ending: Ending | None = None) -> Score:
    """Decide what a student gets.

    Args:
        sheet: The student's part of the grade book.
        maximum: Points that can be reached.
        ending: How the last submission ended, where that is known.
    """
    outcome, reason = ending or ("graded", "")
    if outcome == "ungraded":  # The grade book may hold the points of older work.
        return Score(sheet, maximum, "ungraded", reason)
    # What a person entered counts, also where the work could not be graded.
    if outcome != "graded" and not any(mark.manual is not None for mark in sheet.marks):
        return Score(sheet, maximum, outcome, reason)
    if not sheet.submitted:
        if ending is None:
            return Score(sheet, maximum, "absent")
        return Score(sheet, maximum, "ungraded", "not in the grade book yet")
    if not sheet.graded:
        return Score(sheet, maximum, "ungraded", reason)
    if sheet.waiting:
        return Score(sheet, maximum, "waiting", ", ".join(sheet.waiting))
    return Score(sheet, maximum, "graded")


def sheets_of(marks: Marks, endings: Mapping[str, Ending]) -> list[Sheet]:
    """The students of the grade book, and those who handed in but are not in it yet."""
    known = {sheet.student for sheet in marks.sheets}
    return [*marks.sheets, *(Sheet(student) for student in sorted(set(endings) - known))]

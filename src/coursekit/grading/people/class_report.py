"""What an instructor wants to know about a graded class, as numbers; `report_files` shows them.

Scores come from the grade book, so that what a person gave counts; messages, times and notes come
from the results of the checker.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import nan
from typing import Any

from coursekit.grading.intake.student_names import real_name
from coursekit.grading.people.anonymity import without_names
from coursekit.grading.people.answers import digest_of_answers
from coursekit.grading.people.feedback import Template
from coursekit.grading.people.plain_text import printable, shortened
from coursekit.grading.people.statistics import (
    Histogram,
    Item,
    Misconception,
    Summary,
    histogram,
    is_unwritten,
    items,
    misconceptions,
    summary,
)
from coursekit.grading.records.marks import Mark, Marks, Sheet
from coursekit.grading.records.scores import Ending, Score, score_of, sheets_of
from coursekit.grading.results import Result

__all__ = ["CellReport", "Ended", "Look", "Report", "Student", "class_report"]

STATUSES = ("graded", "waiting", "failed", "person", "ungraded", "absent")
SLOWEST = 5
# What is shown of the reasons to look at one submission: how many, and characters of each.
REASONS, LONGEST_REASON = 20, 300
_TRUST = {
    "in-process": "a check ran in the student's own process, between canaries",
    "unsandboxed": "graded without a sandbox",
}


@dataclass(frozen=True)
class Ended:
    """How the last submission of a student ended; light enough to keep for a whole class.

    Args:
        student: The student's id in the grade book.
        result: What came of it, without the notebook; None while it is not graded.
        digest: SHA-256 of the answers; empty for too little work.
    """

    student: str
    result: Result | None
    digest: str = ""

    @classmethod
    def of(cls, template: Template, student: str, result: Result) -> "Ended":
        """Take from a result what the report needs; of causes, those that a test can name."""
        digest = digest_of_answers(template, result.notebook)
        cells = tuple(
            replace(cell, message=template.sayings.known(cell.message)) for cell in result.cells
        )
        return cls(student, replace(result, cells=cells, notebook={}, outputs={}), digest)

    @property
    def ending(self) -> Ending:
        """How it ended, and why."""
        if self.result is None:
            return "ungraded", "run `course grade` again"
        return self.result.outcome, self.result.reason


@dataclass(frozen=True)
class CellReport:
    """One graded cell: its statistics, and how many stubs are empty.

    Args:
        item: The statistics of the students who have points here.
        unwritten: Those of them who wrote nothing.
        waiting: Students besides them, whose answers wait for a person.
    """

    item: Item
    unwritten: int
    waiting: int

    @property
    def students(self) -> int:
        """All who have a score: with points here, or waiting for some."""
        return self.item.count + self.waiting

    @property
    def earned(self) -> float | None:
        """Share of the points that the class got; None while answers wait."""
        return None if self.waiting else self.item.difficulty

    @property
    def wrong(self) -> int:
        """Students who wrote something and earned nothing."""
        return self.item.none - self.unwritten


@dataclass(frozen=True)
class Look:
    """A submission that a person should look at, and why. No reason proves anything."""

    student: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Student:
    """One line of the class.

    Args:
        student: The student's id, or a number in an anonymous report.
        status: `graded`, `waiting`, or why there is no score.
        reason: More about that.
        score: Points, or None.
        seconds: What grading took, or None.
        trust: Who could have moved a verdict; empty where there is no result.
        cells: Score of each cell, or None.
    """

    student: str
    status: str
    reason: str
    score: float | None
    seconds: float | None
    trust: str
    cells: tuple[float | None, ...]


@dataclass(frozen=True)
class Report:
    """A graded class in numbers.

    Args:
        assignment: Name of the assignment.
        maximum: Points that can be reached.
        waiting: Points of the cells in which answers wait for a person. They are no part of
            `scores` and `distribution`, in which nobody shall look weaker for that.
        counts: How many students ended in each way; together, all students.
        scores: The scores in a few numbers; None without a score.
        distribution: The scores in bins.
        cells: The graded cells in the order of the notebook.
        misconceptions: The slips that the checks called by name.
        slowest: Students and seconds of the slowest submissions.
        looks: Submissions to look at.
        students: Every student.
        strays: Files that tell no student, and why they were refused.
        anonymous: Whether the students are numbered.
    """

    assignment: str
    maximum: float
    waiting: float
    counts: dict[str, int]
    scores: Summary | None
    distribution: Histogram
    cells: tuple[CellReport, ...]
    misconceptions: tuple[Misconception, ...]
    slowest: tuple[tuple[str, float], ...]
    looks: tuple[Look, ...]
    students: tuple[Student, ...]
    strays: tuple[tuple[str, str], ...] = ()
    anonymous: bool = False

    @property
    def checked(self) -> float:
        """Points that `scores` are of."""
        return self.maximum - self.waiting

    @property
    def not_graded(self) -> list[Student]:
        """The students without a score."""
        return [one for one in self.students if one.score is None]

    def to_json(self) -> dict[str, Any]:
        """Give the report as plain data."""
        return asdict(self)


def class_report(
    template: Template,
    ended: Sequence[Ended],
    marks: Marks | None = None,
    strays: Sequence[tuple[str, str]] = (),
    *,
    anonymous: bool = False,
) -> Report:
    """Put together what is known about a class.

    Args:
        template: The assignment.
        ended: How the submissions ended, at most one for each student.
        marks: The points in the grade book; without it, those of the results.
        strays: Files that tell no student, and why they were refused.
        anonymous: Number the students in random order, and leave their names out of all texts.
    """
    marks = marks or _marks_of(template, ended)
    if anonymous:
        marks, ended = without_names(template, marks, ended)
        strays = [("a file", reason) for _, reason in strays]
    results = {one.student: one.result for one in ended if one.result}
    endings = {one.student: one.ending for one in ended}
    scores = [
        score_of(sheet, marks.maximum, endings.get(sheet.student))
        for sheet in sheets_of(marks, endings)
    ]
    points = {cell: worth for _, cell, worth in marks.cells}
    names = [name for name in template.cells if name in points]
    given = [one for one in scores if one.points is not None]
    graded = [result for result in results.values() if result.outcome == "graded"]
    timed = [
        (real_name(student), one.seconds) for student, one in results.items() if one.seconds > 0
    ]
    wait = {cell for one in given for cell in one.sheet.waiting}
    held = sum(points[cell] for cell in wait & set(points))
    if held >= marks.maximum:  # Then nothing is left to compare: these points must do.
        wait, held = set(), 0.0
    total = [_without(one, wait) for one in given]
    counts: Counter[str] = Counter(one.status for one in scores)
    return Report(
        template.assignment,
        marks.maximum,
        held,
        {status: counts[status] for status in STATUSES},
        summary(total),
        histogram(total, marks.maximum - held or 1),
        tuple(_cells(template, names, points, given, results)),
        tuple(misconceptions(result.cells for result in graded)),
        tuple(sorted(timed, key=lambda pair: (-pair[1], pair[0]))[:SLOWEST]),
        tuple(_looks(ended)),
        tuple(_student(one, results.get(one.sheet.student), names) for one in scores),
        tuple(strays),
        anonymous,
    )


def _cells(
    template: Template,
    names: Sequence[str],
    points: Mapping[str, float],
    given: Sequence[Score],
    results: Mapping[str, Result],
) -> Iterator[CellReport]:
    """The graded cells, counted over the students who have a score."""
    roles = {name: template.cells[name]["metadata"]["nbgrader"] for name in names}
    questions = {name for name in names if roles[name].get("solution") or roles[name].get("task")}
    of_cell = [{mark.cell: mark for mark in one.sheet.marks} for one in given]
    # Points of older work say nothing about an answer that waits for another look.
    table = [
        [_settled(marks[name]) if name in marks else nan for name in names] for marks in of_cell
    ]
    unwritten: Counter[str] = Counter()
    for one, marks in zip(given, of_cell, strict=True):
        result = results.get(one.sheet.student)
        said = {cell.grade_id: cell.message for cell in result.cells} if result else {}
        unwritten.update(
            name
            for name in names
            if name in marks
            and _settled(marks[name]) == 0
            and marks[name].manual is None
            # A question that nobody answered gets a 0, and no check says a word about it.
            and (is_unwritten(said.get(name, "")) or name in questions)
        )
    waiting = Counter(cell for one in given for cell in one.sheet.waiting)
    worth = [points[name] for name in names]
    for item in items(names, worth, table):
        yield CellReport(item, unwritten[item.name], waiting[item.name])


def _marks_of(template: Template, ended: Sequence[Ended]) -> Marks:
    """What a grade book would hold that nobody but the checker has written into."""
    points: dict[str, float] = {}
    sheets = []
    for one in sorted(ended, key=lambda one: one.student):
        cells = one.result.cells if one.result else ()
        points |= {cell.grade_id: cell.points for cell in cells}
        marks = (Mark(template.topic, cell.grade_id, cell.points, cell.score) for cell in cells)
        sheets.append(Sheet(one.student, submitted=True, marks=tuple(marks)))
    known = tuple((template.topic, name, worth) for name, worth in points.items())
    return Marks(template.assignment, sum(points.values()), known, tuple(sheets))


def _student(score: Score, result: Result | None, names: Sequence[str]) -> Student:
    of_cell = {mark.cell: mark.score for mark in score.sheet.marks}
    return Student(
        score.sheet.name,
        score.status,
        score.reason,
        score.points,
        result.seconds if result else None,
        result.trust if result and result.outcome == "graded" else "",
        tuple(of_cell.get(name) if score.points is not None else None for name in names),
    )


def _looks(ended: Sequence[Ended]) -> list[Look]:
    """Same answers, lowered trust, and every note of intake, checker and sandbox."""
    reasons: dict[str, list[str]] = defaultdict(list)
    same: dict[str, list[str]] = defaultdict(list)
    for one in ended:
        if one.digest:
            same[one.digest].append(one.student)
    for students in same.values():
        for student in students if len(students) > 1 else ():
            others = sorted(real_name(o) for o in students if o != student)
            reasons[student].append(f"the same answers as {_names(others)}")
    for one in ended:
        if one.result is None:
            continue
        if one.result.trust in _TRUST:
            reasons[one.student].append(_TRUST[one.result.trust])
        reasons[one.student] += one.result.notes
    looks = [Look(real_name(student), _first(why)) for student, why in reasons.items() if why]
    return sorted(looks, key=lambda look: (-len(look.reasons), look.student))


def _names(students: Sequence[str]) -> str:
    more = len(students) - REASONS
    return ", ".join(students[:REASONS]) + (f" and {more} more" if more > 0 else "")


def _first(reasons: Sequence[str]) -> tuple[str, ...]:
    """As many reasons as a person reads: one student can make thousands of notes."""
    more = len(reasons) - REASONS
    shown = [
        shortened(printable(" ".join(reason.split())), LONGEST_REASON)
        for reason in reasons[:REASONS]
    ]
    return (*shown, f"and {more} more") if more > 0 else tuple(shown)


def _settled(mark: Mark) -> float:
    """The points of a cell; `nan` while it waits for a person."""
    return nan if mark.score is None or mark.waiting else mark.score


def _without(score: Score, cells: set[str]) -> float:
    """A score less what these cells gave."""
    given = (mark.score or 0.0 for mark in score.sheet.marks if mark.cell in cells)
    return max(0.0, (score.points or 0.0) - sum(given))

"""Points and comments of one assignment, read from nbgrader's grade book with four queries.

nbgrader counts a cell without points as 0. Here such a cell has no score: who has handed in
nothing, or waits for a person, is never told from somebody who earned 0 by accident.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from coursekit.errors import CourseError
from coursekit.grading.intake.student_names import real_name
from coursekit.grading.records.databases import in_one_sentence
from coursekit.grading.records.nbgrader_api import nbgrader_api

__all__ = ["Mark", "Marks", "Sheet", "open_gradebook", "read_marks"]


@dataclass(frozen=True)
class Mark:
    """The points of one cell.

    Args:
        notebook: Name of the notebook, e.g. `cnn`.
        cell: Name of the cell.
        points: What it is worth.
        automatic: Points of the checker, if any.
        manual: Points of a person, if any; they count in place of the checker's.
        extra: Points on top that a person gave.
        waiting: Whether a person still has to look.
    """

    notebook: str
    cell: str
    points: float
    automatic: float | None = None
    manual: float | None = None
    extra: float = 0.0
    waiting: bool = False

    @property
    def score(self) -> float | None:
        """The points that count; None where neither the checker nor a person gave any."""
        given = self.automatic if self.manual is None else self.manual
        return None if given is None else given + self.extra


@dataclass(frozen=True)
class Sheet:
    """Everything about one student and one assignment.

    Args:
        student: The student's id.
        first_name: As the grade book has it, or empty.
        last_name: As the grade book has it, or empty.
        email: As the grade book has it, or empty.
        account: Number of the learning platform, or empty.
        submitted: Whether the grade book has a submission.
        timestamp: When it was handed in, if that is known.
        penalty: Points taken off for lateness.
        marks: The graded cells.
        comments: What a person wrote, by notebook and cell.
    """

    student: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    account: str = ""
    submitted: bool = False
    timestamp: datetime | None = None
    penalty: float = 0.0
    marks: tuple[Mark, ...] = ()
    comments: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The student as the learning platform writes it; the id may be another form of it."""
        name = real_name(self.student)
        return self.last_name if "==" in name and self.last_name else name

    @property
    def graded(self) -> bool:
        """Whether anybody gave points: a submission of which no cell has any is not graded."""
        return any(mark.score is not None for mark in self.marks)

    @property
    def waiting(self) -> list[str]:
        """Cells that a person still has to grade."""
        return [mark.cell for mark in self.marks if mark.score is None or mark.waiting]

    @property
    def raw_score(self) -> float | None:
        """All points that were given; None where there are none."""
        given = [mark.score for mark in self.marks if mark.score is not None]
        return sum(given) if given else None

    @property
    def score(self) -> float | None:
        """The points less the penalty, at least 0, as nbgrader counts them."""
        return None if self.raw_score is None else max(0.0, self.raw_score - self.penalty)


@dataclass(frozen=True)
class Marks:
    """One assignment in the grade book.

    Args:
        assignment: Its name.
        maximum: What all cells are worth.
        cells: Graded cells: notebook, name and points, in no order that matters.
        sheets: One for each student of the class, in the order of the ids.
        duedate: When it was due, if that is known.
    """

    assignment: str
    maximum: float
    cells: tuple[tuple[str, str, float], ...]
    sheets: tuple[Sheet, ...]
    duedate: datetime | None = None


def open_gradebook(url: str) -> Any:
    """Open a grade book; a context manager.

    Raises:
        CourseError: It cannot be opened.
    """
    from sqlalchemy import make_url

    shown = url
    with in_one_sentence(lambda: shown):
        address = make_url(url)
        shown = address.render_as_string(hide_password=True)
        sqlite = address.get_backend_name() == "sqlite"
        if sqlite and address.database and not Path(address.database).is_file():
            # SQLite would make an empty one without a word.
            raise CourseError(f"{address.database}: no grade book is here yet; run `course grade`.")
        return nbgrader_api().Gradebook(url, "")


def read_marks(gradebook: Any, assignment: str) -> Marks:
    """Read one assignment for all students of the class.

    Raises:
        CourseError: The grade book has no such assignment.
    """
    api = nbgrader_api()
    session = gradebook.db
    one = session.query(api.Assignment).filter_by(name=assignment).one_or_none()
    if one is None:
        known = ", ".join(name for (name,) in session.query(api.Assignment.name))
        raise CourseError(
            f"{assignment}: not in the grade book; there is {known or 'no assignment yet'}."
        )
    cells = _cells(session, one.id)
    points = {(notebook, cell): worth for notebook, cell, worth in cells}
    marks: dict[str, list[Mark]] = defaultdict(list)
    comments: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    submitted = api.SubmittedAssignment
    paper = api.SubmittedNotebook
    grades = (
        session.query(
            submitted.student_id,
            api.Notebook.name,
            api.BaseCell.name,
            api.Grade.auto_score,
            api.Grade.manual_score,
            api.Grade.extra_credit,
            api.Grade.needs_manual_grade,
        )
        .select_from(api.Grade)
        .join(paper, api.Grade.notebook_id == paper.id)
        .join(submitted, paper.assignment_id == submitted.id)
        .join(api.Notebook, paper.notebook_id == api.Notebook.id)
        .join(api.BaseCell, api.Grade.cell_id == api.BaseCell.id)
        .filter(submitted.assignment_id == one.id)
    )
    for student, notebook, cell, automatic, manual, extra, waiting in grades:
        if (notebook, cell) in points:
            marks[student].append(
                Mark(
                    notebook,
                    cell,
                    points[notebook, cell],
                    automatic,
                    manual,
                    extra or 0.0,
                    bool(waiting),
                )
            )
    said = (
        session.query(
            submitted.student_id, api.Notebook.name, api.BaseCell.name, api.Comment.comment
        )
        .select_from(api.Comment)
        .join(paper, api.Comment.notebook_id == paper.id)
        .join(submitted, paper.assignment_id == submitted.id)
        .join(api.Notebook, paper.notebook_id == api.Notebook.id)
        .join(api.BaseCell, api.Comment.cell_id == api.BaseCell.id)
        .filter(submitted.assignment_id == one.id)
    )
    for student, notebook, cell, comment in said:
        if comment and comment.strip():
            comments[student][notebook, cell] = comment
    place = {key: index for index, key in enumerate(points)}
    return Marks(
        assignment,
        sum(points.values()),
        tuple(cells),
        tuple(
            Sheet(
                student.id,
                student.first_name or "",
                student.last_name or "",
                student.email or "",
                student.lms_user_id or "",
                handed_in is not None,
                timestamp,
                float(penalty or 0.0),
                tuple(sorted(marks[student.id], key=lambda m: place[m.notebook, m.cell])),
                dict(comments[student.id]),
            )
            for student, handed_in, timestamp, penalty in _students(session, one.id)
        ),
        one.duedate,
    )


def _cells(session: Any, assignment_id: str) -> list[tuple[str, str, float]]:
    """Notebook, name and points of every graded cell of an assignment."""
    api = nbgrader_api()
    found = []
    for kind in (api.GradeCell, api.TaskCell):
        found += (
            session.query(api.Notebook.name, kind.name, kind.max_score)
            .join(api.Notebook, kind.notebook_id == api.Notebook.id)
            .filter(api.Notebook.assignment_id == assignment_id)
            .all()
        )
    return [(notebook, cell, float(points)) for notebook, cell, points in found]


def _students(session: Any, assignment_id: str) -> Any:
    """Every student, with the submission, its time and its penalty where there is one."""
    from sqlalchemy import and_, func, select

    api = nbgrader_api()
    submitted = api.SubmittedAssignment
    penalty = (
        select(func.sum(api.SubmittedNotebook.late_submission_penalty))
        .where(api.SubmittedNotebook.assignment_id == submitted.id)
        .scalar_subquery()
    )
    return (
        session.query(api.Student, submitted.id, submitted.timestamp, penalty)
        .outerjoin(
            submitted,
            and_(submitted.student_id == api.Student.id, submitted.assignment_id == assignment_id),
        )
        .order_by(api.Student.id)
    )

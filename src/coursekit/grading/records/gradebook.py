"""nbgrader's grade book, filled in bulk from the journal.

Writing the same again changes nothing, and what a person gave stays: manual points, extra credit
and comments are never touched. As in nbgrader, a cell with points of a person waits for another
look when the work or its automatic points have changed.

A student whose work could not be graded has a row as well: no automatic points, which nbgrader
counts as 0, and every cell waits for a person.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from coursekit.errors import CourseError
from coursekit.grading.intake.student_names import safe_name
from coursekit.grading.notebook import NotebookNode
from coursekit.grading.package import Package
from coursekit.grading.records.databases import PATIENCE_SECONDS, in_one_sentence
from coursekit.grading.records.nbgrader_api import nbgrader_api
from coursekit.grading.results import Result

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["BATCH", "GradeBook", "Row", "row"]

# Students written in one transaction.
BATCH = 200


@dataclass(frozen=True)
class Row:
    """What the grade book shall know of one student.

    Args:
        student: Who.
        account: Number of the student's account; empty where there is none.
        scores: Automatic points by `grade_id`; None where a person must give them.
        unanswered: Solution cells that are as released.
        changed: Whether this is other work than the last time.
    """

    student: str
    account: str = ""
    scores: Mapping[str, float | None] = field(default_factory=dict)
    unanswered: Collection[str] = ()
    changed: bool = False


def row(package: Package, student: str, account: str, result: Result, *, changed: bool) -> Row:
    """What a result comes to in the grade book.

    Args:
        package: The assignment.
        student: Who handed it in.
        account: Number of the student's account.
        result: What came of it.
        changed: Whether this is other work than the last time.
    """
    if result.outcome != "graded":
        return Row(student, account, changed=changed)
    released = {
        _name(cell): cell["source"] for cell in package.release["cells"] if _is(cell, "solution")
    }
    unanswered = {
        _name(cell)
        for cell in result.notebook.get("cells", ())
        if _name(cell) in released and cell["source"] == released[_name(cell)]
    }
    scores: dict[str, float | None] = {cell.grade_id: cell.score for cell in result.cells}
    for cell in package.release["cells"]:
        if _is(cell, "grade") and _is(cell, "solution"):
            # Points for an answer are a person's to give; no answer earns none.
            scores[_name(cell)] = 0.0 if _name(cell) in unanswered else None
    return Row(student, account, scores, frozenset(unanswered), changed)


class GradeBook:
    """nbgrader's grade book with one assignment in it; a context manager.

    Args:
        url: Address of the database, as SQLAlchemy reads it, e.g. `sqlite:////class/gradebook.db`
            or `postgresql+psycopg://user@host/grades`.
        course: What nbgrader calls the course.
        package: The assignment; its cells are put in where they are not there yet.

    Raises:
        CourseError: The database cannot be used, or has other cells for this assignment.
    """

    def __init__(self, url: str, course: str, package: Package) -> None:
        self._package = package
        self._course = course
        self._url = url
        self._shown = url
        self._book: Any

    def __enter__(self) -> "GradeBook":
        with in_one_sentence(lambda: self._shown):
            self._open()
        try:
            with self._at_work():
                self._prepare()
        except BaseException:
            self._book.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._book.close()

    def write(self, rows: Sequence[Row]) -> None:
        """Write some students: all of them or none.

        Raises:
            CourseError: The database cannot be written.
        """
        from sqlalchemy.exc import IntegrityError

        for start in range(0, len(rows), BATCH):
            some = {safe_name(one.student): one for one in rows[start : start + BATCH]}
            try:
                with self._at_work() as session:
                    self._write(session, some)
            except IntegrityError:
                # Somebody else made a row in between: now it is there.
                with self._at_work() as session:
                    self._write(session, some)

    def _open(self) -> None:
        from sqlalchemy import make_url

        url = make_url(self._url)
        self._shown = url.render_as_string(hide_password=True)
        if url.get_backend_name() == "sqlite":
            folder = Path(url.database or "").parent
            if "uri" not in url.query and not folder.is_dir():
                raise CourseError(f"{self._shown}: its folder is not there; make it first.")
            url = url.update_query_dict({"timeout": str(PATIENCE_SECONDS)})
        address = url.render_as_string(hide_password=False)
        _make_tables(address)
        self._book = nbgrader_api().Gradebook(address, self._course)

    @contextmanager
    def _at_work(self) -> Iterator["Session"]:
        """One transaction."""
        with in_one_sentence(lambda: self._shown):
            try:
                yield self._book.db
                self._book.db.commit()
            except BaseException:
                self._book.db.rollback()
                raise

    def _prepare(self) -> None:
        """Put the assignment and its cells into the grade book, as `generate_assignment` does."""
        self._stamp()
        book, name, topic = self._book, self._package.assignment, self._package.topic
        notebook = self._package.source_notebook
        known = [cell for cell in notebook.cells if _name(cell)]
        book.update_or_create_assignment(name)
        try:
            there = book.find_notebook(topic, name)
        except nbgrader_api().MissingEntry:
            there = None
        if there is not None and _kinds(there) != {
            kind: {_name(cell) for cell in known if _is(cell, role)}
            for kind, role in _KINDS.items()
        }:
            if there.submissions:
                raise CourseError(
                    f"{self._shown}: its cells of {name} are not those of source/, and points hang "
                    "on them; put source/ back, or grade into another --database."
                )
            book.remove_notebook(topic, name)
            there = None
        if there is None:
            kernel = json.dumps(notebook.metadata.get("kernelspec", {}))
            book.add_notebook(topic, name, kernelspec=kernel)
        for cell in known:
            self._save(cell)
        self._ids(book.find_notebook(topic, name))

    def _ids(self, notebook: Any) -> None:
        """Remember the ids that rows refer to."""
        self._notebook, self._assignment = notebook.id, notebook.assignment_id
        grades = [*notebook.grade_cells, *notebook.task_cells]
        comments = [*notebook.solution_cells, *notebook.task_cells]
        self._graded = {cell.id: cell.name for cell in grades}
        self._commented = {cell.id: cell.name for cell in comments}

    def _save(self, cell: NotebookNode) -> None:
        """Bring what the grade book knows of a cell up to date."""
        utils = nbgrader_api().utils
        book, place = self._book, (_name(cell), self._package.topic, self._package.assignment)
        worth = {"cell_type": cell.cell_type}
        if _is(cell, "grade") or _is(cell, "task"):
            worth["max_score"] = float(cell.metadata.nbgrader.points)
        if _is(cell, "grade"):
            book.update_or_create_grade_cell(*place, **worth)
        if _is(cell, "solution"):
            book.update_or_create_solution_cell(*place)
        if _is(cell, "task"):
            book.update_or_create_task_cell(*place, **worth)
        book.update_or_create_source_cell(
            *place,
            cell_type=cell.cell_type,
            locked=utils.is_locked(cell),
            source=cell.source,
            checksum=utils.compute_checksum(cell),
        )

    def _stamp(self) -> None:
        """Name the version of a database that is new, or was cut off while it was made."""
        from sqlalchemy import inspect, text

        session = self._book.db
        if "alembic_version" not in inspect(self._book.engine).get_table_names():
            session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        if not session.execute(text("SELECT version_num FROM alembic_version")).first():
            from alembic.script import ScriptDirectory
            from nbgrader.dbutil import ALEMBIC_DIR

            version = {"version": ScriptDirectory(ALEMBIC_DIR).get_current_head()}
            session.execute(text("INSERT INTO alembic_version VALUES (:version)"), version)
        session.commit()

    # Rows are inserted into tables, not as objects: those are grouped by which columns are None,
    # which makes many statements of one.

    def _write(self, session: "Session", rows: Mapping[str, Row]) -> None:
        self._write_students(session, rows)
        papers = self._papers(session, list(rows))
        self._write_grades(session, rows, papers)
        self._write_comments(session, rows, papers)

    def _write_students(self, session: "Session", rows: Mapping[str, Row]) -> None:
        from sqlalchemy import insert, select, update

        api = nbgrader_api()
        known: dict[str, str | None] = dict(
            session.execute(
                select(api.Student.id, api.Student.lms_user_id).where(api.Student.id.in_(rows))
            ).all()
        )
        new = [
            {
                "id": name,
                # nbgrader cannot live with every id: then the name is shown instead.
                "last_name": _shown(one.student) if name != one.student else None,
                "lms_user_id": one.account or None,
            }
            for name, one in rows.items()
            if name not in known
        ]
        if new:
            session.execute(insert(api.Student.__table__), new)
        accounts = [
            {"id": name, "lms_user_id": rows[name].account}
            for name, account in known.items()
            if rows[name].account and not account
        ]
        if accounts:
            session.execute(update(api.Student), accounts)

    def _papers(self, session: "Session", names: list[str]) -> dict[str, str]:
        """Ids of the submitted notebooks, by student; made where they are not there yet."""
        from sqlalchemy import insert, select

        api = nbgrader_api()
        submitted: dict[str, str] = dict(
            session.execute(
                select(api.SubmittedAssignment.student_id, api.SubmittedAssignment.id).where(
                    api.SubmittedAssignment.assignment_id == self._assignment,
                    api.SubmittedAssignment.student_id.in_(names),
                )
            ).all()
        )
        new = {name: uuid4().hex for name in names if name not in submitted}
        if new:
            session.execute(
                insert(api.SubmittedAssignment.__table__),
                [
                    {"id": one, "assignment_id": self._assignment, "student_id": name}
                    for name, one in new.items()
                ],
            )
        submitted |= new
        papers: dict[str, str] = dict(
            session.execute(
                select(api.SubmittedNotebook.assignment_id, api.SubmittedNotebook.id).where(
                    api.SubmittedNotebook.notebook_id == self._notebook,
                    api.SubmittedNotebook.assignment_id.in_(submitted.values()),
                )
            ).all()
        )
        fresh = {one: uuid4().hex for one in submitted.values() if one not in papers}
        if fresh:
            session.execute(
                insert(api.SubmittedNotebook.__table__),
                [
                    {"id": paper, "assignment_id": one, "notebook_id": self._notebook}
                    for one, paper in fresh.items()
                ],
            )
        papers |= fresh
        return {name: papers[one] for name, one in submitted.items()}

    def _write_grades(
        self, session: "Session", rows: Mapping[str, Row], papers: Mapping[str, str]
    ) -> None:
        from sqlalchemy import insert, select, update

        table = nbgrader_api().Grade
        columns = (table.id, table.notebook_id, table.cell_id)
        state = (table.auto_score, table.manual_score, table.needs_manual_grade)
        there = {
            (paper, cell): (one, automatic, manual, waits)
            for one, paper, cell, automatic, manual, waits in session.execute(
                select(*columns, *state).where(table.notebook_id.in_(papers.values()))
            )
        }
        new, changed = [], []
        for name, one in rows.items():
            for cell, grade_id in self._graded.items():
                score = one.scores.get(grade_id)
                found = there.get((papers[name], cell))
                if found is None:
                    new.append(
                        {
                            "id": uuid4().hex,
                            "notebook_id": papers[name],
                            "cell_id": cell,
                            "auto_score": score,
                            "needs_manual_grade": score is None,
                        }
                    )
                    continue
                grade, automatic, manual, waits = found
                if automatic != score:
                    waits = score is None or manual is not None
                elif one.changed and manual is not None:
                    waits = True
                if (automatic, found[3]) != (score, waits):
                    changed.append({"id": grade, "auto_score": score, "needs_manual_grade": waits})
        if new:
            session.execute(insert(table.__table__), new)
        if changed:
            session.execute(update(table), changed)

    def _write_comments(
        self, session: "Session", rows: Mapping[str, Row], papers: Mapping[str, str]
    ) -> None:
        from sqlalchemy import insert, select, update

        table = nbgrader_api().Comment
        columns = (table.id, table.notebook_id, table.cell_id, table.auto_comment)
        there = {
            (paper, cell): (one, said)
            for one, paper, cell, said in session.execute(
                select(*columns).where(table.notebook_id.in_(papers.values()))
            )
        }
        new, changed = [], []
        for name, one in rows.items():
            for cell, grade_id in self._commented.items():
                says = "No response." if grade_id in one.unanswered else None
                found = there.get((papers[name], cell))
                if found is None:
                    ids = {"id": uuid4().hex, "notebook_id": papers[name], "cell_id": cell}
                    new.append({**ids, "auto_comment": says})
                elif found[1] != says:
                    changed.append({"id": found[0], "auto_comment": says})
        if new:
            session.execute(insert(table.__table__), new)
        if changed:
            session.execute(update(table), changed)


def _shown(student: str) -> str | None:
    """The name of a student for Formgrader, which puts it into its page as it is."""
    return None if re.search(r"[<>&\"']", student) else student[:128]


_KINDS = {"grade": "grade", "solution": "solution", "task": "task"}


def _kinds(notebook: Any) -> dict[str, set[str]]:
    """Names of the cells of a notebook in the grade book, by kind."""
    return {
        "grade": {cell.name for cell in notebook.grade_cells},
        "solution": {cell.name for cell in notebook.solution_cells},
        "task": {cell.name for cell in notebook.task_cells},
    }


def _is(cell: Mapping[str, Any], role: str) -> bool:
    return bool(cell["metadata"].get("nbgrader", {}).get(role))


def _name(cell: Mapping[str, Any]) -> str:
    roles = ("grade", "solution", "locked", "task")
    known = any(_is(cell, role) for role in roles)
    return str(cell["metadata"]["nbgrader"].get("grade_id", "")) if known else ""


def _make_tables(url: str) -> None:
    """Make the tables that are not there yet.

    nbgrader does it, too, but then runs a program for three seconds to ask for their version.
    """
    from sqlalchemy import create_engine

    engine = create_engine(url)
    try:
        nbgrader_api().Base.metadata.create_all(engine)
    finally:
        engine.dispose()

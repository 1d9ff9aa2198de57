"""The grade book says what the journal says, and keeps what a person wrote into it."""

import functools
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, event, text

from coursekit.autograde import Course
from coursekit.errors import CourseError
from coursekit.exercises import Exercise
from coursekit.grading.assignment import Classroom, load_package
from coursekit.grading.intake.rebuild import rebuild
from coursekit.grading.package import Package
from coursekit.grading.records import databases, gradebook
from coursekit.grading.records.gradebook import GradeBook, Row, row
from coursekit.grading.results import CellResult, Result
from coursekit.notebook_files import to_text
from coursekit.release import source_notebook
from coursekit.repository import Repository

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nbgrader import api
    from nbgrader.api import Gradebook

# nbgrader asks a program for this whenever it makes a database, which takes seconds.
api.get_alembic_version = functools.cache(api.get_alembic_version)

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

ASSIGNMENT, TOPIC = "01_small", "small"
Answered = Callable[[str], bytes]


def test_the_grade_book_needs_no_web_server() -> None:
    program = """
import sys
from coursekit.grading.records.nbgrader_api import nbgrader_api
api = nbgrader_api()
assert api is nbgrader_api() and api.Gradebook
assert not {"nbgrader", "tornado.web", "jupyter_server"} & set(sys.modules), "a server is there"
import nbgrader  # All of it is there for who wants it, with the same tables.
from nbgrader.apps import NbGraderAPI
from nbgrader.api import Gradebook
assert nbgrader.__version__ and NbGraderAPI and Gradebook is api.Gradebook
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of a PostgreSQL server of our own, on a socket in a temporary folder."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(programs[-1]) if programs else shutil.which("initdb")
    assert found, "PostgreSQL is not installed; install the package `postgresql`"
    initdb = Path(found)
    # A server refuses to run as root; the package makes a user for it.
    user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    options: dict[str, Any] = {"check": True, "capture_output": True, "cwd": "/"}
    if user:
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    # The path of a socket may have 107 bytes, which pytest's own folder can exceed.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        data = f"{folder}/data"
        subprocess.run(
            [initdb, "-D", data, "-U", "grader", "-A", "trust", "-E", "UTF8", "--no-sync"],
            **options,
        )
        control = [initdb.with_name("pg_ctl"), "-D", data, "-w", "-l", f"{folder}/log"]
        settings = f"-k {folder} -c listen_addresses= -c fsync=off"
        subprocess.run([*control, "-o", settings, "start"], **options)
        try:
            yield f"postgresql+psycopg://grader@/postgres?host={folder}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **options)


@pytest.fixture
def new_database(postgresql: str) -> str:
    """Address of an empty database on that server."""
    name = f"grades_{uuid4().hex[:8]}"
    with create_engine(postgresql, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return postgresql.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database, on each kind of server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'gradebook.db'}"
    return str(request.getfixturevalue("new_database"))


def right(name: str, *, mean: float = 6, **more: Any) -> Row:
    return Row(name, scores={"test_mean": mean, "test_centre": 4, "why": None}, **more)


def fill(database: str, package: Package, *rows: Row) -> None:
    with GradeBook(database, "large-models", package) as book:
        book.write(rows)


@contextmanager
def opened(database: str) -> Iterator[Gradebook]:
    with Gradebook(database, "large-models") as book:
        yield book


def contents(database: str) -> dict[str, list[Any]]:
    """All rows of all tables."""
    tables = ("course", "assignment", "notebook", "base_cell", "grade_cells", "source_cell")
    tables += ("student", "submitted_assignment", "submitted_notebook", "grade", "comment")
    with create_engine(database).connect() as connection:
        return {
            table: sorted(map(tuple, connection.execute(text(f"SELECT * FROM {table}"))), key=repr)
            for table in (*tables, "alembic_version")
        }


def test_nbgrader_reads_points_and_comments(database: str, package: Package) -> None:
    rows = [right("ann", account="17", unanswered={"mean"}), right("bob", mean=0.5)]
    fill(database, package, *rows)
    with opened(database) as book:
        ann = book.find_submission(ASSIGNMENT, "ann")
        assert (ann.score, ann.max_score, ann.needs_manual_grade) == (10, 15, True)
        assert ann.student.lms_user_id == "17"
        assert book.find_submission(ASSIGNMENT, "bob").score == 4.5
        comment = book.find_comment("mean", TOPIC, ASSIGNMENT, "ann")
        assert comment.comment == "No response."
        assert book.find_comment("centre", TOPIC, ASSIGNMENT, "ann").comment is None
        assert book.find_assignment(ASSIGNMENT).course_id == "large-models"
        grades = {grade.name: grade for grade in ann.notebooks[0].grades}
        assert set(grades) == {"test_mean", "test_centre", "why"}
        assert [grades[n].needs_manual_grade for n in ("test_mean", "why")] == [False, True]


def test_writing_twice_changes_nothing(database: str, package: Package) -> None:
    rows = [right("ann"), right("bob", mean=1, unanswered={"centre"}), Row("cid", account="5")]
    fill(database, package, *rows)
    before = contents(database)
    fill(database, package, *rows)
    assert contents(database) == before
    assert len(before["grade"]) == 9


def test_what_a_person_gave_stays(database: str, package: Package) -> None:
    fill(database, package, right("ann"))
    with opened(database) as book:  # What Formgrader does when a person grades.
        for name, manual in (("why", 3.0), ("test_mean", 5.0)):
            grade = book.find_grade(name, TOPIC, ASSIGNMENT, "ann")
            grade.manual_score, grade.extra_credit, grade.needs_manual_grade = manual, 1, False
        book.find_comment("why", TOPIC, ASSIGNMENT, "ann").manual_comment = "Well said."
        book.db.commit()
    before = contents(database)
    fill(database, package, right("ann"))
    assert contents(database) == before, "nothing new, and the row was touched"

    fill(database, package, right("ann", mean=2, changed=True))
    with opened(database) as book:
        assert book.find_submission(ASSIGNMENT, "ann").score == 3 + 1 + 5 + 1 + 4
        for name, automatic in (("why", None), ("test_mean", 2)):
            grade = book.find_grade(name, TOPIC, ASSIGNMENT, "ann")
            assert grade.auto_score == automatic
            assert grade.needs_manual_grade, "other work under the points of a person"
        assert not book.find_grade("test_centre", TOPIC, ASSIGNMENT, "ann").needs_manual_grade
        assert book.find_comment("why", TOPIC, ASSIGNMENT, "ann").comment == "Well said."


def test_who_could_not_be_graded_waits_for_a_person(database: str, package: Package) -> None:
    failed = row(package, "ann", "", Result("failed", "empty"), changed=False)
    fill(database, package, failed)
    with opened(database) as book:
        ann = book.find_submission(ASSIGNMENT, "ann")
        assert (ann.score, ann.needs_manual_grade) == (0, True)
        assert all(grade.needs_manual_grade for grade in ann.notebooks[0].grades)
    fill(database, package, right("ann", mean=0))
    with opened(database) as book:
        grade = book.find_grade("test_mean", TOPIC, ASSIGNMENT, "ann")
        assert (grade.auto_score, grade.needs_manual_grade) == (0, False)


def test_a_result_becomes_a_row(package: Package, answered: Answered) -> None:
    rebuilt = rebuild(package.release_notebook, answered("mean = 1"))
    cells = (CellResult("test_mean", 6, 6), CellResult("test_centre", 1.5, 4))
    result = Result("graded", cells=cells, notebook=rebuilt.notebook)
    assert row(package, "ann", "5", result, changed=True) == Row(
        "ann", "5", {"test_mean": 6, "test_centre": 1.5, "why": None}, frozenset(), True
    )
    untouched = rebuild(package.release_notebook, to_text(package.release_notebook).encode())
    empty = row(package, "ann", "", replace(result, notebook=untouched.notebook), changed=False)
    assert empty.scores["why"] == 0
    assert empty.unanswered == {"mean", "centre", "why"}


def test_odd_ids_have_a_name_to_show(database: str, package: Package) -> None:
    names = ["anna [1]", "..", "Zoë Müller", "x" * 300, "a'b; DROP TABLE student;--", "<script>"]
    fill(database, package, *map(right, names))
    fill(database, package, *map(right, names))
    with opened(database) as book:
        shown = {student.id: student.last_name for student in book.students}
    assert len(shown) == len(names)
    assert shown["anna =5B1=5D"] == "anna [1]"
    assert shown["Zoë Müller"] is None
    assert shown["=3Cscript=3E"] is None, "Formgrader puts the name into its page as it is"


def test_the_assignment_is_what_nbgrader_would_make(
    tiny: Exercise, course: Repository, tmp_path: Path
) -> None:
    source = source_notebook(course, tiny)
    with Course(source, tiny.name, tiny.topic, parent=tmp_path) as theirs:
        release = theirs.release()
        root = tmp_path / "spring"
        for step, notebook in (("source", source), ("release", release)):
            (root / step / tiny.name).mkdir(parents=True)
            (root / step / tiny.name / "tiny.ipynb").write_text(to_text(notebook))
        (root / "nbgrader_config.py").touch()
        package = load_package(Classroom.find(root), tiny.name)
        database = f"sqlite:///{theirs.root / 'gradebook.db'}"
        before = contents(database)
        with GradeBook(database, "course", package):
            pass
        assert contents(database) == before, "what nbgrader made was touched"
        new = f"sqlite:///{tmp_path / 'new.db'}"
        with GradeBook(new, "course", package):
            pass
        for table in ("source_cell", "base_cell", "grade_cells", "notebook"):
            assert without_ids(contents(new)[table]) == without_ids(before[table])


def without_ids(rows: list[Any]) -> list[Any]:
    def is_id(value: Any) -> bool:
        return isinstance(value, str) and len(value) == 32 and value.isalnum() and value != ""

    # Checksums have 32 characters too, but the same source gives the same one.
    return sorted((tuple(value for value in one if not is_id(value)) for one in rows), key=repr)


def test_other_cells_under_points_are_refused(database: str, package: Package) -> None:
    less = replace(
        package,
        source={**package.source, "cells": package.source["cells"][:-1]},
        release={**package.release, "cells": package.release["cells"][:-1]},
    )
    fill(database, less)
    fill(database, package, right("ann"))  # No points hung on the cells before.
    before = contents(database)
    with pytest.raises(CourseError, match=r"its cells of 01_small are not those of source/"):
        fill(database, less, right("ann"))
    assert contents(database) == before


def test_new_points_reach_the_grade_book(database: str, package: Package) -> None:
    fill(database, package, right("ann"))
    cells = [dict(cell) for cell in package.source_notebook.cells]
    cells[2]["metadata"]["nbgrader"]["points"] = 8
    fill(database, replace(package, source={**package.source, "cells": cells}))
    with opened(database) as book:
        assert book.find_submission(ASSIGNMENT, "ann").max_score == 17


def test_a_class_is_written_with_few_statements(database: str, package: Package) -> None:
    counts = []
    with GradeBook(database, "large-models", package) as book:

        def count(*_: Any) -> None:
            counts[-1] += 1

        event.listen(book._book.engine, "before_cursor_execute", count)
        for number in (5, gradebook.BATCH):
            counts.append(0)
            book.write(
                [
                    right(f"{number}-{i}", unanswered={"mean"} if i % 2 else ())
                    for i in range(number)
                ]
            )
    assert counts[0] == counts[1] < 20


def test_a_writer_killed_before_its_commit_leaves_nothing(package: Package, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'gradebook.db'}"
    fill(database, package, right("ann"))
    before = contents(database)
    child = os.fork()
    if child == 0:
        with GradeBook(database, "large-models", package) as book:
            kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
            event.listen(book._book.engine, "commit", kill)
            book.write([right("ann", mean=1), right("bob")])
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert contents(database) == before
    fill(database, package, right("ann", mean=1), right("bob"))
    with opened(database) as book:
        assert [one.score for one in book.assignment_submissions(ASSIGNMENT)] == [5, 10]


def test_a_database_cut_off_while_it_was_made_is_mended(package: Package, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'gradebook.db'}"
    fill(database, package, right("ann"))
    whole = contents(database)
    for damage in ("DELETE FROM alembic_version", "DROP TABLE alembic_version"):
        with sqlite3.connect(tmp_path / "gradebook.db") as connection:
            connection.execute(damage)
        fill(database, package, right("ann"))
        assert contents(database) == whole


def test_two_writers_at_once_write_each_row_once(database: str, package: Package) -> None:
    fill(database, package)
    rows = [right(f"student-{number}") for number in range(60)]
    failures = []

    def write() -> None:
        try:
            fill(database, package, *rows)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(contents(database)["grade"]) == 180


def test_a_locked_database_is_waited_for_and_then_told(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gradebook.db"
    fill(f"sqlite:///{path}", package)
    for module in (gradebook, databases):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CourseError, match=r"database is locked\); another program held it for 1 s"):
        fill(f"sqlite:///{path}", package, right("ann"))
    monkeypatch.setattr(gradebook, "PATIENCE_SECONDS", 60)
    release = threading.Timer(0.5, other.rollback)
    other_thread = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.rollback()
    other_thread.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, other_thread.rollback)
    release.start()
    fill(f"sqlite:///{path}", package, right("ann"))  # Waits until the other gives way.
    release.join()
    assert len(contents(f"sqlite:///{path}")["grade"]) == 3


@pytest.mark.parametrize(
    ("database", "sentence"),
    [
        ("gradebook.db", r"gradebook.db: .*Could not parse.*; write it as in sqlite:////class"),
        ("oracool://host/name", r"oracool://host/name: .*oracool.*; write it as in"),
        ("sqlite:////no/such/folder/x.db", r"its folder is not there; make it first"),
        (
            "postgresql+psycopg://me:secret@/grades?host=/nowhere",
            r"^postgresql\+psycopg://me:\*\*\*@/grades.*failed.*What is graded is kept",
        ),
        ("mysql://host/name", r"mysql://host/name: needs the Python package `MySQLdb`"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_sentence(
    package: Package, database: str, sentence: str
) -> None:
    with pytest.raises(CourseError, match=sentence) as caught:
        fill(database, package)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_database_that_cannot_be_written_is_told(package: Package, tmp_path: Path) -> None:
    path = tmp_path / "gradebook.db"
    fill(f"sqlite:///{path}", package)
    with pytest.raises(CourseError, match="attempt to write a readonly database"):
        fill(f"sqlite:///file:{path}?mode=ro&uri=true", package, right("ann"))
    path.write_bytes(b"no database" * 100)
    with pytest.raises(CourseError, match="file is not a database"):
        fill(f"sqlite:///{path}", package)


def test_a_server_that_goes_away_is_told_and_nothing_is_half_written(
    new_database: str, package: Package
) -> None:
    with GradeBook(new_database, "large-models", package) as book:
        book.write([right("ann")])
        with create_engine(new_database).connect() as other:
            other.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        with pytest.raises(CourseError, match="the grade book cannot be used"):
            book.write([right("bob")])
        book.write([right("bob")])  # The server is there again.
    with opened(new_database) as read:
        assert {one.student.id for one in read.assignment_submissions(ASSIGNMENT)} == {"ann", "bob"}

"""Everybody who handed in something ends in one way, once, whatever dies in between."""

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.popen_spawn_posix import Popen
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import psutil
import pytest

from coursekit.errors import CourseError
from coursekit.grading.assignment import Classroom
from coursekit.grading.engine import Grades, Task, collect_class, grade_class
from coursekit.grading.intake.collection import Participant
from coursekit.grading.intake.rebuild import rebuild
from coursekit.grading.intake.submissions import Intake
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.records.gradebook import GradeBook
from coursekit.grading.records.journal import Journal, Records
from coursekit.grading.records.writer import Entry, Writer
from coursekit.grading.results import CellResult, Result
from coursekit.grading.spread.pool import Graders, Pool

ASSIGNMENT = "01_small"
FAKES = Path(__file__).parent / "fakes"
Answered = Callable[[str], bytes]


@pytest.fixture(scope="module")
def empty_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grade book of nobody: to make one takes nbgrader seconds."""
    return tmp_path_factory.mktemp("book") / "gradebook.db"


@pytest.fixture
def task(classroom: Classroom, package: Package, empty_book: Path) -> Task:
    """What shall be graded."""
    if not empty_book.exists():
        with GradeBook(f"sqlite:///{empty_book}", classroom.course, package):
            pass
    shutil.copy(empty_book, classroom.root / "gradebook.db")
    return Task(classroom, package, classroom.database)


@pytest.fixture
def hand_in(tmp_path: Path) -> Callable[..., Path]:
    """Pack a zip file of submissions, by name."""

    def hand_in(files: dict[str, bytes], name: str = "class.zip") -> Path:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for student, data in files.items():
                archive.writestr(f"{student}/small.ipynb", data)
        return tmp_path / name

    return hand_in


@pytest.fixture
def grade(slots: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Grades]:
    """Grade with two workers that have fake slots."""
    monkeypatch.setattr("coursekit.grading.engine.environment", lambda *_, **__: "fake")

    def grade(
        task: Task, source: Path | None = None, *, slot: str = "FakeSlot", **options: Any
    ) -> Grades:
        def spread(package: Package, limits: Limits, jobs: int) -> Graders:
            return Pool(package, limits, workers=2, make_slot=getattr(slots, slot))

        return grade_class(task, spread, source, **options)

    return grade


def points(task: Task) -> dict[str, list[tuple[str, float | None, int]]]:
    """Cell, automatic points, and whether a person must look, of each student."""
    query = """
        SELECT student_id, base_cell.name, auto_score, needs_manual_grade FROM grade
        JOIN submitted_notebook ON grade.notebook_id = submitted_notebook.id
        JOIN submitted_assignment ON submitted_notebook.assignment_id = submitted_assignment.id
        JOIN base_cell ON grade.cell_id = base_cell.id ORDER BY student_id, base_cell.name
    """
    found: dict[str, list[tuple[str, float | None, int]]] = {}
    with sqlite3.connect(task.classroom.root / "gradebook.db") as connection:
        for student, *rest in connection.execute(query):
            found.setdefault(student, []).append(tuple(rest))
    return found


GRADED = [("test_centre", 4.0, 0), ("test_mean", 6.0, 0), ("why", None, 1)]
NOTHING = [("test_centre", None, 1), ("test_mean", None, 1), ("why", None, 1)]


def files(task: Task) -> dict[str, bytes]:
    """All notebooks for people, by path."""
    root = task.classroom.root
    found = [*root.glob("submitted/**/*"), *root.glob("autograded/**/*")]
    return {str(path.relative_to(root)): path.read_bytes() for path in found if path.is_file()}


def test_everybody_ends_in_one_way(
    task: Task,
    grade: Callable[..., Grades],
    hand_in: Callable[..., Path],
    answered: Answered,
    slots: ModuleType,
) -> None:
    told: list[tuple[int, int]] = []
    source = hand_in(
        {
            "ann": answered("right"),
            "bob": answered("right"),
            "cid": answered("wrong"),
            "dan": answered("fail"),
            "eve": answered("kill"),
            "fay": b"\xff",
            "anna [1]": answered("other"),
            "..": answered("escape"),
        }
    )
    collected: list[Intake] = []
    grades = grade(
        task,
        source,
        collected=collected.append,
        progress=lambda done, total: told.append((done, total)),
    )
    assert [one.counts for one in collected] == [{"accepted": 6, "refused": 2}]
    assert {one.name: one.outcome for one in grades.students} == {
        "ann": "graded",
        "anna [1]": "graded",
        "bob": "graded",
        "cid": "graded",
        "dan": "failed",
        "eve": "person",
        "fay": "failed",
    }
    assert [stray.reason for stray in grades.strays] == ["its path leaves the archive"]
    assert sum(grades.counts.values()) == len(grades.students)
    assert not grades.complete
    assert slots.calls("right") == 1, "the same work was graded twice"
    assert (told[0], told[-1]) == ((0, 5), (5, 5))
    reasons = {one.name: one.reason for one in grades.students if one.reason}
    assert reasons["dan"] == "no answer of this student runs"
    assert reasons["eve"].startswith("killed its grader 3 times")
    assert reasons["fay"] == "not UTF-8 (byte 0)"

    wrong = [("test_centre", 4.0, 0), ("test_mean", 0.0, 0), ("why", None, 1)]
    assert points(task) == {
        "ann": GRADED,
        "anna =5B1=5D": GRADED,
        "bob": GRADED,
        "cid": wrong,
        "dan": NOTHING,
        "eve": NOTHING,
        "fay": NOTHING,
    }
    laid = files(task)
    students = ("ann", "anna =5B1=5D", "bob", "cid", "dan", "eve")
    assert set(laid) == {
        f"{step}/{name}/{ASSIGNMENT}/small.ipynb"
        for step in ("submitted", "autograded")
        for name in students
    }
    assert laid[f"submitted/ann/{ASSIGNMENT}/small.ipynb"] == answered("right")
    notebook = nbformat.reads(laid[f"autograded/cid/{ASSIGNMENT}/small.ipynb"], as_version=4)
    nbformat.validate(notebook)
    cells = {cell.id: cell for cell in notebook.cells}
    assert cells["mean"].source == "wrong"
    assert cells["mean"].outputs[0].text == "wrong\n"
    assert "assert secret" in cells["test_mean"].source, "Formgrader shows hidden tests"

    first, calls = points(task), slots.calls("wrong")
    again = grade(task)
    assert again.graded == 0
    assert [one.outcome for one in again.students] == [one.outcome for one in grades.students]
    assert (points(task), files(task), slots.calls("wrong")) == (first, laid, calls)


def test_a_resubmission_is_graded_and_nothing_else(
    task: Task,
    grade: Callable[..., Grades],
    hand_in: Callable[..., Path],
    answered: Answered,
    slots: ModuleType,
) -> None:
    grade(task, hand_in({"ann": answered("wrong"), "bob": answered("right")}))
    with sqlite3.connect(task.classroom.root / "gradebook.db") as connection:
        connection.execute("UPDATE grade SET manual_score = 2, needs_manual_grade = 0")
    grades = grade(task, hand_in({"ann": answered("better")}, "second.zip"))
    assert grades.graded == 1
    assert grades.complete
    assert slots.calls("right") == slots.calls("wrong") == slots.calls("better") == 1
    looked_at = [(cell, score, 0) for cell, score, _ in GRADED]
    waits = [(cell, score, 1) for cell, score, _ in GRADED]
    assert points(task) == {"ann": waits, "bob": looked_at}
    shown = files(task)[f"autograded/ann/{ASSIGNMENT}/small.ipynb"]
    assert b"better" in shown

    again = grade(replace(task, again=True))
    assert again.graded == 2
    assert slots.calls("right") == slots.calls("better") == 2
    with pytest.raises(CourseError, match=r"--student \(='cid'\) has handed in nothing"):
        grade(replace(task, students=("ann", "cid")))
    assert grade(replace(task, students=("ann",))).graded == 1
    assert (slots.calls("right"), slots.calls("better")) == (2, 3)


def test_nothing_is_graded_before_something_is_collected(
    task: Task, grade: Callable[..., Grades], hand_in: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(CourseError, match="01_small: nothing was collected yet; name the folder"):
        grade(task)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError, match="empty; there is nothing to collect"):
        grade(task, tmp_path / "empty")
    with pytest.raises(CourseError, match="no such file or folder"):
        grade(task, tmp_path / "nowhere.zip")


def test_what_is_graded_survives_a_grade_book_that_is_away(
    task: Task,
    grade: Callable[..., Grades],
    hand_in: Callable[..., Path],
    answered: Answered,
    slots: ModuleType,
) -> None:
    away = replace(task, database="postgresql+psycopg://grader@/x?host=/nowhere")
    source = hand_in({f"student {number}": answered("right") for number in range(3)})
    with pytest.raises(CourseError, match=r"the grade book cannot be used .* What is graded is"):
        grade(away, source)
    grades = grade(task)
    assert grades.complete
    assert points(task) == {f"student {number}": GRADED for number in range(3)}
    assert slots.calls("right") <= 2, "at most the one that was stopped is graded again"


def test_a_machine_without_sandbox_grades_nothing_and_loses_nothing(
    task: Task, grade: Callable[..., Grades], hand_in: Callable[..., Path], answered: Answered
) -> None:
    with pytest.raises(CourseError, match="bubblewrap is not installed"):
        grade(task, hand_in({"ann": answered("right")}), slot="NoSlot")
    assert grade(task).complete


@pytest.fixture
def graded(task: Task, answered: Answered) -> list[Entry]:
    """Students with a result in the journal, more than go to the writer at once."""
    work = answered("right")
    digest = task.office.store.put(work)
    rebuilt = rebuild(task.package.release_notebook, work)
    cells = (CellResult("test_mean", 6, 6), CellResult("test_centre", 4, 4))
    with Journal(task.office.journal) as journal:
        journal.finished("key", Result("graded", cells=cells, notebook=rebuilt.notebook))
    return [Entry(Participant(f"student {number}", digest), "key") for number in range(60)]


def test_a_writer_that_dies_is_replaced(task: Task, graded: list[Entry]) -> None:
    with Writer(task.office) as writer:
        writer.finish()  # Now it waits for work.
        writer.put(graded)
        os.kill(writer._process.pid or 0, signal.SIGKILL)
        writer.finish()
    assert points(task) == {one.participant.student: GRADED for one in graded}
    assert len(files(task)) == 2 * len(graded)


def test_a_writer_that_keeps_dying_is_told(task: Task, graded: list[Entry]) -> None:
    with Writer(task.office) as writer:
        writer.put(graded)
        for _ in range(3):
            os.kill(writer._process.pid or 0, signal.SIGKILL)
            writer._turn(wait=True)
        with pytest.raises(CourseError, match=r"died 3 times; what is graded is kept, run the"):
            writer.finish()
    with Writer(task.office) as writer:
        writer.put(graded)
        writer.finish()
    assert len(points(task)) == len(graded)


@pytest.mark.parametrize(("room", "missing"), [(0, "worker-1"), (1, "worker-2"), (2, "writer")])
def test_a_machine_without_room_for_a_process_is_told(
    task: Task,
    grade: Callable[..., Grades],
    hand_in: Callable[..., Path],
    answered: Answered,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
    missing: str,
) -> None:
    launch = Popen._launch
    started: list[int] = []

    def launch_some(self: Popen, process: BaseProcess) -> None:
        if len(started) == room:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        launch(self, process)
        started.append(self.pid)

    source = hand_in({"ann": answered("right")})
    with monkeypatch.context() as patch:
        patch.setattr(Popen, "_launch", launch_some)
        with pytest.raises(CourseError) as caught:
            grade(task, source)
    assert str(caught.value) == (
        f"no {missing} can be started (Resource temporarily unavailable); end other programs and "
        "run the command again: what is graded is kept."
    )
    assert not any(map(psutil.pid_exists, started))
    assert grade(task, source).complete


def test_a_second_run_at_the_same_time_is_refused(
    task: Task, grade: Callable[..., Grades], hand_in: Callable[..., Path], answered: Answered
) -> None:
    source = hand_in({"ann": answered("right")})
    refused: list[str] = []

    def try_it(done: int, _total: int) -> None:
        if not done:
            with pytest.raises(CourseError) as caught:
                collect_class(task.classroom, task.package, source)
            refused.append(str(caught.value))

    grade(task, source, progress=try_it)
    assert ["another `course grade` is at work here" in one for one in refused] == [True]


@pytest.fixture
def engine(
    task: Task, slots: ModuleType, tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the engine in a process of its own."""
    processes = []

    def engine(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(FAKES / "run_engine.py"), str(task.classroom.root)]
        processes.append(
            subprocess.Popen(
                [*command, *map(str, arguments)],
                stdout=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(FAKES), *sys.path])},
            )
        )
        return processes[-1]

    yield engine
    for process in processes:
        process.kill()
        process.wait()


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for something that must come, as long as the process lives."""
    while not condition():
        assert process.poll() is None, process.communicate()
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue


def left_of(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Processes that do not end within some seconds."""
    return psutil.wait_procs(processes, timeout=30)[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_no_process_and_blames_nobody(
    task: Task,
    engine: Callable[..., subprocess.Popen[str]],
    hand_in: Callable[..., Path],
    answered: Answered,
    slots: ModuleType,
    number: signal.Signals,
) -> None:
    run = engine(hand_in({"ann": answered("right"), "bob": answered("hang")}))
    records = Records(task.office.journal)
    until(lambda: records.refresh() or (slots.calls("hang") and slots.calls("right")), run)
    until(lambda: records.refresh() or any(one.outcome for one in records.known.values()), run)
    children = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(number)
    said, _ = run.communicate()
    assert run.returncode == 1
    asked, _, ended = said.partition("\n")
    assert asked == "stopping"
    assert "01_small: stopped; what is graded is kept" in ended
    assert left_of(children) == []
    records.refresh()
    assert [one.deaths for one in records.known.values()] == [0, 0]
    assert sorted(str(one.outcome) for one in records.known.values()) == ["None", "graded"]


def test_a_killed_run_goes_on_where_it_was(
    task: Task,
    grade: Callable[..., Grades],
    engine: Callable[..., subprocess.Popen[str]],
    hand_in: Callable[..., Path],
    answered: Answered,
    slots: ModuleType,
) -> None:
    names = [f"student {number}" for number in range(12)]
    run = engine(hand_in({name: answered(f"answer of {name}") for name in names}))
    log = Path(os.environ["FAKE_SLOT_LOG"])
    until(lambda: len(log.read_text().splitlines()) >= 5, run)
    children = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.wait()
    assert left_of(children) == [], "processes live on"
    with task.office.journal.open("ab") as journal:
        journal.write(b'{"event": "finished", "key": "half a')  # As if killed while it wrote.
    grades = grade(task)
    assert grades.complete
    assert 0 < grades.graded < 12
    assert points(task) == dict.fromkeys(names, GRADED)
    calls = log.read_text().splitlines()
    # At the kill each of two workers was at one, and had one more behind it whose result was read
    # but not yet written down (of one worker), or not yet read (then it had no next one).
    assert len([one for one in calls if one.startswith("answer")]) <= 12 + 3


def test_a_submission_that_kills_the_whole_run_is_set_aside_in_the_end(
    task: Task,
    grade: Callable[..., Grades],
    engine: Callable[..., subprocess.Popen[str]],
    hand_in: Callable[..., Path],
    answered: Answered,
    slots: ModuleType,
) -> None:
    source = hand_in({"ann": answered("hang")})
    for death in range(3):
        run = engine(source)
        until(lambda death=death: slots.calls("hang") > death, run)
        run.kill()
        run.wait()
    grades = grade(task)
    assert [one.reason for one in grades.students] == ["killed its grader 3 times"]
    assert points(task) == {"ann": NOTHING}
    assert json.loads(files(task)[f"autograded/ann/{ASSIGNMENT}/small.ipynb"])["cells"]

"""A small class to grade, processes of a run by their role, and what is left after it."""

import ctypes
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from coursekit.classroom import CONFIGURATION
from coursekit.grading.records.journal import Records

ASSIGNMENT, TOPIC = "01_storm", "storm"
PATIENCE = 60.0

RIGHT = {"double": "def double(x):\n    return 2 * x", "largest": "largest = max"}
ANSWERS: dict[str, dict[str, str]] = {
    "right": RIGHT,
    "half": RIGHT | {"largest": "largest = min"},
    "other half": RIGHT | {"double": "def double(x):\n    return x + 2"},
    "slow": RIGHT | {"double": "import time\ntime.sleep(0.2)\n" + RIGHT["double"]},
    "stops": RIGHT | {"largest": "raise RuntimeError('not today')"},
    "ends": RIGHT | {"largest": "import os\nos._exit(0)"},
    "untouched": {},
}


def _known(kind: str, name: str, source: str, **roles: Any) -> Any:
    new = new_code_cell if kind == "code" else new_markdown_cell
    plain = {"grade": False, "locked": False, "solution": False, "task": False}
    marks = {"schema_version": 3, "grade_id": name, **plain, **roles}
    return new(source, id=name, metadata={"nbgrader": marks})


def _notebook(solutions: Mapping[str, str], hidden: str) -> Any:
    """Two answers with a check each, and a question for a person."""

    def cell(name: str) -> str:
        return solutions.get(name, "# YOUR CODE HERE\nraise NotImplementedError()")

    checks = {"grade": True, "locked": True}
    end = hidden and f"\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS"
    return new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[
            new_markdown_cell("# A small exercise", id="title"),
            _known("code", "double", cell("double"), solution=True),
            _known("code", "double-check", f"assert double(2) == 4{end}", points=6, **checks),
            _known("code", "largest", cell("largest"), solution=True),
            _known("code", "largest-check", "assert largest([1, 3, 2]) == 3", points=4, **checks),
            _known("markdown", "why", "YOUR ANSWER HERE", grade=True, solution=True, points=5),
        ],
    )


def submission(answers: Mapping[str, str], number: int = 0) -> dict[str, Any]:
    """What a student hands in; the number makes it another one."""
    notebook = json.loads(json.dumps(_notebook(answers, "")))
    notebook["cells"][0]["source"] += f" of student {number}"
    return notebook


@dataclass(frozen=True)
class Room:
    """A class, and the submissions of its students beside it."""

    root: Path

    @classmethod
    def make(cls, folder: Path, submissions: Mapping[str, bytes | dict[str, Any]]) -> "Room":
        """Lay out a class; the submissions are called by the name of the student."""
        room = cls(folder / "class")
        solutions = {
            name: f"### BEGIN SOLUTION\n{text}\n### END SOLUTION" for name, text in RIGHT.items()
        }
        written = {
            "source": _notebook(solutions, "assert double(7) == 14"),
            "release": _notebook({}, ""),
        }
        for step, notebook in written.items():
            path = room.root / step / ASSIGNMENT / f"{TOPIC}.ipynb"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(notebook))
        (room.root / "nbgrader_config.py").write_text(CONFIGURATION)
        for student, content in submissions.items():
            room.hand_in(student, content)
        return room

    @property
    def submissions(self) -> Path:
        """Where the submissions lie."""
        return self.root.parent / "submissions"

    @property
    def grading(self) -> Path:
        """Where the engine keeps what it knows."""
        return self.root / "grading" / ASSIGNMENT

    @property
    def gradebook(self) -> Path:
        """The grade book."""
        return self.root / "gradebook.db"

    def hand_in(self, student: str, content: bytes | dict[str, Any]) -> Path:
        """Write the file of a student."""
        path = self.submissions / student / f"{TOPIC}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    def forget(self) -> None:
        """Take away all that grading has made."""
        for name in ("grading", "autograded", "submitted", "feedback"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        for path in self.root.glob("gradebook.db*"):
            path.unlink()

    def command(self, *options: str) -> list[str]:
        """The command that grades the class."""
        program = [sys.executable, "-m", "coursekit", "grade", "--assignment", ASSIGNMENT]
        return [*program, *(options or [str(self.submissions), "--workers", "2"])]

    def start(self, *options: str, inside: Sequence[str] = ()) -> "subprocess.Popen[str]":
        """Start to grade it."""
        return subprocess.Popen(
            [*inside, *self.command(*options)],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "COURSE_SECRET"},
        )

    def grade(self, *options: str, inside: Sequence[str] = ()) -> tuple[int, str]:
        """Grade it; the exit status, and what was said."""
        process = self.start(*options, inside=inside)
        said, _ = process.communicate(timeout=10 * PATIENCE)
        return process.returncode, said

    def events(self) -> list[dict[str, Any]]:
        """What the journal says so far, without half a line that is still being written."""
        return [json.loads(line) for line in self._written().split(b"\n")[:-1]]

    def lines(self) -> int:
        """Lines of the journal."""
        return self._written().count(b"\n")

    def _written(self) -> bytes:
        try:
            return (self.grading / "journal.jsonl").read_bytes()
        except FileNotFoundError:
            return b""

    def records(self) -> Records:
        """What the journal says."""
        return Records(self.grading / "journal.jsonl")

    def book(self) -> dict[str, dict[str, Any]]:
        """All that the grade book says, by student: scores, flags and comments of each cell."""
        students: dict[str, dict[str, Any]] = {}
        with sqlite3.connect(f"file:{self.gradebook}?mode=ro", uri=True) as database:
            for name, first, last, email, account in database.execute(
                "SELECT id, first_name, last_name, email, lms_user_id FROM student"
            ):
                students[name] = {"who": (first, last, email, account)}
            paper = (
                "JOIN submitted_notebook n ON x.notebook_id = n.id "
                "JOIN submitted_assignment a ON n.assignment_id = a.id "
                "JOIN base_cell c ON x.cell_id = c.id"
            )
            grades = database.execute(
                "SELECT a.student_id, c.name, auto_score, manual_score, extra_credit, "
                f"needs_manual_grade FROM grade x {paper}"
            )
            comments = database.execute(
                f"SELECT a.student_id, c.name, auto_comment, manual_comment FROM comment x {paper}"
            )
            for kind, rows in (("grade", grades), ("comment", comments)):
                for student, cell, *values in rows:
                    # A second row for the same cell must show.
                    key = f"{kind} {cell}"
                    assert key not in students[student], f"{student}: two rows for {key}"
                    students[student][key] = tuple(values)
        return students

    def notebooks(self) -> dict[str, Any]:
        """The autograded notebooks: everything that is the same in each run."""
        found = {}
        for path in sorted(self.root.glob("autograded/*/*/*.ipynb")):
            notebook = json.loads(path.read_text())
            notebook["metadata"].pop("course")
            found[str(path.relative_to(self.root))] = notebook
        return found

    def result(self) -> tuple[Any, ...]:
        """All that came of grading: grade book, notebooks, and what the journal says."""
        said = {
            key: (record.outcome, record.reason, record.score, record.trust, record.deaths)
            for key, record in self.records().known.items()
        }
        return self.book(), self.notebooks(), said


def compare(found: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    """Compare results, as far as both go; say which student and which cell differ."""
    kinds = ("book", "notebook", "journal")
    for what, mine, theirs in zip(kinds, found, expected, strict=False):
        different = {
            key: (mine.get(key), theirs.get(key))
            for key in {*mine, *theirs}
            if mine.get(key) != theirs.get(key)
        }
        assert not different, f"{what}: {different}"


def many(count: int) -> dict[str, dict[str, Any]]:
    """Submissions of a class, no two alike."""
    kinds = list(ANSWERS.values())
    return {f"student-{n:02}": submission(kinds[n % len(kinds)], n) for n in range(count)}


@contextmanager
def adopting() -> Iterator[list[psutil.Process]]:
    """Be the parent of all processes that lose theirs: nothing can be left behind unseen.

    Yields the processes that were there before, such as those of a fixture that outlives a test.
    """
    set_child_subreaper = 36
    libc = ctypes.CDLL(None)
    assert libc.prctl(set_child_subreaper, 1, 0, 0, 0) == 0
    try:
        yield psutil.Process().children()
    finally:
        libc.prctl(set_child_subreaper, 0, 0, 0, 0)


def left_behind(spare: Sequence[psutil.Process] = (), seconds: float = 20.0) -> list[str]:
    """Processes that are still there some time after a run; needs `adopting`."""
    kept = {one.pid for process in spare for one in family(process)}
    end = time.monotonic() + seconds
    while True:
        there = [one for one in psutil.Process().children(recursive=True) if one.pid not in kept]
        for one in there:
            with suppress(psutil.Error, ChildProcessError):
                if one.status() == psutil.STATUS_ZOMBIE and one.ppid() == os.getpid():
                    os.waitpid(one.pid, os.WNOHANG)
        living = [one for one in there if _lives(one)]
        if not living or time.monotonic() > end:
            return [_describe(one) for one in living]
        time.sleep(0.02)


def slots_of(processes: Sequence[psutil.Process], seconds: float = 20.0) -> list[str]:
    """Parts of slots that these processes still have some time after a run."""
    end = time.monotonic() + seconds
    parts = {"parent", "checker", "sandbox", "zygote", "job"}
    while True:
        there = [one for root in processes for one in family(root) if role(one) in parts]
        if not there or time.monotonic() > end:
            return [_describe(one) for one in there]
        time.sleep(0.02)


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that descend from it."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _lives(process: psutil.Process) -> bool:
    try:
        tracker = "resource_tracker" in " ".join(process.cmdline())
        mine = tracker and process.ppid() == os.getpid()  # That of pytest itself.
        return process.status() != psutil.STATUS_ZOMBIE and not mine
    except psutil.Error:
        return False


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} of {process.ppid()}: {' '.join(process.cmdline())[:100]}"
    except psutil.Error:
        return f"{process.pid}"


def role(process: psutil.Process) -> str:
    """What a process of a run is; empty where it has no role yet."""
    try:
        command = " ".join(process.cmdline())
        above = process.parent()
        over = " ".join(above.cmdline()) if above else ""
        if "resource_tracker" in command:
            return "tracker"
        if "dask_scheduler" in command:
            return "scheduler"
        if "dask_worker" in command:
            return "nanny"
        if "-m coursekit grade" in command:
            return "engine"
        if "spawn_main" in command:
            if "dask_worker" in over:
                return "dask worker"
            # Both are copies of the same program; only the writer uses the database.
            return (
                "writer" if "sqlite" in Path(f"/proc/{process.pid}/maps").read_text() else "worker"
            )
        if "coursekit.grading.runner.parent" in command:
            return "checker" if "coursekit.grading.runner.parent" in over else "parent"
        if "coursekit.grading.sandbox.zygote" in command:
            if process.name().startswith("bwrap"):
                return "sandbox"
            started_here = above is not None and above.name().startswith("bwrap")
            return "zygote" if started_here else "job"
    except (psutil.Error, OSError):
        pass
    return ""


@dataclass
class Killer:
    """Kills processes of a run at random.

    When it kills is counted in lines of the journal, so that a slow machine sees the same storm as
    a fast one; now and then it does not wait for a line, so that a start or an end is hit as well.

    Args:
        seed: Makes the same choices again; whom they hit is for the machine to decide.
        lines: At most so many lines of the journal lie between two kills.
        early: How often it does not wait for a line.
        rarely: Roles, and how rarely they are hit when they come up.
    """

    seed: int
    lines: int = 4
    early: float = 0.1
    rarely: Mapping[str, float] = field(default_factory=dict)
    killed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def storm(
        self, room: Room, engine: "subprocess.Popen[str]", roots: Callable[[], list[int]]
    ) -> None:
        """Kill one process after the other until the engine ends."""
        while self._waits(room, engine):
            if self._may(room):
                self._kill_one(
                    [psutil.Process(root) for root in roots() if psutil.pid_exists(root)]
                )

    def _waits(self, room: Room, engine: "subprocess.Popen[str]") -> bool:
        """Wait for the next moment to kill; whether it comes before the end of the engine."""
        last = room.lines() + self._random.randint(1, self.lines)
        early = self._random.random() < self.early
        while room.lines() < last and not early:
            if engine.poll() is not None:
                return False
            time.sleep(0.005)
        with suppress(subprocess.TimeoutExpired):
            engine.wait(self._random.uniform(0.0, 2.0 if early else 0.1))
            return False
        return True

    def _may(self, room: Room) -> bool:
        """Whether no submission is at its last try: a third death would rightly set it aside."""
        return all(record.outcome or record.deaths < 3 for record in room.records().known.values())

    def _kill_one(self, roots: list[psutil.Process]) -> None:
        by_role: dict[str, list[psutil.Process]] = {}
        for root in roots:
            for process in family(root):
                if name := role(process):
                    by_role.setdefault(name, []).append(process)
        if not by_role:
            return
        name = self._random.choice(sorted(by_role))
        if self._random.random() > self.rarely.get(name, 1.0):
            return
        victim = self._random.choice(sorted(by_role[name], key=lambda one: one.pid))
        with suppress(psutil.Error):
            # A process that has ended meanwhile is no hit.
            if victim.status() != psutil.STATUS_ZOMBIE:
                victim.send_signal(signal.SIGKILL)
                self.killed[name] += 1

"""Submissions per second, start-up and memory of `course grade`, and of stock nbgrader.

Both grade the same files with their own command. The rate counts from the first result that is on
the disk to the last one, so that neither pays for its start-up. This engine is over with 40 before
its workers are warm; so its rate is taken over more of the same kind. The whole command is shown
for the same 40.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import psutil
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from rich.progress import track

from coursekit.classroom import CONFIGURATION
from coursekit.exercises import Exercise, find_exercises, load_exercise
from coursekit.release import release_notebook, source_notebook
from coursekit.repository import Repository
from coursekit.variants import submission, variants

if TYPE_CHECKING:
    from report import Report

PROGRAMS = Path(sys.executable).parent
TOGETHER = 40  # Submissions that both grade.
STEADY = 400  # The same and more of their kind, so that the start of all workers is over.
MANY = 1000  # Submissions that this engine grades alone.
PAUSE = 2.0  # Seconds between two looks at the memory.


@dataclass(frozen=True)
class Case:
    """One assignment, and what it asks of the engine.

    Attributes:
        name: what the table calls it.
        exercise: its folder in `solutions/`; empty for the small notebook.
        imports: a line that the small notebook imports on top.
        stock: submissions that stock nbgrader grades.
        steady: submissions of which the rate of this engine is taken.
        goal: how many times as fast as stock the engine should be; 0 where nothing is asked.
    """

    name: str
    exercise: str = ""
    imports: str = ""
    stock: int = TOGETHER
    steady: int = STEADY
    goal: float = 0.0


CASES = (
    Case("small notebook, NumPy", goal=40),
    Case("small notebook, `import torch`", imports="import torch", stock=16, goal=80),
    Case(
        "01_backprop (its experiments train a network)", exercise="01_backprop", stock=4, steady=100
    ),
    Case("05_gan (its experiments train networks, PyTorch)", exercise="05_gan", stock=2, steady=80),
)


@dataclass(frozen=True)
class Class:
    """A class folder, and the submissions of its students beside it."""

    folder: Path
    assignment: str
    submissions: Path


@dataclass(frozen=True)
class Run:
    """What one command took.

    Attributes:
        seconds: the whole command.
        rate: results per second, from the first to the last.
        first: seconds until a first submission was begun; 0 where nobody writes that down.
        memory: the most that all its processes held together, in bytes.
    """

    seconds: float
    rate: float
    first: float = 0.0
    memory: int = 0


def measure(report: "Report") -> None:
    """Compare with stock nbgrader; then grade a large class."""
    rows = []
    for case in track(CASES, "Grading", transient=True):
        with tempfile.TemporaryDirectory(prefix="grading-") as folder:
            one = make_class(case, TOGETHER, Path(folder) / "same")
            ours = course_grade(one)
            stock = nbgrader_autograde(one, case.stock)
            steady = course_grade(make_class(case, case.steady, Path(folder) / "steady"))
        rows.append(
            [
                case.name,
                f"{steady.rate:.1f}",
                f"{stock.rate:.2f}",
                f"{steady.rate / stock.rate:.0f}",
                f"{case.goal:.0f}" if case.goal else "",
                f"{ours.first:.2f}",
                f"{ours.seconds:.1f} for {TOGETHER}",
                f"{stock.seconds:.1f} for {case.stock}",
            ]
        )
    report.table(
        "Grading: this engine and stock nbgrader on the same submissions",
        [
            "assignment",
            "ours [1/s]",
            "stock [1/s]",
            "ratio",
            "at least",
            "first begun [s]",
            "ours [s]",
            "stock [s]",
        ],
        rows,
        "Rates from the first to the last result: ours of as many submissions as its workers need "
        f"to be warm ({STEADY} of the small notebook), stock's of the first of them. Then the "
        "whole command; feedback excluded.",
    )
    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        many = course_grade(make_class(CASES[0], MANY, Path(folder)))
    report.table(
        f"Grading: {MANY:,} submissions of the {CASES[0].name}",
        ["what", "measured", "goal"],
        [
            ["submissions per second", f"{many.rate:.1f}", "at least 30"],
            ["first submission begun, all collected, after [s]", f"{many.first:.2f}", ""],
            ["whole command [s]", f"{many.seconds:.1f}", "at most 40"],
            ["most memory of all processes [GB]", f"{many.memory / 1e9:.2f}", "at most 1.5"],
        ],
        "Everything included: intake, journal, grade book, notebooks. Memory is the sum of the "
        f"proportional set sizes, looked up every {PAUSE:g} seconds.",
    )


def make_class(case: Case, count: int, folder: Path) -> Class:
    """Lay out a class with submissions, no two of them equal: right, wrong and empty ones."""
    repository = Repository.find(Path(__file__))
    if case.exercise:
        [exercise] = find_exercises(repository, [case.exercise])
        source = source_notebook(repository, exercise)
    else:
        exercise = small_exercise(repository, folder)
        source = exercise.notebook
        if case.imports:
            first = next(cell for cell in source.cells if cell.cell_type == "code")
            first.source = f"{case.imports}\n{first.source}"
    release = release_notebook(source, exercise)
    room = folder / "class"
    for stage, notebook in (("source", source), ("release", release)):
        write(room / stage / exercise.name / f"{exercise.topic}.ipynb", notebook)
    (room / "nbgrader_config.py").write_text(CONFIGURATION)
    kinds = [one for one in variants(exercise) if one.kind != "cheap"]
    for number in range(count):
        notebook = submission(release, kinds[number % len(kinds)])
        notebook.cells.append(new_markdown_cell(f"Handed in by student {number}."))
        student = folder / "submissions" / f"student-{number:05}"
        write(student / f"{exercise.topic}.ipynb", notebook)
    return Class(room, exercise.name, folder / "submissions")


def small_exercise(repository: Repository, folder: Path) -> Exercise:
    """The notebook that the attacks are aimed at: three answers, five checks, NumPy."""
    home = folder / "00_small"
    home.mkdir(parents=True)
    shutil.copy(repository.root / "tests" / "attacks" / "target.md", home / "small.md")
    return load_exercise(repository, home)


def write(path: Path, notebook: NotebookNode) -> None:
    """Write a notebook and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def course_grade(one: Class) -> Run:
    """Grade with `course grade`; its journal tells when each result was there."""
    started = time.time()
    seconds, memory = run(
        ["course", "grade", str(one.submissions), "--assignment", one.assignment], one.folder
    )
    journal = one.folder / "grading" / one.assignment / "journal.jsonl"
    times: dict[str, list[float]] = {"started": [], "finished": []}
    for line in journal.read_text().splitlines():
        event = json.loads(line)
        if event["event"] in times:
            times[event["event"]].append(datetime.fromisoformat(event["time"]).timestamp())
    return Run(seconds, rate(times["finished"]), min(times["started"]) - started, memory)


def nbgrader_autograde(one: Class, count: int) -> Run:
    """Grade some of the same submissions with stock nbgrader in a class of its own."""
    with tempfile.TemporaryDirectory(prefix="stock-") as folder:
        room = Path(folder)
        shutil.copytree(one.folder / "source", room / "source")
        (room / "nbgrader_config.py").write_text(CONFIGURATION)
        for student in sorted(one.submissions.iterdir())[:count]:
            shutil.copytree(student, room / "submitted" / student.name / one.assignment)
        run(["nbgrader", "generate_assignment", one.assignment, "--create"], room)
        seconds, memory = run(["nbgrader", "autograde", one.assignment, "--create"], room)
        graded = sorted(path.stat().st_mtime for path in room.glob("autograded/*/*/*.ipynb"))
    return Run(seconds, rate(graded), memory=memory)


def rate(times: list[float]) -> float:
    """Results per second from the first to the last."""
    return (len(times) - 1) / (max(times) - min(times))


def run(command: list[str], folder: Path) -> tuple[float, int]:
    """Run a program of this environment; its seconds, and the most memory that it held."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    # These keep a benchmark of models on two threads; a grader sets its own.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.pop(variable, None)
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        memory = max(watch(process), default=0)
        seconds = time.perf_counter() - start
        # Both exit with 1 where a submission is not graded: all of these can be.
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"{command} failed:\n{log.read().decode()[-3000:]}")
    return seconds, memory


def watch(process: "subprocess.Popen[bytes]") -> Iterator[int]:
    """The memory of a process and all that it started, until it ends."""
    while process.poll() is None:
        total = 0
        try:
            parent = psutil.Process(process.pid)
            for one in (parent, *parent.children(recursive=True)):
                try:
                    total += one.memory_full_info().pss
                except psutil.Error:  # It has ended in the meantime.
                    continue
        except psutil.Error:
            return
        yield total
        # To ask for it is dear: ten times a second it would take a core of its own.
        with suppress(subprocess.TimeoutExpired):
            process.wait(PAUSE)

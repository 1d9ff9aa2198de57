"""Many workers and many submissions: what is lost between them, and what it takes to remember.

The slot only sleeps, so that eight workers have eight processors' worth of work on any machine.
The rest is real: intake, journal, pool or Dask, grade book, notebooks. Each run is a process of
its own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from rich.progress import track

from coursekit.classroom import CONFIGURATION
from coursekit.grading.assignment import Classroom, load_package
from coursekit.grading.engine import Task, grade_class
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.results import CellResult, Result
from coursekit.grading.spread.cluster import Cluster
from coursekit.grading.spread.pool import Graders, Pool

if TYPE_CHECKING:
    from report import Report

ASSIGNMENT, TOPIC = "00_sleep", "sleep"
WORKERS = 8
SECONDS = 0.08  # What a submission takes; about twice what a real one does.
FEW, MANY = 1000, 10_000
CHARACTERS = 60_000  # As long as a notebook of the course.
EFFICIENCY = 0.9
GROWTH = 1.2  # Ten times the submissions may need so many times the memory.
BENCHMARKS = Path(__file__).parents[1]


class SleepingSlot:
    """A slot whose grading takes time and no processor."""

    def __init__(
        self, package: Package, limits: Limits, *, trust_submissions: bool = False
    ) -> None:
        self._notebook = package.release

    def __enter__(self) -> "SleepingSlot":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def grade(self, submission: bytes) -> Result:
        """Sleep; full marks."""
        time.sleep(SECONDS)
        return Result("graded", cells=(CellResult("check", 1, 1),), notebook=self._notebook)


@dataclass(frozen=True)
class Run:
    """What one run took.

    Attributes:
        efficiency: the time that the work takes if all workers work all the time, over the time
            from the first start to the last result.
        engine: the most memory that `course grade` itself held, in bytes.
        scheduler: the most memory that the scheduler of Dask held, in bytes; 0 without one.
    """

    efficiency: float
    engine: int
    scheduler: int = 0


def measure(report: "Report") -> None:
    """Grade a small and a large class with eight workers, on this machine and through Dask."""
    plan = [(way, count) for way in ("pool", "dask") for count in (FEW, MANY)]
    runs = {(way, count): run(way, count) for way, count in track(plan, "Scaling", transient=True)}
    rows = []
    for way, name in (("pool", "worker processes"), ("dask", "Dask workers")):
        few, many = runs[way, FEW], runs[way, MANY]
        rows.append(
            [
                f"{WORKERS} {name}: efficiency",
                f"{few.efficiency:.1%}",
                f"{many.efficiency:.1%}",
                f"at least {EFFICIENCY:.0%}"
                + (" (missed)" if many.efficiency < EFFICIENCY else ""),
            ]
        )
        parts = {"`course grade`": (few.engine, many.engine)}
        if way == "dask":
            parts["the scheduler"] = (few.scheduler, many.scheduler)
        for part, (small, large) in parts.items():
            rows.append(
                [
                    f"{WORKERS} {name}: memory of {part} [MB]",
                    f"{small / 1e6:.0f}",
                    f"{large / 1e6:.0f}",
                    f"at most {GROWTH:.1f} times" + (" (missed)" if large > GROWTH * small else ""),
                ]
            )
    report.table(
        "Grading: many workers, many submissions",
        ["what", f"{FEW:,} submissions", f"{MANY:,} submissions", "goal"],
        rows,
        f"Each submission sleeps {SECONDS * 1000:.0f} ms in place of the slot; intake, journal, "
        "grade book and notebooks are real. Memory is the largest resident set.",
    )


def run(way: str, count: int) -> Run:
    """Grade a class in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="scaling-") as name:
        folder = Path(name)
        make_class(folder, count)
        with scheduler(folder) if way == "dask" else none() as (address, process):
            program = "from grading import scaling; scaling.main()"
            command = [sys.executable, "-c", program, str(folder), address]
            done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, check=True)
            held = peak(process.pid) if process else 0
        journal = folder / "class" / "grading" / ASSIGNMENT / "journal.jsonl"
        times: dict[str, list[float]] = {"started": [], "finished": []}
        with journal.open() as lines:
            for line in lines:
                event = json.loads(line)
                times[event["event"]].append(datetime.fromisoformat(event["time"]).timestamp())
    took = max(times["finished"]) - min(times["started"])
    return Run(count * SECONDS / WORKERS / took, int(done.stdout), held)


def make_class(folder: Path, count: int) -> None:
    """Lay out a class with one answer and one check, and submissions that differ in a number."""
    known = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    answer = {**known, "grade_id": "answer", "solution": True}
    check = {**known, "grade_id": "check", "grade": True, "locked": True, "points": 1}
    notebook = new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[
            new_markdown_cell(f"Student NUMBER. {'.' * CHARACTERS}", id="student"),
            new_code_cell("raise NotImplementedError()", id="a", metadata={"nbgrader": answer}),
            new_code_cell("assert answer", id="c", metadata={"nbgrader": check}),
        ],
    )
    text = json.dumps(notebook)
    for stage in ("source", "release"):
        path = folder / "class" / stage / ASSIGNMENT / f"{TOPIC}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (folder / "class" / "nbgrader_config.py").write_text(CONFIGURATION)
    for number in range(count):
        student = folder / "submissions" / f"student-{number:05}"
        student.mkdir(parents=True)
        (student / f"{TOPIC}.ipynb").write_text(text.replace("NUMBER", str(number)))


@contextmanager
def none() -> Iterator[tuple[str, None]]:
    """No scheduler."""
    yield "", None


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A scheduler of Dask and its workers, each a process of its own."""
    file = folder / "scheduler.json"
    program = [sys.executable, "-m"]
    local = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    workers = ["--nworkers", str(WORKERS), "--nthreads", "1", "--local-directory", str(folder)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment()}
    processes = [
        subprocess.Popen(
            [*program, "distributed.cli.dask_scheduler", "--port", "0", *local], **quiet
        )
    ]
    try:
        while not file.exists():
            assert processes[0].poll() is None, "the scheduler ended"
            time.sleep(0.05)
        processes.append(
            subprocess.Popen([*program, "distributed.cli.dask_worker", *local, *workers], **quiet)
        )
        wait_for_workers(file)
        yield json.loads(file.read_text())["address"], processes[0]
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def wait_for_workers(file: Path) -> None:
    """Wait until all workers are there: who is not cannot work."""
    from distributed import Client

    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(WORKERS, timeout=120)


def peak(process: int) -> int:
    """The most memory that a process has held so far, in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def environment() -> dict[str, str]:
    """Where the workers find the slot of this file."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(BENCHMARKS)}


def main() -> None:
    """Grade the class of a folder, and print how much memory this process held."""
    folder, address = Path(sys.argv[1]), sys.argv[2]

    def spread(package: Package, limits: Limits, jobs: int) -> Graders:
        if address:
            return Cluster(address, package, limits, make_slot=SleepingSlot)
        return Pool(package, limits, workers=WORKERS, make_slot=SleepingSlot)

    classroom = Classroom.find(folder / "class")
    task = Task(classroom, load_package(classroom, ASSIGNMENT), classroom.database)
    grades = grade_class(task, spread, folder / "submissions")
    assert grades.complete, grades.counts
    print(peak(os.getpid()))

"""Agent and checker in two forked processes, without a sandbox: the split of trust alone."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable

from nbformat import NotebookNode

from coursekit.autograde import Graded
from coursekit.exercises import Exercise
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.results import CellResult
from coursekit.grading.split import agent, checker
from coursekit.release import source_notebook
from coursekit.repository import Repository
from coursekit.trials import Attempt, Trials
from coursekit.variants import Variant, submission

MODULES = ["numpy", "matplotlib.pyplot", "largemodels.check", "largemodels.data"]


def package_of(repository: Repository, exercise: Exercise, release: NotebookNode) -> Package:
    return Package(
        exercise.name, exercise.topic, source_notebook(repository, exercise), release, "a secret"
    )


def cpu_clock(process: int) -> Callable[[], float]:
    """CPU time of another process, as the system counts it."""
    clock = (~process << 3) | 2
    return lambda: time.clock_gettime(clock)


def fork(function: Callable[[], None]) -> int:
    process = os.fork()
    if process == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return process


def grade(
    prepared: checker.Prepared, notebook: NotebookNode, limits: Limits | None = None
) -> list[checker.Event]:
    """Grade one notebook in two new processes; what the checker reported until it ended."""
    limits = limits or Limits()
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()

    def run_agent() -> None:
        ours.close()
        os.close(reading), os.close(writing)
        os.environ["NBGRADER_EXECUTION"] = "autograde"
        os.environ.pop("COURSE_SECRET", None)
        agent.serve(theirs, limits)

    student = fork(run_agent)

    def run_checker() -> None:
        theirs.close()
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:

            def report(event: checker.Event) -> None:
                pipe.write(json.dumps(event) + "\n")
                pipe.flush()

            checker.run(prepared, notebook, ours, limits, cpu_clock(student), report)

    judge = fork(run_checker)
    ours.close(), theirs.close(), os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            return [json.loads(line) for line in pipe]
    finally:
        os.kill(student, signal.SIGKILL)
        for process in (student, judge):
            os.waitpid(process, 0)


def results(events: list[checker.Event]) -> dict[str, CellResult]:
    found = [CellResult(**event["graded"]) for event in events if event["graded"]]
    return {cell.grade_id: cell for cell in found}


def in_one_process(
    exercise: Exercise, release: NotebookNode, plan: list[Variant]
) -> dict[str, Graded]:
    """What the fast engine of `course check` says, whose scores are nbgrader's."""
    attempts = []
    for variant in plan:
        cells = submission(release, variant).cells
        sources = {
            cell.metadata.nbgrader.grade_id: cell.source
            for cell in cells
            if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution")
        }
        attempts.append(Attempt(variant.name, sources))
    with Trials(exercise) as trials:
        return {name: graded for _, name, graded in trials.run(attempts, secrets=["a secret"])}


def differences(
    repository: Repository, exercise: Exercise, release: NotebookNode, plan: list[Variant]
) -> list[str]:
    """Where two processes score or say something else than one."""
    differ = []
    expected = in_one_process(exercise, release, plan)
    agent.prepare(MODULES + (["torch"] if "torch" in str(release) else []))
    prepared = checker.prepare(package_of(repository, exercise, release))
    for variant in plan:
        found = results(grade(prepared, submission(release, variant)))
        graded = expected[variant.name]
        for cell, score in graded.scores.items():
            here = found.get(cell)
            if here is None or here.score != score:
                differ.append(f"{variant.name}, {cell}: {score} in one process, {here} in two")
            elif here.message != graded.messages.get(cell, ""):
                says = graded.messages.get(cell)
                differ.append(
                    f"{variant.name}, {cell}: {says!r} in one process, {here.message!r} in two"
                )
    return differ

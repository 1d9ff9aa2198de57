"""Run many answers to one exercise, each in milliseconds, without a Jupyter kernel.

A kernel takes seconds to start, and most answers differ from the reference in one cell. So one
process runs the reference from top to bottom. Before the first cell where an answer differs, it
splits off a copy of itself (`fork`), which runs that answer from there on and reports.

Experiments (`with check.when_ready():`) are left out: no check needs what they compute. The scores
are those of nbgrader, which a test proves; `coursekit.autograde` has nbgrader itself.
"""

import ast
import contextlib
import copy
import io
import linecache
import os
import pickle
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Literal

from coursekit.autograde import Graded
from coursekit.errors import CourseError
from coursekit.exercises import Exercise

__all__ = ["Attempt", "Noticed", "Step", "Trials", "steps_of"]

# Far above what any cell needs: a wrong answer may loop for ever.
SECONDS_PER_ATTEMPT = 20
BYTES_PER_ATTEMPT = 8 * 2**30

# How a wrong answer came to light: by what a student sees, only by hidden tests, or not at all.
Noticed = Literal["visible", "hidden", "survives"]


@dataclass(frozen=True)
class Step:
    """One code cell of the reference.

    Args:
        grade_id: Its name; empty where nbgrader does not know the cell.
        source: What it runs.
        visible: What a student sees of a graded cell.
        points: What it is worth.
    """

    grade_id: str
    source: str
    visible: str
    points: float


@dataclass(frozen=True)
class Attempt:
    """One answer to try.

    Args:
        name: What the results call it.
        sources: Sources of solution cells by `grade_id`; the others are the reference's.
        checks: Graded cells that matter; nothing runs after the last of them. All by default.
        grade: Whether to run every check and keep the scores and the messages; else the attempt
            ends as soon as one check notices it.
    """

    name: str
    sources: Mapping[str, str]
    checks: tuple[str, ...] = ()
    grade: bool = True


def steps_of(exercise: Exercise) -> list[Step]:
    """The code cells of the reference, without experiments."""
    known = {cell.index: cell for cell in exercise.cells.values()}
    steps = []
    for index, cell in enumerate(exercise.notebook.cells):
        if cell.cell_type != "code" or _is_experiment(cell.source):
            continue
        if index in known:
            one = known[index]
            steps.append(Step(one.grade_id, one.answer, one.visible, one.points))
        else:
            steps.append(Step("", cell.source, cell.source, 0.0))
    return steps


class Trials:
    """Processes that run attempts at one exercise; a context manager.

    Args:
        exercise: The exercise.
        workers: Processes that run side by side; by default one a core.

    Raises:
        CourseError: This system cannot copy processes.
    """

    def __init__(self, exercise: Exercise, *, workers: int | None = None) -> None:
        if not hasattr(os, "fork"):
            raise CourseError("`course check` copies processes: run it in Linux, macOS or WSL.")
        self._name = exercise.name
        self._steps = steps_of(exercise)
        self._workers = workers or os.cpu_count() or 1
        # Not copies of this process: it may have threads, which do not survive a copy.
        self._pool = ProcessPoolExecutor(self._workers, get_context("spawn"), initializer=_quiet)

    def __enter__(self) -> "Trials":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(
        self, attempts: Sequence[Attempt], *, secrets: Sequence[str] = ("",)
    ) -> Iterator[tuple[str, str, Graded | Noticed]]:
        """Run attempts under each course secret; yield secret, name and result.

        Args:
            attempts: What to run.
            secrets: Values of `COURSE_SECRET`.

        Raises:
            CourseError: A process died.
        """
        parts = [list(attempts[i :: self._workers]) for i in range(self._workers)]
        futures = {
            self._pool.submit(_run, self._steps, part, secret): secret
            for secret in secrets
            for part in parts
            if part
        }
        try:
            for future in as_completed(futures):
                for name, result in future.result():
                    yield futures[future], name, result
        except BrokenProcessPool as error:
            raise CourseError(
                f"{self._name}: the reference killed its process; is there enough memory?"
            ) from error


def _is_experiment(source: str) -> bool:
    """Whether a cell is nothing but `with check.when_ready(): ...`."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return False
    return bool(body) and all(
        isinstance(statement, ast.With)
        and ast.unparse(statement.items[0].context_expr) == "check.when_ready()"
        for statement in body
    )


def _quiet() -> None:
    """Prepare a worker: one thread, no screen, no reference models."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"  # A copied process has no other threads.
    os.environ["MPLBACKEND"] = "agg"
    os.environ["NBGRADER_EXECUTION"] = "autograde"


def _run(
    steps: list[Step], attempts: list[Attempt], secret: str
) -> list[tuple[str, Graded | Noticed]]:
    """Run the reference, and every attempt from the first cell where it differs."""
    os.environ["COURSE_SECRET"] = secret
    waiting: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        waiting.setdefault(_first_difference(steps, attempt), []).append(attempt)
    names: dict[str, Any] = {"__name__": "__main__", "display": lambda *objects: None}
    done, results = _Record(), []
    for position, step in enumerate(steps[: max(waiting, default=-1) + 1]):
        for attempt in waiting.get(position, []):
            results.append((attempt.name, _in_a_copy(steps[position:], attempt, names, done)))
        done.add(step, *_execute(step.source, names, step.grade_id))
    return results


def _first_difference(steps: list[Step], attempt: Attempt) -> int:
    """The first cell to run anew; the first solution cell where an attempt is the reference."""
    solutions = [i for i, step in enumerate(steps) if step.grade_id and not step.points]
    for position in solutions:
        step = steps[position]
        if attempt.sources.get(step.grade_id, step.source) != step.source:
            return position
    return solutions[0]


def _in_a_copy(
    steps: list[Step], attempt: Attempt, names: dict[str, Any], done: "_Record"
) -> Graded | Noticed:
    """Run an attempt in a copy of this process; one that dies has lost everything."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            _limit()
            if attempt.grade:
                result: Graded | Noticed = _grade(steps, attempt, names, done)
            else:
                result = _notice(steps, attempt, names)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(result, pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    os.waitpid(process, 0)
    if content:
        return pickle.loads(content)
    if not attempt.grade:
        return "visible"
    done = copy.deepcopy(done)
    for step in _until(steps, attempt.checks):
        done.add(step, TimeoutError(f"died, or took over {SECONDS_PER_ATTEMPT} seconds"), "")
    return done.graded()


def _limit() -> None:
    import resource

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS_PER_ATTEMPT)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = BYTES_PER_ATTEMPT if hard == resource.RLIM_INFINITY else min(hard, BYTES_PER_ATTEMPT)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


@dataclass
class _Record:
    """What the cells that have run scored, said and printed."""

    scores: dict[str, float] = field(default_factory=dict)
    maxima: dict[str, float] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)

    def add(self, step: Step, error: BaseException | None, printed: str) -> None:
        self.output.append(printed)
        if step.points:
            self.maxima[step.grade_id] = step.points
            self.scores[step.grade_id] = 0.0 if error else step.points
        if error:
            message = " ".join(f"{type(error).__name__}: {error}".split())
            self.messages[step.grade_id] = message
            self.output.append(message)

    def graded(self) -> Graded:
        return Graded(self.scores, self.maxima, self.messages, "\n".join(self.output))


def _grade(steps: list[Step], attempt: Attempt, names: dict[str, Any], done: _Record) -> Graded:
    """Run every cell, and score the graded ones."""
    for step in _until(steps, attempt.checks):
        source = attempt.sources.get(step.grade_id, step.source)
        done.add(step, *_execute(source, names, step.grade_id))
    return done.graded()


def _notice(steps: list[Step], attempt: Attempt, names: dict[str, Any]) -> Noticed:
    """Run what a student sees of each check, then all of it, until one fails."""
    for step in _until(steps, attempt.checks):
        source = attempt.sources.get(step.grade_id, step.source)
        if step.points:
            source = step.visible if step.grade_id in attempt.checks else "pass"
        if _execute(source, names, step.grade_id)[0]:
            return "visible"
    for step in steps:
        if step.grade_id in attempt.checks and _execute(step.source, names, step.grade_id)[0]:
            return "hidden"
    return "survives"


def _until(steps: list[Step], checks: Iterable[str]) -> list[Step]:
    """The cells up to the last of these checks; all of them without checks."""
    last = max(
        (i for i, step in enumerate(steps) if step.grade_id in set(checks)), default=len(steps)
    )
    return steps[: last + 1]


def _execute(source: str, names: dict[str, Any], name: str) -> tuple[BaseException | None, str]:
    """Run one cell; the error that it ends with, and what it printed."""
    printed, file = io.StringIO(), f"<{name or 'cell'}>"
    # A check may ask for the text of a function, as it may in Jupyter.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            exec(compile(source, file, "exec"), names)
    except (Exception, SystemExit) as error:
        return error, printed.getvalue()
    return None, printed.getvalue()

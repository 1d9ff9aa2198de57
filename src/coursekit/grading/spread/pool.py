"""Worker processes of one machine: each has one slot, and its death costs one submission.

Whatever spreads submissions offers what `Pool` offers (`Graders`): it takes jobs one by one, as
workers get free, and yields what happens to them. Three rules hold for all:

* `Started` is yielded before a worker sees the job. Who reads the events writes them down before
  it asks for the next one, so that a submission that kills a whole machine is known afterwards.
* Every job ends in exactly one `Finished`.
* A job whose worker died is tried again, until it has killed `DEATHS` of them; then it is set aside
  for a person. `Job.deaths` counts those of earlier runs.
"""

import ctypes
import math
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from coursekit.errors import CourseError
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.results import Result

__all__ = [
    "DEATHS",
    "Died",
    "Event",
    "Finished",
    "Graders",
    "Job",
    "MakeSlot",
    "Pool",
    "Started",
    "end_with",
    "set_aside",
]

# How many graders a submission may kill before a person must look at it.
DEATHS = 3
# A slot keeps its own time; this is for one that hangs.
_GRACE_SECONDS = 60.0
# How often in a row each worker may die before it is ready, until the machine is to blame.
_FALSE_STARTS = 3
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Job:
    """One submission to grade.

    Args:
        key: Its key in the journal.
        submission: What the student handed in.
        deaths: How many graders it has killed.
    """

    key: str
    submission: bytes
    deaths: int = 0


@dataclass(frozen=True)
class Started:
    """A worker is about to grade a submission."""

    key: str
    worker: str


@dataclass(frozen=True)
class Died:
    """The worker died of a submission, or with it; it is tried again or set aside."""

    key: str
    worker: str
    reason: str


@dataclass(frozen=True)
class Finished:
    """A submission has its result."""

    key: str
    result: Result


Event = Started | Died | Finished


class Graders(Protocol):
    """What spreads submissions over workers: `Pool` on one machine, a cluster on many."""

    def __enter__(self) -> "Graders":
        """Start the workers."""
        ...

    def __exit__(self, *error: object) -> None:
        """End them, and what they are at."""
        ...

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        """Grade jobs; yield what happens to them, as it happens.

        Args:
            jobs: Taken one by one, so that only a few submissions are in memory.

        Raises:
            CourseError: No grader can work here.
        """
        ...


class GradingSlot(Protocol):
    """What grades one submission at a time; `coursekit.grading.runner.slot.Slot`."""

    def grade(self, submission: bytes) -> Result:
        """Grade one submission; raises only if the slot itself broke."""
        ...


MakeSlot = Callable[..., AbstractContextManager[GradingSlot]]


def set_aside(deaths: int, reason: str = "") -> Result:
    """The result of a submission that no grader survives."""
    last = f"; the last time: {reason}" if reason else ""
    return Result("person", f"killed its grader {deaths} times{last}")


class Pool:
    """Worker processes of this machine; a context manager, see `Graders`.

    Args:
        package: The assignment.
        limits: What a submission may use.
        workers: Processes that grade side by side.
        trust_submissions: Grade without a sandbox.
        make_slot: Makes the slot of a worker, where it is not `coursekit.grading.runner.slot.Slot`.
    """

    def __init__(
        self,
        package: Package,
        limits: Limits | None = None,
        *,
        workers: int,
        trust_submissions: bool = False,
        make_slot: MakeSlot | None = None,
    ) -> None:
        limits = limits or Limits()
        self._arguments = (package, limits, trust_submissions, make_slot)
        self._patience = limits.notebook_seconds + _GRACE_SECONDS
        self._count = workers
        self._cores = _cores(workers)
        self._started = 0
        self._false_starts = 0
        self._workers: list[_Worker] = []

    def __enter__(self) -> "Pool":
        try:
            for _ in range(self._count):
                self._start()
        except CourseError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.process.terminate()
        end = time.monotonic() + _STOP_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, end - time.monotonic()))
            worker.end()
        self._workers = []

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        """Grade jobs; see `Graders`."""
        source = iter(jobs)
        again: deque[Job] = deque()
        exhausted = False
        events: list[Event] = []
        while True:
            # First the next job, then what came of the last: a worker never waits for a reader.
            for worker in self._workers:
                while worker.idle and (again or not exhausted):
                    job = again.popleft() if again else next(source, None)
                    if job is None:
                        exhausted = True
                    elif job.deaths >= DEATHS:
                        events.append(Finished(job.key, set_aside(job.deaths)))
                    else:
                        yield Started(job.key, worker.name)
                        worker.give(job, self._patience)
            yield from events
            if exhausted and not again and not any(worker.job for worker in self._workers):
                return
            events = self._listen(again)

    def _listen(self, again: deque[Job]) -> list[Event]:
        """Wait until something happens to a worker; tell what, and keep what is to be repeated."""
        # A worker is known dead by its sentinel, should a child of it keep the pipe open.
        watched: dict[Any, _Worker] = {worker.connection: worker for worker in self._workers}
        watched |= {worker.process.sentinel: worker for worker in self._workers}
        deadline = min(worker.deadline for worker in self._workers)
        timeout = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
        moved = {id(watched[one]) for one in wait(list(watched), timeout)}
        events: list[Event] = []
        for worker in list(self._workers):
            if id(worker) in moved:
                message, content = worker.hear()
            elif worker.deadline <= time.monotonic():
                message, content = "died", f"no answer for {self._patience:.0f} seconds"
            else:
                continue
            job = worker.job
            if message == "broken":
                raise CourseError(content)
            if message == "ready":
                self._false_starts = 0
            elif message == "finished" and job:
                events.append(Finished(job.key, content))
                worker.free()
            else:
                self._replace(worker, content)
                if job:
                    events += self._bury(job, worker, content, again)
        return events

    def _bury(self, job: Job, worker: "_Worker", reason: str, again: deque[Job]) -> Iterator[Event]:
        yield Died(job.key, worker.name, reason)
        job = replace(job, deaths=job.deaths + 1)
        if job.deaths >= DEATHS:
            yield Finished(job.key, set_aside(job.deaths, reason))
        else:
            again.append(job)

    def _replace(self, worker: "_Worker", reason: str) -> None:
        worker.end()
        self._workers.remove(worker)
        if not worker.ready:
            self._false_starts += 1
        if self._false_starts >= _FALSE_STARTS * self._count:
            raise CourseError(
                f"graders died {self._false_starts} times before their first submission "
                f"({reason}); is there enough memory and disk?"
            )
        self._start()

    def _start(self) -> None:
        self._started += 1
        taken = {worker.core for worker in self._workers}
        core = next((core for core in self._cores if core not in taken), None)
        self._workers.append(_Worker(f"worker-{self._started}", self._arguments, core))


class _Worker:
    """A process with a slot, and the job that it is at."""

    def __init__(self, name: str, arguments: tuple[Any, ...], core: int | None) -> None:
        # Not a copy of this process: it may have threads, which do not survive a copy.
        context = get_context("spawn")
        self.name, self.core = name, core
        self.ready = False
        self.job: Job | None = None
        self.deadline = math.inf
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_work, args=(theirs, os.getpid(), core, *arguments), name=name, daemon=True
        )
        begin(self.process)
        theirs.close()  # Else the death of the worker would not end the pipe.

    @property
    def idle(self) -> bool:
        return self.ready and self.job is None

    def give(self, job: Job, patience: float) -> None:
        self.job, self.deadline = job, time.monotonic() + patience
        with suppress(OSError):  # It died while idle: the next `hear` says so.
            self.connection.send_bytes(job.submission)

    def hear(self) -> tuple[str, Any]:
        """Its next message, or how it died."""
        try:
            if self.connection.poll():
                message, content = self.connection.recv()
                self.ready = self.ready or message == "ready"
                return message, content
        except (EOFError, OSError):
            pass
        self.process.join(_STOP_SECONDS)
        return "died", _last_words(self.process.exitcode)

    def free(self) -> None:
        self.job, self.deadline = None, math.inf

    def end(self) -> None:
        """Leave nothing of it behind."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


def _last_words(status: int | None) -> str:
    if status is None or status >= 0:
        return f"its process ended with status {status}"
    names = {one.value: one.name for one in signal.Signals}
    return f"killed by {names.get(-status, f'signal {-status}')}"


def _work(
    connection: Connection,
    parent: int,
    core: int | None,
    package: Package,
    limits: Limits,
    trust_submissions: bool,
    make_slot: MakeSlot | None,
) -> None:
    """Grade what comes through the connection, one submission at a time."""
    end_with(parent)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        with (make_slot or _slot())(package, limits, trust_submissions=trust_submissions) as slot:
            connection.send(("ready", None))
            while True:
                connection.send(("finished", slot.grade(connection.recv_bytes())))
    except CourseError as error:
        connection.send(("broken", str(error)))
    except (EOFError, BrokenPipeError):
        pass  # The pool is gone.
    except Exception as error:  # The slot broke; the one of a fresh process is whole.
        connection.send(("died", f"{type(error).__name__}: {error}"))
    finally:
        # It ends now. Asked once more while Python cleans up, it would print a traceback.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _cores(workers: int) -> list[int]:
    """One core for each worker, where every core has one.

    The two processes of a slot take turns. On one core, a message between them takes a third of the
    time: no other core has to be woken.
    """
    if sys.platform != "linux" or len(cores := os.sched_getaffinity(0)) != workers:
        return []
    return sorted(cores)


def _slot() -> MakeSlot:
    from coursekit.grading.runner.slot import Slot

    return Slot


def begin(process: BaseProcess) -> None:
    """Start a process.

    Raises:
        CourseError: The machine has no room for it.
    """
    try:
        process.start()
    except OSError as error:
        raise CourseError(
            f"no {process.name} can be started ({error.strerror}); end other programs and run the "
            "command again: what is graded is kept."
        ) from error


def end_with(parent: int) -> None:
    """End when the parent ends, however it ends, and only then: Ctrl-C is the parent's business."""
    os.setsid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit(1)

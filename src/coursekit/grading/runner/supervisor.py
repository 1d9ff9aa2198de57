"""Watches over one submission: takes in what its checker reports, and ends it at its limits."""

import contextlib
import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from coursekit.grading.limits import Limits
from coursekit.grading.results import CellResult
from coursekit.grading.runner import frames
from coursekit.grading.sandbox import confinement, usage

__all__ = ["GRACE_SECONDS", "Check", "Progress", "Report", "supervise"]

_TICK = 0.1
# How long a checker may take to write down what it knows, after the job was ended.
GRACE_SECONDS = 5.0
# Each open socket may hold memory of the kernel's own; few programs open many.
_FILES = 4  # Times what one process may open, for all together.
_CHECKER_MEMORY = 2  # Times that of a job: it holds a copy of what the job sends.

# What a process does to itself. To kill another one, the system and people use other signals; and
# SIGILL is a processor for which a library was not built, not a submission.
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE)

Report = Callable[[Mapping[str, Any]], None]
Check = Callable[[Report], None]


@dataclass
class Progress:
    """What is known of one submission so far.

    Args:
        graded: Verdicts by `grade_id`.
        outputs: Outputs by id of the cell.
        reason: Why the job was ended, as a sentence.
        error: What went wrong in the checker itself.
        done: Whether the checker came to its end.
        lost: Whether the job had ended before.
        end: How the job ended on its own, as a sentence.
        person: Why somebody must look at the submission, as a sentence.
        crash: The signal by which the checker crashed; nothing where it was killed from outside.
    """

    graded: dict[str, CellResult] = field(default_factory=dict)
    outputs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    reason: str = ""
    error: str = ""
    done: bool = False
    lost: bool = False
    end: str = ""
    person: str = ""
    crash: str = ""

    def take(self, message: Mapping[str, Any]) -> None:
        """Take in what a checker reports: a cell that ended, or what else is known now."""
        if "cell" not in message:
            for name, value in message.items():
                setattr(self, name, value)
            return
        self.outputs[message["cell"]] = message["outputs"]
        if message["graded"]:
            cell = CellResult(**message["graded"])
            self.graded[cell.grade_id] = cell


def supervise(
    check: Check,
    limits: Limits,
    *,
    members: Callable[[int], list[int]],
    end: Callable[[], None],
) -> Progress:
    """Run a checker in a copy of this process, and hold it and the job to their limits.

    Args:
        check: What the checker does; it is given what it reports with.
        limits: What the submission may use.
        members: The processes of the job, given the process of the checker.
        end: Ends the job.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _be_checker(check, limits, writing)
    os.close(writing)
    try:
        progress = _watch(frames.Frames(reading), process, limits, members, end)
    finally:
        os.close(reading)
        # Too late to change how it ended, where it is ending already.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in _CRASHES:
        progress.crash = signal.Signals(os.WTERMSIG(status)).name
    return progress


def _be_checker(check: Check, limits: Limits, writing: int) -> None:
    """Check one submission in this copy; it ends here."""
    with contextlib.suppress(BaseException), os.fdopen(writing, "wb") as pipe:
        try:
            confinement.die_with_parent(os.getppid())
            _limit_checker(limits)
            check(lambda message: frames.write(pipe, message))
            frames.write(pipe, {"done": True})
        except BaseException:
            frames.write(pipe, {"error": traceback.format_exc()})
    os._exit(0)


def _limit_checker(limits: Limits) -> None:
    cpu = int(limits.notebook_seconds + GRACE_SECONDS) + 1
    for kind, bound in (
        (resource.RLIMIT_DATA, _CHECKER_MEMORY * limits.memory_bytes),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (bound, bound))


def _watch(
    events: frames.Frames,
    checker: int,
    limits: Limits,
    members: Callable[[int], list[int]],
    end: Callable[[], None],
) -> Progress:
    progress = Progress()
    last = time.monotonic() + limits.notebook_seconds
    tick = time.monotonic() + _TICK
    while not events.ended:
        if select.select([events.descriptor], [], [], _TICK)[0]:
            for message in events.read():
                progress.take(message)
        now = time.monotonic()
        if now < tick:
            continue
        tick = now + _TICK
        if not progress.reason:
            progress.reason = _excess(members(checker), limits, late=now > last)
            if progress.reason:
                end()
        if now > last + GRACE_SECONDS:
            os.kill(checker, signal.SIGKILL)
    return progress


def _excess(processes: list[int], limits: Limits, *, late: bool) -> str:
    """Which limit of the whole submission was passed, if any."""
    if late:
        return f"The notebook took longer than {limits.notebook_seconds:g} seconds."
    if usage.cpu_seconds(processes) > limits.notebook_seconds:
        return f"It used more than {limits.notebook_seconds:g} seconds of processor time."
    if len(processes) > limits.processes:
        return f"It started more than {limits.processes} processes."
    if usage.open_files(processes) > _FILES * limits.files:
        return f"It opened more than {_FILES * limits.files} files."
    if usage.memory(processes, limits.memory_bytes) > limits.memory_bytes:
        return f"It used more than {limits.memory_bytes / 2**30:.3g} GiB of memory."
    return ""

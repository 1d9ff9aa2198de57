"""The two ways to run a submission: apart from its tests, or with them in a Jupyter kernel."""

import ast
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from coursekit.grading.limits import Limits
from coursekit.grading.notebook import NotebookNode
from coursekit.grading.package import Package
from coursekit.grading.runner.supervisor import GRACE_SECONDS, Progress, Report, supervise
from coursekit.grading.sandbox import bubblewrap, usage
from coursekit.grading.sandbox.warm import BrokenError, Job, WarmSandbox

__all__ = ["Runner", "imports", "make_runner"]


class Runner(Protocol):
    """What runs one submission after the other."""

    def run(self, notebook: NotebookNode, tested: NotebookNode, secret: str) -> Progress:
        """Run a submission with its checks.

        Args:
            notebook: The release with the student's answers: nothing in it is hidden.
            tested: The same with the instructor's tests.
            secret: What reseeds the hidden data.

        Raises:
            BrokenError: Something was killed, and not for a limit.
        """
        ...

    def restart(self) -> None:
        """Begin anew, after something broke."""
        ...

    def close(self) -> None:
        """End all processes."""
        ...


def make_runner(package: Package, limits: Limits, *, sandboxed: bool) -> Runner:
    """Make the runner that an assignment asks for: `course: {runner: kernel}`, or none."""
    asked = package.release_notebook.metadata.get("course", {}).get("runner")
    if asked == "kernel":
        return _InKernel(limits, sandboxed=sandboxed)
    return _Apart(package, limits, sandboxed=sandboxed)


class _Apart:
    """Runs the tests in a checker, and the student's code in a copy of a warm process."""

    def __init__(self, package: Package, limits: Limits, *, sandboxed: bool) -> None:
        self._limits, self._sandboxed = limits, sandboxed
        self._modules = imports(package.release_notebook)
        self._sandbox = self._new_sandbox()
        # It imports while the sandbox does.
        from coursekit.grading.split import checker

        before = set(sys.modules)
        self._prepared = checker.prepare(package)
        # What the given cells turned out to import, directly or not, the copies would as well.
        self._modules += sorted(set(sys.modules) - before)
        self._sandbox.prepare(self._modules)
        self._sandbox.wait_until_ready()

    def run(self, notebook: NotebookNode, tested: NotebookNode, secret: str) -> Progress:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:  # The end of the job is to end the connection.
                job = self._sandbox.start(theirs)
            try:
                progress = supervise(
                    self._check(notebook, secret, job, ours),
                    self._limits,
                    members=partial(self._members, job),
                    end=partial(self._sandbox.end, job),
                )
                self._look_for_accidents(progress, job)
            finally:
                self._sandbox.end(job)
        return progress

    def restart(self) -> None:
        self._sandbox.close()
        self._sandbox = self._new_sandbox()
        self._sandbox.wait_until_ready()

    def close(self) -> None:
        self._sandbox.close()

    def _new_sandbox(self) -> WarmSandbox:
        """A sandbox that has begun to import what is known to be needed."""
        warm = WarmSandbox(self._limits, sandboxed=self._sandboxed)
        warm.prepare(self._modules)
        return warm

    def _check(
        self, notebook: NotebookNode, secret: str, job: Job, connection: socket.socket
    ) -> Callable[[Report], None]:
        from coursekit.grading.split import checker

        def clock() -> float:
            return usage.cpu_seconds(usage.family(job.process))

        def check(report: Report) -> None:
            prepared = replace(self._prepared, secret=secret)
            checker.run(prepared, notebook, connection, self._limits, clock, report)
            report({"lost": _is_closed(connection)})

        return check

    def _members(self, job: Job, checker: int) -> list[int]:
        self._sandbox.listen(job)
        return [] if job.ended is not None else usage.family(job.process)

    def _look_for_accidents(self, progress: Progress, job: Job) -> None:
        """Tell apart what a submission did, which counts, and what was done to it, which does not.

        Raises:
            BrokenError: The checker or the job was killed, and not for a limit.
        """
        if progress.reason or progress.error:
            return
        if not progress.done:
            _tell_crash(progress)
        elif progress.lost:
            self._sandbox.listen(job, GRACE_SECONDS)
            # A submission cannot kill its first process: the kernel forbids that from inside.
            if job.ended == -signal.SIGKILL:
                raise BrokenError("its process was killed from outside; is there enough memory?")
            progress.end = _end_of(job)


class _InKernel:
    """Runs a notebook with its tests in a Jupyter kernel of its own."""

    def __init__(self, limits: Limits, *, sandboxed: bool) -> None:
        # A checker is a copy of this process, and so has imported it.
        from coursekit.grading.runner import kernel_checker

        self._checker = kernel_checker
        self._limits, self._sandboxed = limits, sandboxed
        if sandboxed:
            bubblewrap.check()

    def run(self, notebook: NotebookNode, tested: NotebookNode, secret: str) -> Progress:
        family: list[int] = []

        def check(report: Report) -> None:
            self._checker.run(tested, self._limits, secret, report, sandboxed=self._sandboxed)

        def members(checker: int) -> list[int]:
            family[:] = usage.family(checker)[1:]
            return list(family)

        def end() -> None:
            for process in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

        progress = supervise(check, self._limits, members=members, end=end)
        if not (progress.done or progress.reason or progress.error):
            _tell_crash(progress)
        return progress

    def restart(self) -> None:
        """Each submission has a kernel of its own."""

    def close(self) -> None:
        """Each kernel ends with its submission."""


def imports(notebook: NotebookNode) -> list[str]:
    """Modules that the code of a notebook names, without running it."""
    found: set[str] = set()
    for cell in notebook.cells:
        # Experiments are left out when a submission is graded.
        if cell.cell_type != "code" or cell.source.startswith("with check.when_ready():"):
            continue
        # Lines for IPython are none of Python's.
        source = re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE)
        with contextlib.suppress(SyntaxError):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Import):
                    found |= {name.name for name in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return sorted(found)


def _tell_crash(progress: Progress) -> None:
    """Say that a checker did not come to its end.

    A test computes with what a student's code returns, and so a crash is of that code's doing.

    Raises:
        BrokenError: It was killed, which no submission can do.
    """
    if not progress.crash:
        raise BrokenError("the checker was killed")
    progress.end = (
        f"What this notebook returned to a test crashed the test ({progress.crash}), "
        "and the tests after it did not run."
    )


def _end_of(job: Job) -> str:
    """Say how a job ended without being asked."""
    if job.ended is None:
        return ""
    if job.ended >= 0:
        return f"The code of this notebook ended its own process, with status {job.ended}."
    return f"The process of this notebook crashed ({signal.Signals(-job.ended).name})."


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other side of a connection is gone."""
    try:
        connection.setblocking(False)
        while connection.recv(2**16):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True

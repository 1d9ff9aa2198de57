"""A warm sandbox: the trusted side of the zygote, which gives a fresh process for each job."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coursekit.errors import CourseError
from coursekit.grading.limits import Limits
from coursekit.grading.sandbox import bubblewrap
from coursekit.grading.sandbox.contained import contained_command
from coursekit.grading.sandbox.zygote import PACKET, Setup

__all__ = ["BrokenError", "Job", "WarmSandbox"]

_START_SECONDS = 120.0
_JOB_SECONDS = 30.0
_MODULES = 500  # Names in one packet.
_CREDENTIALS = 12  # Bytes of `struct ucred`: process, user, group.


class BrokenError(Exception):
    """The sandbox broke: no fault of a submission; a fresh one may do."""


@dataclass
class Job:
    """A process that runs a submission.

    Args:
        process: Its id, as it is called outside the sandbox.
        handle: An open file that stands for it; its id may be another's once it has ended.
        ended: How it ended: its exit status, negative for a signal; None while it runs.
    """

    process: int
    handle: int
    ended: int | None = None


class WarmSandbox:
    """A sandbox with a zygote in it.

    Args:
        limits: What a job may use.
        sandboxed: Whether there is a sandbox at all.
        program: What a job is: `agent`, or `kernel` for a Jupyter kernel.
        contained: Whether this process may die at any moment and must leave nothing behind; a
            process that is contained itself does not need it.

    Raises:
        CourseError: The sandbox does not work on this computer.
        BrokenError: It works, but the zygote does not start.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        sandboxed: bool,
        program: str = "agent",
        contained: bool = False,
    ) -> None:
        self._sandboxed = sandboxed
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the sandbox)
        control, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control = control
        if sandboxed:
            control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        command = [sys.executable, "-m", "coursekit.grading.sandbox.zygote", str(inside.fileno())]
        around = contained_command() if contained else []
        with inside:
            outlets: dict[str, Any] = {
                "stdin": subprocess.DEVNULL,
                "stdout": self._said,
                "stderr": self._said,
            }
            if sandboxed:
                self._process = bubblewrap.start(
                    command,
                    bubblewrap.options(limits),
                    around=around,
                    inherited=[inside.fileno()],
                    **outlets,
                )
            else:
                self._process = subprocess.Popen(
                    [*around, *command],
                    pass_fds=[inside.fileno()],
                    env=bubblewrap.open_environment(),
                    **outlets,
                )
        user = bubblewrap.unprivileged_user() if sandboxed else 0
        setup = Setup(limits, user, sandboxed, bubblewrap.places(), program)
        self._send(setup.encode())

    def prepare(self, modules: Sequence[str]) -> None:
        """Let it import modules; that takes a while, and this does not wait for it."""
        for first in range(0, len(modules), _MODULES):
            self._send(json.dumps(modules[first : first + _MODULES]).encode())

    def wait_until_ready(self) -> None:
        """Wait until everything is imported."""
        self._send(b"[]")
        message, _ = self._hear(_START_SECONDS)
        if "impossible" in message:
            raise CourseError(bubblewrap.mend(message["impossible"]))
        if "ready" not in message:
            raise BrokenError(message.get("failed", "the zygote did not answer"))

    def start(self, connection: socket.socket) -> Job:
        """Start a job that serves a connection."""
        try:
            socket.send_fds(self.control, [b"job"], [connection.fileno()])
        except OSError as error:
            raise BrokenError(self._last_words()) from error
        message, process = self._hear(_JOB_SECONDS)
        if "started" not in message:
            raise BrokenError(message.get("failed", "no job started"))
        process = process if self._sandboxed else message["started"]
        try:
            return Job(process, os.pidfd_open(process))
        except ProcessLookupError:  # It has ended already, or will be told to have.
            return Job(process, -1)

    def listen(self, job: Job, timeout: float = 0.0) -> None:
        """Take in whether the job has ended."""
        if job.ended is None and select.select([self.control], [], [], timeout)[0]:
            message, _ = self._hear(0.0)
            if "ended" not in message:
                raise BrokenError(message.get("failed", "the zygote lost its way"))
            job.ended = message["ended"]

    def end(self, job: Job) -> None:
        """End the job with all its processes, and wait until nothing is left of it."""
        end = time.monotonic() + _JOB_SECONDS
        if job.handle >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(job.handle, signal.SIGKILL)
            gone = select.select([job.handle], [], [], _JOB_SECONDS)[0]
            os.close(job.handle)
            job.handle = -1
            if not gone:
                raise BrokenError("a job cannot be killed")
        while job.ended is None and time.monotonic() < end:
            self.listen(job, 1.0)
        if job.ended is None:
            raise BrokenError("the zygote does not tell how its job ended")
        if not self._sandboxed:
            self._kill_others()

    def close(self) -> None:
        """End it."""
        self.control.close()
        self._process.kill()
        self._process.wait()
        self._said.close()

    def _kill_others(self) -> None:
        """End what a job without a sandbox left behind: all in this process namespace but two."""
        if os.getpid() != 1:
            return  # No namespace: who knows whose processes they are?
        found = {int(path.name) for path in Path("/proc").glob("[0-9]*")}
        for process in found - {1, self._process.pid}:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)

    def _send(self, message: bytes) -> None:
        try:
            self.control.send(message)
        except OSError as error:
            raise BrokenError(self._last_words()) from error

    def _hear(self, timeout: float) -> tuple[dict[str, Any], int]:
        """A message, and which process sent it."""
        if not select.select([self.control], [], [], timeout)[0]:
            raise BrokenError("the zygote does not answer")
        try:
            message, extra, _, _ = self.control.recvmsg(PACKET, socket.CMSG_SPACE(_CREDENTIALS))
        except ConnectionResetError:  # It ended with messages unread.
            message, extra = b"", []
        if not message:
            raise BrokenError(self._last_words())
        process = next(
            (
                int.from_bytes(data[:4], sys.byteorder)
                for _, kind, data in extra
                if kind == socket.SCM_CREDENTIALS
            ),
            0,
        )
        return json.loads(message), process

    def _last_words(self) -> str:
        """What the zygote said at its end."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        self._said.seek(0)
        said = self._said.read(PACKET).decode(errors="replace").strip()
        if said.startswith("bwrap: "):
            raise CourseError(bubblewrap.mend(said))
        return said.splitlines()[-1] if said else f"it ended with status {self._process.returncode}"

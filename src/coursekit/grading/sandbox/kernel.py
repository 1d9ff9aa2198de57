"""Jupyter kernels in the sandbox, for whatever starts kernels: nbclient, nbgrader, Jupyter.

A kernel specification that names this provisioner gives a kernel that is locked in as a submission
is, with all that a kernel can do:

    {"argv": [], "display_name": "Python 3, locked in", "language": "python",
     "interrupt_mode": "message",
     "metadata": {"kernel_provisioner": {"provisioner_name": "course-sandbox"}}}

The sockets of the kernel lie on its own disk, and no folder is shared. This process opens them
before any code has run, and its client connects with what was opened: nothing that the code may put
in their place later is ever followed.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerBase

from coursekit.grading.limits import Limits
from coursekit.grading.sandbox import bubblewrap, confinement
from coursekit.grading.sandbox.warm import BrokenError, Job, WarmSandbox

__all__ = ["SandboxProvisioner"]

_START_SECONDS = 60.0
_TICK = 0.01
_CHANNELS = ("shell", "iopub", "stdin", "control", "hb")


class SandboxProvisioner(KernelProvisionerBase):
    """Starts a kernel in a sandbox of its own. Where there can be none, no kernel starts.

    Its client must be in this process, as those of nbclient and nbgrader are.

    Attributes:
        limits: What the kernel may use.
        sandboxed: Whether it is locked in at all.
        contained: Whether the kernel must be seen to end with this process.
        folder: Where a temporary folder is made; by default where the system wants it.
    """

    limits = Limits()
    sandboxed = True
    contained = True
    folder: str | None = None

    _sandbox: WarmSandbox | None = None
    _job: Job | None = None
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._opened: list[int] = []

    @property
    def has_process(self) -> bool:
        """Whether a kernel was started."""
        return self._job is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Check that there can be a sandbox."""
        if self.sandboxed:
            bubblewrap.require()
        return await super().pre_launch(cmd=[], **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel; how to connect with it."""
        self._sandbox = WarmSandbox(
            self.limits, sandboxed=self.sandboxed, program="kernel", contained=self.contained
        )
        await asyncio.to_thread(self._sandbox.wait_until_ready)
        self._folder = tempfile.TemporaryDirectory(prefix="kernel-", dir=self.folder)
        here = Path(self._folder.name) / "kernel"
        inside = confinement.HOME / "kernel" if self.sandboxed else here
        information: dict[str, Any] = {
            "transport": "ipc",
            "ip": str(inside),
            **{f"{channel}_port": number for number, channel in enumerate(_CHANNELS, 1)},
            "key": secrets.token_hex(),
            "signature_scheme": "hmac-sha256",
            "kernel_name": "",
        }
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._job = self._sandbox.start(theirs)
            ours.sendall(json.dumps(information).encode() + b"\n")
        for number in range(1, len(_CHANNELS) + 1):
            outside = f"/proc/{self._job.process}/root{inside}-{number}"
            opened = await self._open(outside if self.sandboxed else f"{inside}-{number}")
            if self.sandboxed:
                Path(f"{here}-{number}").symlink_to(f"/proc/self/fd/{opened}")
        information |= {"ip": str(here), "key": information["key"].encode()}
        self.connection_info = information  # type: ignore[assignment]
        return self.connection_info

    async def _open(self, path: str) -> int:
        """Wait for a socket, and open it: it stays the same, whatever the path comes to mean."""
        end = time.monotonic() + _START_SECONDS
        while not Path(path).is_socket():
            if time.monotonic() > end or await self.poll() is not None:
                raise BrokenError("the kernel did not start")
            await asyncio.sleep(_TICK)
        self._opened.append(os.open(path, os.O_PATH | os.O_NOFOLLOW))
        return self._opened[-1]

    async def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        if self._job is None:
            return 0
        if self._sandbox:
            try:
                self._sandbox.listen(self._job)
            except BrokenError:
                return 1
        return self._job.ended

    async def wait(self) -> int | None:
        """Wait until it has ended."""
        while (status := await self.poll()) is None:
            await asyncio.sleep(_TICK)
        return status

    async def send_signal(self, signum: int) -> None:
        """Hand on an interrupt; end it for all other signals."""
        if signum == signal.SIGINT and self._job and await self.poll() is None:
            os.kill(self._job.process, signum)
        elif signum:
            await self.kill()

    async def kill(self, restart: bool = False) -> None:
        """End the kernel with all its processes."""
        if self._sandbox:
            self._sandbox.close()
            self._sandbox = None
        while self._opened:
            os.close(self._opened.pop())
        if self._job and self._job.ended is None:
            self._job.ended = -signal.SIGKILL

    async def terminate(self, restart: bool = False) -> None:
        """End it: a kernel that shuts down in order has ended before."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        """Leave nothing of it behind."""
        await self.kill(restart)
        if self._folder:
            self._folder.cleanup()
            self._folder = None

"""A Dask cluster for tests: a scheduler and workers, each a process that a test can kill."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

FAKES = Path(__file__).parent
SECONDS = 60.0


def wait_until(condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Wait for something; not to wait for a fixed time, which is either too long or too short."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds:.0f} seconds not yet: {what}")
        time.sleep(0.01)


@dataclass
class Machines:
    """A scheduler and its workers; a context manager that leaves no process behind.

    Args:
        settings: Variables for the scheduler and the workers.
        inside: Command that runs another one where the scheduler shall be.
        host: Where the scheduler listens.
        protocol: How they talk: `tcp` or `tls`.
    """

    settings: dict[str, str] = field(default_factory=dict)
    inside: Sequence[str] = ()
    host: str = "127.0.0.1"
    protocol: str = "tcp"

    def __enter__(self) -> "Machines":
        self._folder = TemporaryDirectory(prefix="machines-")
        self._files = 0
        self.processes: list[subprocess.Popen[bytes]] = []
        self.address = ""
        self.start_scheduler()
        return self

    def __exit__(self, *error: object) -> None:
        family = [one for process in self.processes for one in family_of(process.pid)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for process in self.processes:
            process.wait()
        psutil.wait_procs(family, timeout=SECONDS)
        self._folder.cleanup()

    def start_scheduler(self, port: int = 0) -> None:
        """Start a scheduler, and wait until it listens."""
        self._files += 1
        file = Path(self._folder.name, f"scheduler-{self._files}.json")
        options = ["--scheduler-file", str(file), "--no-dashboard", "--host", self.host]
        options += ["--port", str(port), "--protocol", self.protocol]
        self.scheduler = self._start("scheduler", options, self.inside)

        def listens() -> bool:
            assert self.scheduler.poll() is None, "the scheduler ended"
            with suppress(OSError, ValueError):
                self.address = json.loads(file.read_text())["address"]
                return True
            return False

        wait_until(listens, "a scheduler listens")

    def restart(self) -> None:
        """Start anew after the scheduler has died."""
        for process in self.nannies:
            self.kill(process)
        self.processes = []
        self.start_scheduler()

    def start_worker(
        self, *options: str, inside: Sequence[str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a machine with workers; it goes on starting while this returns."""
        common = [self.address, "--no-dashboard", "--nthreads", "1"]
        common += ["--local-directory", self._folder.name, "--death-timeout", "60"]
        return self._start("worker", [*common, *options], self.inside if inside is None else inside)

    @property
    def nannies(self) -> "list[subprocess.Popen[bytes]]":
        """What was started as a worker: it starts workers, and starts them again."""
        return [process for process in self.processes if process is not self.scheduler]

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """End a process at once, with all that it started."""
        for one in reversed(family_of(process.pid)):
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        process.wait()

    def _start(
        self, what: str, options: list[str], inside: Sequence[str]
    ) -> "subprocess.Popen[bytes]":
        path = os.pathsep.join([str(FAKES), os.environ.get("PYTHONPATH", "")])
        quiet = {"DASK_LOGGING__DISTRIBUTED": "critical", "PYTHONPATH": path}
        with Path(self._folder.name, f"{what}.log").open("ab") as log:
            process = subprocess.Popen(
                [*inside, sys.executable, "-m", f"distributed.cli.dask_{what}", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **quiet, **self.settings},
            )
        self.processes.append(process)
        return process

    def said(self) -> str:
        """What scheduler and workers wrote."""
        return "\n".join(log.read_text() for log in Path(self._folder.name).glob("*.log"))


def family_of(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []

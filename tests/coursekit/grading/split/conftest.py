"""A student's process and the checker's end of the connection to it, without a sandbox."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coursekit.grading.limits import Limits
from coursekit.grading.split import agent
from coursekit.grading.split.trusted import TrustedPeer

sys.path.insert(0, str(Path(__file__).parent))

from two_processes import fork


class Student:
    """A student's process.

    Args:
        serve: What it does with its end of the connection.
        limits: What it may use.
    """

    def __init__(self, serve: Callable[[socket.socket], None], limits: Limits) -> None:
        self.connection, theirs = socket.socketpair()

        def run() -> None:
            self.connection.close()
            serve(theirs)

        self.process = fork(run)
        theirs.close()
        self.peer = TrustedPeer(self.connection, limits)
        self.peer.begin(limits.cell_seconds)

    def run(self, source: str) -> str:
        """Run a cell; what its error says."""
        return self.peer.request("run", source)[0]

    def __getitem__(self, name: str) -> Any:
        """The value of a global name of the student."""
        [(_, value)] = self.peer.request("names", (name,))
        return value

    def end(self) -> None:
        self.connection.close()
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)


@pytest.fixture(scope="session")
def prepared_agent() -> None:
    agent.prepare(["numpy", "largemodels.check"])


@pytest.fixture
def start() -> Iterator[Callable[..., Student]]:
    """Start processes that do with the connection what they like."""
    students = []

    def start(serve: Callable[[socket.socket], None], **limits: Any) -> Student:
        students.append(Student(serve, Limits(**limits)))
        return students[-1]

    yield start
    for student in students:
        student.end()


@pytest.fixture
def beside(prepared_agent: None, start: Callable[..., Student]) -> Callable[..., Student]:
    """Run a cell in a student's process."""

    def beside(source: str, **limits: Any) -> Student:
        student = start(lambda theirs: agent.serve(theirs, Limits(**limits)), **limits)
        said = student.run(source)
        assert not said, said
        return student

    return beside

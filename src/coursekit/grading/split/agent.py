"""What runs beside a student's code: it runs the cells, and lends the results to the checker.

This process is not trusted: whatever it says, the checker decides. It has no test, no secret and no
grade. It imports little, because it lives in the sandbox.
"""

import contextlib
import gc
import importlib
import io
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from coursekit.grading.limits import Limits
from coursekit.grading.split import inside, seeds
from coursekit.grading.split.shell import Outputs, Shell, Stream, make_shell
from coursekit.grading.split.student_side import StudentPeer
from coursekit.grading.split.wire import LostError

__all__ = ["CellTimeoutError", "prepare", "serve"]


class CellTimeoutError(BaseException):
    """A cell took too long. No `Exception`: most code lets it pass."""

    # A traceback names the module of all others, and where this one stands says nothing.
    __module__ = "builtins"


_TEXT = 10_000
# Objects between two collections. Few would be needed in a life of a tenth of a second.
_GARBAGE = 100_000
_shell: Shell | None = None


def prepare(modules: list[str]) -> None:
    """Get ready for a fork: import what notebooks import, and compute nothing with it.

    Args:
        modules: Names of modules. One that is not there is left out.
    """
    global _shell
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    if "sklearn.datasets" in modules and (samples := sys.modules.get("largemodels.data.samples")):
        samples.digits()  # Read once, for all who load them.
    if _shell is None:
        _shell = make_shell()
        _shell.run_cell("pass")  # What it imports for the first cell is there for all.


def serve(connection: socket.socket, limits: Limits) -> None:
    """Do what the checker asks for, until it hangs up.

    Args:
        connection: The connection to the checker.
        limits: What the submission may use.
    """
    prepare([])
    assert _shell is not None
    gc.set_threshold(_GARBAGE)
    outputs = Outputs(limits.cell_output_bytes, limits.notebook_output_bytes)
    _shell.outputs = outputs
    sys.stdin = io.StringIO()
    agent = _Agent(_shell, outputs, connection, limits)
    with (
        contextlib.redirect_stdout(Stream(outputs, "stdout")),
        contextlib.redirect_stderr(Stream(outputs, "stderr")),
        _shell.builtin_trap,
        _shell.display_trap,
        _alarm(agent.peer),
        contextlib.suppress(LostError),
    ):
        agent.peer.serve()


class _Agent:
    """The commands of the checker."""

    def __init__(
        self, shell: Shell, outputs: Outputs, connection: socket.socket, limits: Limits
    ) -> None:
        self._shell, self._outputs = shell, outputs
        commands: dict[str, Callable[..., Any]] = {
            "run": self.run,
            "names": self.names,
            "inside": self.inside,
            "seed": seeds.seed,
        }
        self.peer = StudentPeer(connection, limits, names=shell.user_ns, commands=commands)

    def run(self, source: str) -> tuple[str, str]:
        """Run a cell; what its error says, and its outputs as JSON."""
        self._outputs.begin()
        self._outputs.recording = True
        try:
            result = self._shell.run_cell(source, store_history=True)
        finally:
            self._outputs.recording = False
        outputs = self._outputs.end()
        errors = (result.error_before_exec, result.error_in_exec) if result is not None else ()
        # Not by its truth: an exception may say that it is false.
        says = [_in_short(error) for error in errors if error is not None]
        return "".join(says)[:_TEXT], json.dumps(outputs)

    def names(self, names: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
        """The values of global names, without those that do not exist."""
        known = self._shell.user_ns
        return tuple((name, known[name]) for name in names if name in known)

    def inside(self, function: Any, name: str, arguments: tuple[Any, ...]) -> bytes:
        """Run a function of a test on top of the student's names."""
        return inside.call(self._shell.user_ns, function, name, arguments, self.peer.limits)


def _in_short(error: BaseException) -> str:
    """An error in one line, without the name that IPython gives to a cell."""
    text = f"{error.msg} (line {error.lineno})" if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}"


def _too_slow(peer: StudentPeer) -> str:
    """Say what did not end in time."""
    what = f"`{peer.doing}`" if peer.doing else "this cell"
    seconds = max(1, round(peer.seconds))
    time = f"{seconds} second{'s' if seconds > 1 else ''}"
    return f"{what} did not come back within {time}: is there a loop without an end?"


@contextlib.contextmanager
def _alarm(peer: StudentPeer) -> Iterator[None]:
    """Interrupt the student's code, and nothing else, when its time is up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        if peer.running:
            raise CellTimeoutError(_too_slow(peer))

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

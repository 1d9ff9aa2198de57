"""The student's end of the connection. It trusts the other end, and nobody trusts this one."""

import copy
import enum
import importlib
import os
import signal
import threading
from collections.abc import Callable, MutableMapping
from typing import Any

from coursekit.grading.split import failure
from coursekit.grading.split.remote import ATTRIBUTES, CLASS, Peer, abilities, methods_of, name_of
from coursekit.grading.split.sharing import CodecError

__all__ = ["StudentPeer"]

_METHODS = 10_000  # Characters.


class _Missing:
    """Stands for a part of a library, or of the notebook, that is not here."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return _Missing(f"{self._name}.{name}")

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        raise NameError(f"{self._name} is not there where your code runs")


def _find(module: str, name: str) -> Any:
    """A part of a library."""
    try:
        found: Any = importlib.import_module(module)
        for part in filter(None, name.split(".")):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return _Missing(f"{module}.{name}")
    return found


def _called(operation: str, target: Any, *rest: Any) -> str:
    """The name of the function that a request calls; nothing where it calls none."""
    if operation == "method":
        return f"{type(target).__name__}.{rest[0]}"
    return name_of(target) or type(target).__name__ if operation == "call" else ""


class StudentPeer(Peer):
    """The lenient end.

    Args:
        names: The student's global names.
        commands: What the checker may ask for beside the use of objects.
    """

    def __init__(
        self,
        *connection: Any,
        names: MutableMapping[str, Any],
        commands: dict[str, Callable[..., Any]],
    ) -> None:
        super().__init__(*connection)
        self._names, self._commands = names, commands
        # Whether the student's code has the word, and may be interrupted.
        self.running = False
        self.seconds = 0.0
        self.doing = ""  # The function that the outermost request calls, if it calls one.
        self._owner = (os.getpid(), threading.get_ident())

    def serve(self) -> None:
        """Answer requests until the other side hangs up."""
        while True:
            self.respond(self.wire.receive()[1])

    def time(self, seconds: float) -> None:
        """Let an alarm ring when the time of an outermost request is up, and again after that."""
        if self.depth == 0:
            self.seconds = seconds
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 1)

    def request(self, operation: str, *arguments: Any) -> Any:
        """Run something in the checker, while nothing interrupts this side."""
        if self._owner != (os.getpid(), threading.get_ident()):
            raise RuntimeError("what a test hands out can be used in the main thread only")
        running, self.running = self.running, False
        try:
            return super().request(operation, *arguments)
        finally:
            self.running = running

    def describe(self, value: Any) -> tuple[Any, ...]:
        """Describe anything."""
        if isinstance(value, BaseException):
            return failure.describe(value, trace=True)
        kind = type(value)
        if issubclass(kind, enum.Enum) and self._names.get(kind.__name__) is kind:
            return "member", kind.__name__, value.name
        able = abilities(value) | ATTRIBUTES | (CLASS if isinstance(value, type) else 0)
        return "object", kind.__name__, name_of(value), able, methods_of(value)[:_METHODS]

    def represent(self, description: tuple[Any, ...]) -> Any:
        """Make what stands for an object of a test, or find the same one here."""
        match description:
            case ("error", *_):
                return failure.build(description)
            case ("library", str(module), str(name)):
                return _find(module, name)
            case ("method", int(number), str(name)):
                return getattr(self.find(number), name)
            case ("given", str(kind), str(member)):
                found = self._names.get(kind) or _Missing(kind)
                return getattr(found, member) if member else found
        return self.remote(description, like=self._names.get(description[1]))

    def perform(self, operation: str, arguments: list[Any]) -> Any:
        """Do what the checker asks for."""
        running, self.running = self.running, True
        try:
            if operation in self._commands:
                self._begin("")
                return self._commands[operation](*arguments)
            target = self.find(arguments[0])
            self._begin(_called(operation, target, *arguments[1:2]))
            return self._use(operation, target, *arguments[1:])
        finally:
            self.running = running
            if os.getpid() != self._owner[0]:
                os._exit(0)  # A copy of this process came back; the connection is not its own.

    def _begin(self, doing: str) -> None:
        if self.depth == 1:
            self.doing = doing

    def _use(self, operation: str, target: Any, *rest: Any) -> Any:
        match operation:
            case "call":
                return target(*rest[1:], **dict(rest[0]))
            case "method":
                return getattr(target, rest[0])(*rest[2:], **dict(rest[1]))
            case "get":
                return getattr(target, rest[0])
            case "set":
                return setattr(target, *rest)
            case "special":
                return getattr(type(target), rest[0])(target, *rest[1:])
            case "isinstance":
                return isinstance(rest[0], target)
            case "copy" | "deepcopy":
                return getattr(copy, operation)(target)
        raise CodecError(f"unknown operation {operation}")

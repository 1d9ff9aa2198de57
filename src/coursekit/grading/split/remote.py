"""Calls between two processes that nest strictly, in both directions.

A `Peer` is one end of the connection. A request runs something on the other side; until its answer
comes, this side answers the requests of the other. Values cross as plain data (`codec`), all else
by reference: a `Remote` stands for an object that stays in the other process. What may cross by
reference, and what may be done with it, is for the two kinds of peers to say: that of the checker
is strict, that of the agent is not.
"""

import functools
import socket
import types
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, TracebackType
from typing import Any

from coursekit.grading.limits import Limits
from coursekit.grading.split.codec import CodecError, Reader, Writer
from coursekit.grading.split.sharing import Sharing
from coursekit.grading.split.wire import LostError, Wire

__all__ = [
    "ATTRIBUTES",
    "CLASS",
    "SPECIALS",
    "LostError",
    "Peer",
    "Remote",
    "RemoteMethod",
    "abilities",
    "bit",
    "methods_of",
    "name_of",
]

_REQUEST, _RESULT, _ERROR = range(3)

# Special methods that cross, by position: a bit of the abilities of an object. The order is part of
# the protocol.
SPECIALS = (
    *("__call__", "__len__", "__getitem__", "__setitem__", "__delitem__", "__iter__", "__next__"),
    *("__enter__", "__exit__", "__str__", "__repr__", "__contains__", "__eq__"),
)
_BITS = {name: 1 << bit for bit, name in enumerate(SPECIALS)}
ATTRIBUTES = 1 << len(SPECIALS)
CLASS = ATTRIBUTES << 1

# How deep calls may nest between the two processes, far below what the stack of Python holds.
_NESTING = 50
_NAME = 200
_METHODS_LONG = 10_000
# Kinds of objects of the other side that get a class of their own here.
_CLASSES = 1000


class Remote:
    """Stands for an object in the other process. Public attributes are those of that object.

    Two of them are equal only if they stand for the same object.
    """

    __slots__ = ("__weakref__", "_name", "_peer")

    _peer: "Peer"
    _name: str
    _methods: frozenset[str] = frozenset()

    def __getattr__(self, name: str) -> Any:
        if name in self._methods:
            return RemoteMethod(self, name)
        if name == "__name__" and self._name:
            return self._name
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._peer.operate_on(self, "get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._peer.operate_on(self, "set", name, value)

    def __repr__(self) -> str:
        name = f" {self._name}" if self._name else ""
        return f"<{type(self).__name__}{name} of the other process>"

    def __copy__(self) -> Any:
        return self._peer.operate_on(self, "copy")

    def __deepcopy__(self, memory: dict[int, Any]) -> Any:
        return self._peer.operate_on(self, "deepcopy")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    def __init_subclass__(cls, crosses: bool = False, **options: Any) -> None:
        if not crosses:
            raise TypeError("an object of the other process is no base class")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        raise TypeError(f"{self._name or type(self).__name__} is of the other process: no base")


@dataclass(frozen=True, slots=True)
class RemoteMethod:
    """Stands for a method of an object in the other process. To call it asks only once."""

    remote: Remote
    name: str

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call it."""
        peer = self.remote._peer
        return peer.operate_on(self.remote, "method", self.name, tuple(options.items()), *arguments)

    def __getattr__(self, name: str) -> Any:
        if name == "__name__":
            return self.name
        raise AttributeError(f"'method' object has no attribute {name!r}")


# What `type(method).__name__` says of any method.
RemoteMethod.__name__ = "method"


def _special(name: str) -> Callable[..., Any]:
    def method(self: Remote, *arguments: Any) -> Any:
        return self._peer.operate_on(self, "special", name, *arguments)

    method.__name__ = name
    return method


def _call(self: Remote, *arguments: Any, **options: Any) -> Any:
    return self._peer.operate_on(self, "call", tuple(options.items()), *arguments)


def _exit(self: Remote, kind: Any, error: Any, trace: TracebackType | None) -> Any:
    return self._peer.operate_on(self, "special", "__exit__", None, error, None)


def _is_instance(self: Remote, value: Any) -> bool:
    if not isinstance(value, Remote):
        return False
    return self._peer.operate_on(self, "isinstance", value) is True


_METHODS = {name: _special(name) for name in SPECIALS} | {"__call__": _call, "__exit__": _exit}


def bit(name: str) -> int:
    """The bit of a special method; 0 for any other name."""
    return _BITS.get(name, 0)


def abilities(value: Any) -> int:
    """Which special methods the type of an object defines."""
    kind: Any = type(value)
    return _abilities_of(kind)


@functools.lru_cache(1000)
def _abilities_of(kind: type) -> int:
    found = sum(bit for name, bit in _BITS.items() if getattr(kind, name, None) is not None)
    for name in ("__str__", "__repr__", "__eq__"):
        if getattr(kind, name, None) is getattr(object, name):
            found &= ~_BITS[name]
    return found


def methods_of(value: Any) -> str:
    """The names of the public methods that the type of an object defines, in one text."""
    kind: Any = type(value)
    return _methods_of(kind)


@functools.lru_cache(1000)
def _methods_of(kind: type) -> str:
    names = {
        name
        for one in kind.__mro__
        for name, value in vars(one).items()
        if type(value) is FunctionType and type(name) is str and not name.startswith("_")
    }
    # What a class nearer by hides is no method.
    return " ".join(sorted(name for name in names if type(getattr(kind, name)) is FunctionType))


def name_of(value: Any) -> str:
    """The name of a function or class; nothing for other objects."""
    name = getattr(value, "__name__", "") if callable(value) else ""
    return name[:_NAME] if type(name) is str else ""


def _make_class(kind: str, able: int, names: str, like: Any) -> type[Remote]:
    """A class of objects of the other side with these special methods."""
    methods: dict[str, Any] = {
        name: method for name, method in _METHODS.items() if able & _BITS[name]
    }
    methods |= {"__slots__": (), "__hash__": object.__hash__, "__module__": __name__}
    if able & ATTRIBUTES:
        methods["_methods"] = frozenset(n for n in names.split() if not n.startswith("_"))
    if able & CLASS:
        methods["__instancecheck__"] = _is_instance
    if isinstance(like, type):
        methods["__class__"] = property(lambda self: like)
    name = kind if kind.isidentifier() and kind.isascii() else "object"
    made: type[Remote] = types.new_class(
        name, (Remote,), {"crosses": True}, lambda body: body.update(methods)
    )
    return made


class Peer(Sharing):
    """One end of a connection.

    Args:
        connection: A connected stream socket.
        limits: How much a message may hold.
    """

    # What this side may do with objects of the other one.
    allowed = (CLASS << 1) - 1

    def __init__(self, connection: socket.socket, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.wire = Wire(connection, limits.message_bytes)
        self.lost = ""
        self.depth = 0
        self._forgotten: list[int] = []  # What the other side was not told yet.
        self._classes: dict[tuple[str, int, str], type[Remote]] = {}

    def remote(self, description: tuple[Any, ...], like: Any = None) -> Remote:
        """Make what stands for an object of the other side.

        Args:
            description: Tells it is an `"object"`, the name of its type, its name, its abilities,
                the names of its methods.
            like: A class that `isinstance` shall believe it is of.

        Raises:
            CodecError: The description is none.
        """
        match description:
            case ("object", str(kind), str(name), int(able), str(methods)):
                pass
            case _:
                raise CodecError("no description of an object")
        if max(len(kind), len(name)) > _NAME or len(methods) > _METHODS_LONG:
            raise CodecError("a name that is too long")
        if len(self._classes) > _CLASSES:
            raise CodecError("too many kinds of objects")
        key = (kind, able & self.allowed, methods)
        if key not in self._classes:
            self._classes[key] = _make_class(*key, like)
        remote = self._classes[key]()
        object.__setattr__(remote, "_peer", self)
        object.__setattr__(remote, "_name", name)
        return remote

    def request(self, operation: str, *arguments: Any) -> Any:
        """Run something on the other side.

        Raises:
            LostError: The other side is gone.
            CodecError: An argument cannot cross.
            BaseException: What the other side raised.
        """
        if self.lost:
            raise LostError(self.lost)
        if self.depth >= _NESTING:
            raise RecursionError("maximum depth of calls between two processes exceeded")
        message = (operation, self.time_left(), *arguments)
        speaking = False
        self.depth += 1
        try:
            data = self._message(message)
            speaking = True
            self.wire.send(_REQUEST, data)
            failed, value = self._answer()
        except BaseException as error:
            if speaking or not isinstance(error, Exception):
                # Nobody knows any more who has to speak.
                self.lost = self.lost or str(error) or "was interrupted"
            raise
        finally:
            self.depth -= 1
        if failed:
            raise self.told(value, message)
        return value

    def operate_on(self, remote: Remote, operation: str, *arguments: Any) -> Any:
        """Do something with an object of the other side."""
        number = self.number(remote)
        if number is None:
            raise ReferenceError("an object that the other process has forgotten")
        return self.request(operation, number, *arguments)

    def perform(self, operation: str, arguments: list[Any]) -> Any:
        """Do what the other side asks for."""
        raise NotImplementedError

    def respond(self, message: memoryview) -> None:
        """Answer one request."""
        value = self._read(message)
        match value:
            case (str(operation), float(seconds), *arguments):
                self.time(seconds)
            case _:
                raise CodecError("no request")
        self.depth += 1
        try:
            if self.depth > 2 * _NESTING:
                raise RecursionError("maximum depth of calls between two processes exceeded")
            kind, answer = _RESULT, self.perform(operation, arguments)
        except LostError:
            raise
        except BaseException as error:
            self.must_pass(error)
            kind, answer = _ERROR, error
        finally:
            self.depth -= 1
        try:
            data = self._message(answer)
        except Exception as error:  # The answer cannot cross; why it cannot does.
            kind, data = _ERROR, self._message(error, keep=False)
        self.wire.send(kind, data)

    def told(self, error: BaseException, request: tuple[Any, ...]) -> BaseException:
        """What to raise for an error of the other side."""
        return error

    def time_left(self) -> float:
        """Seconds that a request of this side may take."""
        return 0.0

    def time(self, seconds: float) -> None:
        """Take note of the seconds that a request of the other side may take."""

    def must_pass(self, error: BaseException) -> None:
        """Raise an error again that is not for the other side."""

    def _answer(self) -> tuple[bool, Any]:
        """Answer requests until the answer to our own comes: whether it failed, and what it is."""
        while True:
            kind, data = self.wire.receive()
            if kind == _REQUEST:
                self._strictly(self.respond, data)
                continue
            value = self._strictly(self._read, data)
            if kind == _RESULT:
                return False, value
            if kind == _ERROR and isinstance(value, BaseException):
                return True, value
            raise LostError("broke the rules of the connection: no answer")

    def _strictly(self, read: Callable[[memoryview], Any], data: memoryview) -> Any:
        try:
            return read(data)
        except Exception as error:
            raise LostError(f"broke the rules of the connection: {error}") from error

    def _message(self, value: Any, *, keep: bool = True) -> bytearray:
        """Write a value, with what changed and what is forgotten since the last message.

        Args:
            value: The value.
            keep: Send what changed; else forget it, for it may be what cannot cross.
        """
        changes = self.changes()
        # `parameter.grad[...] = 0` changes an array that nobody holds any more: it is told once.
        told = set(changes)
        self._forget([number for number in self.idle() if number not in told])
        if keep:
            lost = [number for number in changes if self.reshaped(number)]
            changes = [number for number in changes if number not in lost]
        else:
            lost, changes = changes, []
        self._forget(lost)
        count, writer = self.count, Writer(self.limits, self)
        try:
            self._write(writer, changes, value)
        except BaseException:
            self.undo(count)
            raise
        self._forgotten = []
        self.remember([*changes, *writer.added])
        return writer.data

    def _forget(self, numbers: list[int]) -> None:
        for number in numbers:
            self.drop(number)
        self._forgotten += numbers

    def _write(self, writer: Writer, changes: list[int], value: Any) -> None:
        writer.size(len(self._forgotten))
        for number in self._forgotten:
            writer.size(number)
        writer.size(len(changes))
        for number in changes:
            writer.size(number)
            writer.contents(self.objects[number])
        writer.value(value)
        writer.end()

    def _read(self, data: memoryview) -> Any:
        """Read what `_message` wrote."""
        reader = Reader(data, self.limits, self)
        for _ in range(reader.size()):
            self.drop(reader.size())
        changed = []
        for _ in range(reader.size()):
            changed.append(reader.size())
            reader.update(self.find(changed[-1]))
        value = reader.value()
        reader.end()
        self.remember([*changed, *reader.added])
        return value

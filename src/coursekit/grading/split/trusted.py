"""The checker's end of the connection: what may leave it, what may enter it.

The other end runs a student's code, so every byte that comes is hostile. Nothing that comes can do
more than call a function that a test handed out, or look at a public attribute of an object of a
class that the release or a test defines.
"""

import copy
import enum
import functools
import sys
import time
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from coursekit.grading.split import failure
from coursekit.grading.split.remote import (
    ATTRIBUTES,
    CLASS,
    SPECIALS,
    Peer,
    Remote,
    RemoteMethod,
    abilities,
    bit,
    methods_of,
    name_of,
)
from coursekit.grading.split.sharing import CodecError

__all__ = ["GRACE", "TimeIsUpError", "TrustedPeer"]

# Seconds in which the other side may end on its own, after its time is up.
GRACE = 2.0
_FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType, functools.partial, np.ufunc)
_ITERATORS = (Iterator, KeysView, ValuesView, ItemsView)
# `==` of two objects is for this side to decide, and `in` looks at the members one by one.
_OF_STUDENTS = ATTRIBUTES | CLASS
for _name in SPECIALS:
    if _name not in ("__contains__", "__eq__"):
        _OF_STUDENTS |= bit(_name)


class TimeIsUpError(BaseException):
    """A cell took too long. No `Exception`: a test cannot forgive it."""


class TrustedPeer(Peer):
    """The strict end."""

    allowed = _OF_STUDENTS
    ends = float("inf")
    # The names of the tests, and which of them the release gives: these are on the other side, too.
    names: Mapping[str, Any] = {}
    given: frozenset[str] = frozenset()

    def begin(self, seconds: float) -> None:
        """Give the other side so many seconds from now on."""
        self.ends = time.monotonic() + seconds
        self.wire.deadline = self.ends + GRACE

    def time_left(self) -> float:
        """Seconds that are left.

        Raises:
            TimeIsUpError: None are.
        """
        left = min(self.ends - time.monotonic(), 1e6)
        if left <= 0:
            raise TimeIsUpError("took too long")
        return left

    def told(self, error: BaseException, request: tuple[Any, ...]) -> BaseException:
        """Let nothing but an iterator say that there is no more.

        `all(map(f, rows))` would be true for a function that raises `StopIteration` at once.
        """
        if isinstance(error, StopIteration) and (request[0], request[3:]) != (
            "special",
            ("__next__",),
        ):
            return RuntimeError("your code raised StopIteration")
        return error

    def must_pass(self, error: BaseException) -> None:
        """Do not tell the student's side that time is up: stop."""
        if isinstance(error, TimeIsUpError):
            raise error

    def reduces(self, value: Any) -> bool:
        """An object of a class of the release or of a test stays what it is."""
        return not _is_of_tests(value)

    def describe(self, value: Any) -> tuple[Any, ...]:
        """Describe what a student's function may use without having it."""
        if isinstance(value, BaseException):
            return failure.describe(value, trace=False)
        if isinstance(value, Remote):
            raise CodecError("an object that the student's process has forgotten")
        if isinstance(value, RemoteMethod):
            return "method", self.number(value.remote), value.name
        if place := _place(value):
            return ("library", *place)
        kind = type(value).__name__
        if isinstance(value, type) and self._gives(value):
            return "given", value.__name__, ""
        if isinstance(value, enum.Enum) and self._gives(type(value)):
            return "given", kind, value.name
        if isinstance(value, _FUNCTIONS):
            return "object", "function", name_of(value), bit("__call__"), ""
        if isinstance(value, _ITERATORS) and type(value).__module__ in ("builtins", "itertools"):
            return "object", kind, "", abilities(value) & ~bit("__eq__"), ""
        if _is_of_tests(value) and not isinstance(value, type):
            return "object", kind, "", abilities(value) | ATTRIBUTES, methods_of(value)
        raise CodecError(f"an object of type {kind} cannot go from a test to the student's code")

    def represent(self, description: tuple[Any, ...]) -> Any:
        """Make what stands for an object of the student, or an exception."""
        match description:
            case ("error", *_):
                return failure.build(description)
            case ("member", str(kind), str(name)):
                # The members of an enumeration are what the release says, and compared with `is`.
                known = self.names.get(kind) if kind in self.given else None
                if isinstance(known, enum.EnumType) and name in known.__members__:
                    return known.__members__[name]
                return self.remote(("object", kind, name, ATTRIBUTES, ""))
        return self.remote(description)

    def _gives(self, kind: type) -> bool:
        return kind.__name__ in self.given and _is_of_tests(kind)

    def perform(self, operation: str, arguments: list[Any]) -> Any:
        """Do something with an object that a test handed out, where its description allows it."""
        number, *rest = arguments or [None]
        if type(number) is not int or number not in self.mine:
            raise CodecError("no request")
        target = self.objects[number]
        description = self.describe(target)
        if description[0] != "object":
            raise CodecError("no request")
        able: int = description[3]
        if operation == "call" and able & bit("__call__") and rest and type(rest[0]) is tuple:
            return target(*rest[1:], **dict(rest[0]))
        if operation == "special" and rest and type(rest[0]) is str and able & bit(rest[0]):
            return getattr(type(target), rest[0])(target, *rest[1:])
        if able & ATTRIBUTES and operation == "method" and len(rest) > 1:
            name, options, *positional = rest
            if type(name) is str and type(options) is tuple and name in description[4].split():
                return getattr(target, name)(*positional, **dict(options))
        if able & ATTRIBUTES:
            return _look_at(target, operation, rest)
        raise TypeError(f"a {type(target).__name__} of a test does not allow this")


def _look_at(target: Any, operation: str, rest: list[Any]) -> Any:
    """Get or set a public attribute, or copy the object."""
    if operation in ("copy", "deepcopy") and not rest:
        return getattr(copy, operation)(target)
    if operation not in ("get", "set") or len(rest) != 1 + (operation == "set"):
        raise CodecError("no request")
    name = rest[0]
    if type(name) is not str or not name.isidentifier() or name.startswith("_"):
        raise AttributeError(f"{type(target).__name__!r} object shows public attributes only")
    if operation == "get":
        return getattr(target, name)
    # A method that is replaced would lie to the test that calls it next.
    known = getattr(type(target), name, None)
    if known is not None and not isinstance(known, property) and not _is_slot(known):
        raise AttributeError(f"{name} of {type(target).__name__!r} objects cannot be replaced")
    setattr(target, name, rest[1])
    return None


def _is_slot(value: Any) -> bool:
    return type(value).__name__ == "member_descriptor" or not (
        callable(value) or hasattr(type(value), "__get__")
    )


def _is_of_tests(value: Any) -> bool:
    kind = value if isinstance(value, type) else type(value)
    return kind.__module__ == "__main__"


def _place(value: Any) -> tuple[str, str] | None:
    """Where the other process finds the same object, if it is part of a library."""
    if isinstance(value, ModuleType):
        return (value.__name__, "") if sys.modules.get(value.__name__) is value else None
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if module is None and isinstance(value, np.ufunc):
        module, name = "numpy", value.__name__
    if type(module) is not str or type(name) is not str or module == "__main__":
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return (module, name) if found is value else None

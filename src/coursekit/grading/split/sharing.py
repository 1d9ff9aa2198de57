"""Objects that two processes know, by number, as if both looked at one memory.

Calls between the two nest strictly, so at every crossing only one side has worked. What it changed
is found by comparing with a snapshot, and sent along. Both sides count new objects in the order in
which they stand in the messages, so no number of a new object ever crosses.
"""

import operator
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

__all__ = ["CodecError", "Sharing", "generator_state"]


class CodecError(ValueError):
    """A value that cannot cross, or bytes that are no value."""


class Sharing:
    """A table of objects. The base class lets nothing cross but plain data."""

    tensors = False  # Whether tensors come as tensors though nobody has imported PyTorch yet.

    def __init__(self) -> None:
        self.count = 0
        self.mine: set[int] = set()  # What the other side knows by reference only.
        self.objects: dict[int, Any] = {}
        self.snapshots: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}

    def add(self, value: Any, *, mine: bool = False) -> int:
        """Number a new object; `mine` stays on this side, and the other side holds a reference."""
        number = self.count
        self.count += 1
        if mine:
            self.mine.add(number)
        self.objects[number] = value
        self._numbers[id(value)] = number
        return number

    def number(self, value: Any) -> int | None:
        """The number of an object, unless it is new."""
        return self._numbers.get(id(value))

    def find(self, number: int) -> Any:
        """The object of this number.

        Raises:
            CodecError: There is none.
        """
        try:
            return self.objects[number]
        except KeyError:
            raise CodecError(f"no object has the number {number}") from None

    def drop(self, number: int) -> None:
        """Forget an object.

        Raises:
            CodecError: There is none with this number.
        """
        value = self.find(number)
        # An object that stands for several numbers keeps the last of them.
        if self._numbers.get(id(value)) == number:
            del self._numbers[id(value)]
        del self.objects[number]
        self.mine.discard(number)
        self.snapshots.pop(number, None)

    def undo(self, count: int) -> None:
        """Forget every object but the first `count`: a message that was not sent added them."""
        for number in range(count, self.count):
            if number in self.objects:
                self.drop(number)
        self.count = count

    def remember(self, numbers: Iterable[int]) -> None:
        """Keep what is in these objects now, to tell later whether it changed."""
        for number in numbers:
            value = self.objects.get(number)
            memory = None if number in self.mine else _memory(value)
            if memory is not None:
                self.snapshots[number] = memory.take(value)

    def changes(self) -> list[int]:
        """The numbers of the objects that differ from what was remembered."""
        objects = self.objects
        return [
            number
            for number, before in self.snapshots.items()
            if not _same(objects[number], before)
        ]

    def reshaped(self, number: int) -> bool:
        """Whether an object changed so much that it has to cross as a new one."""
        value, before = self.objects[number], self.snapshots[number]
        return isinstance(value, np.ndarray) and _form(value) != before[0]

    def idle(self) -> list[int]:
        """The numbers of the objects that nobody but this table holds."""
        return [
            number
            for number, value in self.objects.items()
            if sys.getrefcount(value) <= _HELD_BY_TABLE and number not in self.mine
        ]

    def reduces(self, value: Any) -> bool:
        """Whether an object of a subclass of a plain type crosses as plain data."""
        return True

    def describe(self, value: Any) -> tuple[Any, ...]:
        """Describe, in plain data, an object that crosses as a reference.

        Raises:
            CodecError: It may not cross.
        """
        raise CodecError(f"a {type(value).__name__} is no plain data")

    def represent(self, description: tuple[Any, ...]) -> Any:
        """Make what stands for an object of the other side.

        Raises:
            CodecError: Nothing may.
        """
        raise CodecError("a reference where plain data belong")


def generator_state(generator: np.random.Generator) -> tuple[int, int, int, int] | None:
    """The state of a generator of the usual kind, PCG64; None for any other kind."""
    if type(generator.bit_generator) is not np.random.PCG64:
        return None
    state: Any = generator.bit_generator.state
    inner = state["state"]
    return inner["state"], inner["inc"], state["has_uint32"], state["uinteger"]


@dataclass(frozen=True)
class _Memory:
    """How to remember what is in objects of a type.

    Args:
        take: Makes a snapshot of an object.
        same: Whether an object is as in a snapshot. It calls no method of what is in the object.
    """

    take: Callable[[Any], Any]
    same: Callable[[Any, Any], bool]


def _same_parts(parts: Collection[Any], before: Collection[Any]) -> bool:
    return len(parts) == len(before) and all(map(operator.is_, parts, before))


def _same_items(value: dict[Any, Any], before: tuple[list[Any], list[Any]]) -> bool:
    return _same_parts(value.keys(), before[0]) and _same_parts(value.values(), before[1])


def _form(array: np.ndarray) -> tuple[Any, ...]:
    return array.shape, array.dtype


def _of_array(value: np.ndarray) -> tuple[Any, ...]:
    return _form(value), value.ravel().tolist() if value.dtype.hasobject else value.tobytes()


def _same_array(value: np.ndarray, before: tuple[Any, ...]) -> bool:
    form, contents = before
    if _form(value) != form:
        return False
    if value.dtype.hasobject:
        return _same_parts(value.ravel().tolist(), contents)
    return value.tobytes() == contents


def _by_identity(value: set[Any]) -> list[Any]:
    return sorted(value, key=id)  # While they are kept, nothing else has their identity.


_MEMORIES: dict[type, _Memory] = {
    list: _Memory(list, _same_parts),
    dict: _Memory(lambda value: ([*value.keys()], [*value.values()]), _same_items),
    set: _Memory(_by_identity, lambda value, before: _same_parts(_by_identity(value), before)),
    np.ndarray: _Memory(_of_array, _same_array),
    np.random.Generator: _Memory(
        generator_state, lambda value, before: generator_state(value) == before
    ),
    SimpleNamespace: _Memory(
        lambda value: _MEMORIES[dict].take(vars(value)),
        lambda value, before: _same_items(vars(value), before),
    ),
}
_TENSOR = _Memory(
    lambda value: _of_array(value.detach().numpy()),
    lambda value, before: _same_array(value.detach().numpy(), before),
)


def _memory(value: Any) -> _Memory | None:
    """How to remember what is in an object; None if it cannot change."""
    memory = _MEMORIES.get(type(value))
    if memory is None and (torch := sys.modules.get("torch")) is not None:
        return _TENSOR if issubclass(type(value), torch.Tensor) else None
    return memory


def _same(value: Any, before: Any) -> bool:
    memory = _memory(value)
    return memory is None or memory.same(value, before)


def _held_by_table() -> int:
    """How many references an object has that only a table holds, as `Sharing.idle` counts them."""
    objects = {0: object()}
    [count] = [sys.getrefcount(value) for number, value in objects.items()]
    return count


_HELD_BY_TABLE = _held_by_table()

"""Plain data as bytes and back, between two processes of which one is not trusted.

Types are exact: a subclass is reduced to its base, so that no object of a student ever answers a
question of the checker. Nothing is executed: there is a tag for each known type, and no other way
to make an object. Whatever the bytes are, `Reader` gives a value or raises `CodecError`, and uses
memory that grows with the number of bytes alone.

An object that can change (list, dictionary, set, array, tensor, generator, namespace) crosses as
its number once both sides know it, so that two names for one array stay two names for one array.
"""

import functools
import importlib
import itertools
import re
import struct
import sys
from collections.abc import Callable, Collection, Iterable
from types import EllipsisType, NoneType, SimpleNamespace
from typing import Any

import numpy as np

from coursekit.grading.limits import Limits
from coursekit.grading.split.sharing import CodecError, Sharing, generator_state

__all__ = ["CodecError", "Reader", "Writer", "decode", "encode"]


def encode(value: Any, limits: Limits | None = None) -> bytes:
    """Write one value.

    Raises:
        CodecError: It is no plain data, or too large.
    """
    writer = Writer(limits or Limits(), Sharing())
    writer.value(value)
    return bytes(writer.data)


def decode(data: bytes | memoryview, limits: Limits | None = None) -> Any:
    """Read one value, and nothing after it.

    Raises:
        CodecError: The bytes are no value.
    """
    reader = Reader(data, limits or Limits(), Sharing())
    value = reader.value()
    reader.end()
    return value


# Far above any honest integer, and still cheap to compute with.
_INTEGER_BYTES = 4096
_CODE = 32  # Characters of a type of numbers.
_U32, _U64, _I64, _DOUBLE, _COMPLEX = (struct.Struct(f"<{c}") for c in ("I", "Q", "q", "d", "dd"))
# A tag and a number: most of what crosses.
_U32_TAGGED, _I64_TAGGED, _DOUBLE_TAGGED = (struct.Struct(f"<B{c}") for c in "Iqd")
_SMALL, _SHORT, _FLOAT, _KNOWN, _STRING = 2**63, *b"hd@s"
# Neither objects nor records, nor long doubles: some of their patterns of bits are no numbers.
_DTYPE = re.compile(
    r"[<>|](b1|[iu][1248]|f[248]|c8|c16|[SU][1-9]\d{0,6}|[mM]8(\[\d{0,4}[a-zA-Zμ]{1,2}\])?)"
)
_TYPES: dict[str, type] = {
    **{
        one.__name__: one
        for one in (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset)
    },
    **{
        f"numpy.{one.__name__}": one
        for one in (*set(np.sctypeDict.values()), np.number, np.integer, np.floating, np.generic)
        if one not in (np.object_, np.void)
    },
    "object": object,
    "numpy.ndarray": np.ndarray,
}
_NUMBERS = {*np.sctypeDict.values()} - {np.object_, np.void, np.str_, np.bytes_}
_TYPE_NAMES = {one: name for name, one in _TYPES.items()}


class Writer:
    """Writes values into `data`.

    Args:
        limits: What one message may hold.
        sharing: The objects that both sides know. New ones are added, also to `added`.
    """

    def __init__(self, limits: Limits, sharing: Sharing) -> None:
        self.data = bytearray()
        self.added: list[int] = []
        self.limits, self._sharing = limits, sharing
        self._left, self._depth = limits.message_items, 0

    def value(self, value: Any) -> None:
        """Write any value.

        Raises:
            CodecError: It may not cross, or is too large.
        """
        self._left -= 1
        if self._left < 0:
            raise CodecError(f"more than {self.limits.message_items} objects at once")
        write = _WRITERS.get(type(value))
        if write is not None:
            write(self, value)
        else:
            self._other(value)

    def end(self) -> None:
        """Insist that all of it is not too much.

        Raises:
            CodecError: It is.
        """
        if len(self.data) > self.limits.message_bytes:
            raise CodecError(f"more than {self.limits.message_bytes} bytes at once")

    def size(self, number: int) -> None:
        """Write a length, or the number of an object."""
        self.data += _U32.pack(number)

    def raw(self, data: bytes) -> None:
        """Write bytes after their length."""
        self.data += _U32.pack(len(data))
        self.data += data
        if len(self.data) > self.limits.message_bytes:
            self.end()

    def text(self, text: str) -> None:
        """Write a text; half of a surrogate pair is a character of Python's, too."""
        self.raw(text.encode("utf-8", "surrogatepass"))

    def contents(self, value: Any) -> None:
        """Write what is in an object that can change."""
        if isinstance(value, np.ndarray):
            (_write_objects if value.dtype.hasobject else _write_array)(self, value)
        else:
            (_CONTENTS.get(type(value)) or _write_tensor)(self, value)

    def values(self, tag: bytes, values: Collection[Any]) -> None:
        """Write a tag, and values after their number."""
        self.data += tag
        self.data += _U32.pack(len(values))
        self.each(values)

    def each(self, values: Iterable[Any]) -> None:
        """Write values one level deeper."""
        self._depth += 1
        if self._depth > self.limits.message_depth:
            raise CodecError(f"nested more than {self.limits.message_depth} levels deep")
        for value in values:
            self.value(value)
        self._depth -= 1

    def dtype(self, dtype: np.dtype) -> None:
        """Write the type of the numbers of an array."""
        code = _code(dtype)
        if code is None:
            raise CodecError(f"numbers of type {dtype} do not cross")
        self.raw(code)

    def shared(self, value: Any) -> None:
        """Write the number of an object; where it is new, what is in it."""
        if not self.known(value):
            self.added.append(self._sharing.add(value))
            self.contents(value)

    def known(self, value: Any) -> bool:
        """Write the number of an object, unless it is new."""
        number = self._sharing.number(value)
        if number is None:
            return False
        self.data += _U32_TAGGED.pack(_KNOWN, number)
        return True

    def reference(self, value: Any) -> None:
        """Write an object that stays on this side."""
        if self.known(value):
            return
        description = self._sharing.describe(value)
        self.data += b"&"
        self.values(b"(", description)
        self.added.append(self._sharing.add(value, mine=True))

    def _other(self, value: Any) -> None:
        """Write a subclass as its base, and anything else as a reference."""
        # Of its type: what `isinstance` believes is for the object to say.
        kind = type(value)
        if issubclass(kind, type):
            if name := _TYPE_NAMES.get(value):
                self.data += b"k"
                self.text(name)
                return
        elif issubclass(kind, np.dtype):
            if _code(value):
                self.data += b"y"
                self.dtype(value)
                return
        elif self._sharing.number(value) is None and self._sharing.reduces(value):
            if _is_tensor(value):
                self.shared(value)
                return
            for base, reduce in _REDUCERS.items():
                if issubclass(kind, base) and type(reduced := reduce(value)) is not kind:
                    self.value(reduced)
                    return
        self.reference(value)


class Reader:
    """Reads values.

    Args:
        data: The bytes.
        limits: What one message may hold.
        sharing: The objects that both sides know. New ones are added, also to `added`.
    """

    def __init__(
        self, data: bytes | bytearray | memoryview, limits: Limits, sharing: Sharing
    ) -> None:
        self.added: list[int] = []
        self._data, self._at, self._end = memoryview(data), 0, len(data)
        self.limits, self._sharing = limits, sharing
        self.tensors = sharing.tensors
        self._left, self._depth = limits.message_items, 0

    def value(self) -> Any:
        """Read any value.

        Raises:
            CodecError: The bytes are no value.
        """
        self._left -= 1
        if self._left < 0:
            raise CodecError(f"more than {self.limits.message_items} objects at once")
        at = self._at
        if at >= self._end:
            raise CodecError("too few bytes")
        self._at = at + 1
        read = _READERS.get(self._data[at])
        if read is None:
            raise CodecError(f"no type has the tag {self._data[at]}")
        return read(self)

    def update(self, target: Any) -> None:
        """Read what is in an object that can change, into that object."""
        if _is_tensor(target):
            target = target.detach().numpy()
        update = _UPDATES.get((self.byte(), type(target)))
        if update is None:
            raise CodecError(f"not what a {type(target).__name__} holds")
        update(self, target)

    def end(self) -> None:
        """Insist that nothing is left."""
        if self._at != self._end:
            raise CodecError(f"{self.left} bytes after the end")

    @property
    def left(self) -> int:
        """How many bytes are not read yet."""
        return self._end - self._at

    def byte(self) -> int:
        """Read one byte."""
        if self._at >= self._end:
            raise CodecError("too few bytes")
        self._at += 1
        return self._data[self._at - 1]

    def take(self, length: int) -> memoryview:
        """Read so many bytes."""
        at = self._at
        if length > self._end - at:
            raise CodecError("too few bytes")
        self._at = at + length
        return self._data[at : self._at]

    def size(self) -> int:
        """Read a length, or the number of an object."""
        at = self._at
        if at + 4 > self._end:
            raise CodecError("too few bytes")
        self._at = at + 4
        return _U32.unpack_from(self._data, at)[0]

    def raw(self) -> memoryview:
        """Read bytes after their length."""
        return self.take(self.size())

    def text(self) -> str:
        """Read a text."""
        try:
            return str(self.raw(), "utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise CodecError("not UTF-8") from error

    def values(self) -> list[Any]:
        """Read values after their number."""
        count = self.size()
        self.down(count)
        value = self.value
        values = [value() for _ in range(count)]
        self._depth -= 1
        return values

    def down(self, count: int) -> None:
        """Go one level deeper, where so many values are; `up` again after that."""
        if count > self._end - self._at:  # Each takes a byte at least.
            raise CodecError("too few bytes")
        self._depth += 1
        if self._depth > self.limits.message_depth:
            raise CodecError(f"nested more than {self.limits.message_depth} levels deep")

    def up(self) -> None:
        """Go back one level."""
        self._depth -= 1

    def dtype(self) -> np.dtype:
        """Read the type of the numbers of an array."""
        code = bytes(self.raw()[:_CODE])
        dtype = _dtype(code)
        if dtype is None:
            raise CodecError(f"no numbers have the type {code!r}")
        return dtype

    def add(self, value: Any) -> Any:
        """Number a new object."""
        self.added.append(self._sharing.add(value))
        return value

    def find(self) -> Any:
        """Read the number of an object that both sides know."""
        return self._sharing.find(self.size())

    def represent(self) -> Any:
        """Read an object that stays on the other side."""
        description = self.value()
        if type(description) is not tuple:
            raise CodecError("a reference without a description")
        return self.add(self._sharing.represent(description))


@functools.lru_cache(256)
def _code(dtype: np.dtype) -> bytes | None:
    """How a type of numbers is written; None if it does not cross."""
    return dtype.str.encode() if _DTYPE.fullmatch(dtype.str) else None


@functools.lru_cache(256)
def _dtype(code: bytes) -> np.dtype | None:
    """The type of numbers that is written so, if any."""
    text = code.decode("latin-1")
    try:
        return np.dtype(text) if _DTYPE.fullmatch(text) else None
    except (TypeError, ValueError, ArithmeticError):
        return None


def _write_int(writer: Writer, value: int) -> None:
    if -_SMALL <= value < _SMALL:
        writer.data += _I64_TAGGED.pack(_SHORT, value)
        return
    length = value.bit_length() // 8 + 1
    if length > _INTEGER_BYTES:
        raise CodecError(f"an integer of more than {_INTEGER_BYTES} bytes")
    writer.data += b"i"
    writer.raw(value.to_bytes(length, "little", signed=True))


def _read_int(reader: Reader) -> int:
    data = reader.raw()
    if len(data) > _INTEGER_BYTES:
        raise CodecError(f"an integer of more than {_INTEGER_BYTES} bytes")
    return int.from_bytes(data, "little", signed=True)


def _write_str(writer: Writer, value: str) -> None:
    data = value.encode("utf-8", "surrogatepass")
    writer.data += _U32_TAGGED.pack(_STRING, len(data))
    writer.data += data
    if len(writer.data) > writer.limits.message_bytes:
        writer.end()


def _write_bytes(writer: Writer, value: bytes) -> None:
    writer.data += b"b"
    writer.raw(value)


def _write_number(writer: Writer, value: np.generic) -> None:
    if not _code(value.dtype):  # A long double.
        writer.value((np.float64 if value.dtype.kind == "f" else np.complex128)(value))
        return
    writer.data += b"n"
    writer.dtype(value.dtype)
    writer.raw(value.tobytes())


def _read_number(reader: Reader) -> Any:
    dtype, data = reader.dtype(), reader.raw()
    if len(data) != dtype.itemsize:
        raise CodecError("a number of the wrong size")
    return _checked(np.frombuffer(data, dtype))[0]


def _write_any_array(writer: Writer, value: np.ndarray) -> None:
    dtype = value.dtype
    if dtype.kind == "O" or _code(dtype):
        writer.shared(value)
    elif dtype.kind in "fc":  # Long doubles.
        writer.value(value.astype(np.float64 if dtype.kind == "f" else np.complex128))
    elif dtype.kind in "SU" and dtype.itemsize == 0:
        writer.value(value.astype(f"{dtype.kind}1"))
    else:
        writer.reference(value)


def _write_array(writer: Writer, value: np.ndarray) -> None:
    flags = value.flags
    columns = flags.f_contiguous and not flags.c_contiguous
    if value.nbytes > writer.limits.message_bytes:
        raise CodecError(f"more than {writer.limits.message_bytes} bytes at once")
    writer.data += b"a"
    # The order in memory decides the order of a sum, and so its last digits.
    writer.data.append(columns | (2 * (not flags.writeable)))
    writer.dtype(value.dtype)
    _write_shape(writer, value)
    writer.raw(value.tobytes("F" if columns else "C"))


def _read_array(reader: Reader) -> np.ndarray:
    flags, dtype = reader.byte(), reader.dtype()
    shape, count = _read_shape(reader)
    data = reader.raw()
    if flags > 3 or len(data) != count * dtype.itemsize:
        raise CodecError("an array of the wrong size")
    order: Any = "F" if flags & 1 else "C"
    # A copy, which owns its memory: the bytes of the message are gone soon.
    array = _checked(np.frombuffer(data, dtype)).reshape(shape, order=order).copy(order)
    array.flags.writeable = not flags & 2
    return array


def _checked(array: np.ndarray) -> np.ndarray:
    """Refuse patterns of bits that no honest array holds, and that NumPy trusts not to be there."""
    if array.dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise CodecError("neither True nor False")
    if array.dtype.kind == "U":
        codes = array.view(array.dtype.byteorder + "u4" if array.dtype.byteorder in "<>" else "u4")
        if (codes > sys.maxunicode).any():
            raise CodecError("not a character")
    return array


def _write_shape(writer: Writer, value: np.ndarray) -> None:
    writer.data.append(value.ndim)
    writer.data += struct.pack(f"<{value.ndim}Q", *value.shape)


def _read_shape(reader: Reader) -> tuple[tuple[int, ...], int]:
    """A shape, and how many numbers it holds."""
    dimensions = reader.byte()
    if dimensions > 32:  # The most that every version of NumPy knows.
        raise CodecError(f"an array of {dimensions} dimensions")
    shape = struct.unpack(f"<{dimensions}Q", reader.take(8 * dimensions))
    count, span = 1, 1
    for size in shape:
        count, span = count * size, span * max(size, 1)
    # An empty array takes no bytes, and may still be a table of a billion empty rows.
    if span > (2**48 if count else 2**24):
        raise CodecError(f"an array of shape {shape}")
    return shape, count


def _write_objects(writer: Writer, value: np.ndarray) -> None:
    writer.data += b"o"
    _write_shape(writer, value)
    writer.each(map(_no_objects, value.ravel().tolist()))


def _read_objects(reader: Reader) -> np.ndarray:
    shape, count = _read_shape(reader)
    reader.down(count)
    array = np.empty(count, dtype=object)
    shaped = reader.add(array.reshape(shape))
    for index in range(count):
        array[index] = _no_objects(reader.value())
    reader.up()
    return shaped


def _no_objects(part: Any) -> Any:
    """Refuse an array of objects in another one, or in a tuple or slice in it.

    NumPy computes with such arrays, and frees them, level by level without counting, until the
    stack is used up; and from message to message, a chain of them could grow without end. Python
    counts the levels of all else.
    """
    kind = type(part)
    if issubclass(kind, np.ndarray) and part.dtype.hasobject:
        raise CodecError("an array of objects in an array of objects does not cross")
    if kind is tuple:
        for one in part:
            _no_objects(one)
    elif kind is slice:
        _no_objects((part.start, part.stop, part.step))
    return part


def _update_objects(reader: Reader, target: np.ndarray) -> None:
    shape, count = _read_shape(reader)
    if target.dtype.kind != "O" or target.shape != shape:
        raise CodecError("an array that changed its shape")
    reader.down(count)
    parts = np.empty(count, dtype=object)
    for index in range(count):
        parts[index] = _no_objects(reader.value())
    reader.up()
    target[...] = parts.reshape(shape)


def _update_array(reader: Reader, target: np.ndarray) -> None:
    array = _read_array(reader)
    if (array.shape, array.dtype) != (target.shape, target.dtype):
        raise CodecError("an array that changed its shape")
    if target.flags.writeable:
        target[...] = array
        return
    try:
        target.flags.writeable = True
    except ValueError as error:
        raise CodecError("an array that cannot change") from error
    target[...] = array
    target.flags.writeable = False


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return (
        torch is not None
        and issubclass(type(value), torch.Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.dtype in _tensor_dtypes()
    )


def _tensor_dtypes() -> list[Any]:
    """The types of tensors that are types of arrays, too."""
    torch: Any = sys.modules["torch"]
    names = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
    return [getattr(torch, name) for name in (*names, "complex64", "complex128")]


def _write_tensor(writer: Writer, value: Any) -> None:
    writer.data += b"t"
    writer.data.append(bool(value.requires_grad))
    _write_array(writer, value.detach().resolve_conj().resolve_neg().numpy())


def _read_tensor(reader: Reader) -> Any:
    """A tensor; an array where nothing imports PyTorch."""
    requires_grad, tag = reader.byte(), reader.byte()
    if requires_grad > 1 or tag != ord("a"):
        raise CodecError("not a tensor")
    array = _read_array(reader)
    torch: Any = sys.modules.get("torch")
    if torch is None and reader.tensors:
        torch = importlib.import_module("torch")
    if torch is None:
        return array
    try:
        return torch.from_numpy(array).requires_grad_(bool(requires_grad))
    except (TypeError, RuntimeError, ValueError) as error:
        raise CodecError("not a tensor") from error


def _update_tensor(reader: Reader, target: np.ndarray) -> None:
    reader.byte()
    if reader.byte() != ord("a"):
        raise CodecError("not a tensor")
    _update_array(reader, target)


def _write_dict(writer: Writer, value: dict[Any, Any]) -> None:
    writer.data += b"m"
    _write_items(writer, value)


def _write_items(writer: Writer, value: dict[Any, Any]) -> None:
    writer.size(len(value))
    writer.each(itertools.chain.from_iterable(value.items()))


def _update_dict(reader: Reader, target: dict[Any, Any]) -> None:
    items: dict[Any, Any] = {}
    count = reader.size()
    reader.down(count)
    for _ in range(count):
        key = reader.value()
        try:
            items[key] = reader.value()
        except TypeError as error:
            raise CodecError(f"a {type(key).__name__} is no key") from error
    reader.up()
    target.clear()
    target.update(items)


def _update_list(reader: Reader, target: list[Any]) -> None:
    target[:] = reader.values()


def _update_set(reader: Reader, target: set[Any]) -> None:
    members = _hashed(reader, set)
    target.clear()
    target.update(members)


def _hashed(reader: Reader, make: Callable[[list[Any]], Any]) -> Any:
    try:
        return make(reader.values())
    except TypeError as error:
        raise CodecError("a member of a set that cannot be one") from error


def _write_namespace(writer: Writer, value: SimpleNamespace) -> None:
    writer.data += b"w"
    _write_items(writer, {name: one for name, one in vars(value).items() if _is_public(name)})


def _update_namespace(reader: Reader, target: SimpleNamespace) -> None:
    items: dict[Any, Any] = {}
    _update_dict(reader, items)
    if not all(_is_public(name) for name in items):
        raise CodecError("a namespace with names that are no public names")
    public = [name for name in vars(target) if _is_public(name)]
    for name in public:
        del vars(target)[name]
    vars(target).update(items)


def _is_public(name: Any) -> bool:
    return type(name) is str and name.isidentifier() and not name.startswith("_")


def _write_generator(writer: Writer, value: np.random.Generator) -> None:
    writer.data += b"g"
    for part in generator_state(value) or ():
        _write_int(writer, part)


def _update_generator(reader: Reader, target: np.random.Generator) -> None:
    parts = [reader.value() for _ in range(4)]
    if generator_state(target) is None or not all(
        type(part) is int and 0 <= part < 1 << bits
        for part, bits in zip(parts, (128, 128, 1, 32), strict=True)
    ):
        raise CodecError("no state of a generator")
    target.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": parts[0], "inc": parts[1]},
        "has_uint32": parts[2],
        "uinteger": parts[3],
    }


def _write_any_generator(writer: Writer, value: np.random.Generator) -> None:
    if generator_state(value) is None:
        writer.reference(value)
    else:
        writer.shared(value)


def _read_new(
    make: Callable[[], Any], update: Callable[[Reader, Any], None]
) -> Callable[[Reader], Any]:
    """How to read an object that may hold itself: it has its number before it is filled."""

    def read(reader: Reader) -> Any:
        target = reader.add(make())
        update(reader, target)
        return target

    return read


def _read_type(reader: Reader) -> type:
    name = reader.text()
    if name not in _TYPES:
        raise CodecError("no type has this name")
    return _TYPES[name]


def _triple(tag: bytes) -> Callable[[Writer, Any], None]:
    def write(writer: Writer, value: slice | range) -> None:
        writer.values(tag, (value.start, value.stop, value.step))

    return write


def _read_range(reader: Reader) -> range:
    parts = reader.values()
    if len(parts) != 3 or any(type(part) is not int for part in parts) or not parts[2]:
        raise CodecError("not a range")
    return range(*parts)


def _read_slice(reader: Reader) -> slice:
    parts = reader.values()
    if len(parts) != 3:
        raise CodecError("not a slice")
    return slice(*parts)


def _constant(tag: bytes) -> Callable[[Writer, Any], None]:
    def write(writer: Writer, value: Any) -> None:
        writer.data += tag

    return write


def _write_bool(writer: Writer, value: bool) -> None:
    writer.data += b"T" if value else b"F"


def _write_float(writer: Writer, value: float) -> None:
    writer.data += _DOUBLE_TAGGED.pack(_FLOAT, value)


def _write_complex(writer: Writer, value: complex) -> None:
    writer.data += b"c"
    writer.data += _COMPLEX.pack(value.real, value.imag)


def _write_tuple(writer: Writer, value: tuple[Any, ...]) -> None:
    writer.values(b"(", value)


def _write_frozenset(writer: Writer, value: frozenset[Any]) -> None:
    writer.values(b"z", value)


_CONTENTS: dict[type, Callable[[Writer, Any], None]] = {
    list: lambda writer, value: writer.values(b"l", value),
    dict: _write_dict,
    set: lambda writer, value: writer.values(b"e", value),
    np.random.Generator: _write_generator,
    SimpleNamespace: _write_namespace,
}

_WRITERS: dict[type, Callable[[Writer, Any], None]] = {
    NoneType: _constant(b"N"),
    EllipsisType: _constant(b"."),
    bool: _write_bool,
    int: _write_int,
    float: _write_float,
    complex: _write_complex,
    str: _write_str,
    bytes: _write_bytes,
    tuple: _write_tuple,
    frozenset: _write_frozenset,
    slice: _triple(b":"),
    range: _triple(b"r"),
    list: Writer.shared,
    dict: Writer.shared,
    set: Writer.shared,
    SimpleNamespace: Writer.shared,
    np.ndarray: _write_any_array,
    np.random.Generator: _write_any_generator,
    # The texts of NumPy are subclasses of those of Python.
    **dict.fromkeys(_NUMBERS, _write_number),
}

_READERS: dict[int, Callable[[Reader], Any]] = {
    ord(tag): read
    for tag, read in {
        "N": lambda reader: None,
        ".": lambda reader: ...,
        "T": lambda reader: True,
        "F": lambda reader: False,
        "i": _read_int,
        "h": lambda reader: _I64.unpack(reader.take(8))[0],
        "d": lambda reader: _DOUBLE.unpack(reader.take(8))[0],
        "c": lambda reader: complex(*_COMPLEX.unpack(reader.take(16))),
        "s": Reader.text,
        "b": lambda reader: bytes(reader.raw()),
        "(": lambda reader: tuple(reader.values()),
        "z": lambda reader: _hashed(reader, frozenset),
        ":": _read_slice,
        "r": _read_range,
        "n": _read_number,
        "y": Reader.dtype,
        "k": _read_type,
        "@": Reader.find,
        "&": Reader.represent,
        "a": lambda reader: reader.add(_read_array(reader)),
        "t": lambda reader: reader.add(_read_tensor(reader)),
        "o": _read_objects,
        "l": _read_new(list, _update_list),
        "m": _read_new(dict, _update_dict),
        "e": _read_new(set, _update_set),
        "w": _read_new(SimpleNamespace, _update_namespace),
        "g": _read_new(lambda: np.random.Generator(np.random.PCG64(0)), _update_generator),
    }.items()
}


_UPDATES: dict[tuple[int, type], Callable[[Reader, Any], None]] = {
    (ord("a"), np.ndarray): _update_array,
    (ord("t"), np.ndarray): _update_tensor,
    (ord("o"), np.ndarray): _update_objects,
    (ord("l"), list): _update_list,
    (ord("m"), dict): _update_dict,
    (ord("e"), set): _update_set,
    (ord("w"), SimpleNamespace): _update_namespace,
    (ord("g"), np.random.Generator): _update_generator,
}

# How a subclass becomes its base, by methods of the base alone. Bool has no subclass.
_REDUCERS: dict[type, Callable[[Any], Any]] = {
    int: int.__index__,
    float: float.__float__,
    complex: complex.__complex__,
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    bytearray: bytes,
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    list: lambda value: list.__getitem__(value, slice(None)),
    dict: lambda value: dict(dict.items(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    np.ndarray: lambda value: np.ndarray.view(value, np.ndarray),
    np.generic: lambda value: np.asarray(value)[()],
    SimpleNamespace: lambda value: SimpleNamespace(**vars(value)),
}

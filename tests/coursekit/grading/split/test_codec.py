"""Plain data cross exactly; nothing else does, and no bytes do harm."""

import math
import struct
import tracemalloc
from collections import Counter, OrderedDict, namedtuple
from dataclasses import replace
from enum import IntEnum, StrEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coursekit.grading.limits import Limits
from coursekit.grading.split.codec import CodecError, Reader, Writer, decode, encode
from coursekit.grading.split.sharing import Sharing


def numeric(array: np.ndarray) -> bool:
    return array.dtype.kind not in "SU"


DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(sizes=(16, 32, 64), endianness="?"),
    hnp.complex_number_dtypes(sizes=(64, 128), endianness="?"),
    hnp.unicode_string_dtypes(endianness="?"),
    hnp.byte_string_dtypes(),
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_dims=4))
HASHABLE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**200), 2**200),
        st.floats(),
        st.complex_numbers(),
        st.text(st.characters(exclude_categories=())),
        st.binary(),
        st.builds(range, st.integers(), st.integers(), st.integers(1)),
    ),
    lambda some: st.one_of(st.tuples(some, some), st.frozensets(some)),
    max_leaves=5,
)
PLAIN = st.recursive(
    st.one_of(
        HASHABLE,
        ARRAYS,
        ARRAYS.map(lambda array: array.ravel()[0] if array.size and numeric(array) else array),
        st.just(...),
        st.builds(slice, st.none() | st.integers(), st.integers(), st.none()),
        st.sampled_from([int, float, np.float32, np.dtype("i4"), np.ndarray, bool]),
        st.integers(0, 2**32).map(np.random.default_rng),
    ),
    lambda some: st.one_of(
        st.lists(some),
        st.lists(some).map(tuple),
        st.dictionaries(HASHABLE, some),
        st.sets(HASHABLE),
        st.dictionaries(st.sampled_from(["a", "loss"]), some).map(lambda d: SimpleNamespace(**d)),
    ),
    max_leaves=10,
)


def same(one: Any, other: Any) -> bool:
    """Equal in value and in type, down to the bits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, np.ndarray | np.generic):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and (one.tobytes() == other.tobytes() or one.dtype.hasobject)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same([*one.values()], [*other.values()])
    if isinstance(one, set | frozenset):
        return form(one) == form(other)
    if isinstance(one, SimpleNamespace):
        return same(vars(one), vars(other))
    if isinstance(one, np.random.Generator):
        return one.bit_generator.state == other.bit_generator.state
    return bool(one == other)


def form(value: Any) -> str:
    """What a member of a set is: by text, because a not-a-number equals nothing."""
    if isinstance(value, set | frozenset):
        return f"{type(value)} {sorted(map(form, value))}"
    if isinstance(value, tuple):
        return f"tuple {[*map(form, value)]}"
    return repr(value)


@given(PLAIN)
@settings(max_examples=150, deadline=None)
def test_plain_data_come_back_as_they_were(value):
    assert same(decode(encode(value)), value)


@given(st.binary(max_size=200))
@settings(max_examples=250, deadline=None)
def test_no_bytes_do_anything_but_give_a_value_or_one_error(data):
    try:
        value = decode(data)
    except CodecError:
        return
    assert decode(encode(value)) is not NotImplemented


@given(PLAIN, st.data())
@settings(max_examples=250, deadline=None)
def test_no_damage_does_anything_but_give_a_value_or_one_error(value, data):
    message = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(message) - 1))
        message[place] = data.draw(st.integers(0, 255))
    with_end = message[: data.draw(st.integers(0, len(message)))] + data.draw(st.binary(max_size=9))
    for one in (message, with_end):
        try:
            decode(one)
        except CodecError:
            continue


HUGE = struct.pack("<I", 2**32 - 1)
BIG = struct.pack("<Q", 2**40)


@pytest.mark.parametrize(
    "data",
    [
        b"(" + HUGE,
        b"l" + HUGE + b"N",
        b"m" + HUGE + b"N",
        b"e" + HUGE,
        b"s" + HUGE,
        b"b" + HUGE,
        b"i" + HUGE,
        b"a\0\x03\0\0\0<f8\x01" + BIG + b"\0\0\0\0",
        b"a\0\x03\0\0\0<f8\x02" + BIG + b"\0" * 8 + b"\0\0\0\0",
        b"a\0\x03\0\0\0|S0\x01" + BIG + b"\0\0\0\0",
        b"o\x01" + BIG,
        b"o\x02" + BIG + b"\0" * 8,
        b"(\1\0\0\0" * 10_000,
        b"l\1\0\0\0" * 10_000,
    ],
)
def test_what_is_announced_takes_no_memory(data):
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20 + 10 * len(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "too few bytes"),
        (b"?", "no type has the tag"),
        (b"NN", "after the end"),
        (b"s\1\0\0\0\xff", "UTF-8"),
        (b"n\x03\0\0\0|b1\1\0\0\0\x02", "True nor False"),
        (b"a\0\x03\0\0\0|b1\x00\1\0\0\0\x02", "True nor False"),
        (b"n\x03\0\0\0<U1\4\0\0\0\xff\xff\xff\x7f", "not a character"),
        (b"a\0\x02\0\0\0|O\0\0\0\0\0", "no numbers have the type"),
        (b"a\0\x04\0\0\0<f16\0\x10\0\0\0" + b"\xff" * 16, "no numbers have the type"),
        (b"a\0\x05\0\0\0i4,i4\0\0\0\0\0", "no numbers have the type"),
        (b"a\0\x03\0\0\0<f8\0\7\0\0\0" + b"\0" * 7, "wrong size"),
        (b"a\7\x03\0\0\0<f8\0\x08\0\0\0" + b"\0" * 8, "wrong size"),
        (b"a\0\x03\0\0\0<f8\x21", "33 dimensions"),
        (b"@\0\0\0\0", "no object has the number"),
        (b"&(\0\0\0\0", "plain data"),
        (b"&N", "description"),
        (b"e\1\0\0\0l\0\0\0\0", "member of a set"),
        (b"m\1\0\0\0l\0\0\0\0N", "no key"),
        (b"kX" + b"\0" * 3 + b"x" * 88, "too few|no type"),
        (b"r\3\0\0\0NNN", "not a range"),
        (b"w\1\0\0\0s\x09\0\0\0__class__N", "public names"),
        (b"g" + b"N" * 4, "state of a generator"),
        (b"g" + b"i\1\0\0\0\xff" * 4, "state of a generator"),
    ],
)
def test_bytes_that_mean_nothing_are_refused_with_a_reason(data, why):
    with pytest.raises(CodecError, match=why):
        decode(data)


def test_a_message_has_limits_on_either_side():
    limits = Limits(message_bytes=1000, message_items=10, message_depth=3)
    for value in (bytes(1001), np.zeros(126), "x" * 1001, [0] * 10, [[[[[]]]]], (((((),),),),)):
        with pytest.raises(CodecError, match="more than"):
            encode(value, limits)
        if not isinstance(value, bytes | str | np.ndarray):
            with pytest.raises(CodecError, match="more than"):
                decode(encode(value), limits)
    assert decode(encode([[[0]]], limits), limits) == [[[0]]]


def test_an_integer_has_a_limit():
    assert decode(encode(2**30_000)) == 2**30_000
    with pytest.raises(CodecError, match="integer"):
        encode(2**40_000)
    with pytest.raises(CodecError, match="integer"):
        decode(b"i" + struct.pack("<I", 5000) + bytes(5000))


class Always(float):
    """Equals everything."""

    def __eq__(self, other):
        return True

    def __float__(self):
        raise AssertionError("asked")

    __hash__ = float.__hash__


class Lying(int):
    __class__ = bool  # type: ignore[assignment]

    def __index__(self):
        raise AssertionError("asked")


class Colour(IntEnum):
    RED = 1


class Word(StrEnum):
    YES = "yes"


class Text(str):
    def encode(self, *arguments):
        raise AssertionError("asked")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Always(2.5), 2.5),
        (Lying(3), 3),
        (Colour.RED, 1),
        (Word.YES, "yes"),
        (Text("a"), "a"),
        (namedtuple("Pair", "a b")(1, 2), (1, 2)),
        (OrderedDict(a=1), {"a": 1}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (bytearray(b"ab"), b"ab"),
        (np.longdouble(1.5), np.float64(1.5)),
        (np.str_("a"), "a"),
        (np.str_(""), ""),
        (np.bytes_(b"a"), b"a"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_subclass_becomes_its_base(value, plain):
    result = decode(encode(value))
    assert type(result) is type(plain)
    assert result == plain
    assert type(decode(encode([value]))[0]) is type(plain)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_subclasses_of_arrays_become_arrays():
    for value in (np.matrix([[1, 2]]), np.ma.masked_array([[1, 2]]), np.array([[1, 2]]).view(Own)):
        result = decode(encode(value))
        assert type(result) is np.ndarray
        assert result.tolist() == [[1, 2]]


class Own(np.ndarray):
    pass


@pytest.mark.parametrize(
    "value",
    [object(), lambda: 0, len, np.zeros(1, "i4,i4"), np.void(b"a"), pytest, math, property(), Own],
)
def test_nothing_else_crosses(value):
    with pytest.raises(CodecError):
        encode(value)


def test_two_names_for_one_object_stay_two_names_for_one():
    array, inner = np.zeros(2), [1]
    first, second, third, pair = decode(encode([array, inner, array, (inner, inner)]))
    assert first is third
    assert pair[0] is pair[1] is second


def test_an_object_may_hold_itself():
    loop: list[Any] = [1]
    loop.append({"back": loop})
    result = decode(encode(loop))
    assert result[1]["back"] is result


def test_the_order_in_memory_and_the_lock_of_an_array_stay():
    columns = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert decode(encode(columns)).flags.f_contiguous
    assert decode(encode(columns.T)).flags.c_contiguous
    strided = np.arange(12).reshape(3, 4)[::2, ::-1]
    assert np.array_equal(decode(encode(strided)), strided)
    columns.flags.writeable = False
    locked = decode(encode([columns]))[0]
    assert not locked.flags.writeable
    free = decode(encode(np.zeros(3)))
    free += 1  # It owns its memory.


def test_objects_in_an_array_cross_one_by_one():
    value = np.array([[1, "a"], [None, 2.5]], dtype=object)
    result = decode(encode(value))
    assert result.dtype == object
    assert result.tolist() == value.tolist()


def _in_an_array(value: Any) -> np.ndarray:
    array = np.empty(1, dtype=object)
    array[0] = value
    return array


def _objects(*parts: bytes) -> bytes:
    """The bytes of an array of objects, whoever wrote them."""
    return b"o" + struct.pack("<BQ", 1, len(parts)) + b"".join(parts)


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: (1, (a,)), lambda a: slice(None, a)])
def test_no_array_of_objects_holds_another_one(wrap):
    # NumPy would compute with them level by level, until the stack is used up.
    with pytest.raises(CodecError, match="array of objects in an array of objects"):
        encode(_in_an_array(wrap(_in_an_array(1))))


@pytest.mark.parametrize(
    "data",
    [
        _objects(_objects(b"N")),
        _objects(b"(" + struct.pack("<I", 1) + _objects(b"N")),
        _objects(b"@" + struct.pack("<I", 0)),  # Itself.
    ],
)
def test_no_bytes_make_one_that_does(data):
    with pytest.raises(CodecError, match="array of objects in an array of objects"):
        decode(data)


def test_an_array_of_objects_may_hold_what_honest_ones_hold():
    ragged = decode(encode(_in_an_array([np.ones(2), [1, "a"]])))
    assert np.array_equal(ragged[0][0], [1, 1])
    rows = np.empty(2, dtype=object)
    rows[:] = [np.ones(2), np.ones(3)]
    assert [len(row) for row in decode(encode(rows))] == [2, 3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool, torch.complex64])
def test_tensors_stay_tensors(dtype):
    value = torch.tensor([[0, 1], [1, 1]], dtype=dtype)
    result = decode(encode(value))
    assert type(result) is torch.Tensor
    assert result.dtype == dtype
    assert torch.equal(result, value)


def test_a_tensor_tells_whether_it_wants_a_gradient():
    weight = torch.nn.Parameter(torch.ones(2))
    for value in (weight, (2 * weight).sum()):
        result = decode(encode(value))
        assert type(result) is torch.Tensor
        assert result.requires_grad


def test_a_generator_goes_on_where_it_was():
    generator = np.random.default_rng(3)
    generator.integers(10, dtype=np.int32)  # Leaves half of a number over.
    result = decode(encode(generator))
    assert np.array_equal(result.normal(size=5), generator.normal(size=5))


def test_other_generators_do_not_cross():
    with pytest.raises(CodecError):
        encode(np.random.Generator(np.random.MT19937(0)))


def update(value: Any, target: Any) -> None:
    """Send what is in one object into another one."""
    writer = Writer(Limits(), Sharing())
    writer.contents(value)
    reader = Reader(bytes(writer.data), Limits(), Sharing())
    reader.update(target)
    reader.end()


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ([1, [2]], [3, 4, 5]),
        ({"a": 1}, {"b": 2}),
        ({1, 2}, {3}),
        (np.arange(3.0), np.zeros(3)),
        (np.array([1, "a"], object), np.array([None, None])),
        (SimpleNamespace(a=1), SimpleNamespace(b=2)),
        (np.random.default_rng(1), np.random.default_rng(2)),
        (torch.ones(2), torch.zeros(2)),
    ],
)
def test_what_changed_is_put_into_the_same_object(value, target):
    update(value, target)
    if isinstance(value, torch.Tensor):
        assert torch.equal(target, value)
    else:
        assert same(target, value)


def test_an_array_and_a_tensor_can_stand_for_the_same():
    array, tensor = np.zeros(2), torch.zeros(2, dtype=torch.float64)
    update(torch.ones(2, dtype=torch.float64), array)
    update(np.ones(2), tensor)
    assert array.tolist() == tensor.tolist() == [1, 1]


def test_a_locked_array_changes_as_its_twin_did():
    target = np.zeros(2)
    target.flags.writeable = False
    update(np.ones(2), target)
    assert target.tolist() == [1, 1]
    assert not target.flags.writeable


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ([1], {}),
        ({}, [1]),
        (np.zeros(3), np.zeros(2)),
        (np.zeros(2, "f4"), np.zeros(2)),
        (np.zeros(2), np.zeros(2, object)),
        (np.zeros(2, object), np.zeros(2)),
        (np.zeros(2, object), np.zeros(3, object)),
        ([1], (1,)),
        ([1], OrderedDict()),
        ([1], object()),
        ({}, SimpleNamespace()),
    ],
)
def test_what_changed_cannot_change_what_an_object_is(value, target):
    before = repr(target)
    with pytest.raises(CodecError):
        update(value, target)
    assert repr(target) == before


def test_colliding_keys_cost_no_more_than_their_number_allows():
    limits = replace(Limits(), message_items=2000)
    collide = {number * (2**61 - 1) for number in range(1900)}
    assert decode(encode(collide, limits), limits) == collide
    with pytest.raises(CodecError, match="more than 2000"):
        decode(encode({number * (2**61 - 1) for number in range(2001)}), limits)

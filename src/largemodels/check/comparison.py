"""Compare a student's answer with the right one, and say what differs."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from largemodels.check.diagnosis import cause
from largemodels.check.mistake import Mistake

# Wide enough for another order of the same sums, and far below the effect of any slip.
TOLERANCE = (1e-6, 1e-8)
# An answer computed in float32 is as good as one in float64; it only carries fewer digits.
TOLERANCE_FLOAT32 = (1e-4, 1e-5)

# Explanation → wrong numbers; for a dictionary of answers, key → such a mapping.
Slips = Mapping[str, Any]


def close(
    actual: Any,
    expected: Any,
    *,
    name: str = "your result",
    rtol: float | None = None,
    atol: float | None = None,
    slips: Slips | None = None,
    batch_size: int | None = None,
) -> None:
    """Check that numbers agree, `|actual - expected| <= atol + rtol * |expected|`.

    Args:
        actual: The student's answer: a number, an array or nested lists of numbers. Where
            `expected` is a dictionary, a dictionary with the same keys.
        expected: The right answer, of the right shape.
        name: What the answer is, as the student would write it: `"relu(x)"`.
        rtol: Relative tolerance; 1e-6, or 1e-4 where the answer is float32.
        atol: Absolute tolerance; 1e-8, or 1e-5 where the answer is float32.
        slips: Explanation → the numbers that this slip would give. An answer that equals them is
            named so. Write each explanation as the end of "Likely cause: …". Where `expected` is a
            dictionary, a dictionary of such dictionaries.
        batch_size: Number of examples, so that a sum in place of a mean is recognised.

    Raises:
        Mistake: If shape or numbers differ.

    Example:
        >>> close([1.0, -2.0], [1.0, 2.0], name="relu(x)")
        Traceback (most recent call last):
            ...
        largemodels.check.Mistake: relu(x) is wrong: 1 of 2 numbers differs, at [1].
        You computed -2, expected 2.
    """
    options: dict[str, Any] = {"rtol": rtol, "atol": atol, "batch_size": batch_size}
    compare_parts(actual, expected, name, slips or {}, options)
    must_be_defined(expected, name)


def compare_parts(
    actual: Any, expected: Any, name: str, slips: Slips, options: Mapping[str, Any]
) -> None:
    """Do the work of `close`, also with numbers that a slip gives: these may be undefined."""
    if isinstance(expected, Mapping):
        _same_keys(actual, expected, name)
        for key, value in expected.items():
            part = f"{name}[{key!r}]"
            compare_parts(actual[key], value, part, slips.get(key) or {}, options)
        return
    numbers = np.asarray(expected, dtype=np.float64)
    compare(actual, numbers, name=name, slips=slips, **options)


def compare(
    actual: Any,
    expected: NDArray,
    *,
    name: str,
    rtol: float | None = None,
    atol: float | None = None,
    slips: Slips | None = None,
    batch_size: int | None = None,
    reference: str = "expected",
    tolerance: tuple[float, float] | None = None,
) -> None:
    """Do the work of `close` and `gradient`.

    `reference` says in the message where the right number comes from, and `tolerance` holds what
    `rtol` and `atol` are in float64 when they are not given.
    """
    numbers = as_numbers(actual, name, expected.shape)
    relative, absolute = tolerance or TOLERANCE
    if numbers.dtype == np.float32:
        relative = max(relative, TOLERANCE_FLOAT32[0])
        absolute = max(absolute, TOLERANCE_FLOAT32[1])
    relative = relative if rtol is None else rtol
    absolute = absolute if atol is None else atol

    # `numpy.isclose(..., equal_nan=True)` in a fifth of its time: tests ask a thousand times.
    def agree(a: NDArray, b: NDArray) -> NDArray:
        near = np.abs(a - b) <= absolute + relative * np.abs(b)
        return (near & np.isfinite(b)) | (a == b) | (np.isnan(a) & np.isnan(b))

    def equal(a: NDArray, b: NDArray) -> bool:
        return np.shape(a) == np.shape(b) and bool(np.all(agree(a, b)))

    # Infinite and undefined numbers are compared too; they need no warning on top.
    with np.errstate(all="ignore"):
        if equal(numbers, expected):
            return
        wrong = {text: np.asarray(value, np.float64) for text, value in (slips or {}).items()}
        reason = cause(numbers, expected, equal, slips=wrong, batch_size=batch_size)
        if numbers.shape == expected.shape:
            differs = ~agree(numbers, expected)
            lines = _first_difference(name, numbers, expected, differs, reference)
        else:
            lines = [
                f"{name} has the wrong shape.",
                f"You computed shape {numbers.shape}, expected {expected.shape}.",
            ]
    if reason:
        lines.append(f"Likely cause: {reason}")
    raise Mistake("\n".join(lines))


def shape(actual: Any, expected: Sequence[int], *, name: str = "your result") -> None:
    """Check the shape of an array, and nothing else.

    Args:
        actual: The student's array.
        expected: The right shape.
        name: What the array is.

    Raises:
        Mistake: If the shape differs.

    Example:
        >>> import numpy as np
        >>> shape(np.zeros((5, 3)), (5, 3))
    """
    found = as_numbers(actual, name, tuple(expected)).shape
    if found != tuple(expected):
        raise Mistake(
            f"{name} has the wrong shape.\nYou computed shape {found}, expected {tuple(expected)}."
        )


def that(condition: Any, otherwise: str) -> None:
    """Check a condition that is more than equal numbers.

    Args:
        condition: What must be true.
        otherwise: One or two sentences that say what is wrong when it is not.

    Raises:
        Mistake: If the condition does not hold.

    Example:
        >>> that(0.97 >= 0.95, "The test accuracy is below 95 %.")
    """
    if not condition:
        raise Mistake(otherwise)


def unpack(value: Any, *names: str) -> tuple[Any, ...]:
    """Check that a function returned as many values as it should, and return them.

    Args:
        value: What the function returned.
        names: What the values are called, in order.

    Raises:
        Mistake: If it is not a tuple or list of that many values.

    Example:
        >>> loss, grad = unpack((0.5, [1.0]), "loss", "grad")
    """
    wanted = f"Expected {len(names)} values, in this order: {', '.join(names)}."
    if value is None:
        raise Mistake(f"Your function returned None. {wanted}\nDoes it end with `return`?")
    if not isinstance(value, (tuple, list)):
        raise Mistake(f"Your function returned a single {_kind(value)}. {wanted}")
    if len(value) != len(names):
        raise Mistake(f"Your function returned {len(value)} values. {wanted}")
    return tuple(value)


@contextlib.contextmanager
def unchanged(**inputs: Any) -> Iterator[None]:
    """Check that the code inside leaves its inputs as they were, bit for bit.

    Args:
        inputs: Name → array, or dictionary of arrays.

    Raises:
        Mistake: If an input was changed in place.

    Example:
        >>> import numpy as np
        >>> x = np.array([-1.0, 2.0])
        >>> with unchanged(x=x):
        ...     np.maximum(x, 0, out=x)
        Traceback (most recent call last):
            ...
        largemodels.check.Mistake: Your function changed its input: x[0] was -1 and is now 0.
        Work on a copy: `x = x * 2` makes a new array, `x *= 2` and `x[0] = 2` change the old one.
    """
    arrays = dict(_named_arrays(inputs))
    before = {name: array.copy() for name, array in arrays.items()}
    yield
    for name, array in arrays.items():
        if array.tobytes() == before[name].tobytes():
            continue
        differs = (array != before[name]) | (np.signbit(array) != np.signbit(before[name]))
        index = tuple(int(i) for i in np.argwhere(differs)[0])
        was, now = _digits(before[name][index], array[index])
        raise Mistake(
            f"Your function changed its input: {name}{list(index)} was {was} and is now {now}.\n"
            "Work on a copy: `x = x * 2` makes a new array, `x *= 2` and `x[0] = 2` change the "
            "old one."
        )


def as_numbers(value: Any, name: str, expected_shape: tuple[int, ...]) -> NDArray:
    """Return `value` as an array of real numbers, or say what it is instead."""
    wanted = f"an array of shape {expected_shape}" if expected_shape else "one number"
    if value is None:
        raise Mistake(f"{name} is None, expected {wanted}.\nDoes your function end with `return`?")
    array = None
    # A tuple is several answers in one; NumPy would stack them without a word.
    if not isinstance(value, (tuple, str, bytes)):
        with contextlib.suppress(ValueError, TypeError):
            array = np.asarray(value)
    if array is None or array.dtype.kind not in "iufb":
        raise Mistake(f"{name} is {_a(_kind(value))}, expected {wanted}.")
    if array.dtype.kind == "b":
        raise Mistake(
            f"{name} holds True and False, expected numbers.\n"
            "A comparison such as `x > 0` is a mask: multiply it with what it should let through."
        )
    return array


def must_be_defined(expected: Any, name: str) -> None:
    """Let nothing be right where the right answer is nan, which would equal any other nan."""
    if isinstance(expected, Mapping):
        for key, value in expected.items():
            must_be_defined(value, f"{name}[{key!r}]")
    elif np.isnan(np.asarray(expected, dtype=np.float64)).any():
        raise Mistake(
            f"{name} cannot be checked, for the right answer is undefined (nan).\n"
            "Did your function change something that it was given?"
        )


def _kind(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of {len(value)} values"
    if isinstance(value, np.ndarray):
        return f"array of dtype {value.dtype}"
    return type(value).__name__


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _same_keys(actual: Any, expected: Mapping[str, Any], name: str) -> None:
    if actual is None:
        raise Mistake(
            f"{name} is None, expected a dictionary.\nDoes your function end with `return`?"
        )
    if not isinstance(actual, Mapping):
        raise Mistake(f"{name} is {_a(_kind(actual))}, expected a dictionary.")
    missing = [key for key in expected if key not in actual]
    unknown = [key for key in actual if key not in expected]
    if missing or unknown:
        found = f"missing {missing}" if missing else f"not expected {unknown}"
        raise Mistake(f"{name} has the wrong keys: {found}.\nExpected {list(expected)}.")


def _first_difference(
    name: str, actual: NDArray, expected: NDArray, wrong: NDArray, reference: str
) -> list[str]:
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    yours, right = _digits(actual[index], expected[index])
    values = f"You computed {yours}, {reference} {right}."
    if not index:
        return [f"{name} is wrong.", values]
    count = int(wrong.sum())
    where = f"differs, at {list(index)}" if count == 1 else f"differ, the first at {list(index)}"
    return [f"{name} is wrong: {count} of {wrong.size} numbers {where}.", values]


def _digits(first: Any, second: Any) -> tuple[str, str]:
    """Write two numbers with as many digits as it takes to tell them apart."""
    for precision in (6, 10, 17):
        texts = (f"{float(first):.{precision}g}", f"{float(second):.{precision}g}")
        if texts[0] != texts[1]:
            break
    return texts


def _named_arrays(inputs: Mapping[str, Any]) -> Iterator[tuple[str, NDArray]]:
    for name, value in inputs.items():
        if isinstance(value, Mapping):
            yield from _named_arrays({f"{name}[{key!r}]": v for key, v in value.items()})
        else:
            yield name, value

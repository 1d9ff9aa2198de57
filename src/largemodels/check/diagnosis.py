"""Find the known slip that explains wrong numbers.

Every function here compares a wrong answer with what one slip would have produced from the right
answer, and returns a sentence or None. No sentence is a guess: when nothing fits, nothing is said.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Equal = Callable[[NDArray, NDArray], bool]

# Tolerance below which a wrong answer counts as nearly right, relative to the largest number.
NEARLY = 1e-3


def cause(
    actual: NDArray,
    expected: NDArray,
    equal: Equal,
    *,
    slips: Mapping[str, NDArray],
    batch_size: int | None,
) -> str | None:
    """Name the slip that turns `expected` into `actual`, or return None.

    Args:
        actual: The student's numbers.
        expected: The right numbers.
        equal: Says whether two arrays agree, shape included.
        slips: Explanation → the numbers that this slip gives.
        batch_size: Number of examples, to recognise a mean that was forgotten or taken twice.
    """
    for explanation, wrong in slips.items():
        # A slip that makes no difference on these data explains nothing.
        if equal(actual, wrong) and not equal(wrong, expected):
            return explanation
    if actual.shape != expected.shape:
        return _shape(actual, expected, equal)
    return (
        _not_finite(actual, expected)
        or _integers(actual, expected, equal)
        or _empty(actual, equal)
        or _factor(actual, expected, equal, batch_size)
        or _nearly(actual, expected)
        or _offset(actual, expected, equal)
        or _sign_lost(actual, expected, equal)
        or _order(actual, expected, equal)
        or _normalised_over_the_wrong_axis(actual, expected, equal)
    )


def _shape(actual: NDArray, expected: NDArray, equal: Equal) -> str | None:
    if actual.size == expected.size:
        if actual.shape == expected.shape[::-1]:
            if equal(actual.T, expected):
                return "this is the right answer transposed: a `.T` is missing, or one too many."
            return "the axes are swapped: a `.T` is missing, or one too many."
        if equal(actual.reshape(expected.shape), expected):
            return (
                "the numbers are right, the axes are not: look for `keepdims=True` "
                "(missing, or one too many) or a `reshape`."
            )
    n = expected.size
    # Entry (i, j) of such a table mixes row i with row j, so its diagonal is what was meant.
    if actual.shape == (n, n) and equal(np.diagonal(actual), expected.ravel()):
        return f"broadcasting: shapes ({n}, 1) and ({n},) together give ({n}, {n})."
    if actual.ndim > expected.ndim:
        for axis in range(actual.ndim):
            for keepdims in (False, True):
                if equal(actual.sum(axis=axis, keepdims=keepdims), expected):
                    return f"the sum over axis {axis} is missing."
                if equal(actual.mean(axis=axis, keepdims=keepdims), expected):
                    return f"the mean over axis {axis} is missing."
    # A total of zero is no evidence: every row of a gradient of softmax has it.
    if equal(actual.sum(), expected.sum()) and not equal(expected.sum(), np.zeros(())):
        if actual.ndim == 0:
            return "you summed over every axis."
        return "you summed over the wrong axis."
    return None


def _not_finite(actual: NDArray, expected: NDArray) -> str | None:
    if np.isfinite(actual).all() or not np.isfinite(expected).all():
        return None
    what = "nan (not a number)" if np.isnan(actual).any() else "inf (infinity)"
    return (
        f"your result contains {what}: an `exp` of a large number, "
        "a `log` of zero or a division by zero."
    )


def _integers(actual: NDArray, expected: NDArray, equal: Equal) -> str | None:
    if actual.dtype.kind in "iu" and equal(actual, np.trunc(expected)):
        return (
            f"your array has dtype {actual.dtype}, and whole numbers lose everything after the "
            "point: make it with `dtype=float`."
        )
    return None


def _empty(actual: NDArray, equal: Equal) -> str | None:
    if actual.size > 1 and equal(actual, np.zeros_like(actual)):
        return "all your numbers are 0: is the result ever filled in?"
    return None


def _factor(actual: NDArray, expected: NDArray, equal: Equal, batch_size: int | None) -> str | None:
    at = np.flatnonzero(expected)
    if not at.size:
        return None
    factor = float(np.median(actual.flat[at] / expected.flat[at]))
    if factor == 0 or not equal(actual, factor * expected):
        return None

    def is_close(value: float) -> bool:
        return bool(np.isclose(factor, value, rtol=1e-4))

    what = "every number" if actual.size > 1 else "the number"
    if is_close(-1):
        return "the sign is flipped everywhere." if actual.size > 1 else "the sign is flipped."
    if batch_size is not None and batch_size > 1:
        if is_close(batch_size):
            return (
                f"{what} is {batch_size} times too large, and {batch_size} is the batch "
                "size: you took the sum over the batch where the mean belongs."
            )
        if is_close(1 / batch_size):
            return (
                f"{what} is {batch_size} times too small, and {batch_size} is the batch "
                "size: you divided by it once too often."
            )
    if is_close(2):
        return f"{what} is twice too large: look for a factor 2."
    if is_close(0.5):
        return f"{what} is half of what it should be: a factor 2 is missing."
    # Two single numbers always have a ratio; only several numbers make it a finding. A ratio near 1
    # is better called nearly right.
    if at.size > 1 and abs(factor - 1) > NEARLY:
        return f"every number is {factor:.4g} times the expected one."
    return None


def _nearly(actual: NDArray, expected: NDArray) -> str | None:
    largest = float(np.max(np.abs(expected), initial=0.0))
    difference = float(np.max(np.abs(actual - expected), initial=0.0))
    # An infinite number is near to none.
    if not np.isfinite(difference) or difference > NEARLY * largest:
        return None
    if actual.dtype == np.float16:
        return "nearly right: float16 keeps only three digits."
    return (
        f"nearly right, the largest difference is {difference:.2g}: look for a small number "
        "added where none belongs, a one-sided difference, or a loss of precision."
    )


def _offset(actual: NDArray, expected: NDArray, equal: Equal) -> str | None:
    offset = float(np.median(actual - expected))
    if actual.size > 1 and equal(actual, expected + offset):
        side = "large" if offset > 0 else "small"
        return f"every number is {abs(offset):.4g} too {side}."
    return None


def _sign_lost(actual: NDArray, expected: NDArray, equal: Equal) -> str | None:
    if equal(actual, np.abs(expected)):
        return "the numbers are right, but all are positive: an absolute value too many."
    return None


def _order(actual: NDArray, expected: NDArray, equal: Equal) -> str | None:
    if actual.ndim == 2 and equal(actual, expected.T):
        return "this is the right answer transposed: a `.T` is missing, or one too many."
    # Few different numbers fall into another order by chance.
    if np.unique(expected).size < 3:
        return None
    for axis in range(actual.ndim):
        if equal(actual, np.flip(expected, axis=axis)):
            return f"the numbers run backwards along axis {axis}."
    if equal(np.sort(actual, axis=None), np.sort(expected, axis=None)):
        return "the right numbers in the wrong places: a `reshape` where a `.T` belongs?"
    return None


def _normalised_over_the_wrong_axis(actual: NDArray, expected: NDArray, equal: Equal) -> str | None:
    if expected.ndim != 2 or not equal(expected.sum(axis=1), np.ones(len(expected))):
        return None
    if equal(actual.sum(axis=0), np.ones(actual.shape[1])):
        return "your columns sum to 1; the rows should: sum over axis 1, and keep that axis."
    if equal(actual.sum(), np.ones(())):
        return "all numbers together sum to 1; each row should: sum over axis 1, and keep it."
    return None

"""Check a gradient against the slope that central differences measure."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from largemodels.check.comparison import Slips, as_numbers, compare, must_be_defined
from largemodels.check.session import seed

# Near the cube root of the float64 precision, where the errors of truncation (step²) and of
# rounding (1 / step) are both small.
STEP = 1e-5
# What such a difference can tell in float64.
TOLERANCE = (1e-5, 1e-7)


def gradient(
    function: Callable[[NDArray], ArrayLike],
    backward: Callable[[NDArray], Any] | ArrayLike,
    *,
    at: ArrayLike,
    name: str = "the gradient",
    rtol: float | None = None,
    atol: float | None = None,
    slips: Slips | None = None,
    batch_size: int | None = None,
) -> None:
    """Check a gradient by nudging every input, `(f(x + h) - f(x - h)) / 2h`, in float64.

    An array-valued function `y = f(x)` is checked with a random upstream gradient `dL/dy`, no two
    numbers of which are equal, so that a backward pass that ignores or sums it cannot pass.
    A gradient check says nothing about `function` itself: check its values with `close` as well.

    Args:
        function: Computes `f(x)`, a number or an array.
        backward: Computes `dL/dx` from `dL/dy`. Where `f` returns one number, the gradient itself.
        at: The point `x`.
        name: What the gradient is called.
        rtol: Relative tolerance; 1e-5, or 1e-4 where the gradient is float32.
        atol: Absolute tolerance; 1e-7, or 1e-5 where the gradient is float32.
        slips: Explanation → the numbers that this slip would give, as in `close`.
        batch_size: Number of examples, so that a sum in place of a mean is recognised.

    Raises:
        Mistake: If the gradient differs from the measured slope.

    Example:
        >>> x = np.array([1.0, 3.0])
        >>> gradient(np.square, lambda upstream: upstream * x, at=x, name="grad_x")
        Traceback (most recent call last):
            ...
        largemodels.check.Mistake: grad_x is wrong: 2 of 2 numbers differ, the first at [0].
        ...
        Likely cause: every number is half of what it should be: a factor 2 is missing.
    """
    x = np.array(at, dtype=np.float64)
    jacobian = _jacobian(function, x)
    output_shape = jacobian.shape[x.ndim :]
    if callable(backward):
        upstream = np.random.default_rng(seed(name)).normal(size=output_shape)
        actual = backward(upstream.copy())
    else:
        if output_shape:
            raise ValueError(
                f"`backward` must be a function of the upstream gradient, because `function` "
                f"returns an array of shape {output_shape}."
            )
        upstream = np.ones(())
        actual = backward
    must_be_defined(jacobian, name)
    axes = len(output_shape)
    slips = dict(slips or {})
    if axes:
        slips["the upstream gradient is ignored: multiply by it (chain rule)."] = np.tensordot(
            jacobian, np.ones(output_shape), axes=axes
        )
    compare(
        actual,
        np.tensordot(jacobian, upstream, axes=axes),
        name=name,
        rtol=rtol,
        atol=atol,
        slips=slips,
        batch_size=batch_size,
        reference="central differences give",
        tolerance=TOLERANCE,
    )


def _jacobian(function: Callable[[NDArray], ArrayLike], x: NDArray) -> NDArray:
    """Return the slope of every output along every input, inputs first."""

    def evaluate(point: NDArray) -> NDArray:
        return as_numbers(function(point), "the result of the function", ()).astype(np.float64)

    slopes = []
    for index in np.ndindex(x.shape):
        ends = []
        for step in (STEP, -STEP):
            nudged = x.copy()
            nudged[index] += step
            ends.append(evaluate(nudged))
        slopes.append((ends[0] - ends[1]) / (2 * STEP))
    return np.reshape(slopes, x.shape + slopes[0].shape)

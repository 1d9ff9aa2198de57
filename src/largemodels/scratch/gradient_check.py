"""The gradient check: compare a backward pass with what the forward pass really does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from largemodels.scratch.layer import Layer, check_shape
from largemodels.scratch.losses import Loss

__all__ = ["GradientCheck", "gradient_check", "gradient_check_loss", "numeric_gradient"]

# The step h. The error of a central difference is about h² by the formula and 10⁻¹⁶ / h by
# rounding; both are about 10⁻¹⁰ here.
STEP = 1e-5
# Below this size, a gradient is compared by its absolute error: rounding is all that is left of it.
SMALL = 1e-3
TOLERANCE = 1e-6


@dataclass(frozen=True)
class GradientCheck:
    """The result of a gradient check: where analytic and numeric gradient differ most.

    Attributes:
        worst_error: |analytic − numeric| / max(|analytic|, |numeric|, 0.001) at the worst place.
        parameter: the name of the array with the worst place: a parameter's name, or "input".
        index: the index of the worst place in that array.
        analytic: what the backward pass says there.
        numeric: what the central difference says there.
        passed: whether the worst error is within 10⁻⁶. The result itself is true or false, too.

    Example:
        >>> from largemodels.scratch import Linear
        >>> class Wrong(Linear):
        ...     def backward(self, grad_output):
        ...         grad_input = super().backward(grad_output)
        ...         self.bias.grad *= 2  # A slip.
        ...         return grad_input
        >>> layer = Wrong(2, 2, dtype=np.float64, rng=np.random.default_rng(0))
        >>> result = gradient_check(layer, np.ones((3, 2)), np.random.default_rng(0))
        >>> bool(result), result.parameter, round(result.worst_error, 3)
        (False, 'bias', 0.5)

    Taught in: book/algorithms/backpropagation.md
    """

    worst_error: float
    parameter: str
    index: tuple[int, ...]
    analytic: float
    numeric: float
    passed: bool

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        place = f"{self.parameter}[{', '.join(map(str, self.index))}]"
        return (
            f"gradient check {'passed' if self.passed else 'failed'}: worst error "
            f"{self.worst_error:.2g} at {place}, "
            f"analytic {self.analytic:.9g}, numeric {self.numeric:.9g}"
        )


def numeric_gradient(
    function: Callable[[], np.ndarray | float], x: np.ndarray, grad_output: np.ndarray | float = 1.0
) -> np.ndarray:
    """Return the gradient of a function by central differences, one number of `x` at a time.

    ∂L/∂xᵢ ≈ Σ (f(x + h eᵢ) − f(x − h eᵢ)) / 2h · ∂L/∂f

    Args:
        function: computes f; it takes no argument and reads `x` itself.
        x: the array to differentiate by, float64; it is changed and restored.
        grad_output: the upstream gradient ∂L/∂f.

    Example:
        >>> x = np.array([1.0, 2.0, 3.0])
        >>> numeric_gradient(lambda: (x**2).sum(), x).round(6)
        array([2., 4., 6.])

    Taught in: book/algorithms/backpropagation.md
    """
    grad = np.empty_like(x)
    for index in np.ndindex(x.shape):
        original = x[index]
        x[index] = original + STEP
        above = np.copy(function())  # A copy, because the output may be `x` itself.
        x[index] = original - STEP
        below = np.copy(function())
        x[index] = original
        grad[index] = np.sum((above - below) * grad_output) / (2 * STEP)
    return grad


def gradient_check(
    layer: Layer, x: np.ndarray, rng: np.random.Generator | None = None
) -> GradientCheck:
    """Check the backward pass of a layer or a network, for every parameter and for the input.

    The loss of the check is L = Σ R · layer(x) with a random upstream gradient R. All numbers are
    float64. The layer and `x` stay as they are: the check works on copies.

    Args:
        layer: the layer or the network. Its forward pass must not be random.
        x: an input, small enough that a forward pass for each of its numbers is cheap.
        rng: the random generator of R; `None` takes a new one.

    Raises:
        ValueError: if the backward pass leaves a gradient out or returns one of a wrong shape.

    Example:
        >>> from largemodels.scratch import MLP
        >>> rng = np.random.default_rng(0)
        >>> result = gradient_check(MLP([3, 4, 2], rng=rng), rng.standard_normal((5, 3)), rng)
        >>> result.passed
        True

    Taught in: book/algorithms/backpropagation.md
    """
    rng = np.random.default_rng(rng)
    layer = copy.deepcopy(layer)
    for parameter in layer.parameters():
        parameter.grad = None
        parameter.data = parameter.data.astype(np.float64)
    x = np.array(x, dtype=np.float64)

    grad_output = rng.standard_normal(layer(x).shape)
    analytic = {"input": layer.backward(grad_output)}
    check_shape("the gradient of the input", analytic["input"], x.shape)
    for name, parameter in layer.named_parameters():
        if parameter.grad is None:
            raise ValueError(f"The backward pass did not set the gradient of `{name}`.")
        analytic[name] = parameter.grad

    arrays = {"input": x} | {name: p.data for name, p in layer.named_parameters()}
    numeric = {
        name: numeric_gradient(lambda: layer(x), array, grad_output)
        for name, array in arrays.items()
    }
    return _compare(analytic, numeric)


def gradient_check_loss(loss: Loss, prediction: np.ndarray, target: np.ndarray) -> GradientCheck:
    """Check the backward pass of a loss with respect to the prediction.

    Args:
        loss: the loss.
        prediction: a prediction, small enough that a forward pass for each number is cheap.
        target: its target.

    Raises:
        ValueError: if the backward pass returns a gradient of a wrong shape.

    Example:
        >>> from largemodels.scratch import MSELoss
        >>> gradient_check_loss(MSELoss(), np.array([[1.0, 2.0]]), np.array([[0.0, 5.0]])).passed
        True

    Taught in: book/algorithms/backpropagation.md
    """
    prediction = np.array(prediction, dtype=np.float64)
    loss(prediction, target)
    analytic = loss.backward()
    check_shape("the gradient of the input", analytic, prediction.shape)
    numeric = numeric_gradient(lambda: loss(prediction, target), prediction)
    return _compare({"input": analytic}, {"input": numeric})


def _compare(analytic: dict[str, np.ndarray], numeric: dict[str, np.ndarray]) -> GradientCheck:
    """Find the place where two sets of gradients differ most."""
    results = []
    for name in analytic:
        a, n = analytic[name], numeric[name]
        error = np.abs(a - n) / np.maximum(np.maximum(np.abs(a), np.abs(n)), SMALL)
        # A gradient that is not a number is as wrong as can be.
        error = np.where(np.isnan(error), np.inf, error)
        index = tuple(int(i) for i in np.unravel_index(error.argmax(), error.shape))
        worst = float(error[index])
        results.append(
            GradientCheck(worst, name, index, float(a[index]), float(n[index]), worst <= TOLERANCE)
        )
    return max(results, key=lambda result: result.worst_error)

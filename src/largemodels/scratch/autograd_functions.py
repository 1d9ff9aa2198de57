"""Functions of tensors that differentiate themselves: the counterpart of `torch.nn.functional`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from largemodels.scratch import activations
from largemodels.scratch.autograd import Tensor, as_tensors, record
from largemodels.scratch.losses import CrossEntropyLoss
from largemodels.scratch.windows import Pair, add_windows, as_pair, windows

__all__ = [
    "concatenate",
    "conv2d",
    "cross_entropy",
    "exp",
    "log",
    "log_softmax",
    "maximum",
    "relu",
    "sigmoid",
    "softmax",
    "stack",
    "tanh",
    "where",
]


def exp(x: Tensor) -> Tensor:
    """Return eˣ.

    y = eˣ,  ∂L/∂x = ∂L/∂y · y

    Args:
        x: a tensor of any shape.

    Example:
        >>> exp(Tensor([0.0, 1.0]))
        tensor([1.        , 2.71828183])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    y = np.exp(x.data)
    return record("exp", y, (x, lambda g: g * y))


def log(x: Tensor) -> Tensor:
    """Return the natural logarithm.

    y = ln x,  ∂L/∂x = ∂L/∂y / x

    Args:
        x: a tensor of any shape.

    Example:
        >>> log(Tensor([1.0, 10.0]))
        tensor([0.        , 2.30258509])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    return record("log", np.log(x.data), (x, lambda g: g / x.data))


def tanh(x: Tensor) -> Tensor:
    """Squash every number into the range from −1 to 1.

    y = tanh(x),  ∂L/∂x = ∂L/∂y · (1 − y²)

    Args:
        x: a tensor of any shape.

    Example:
        >>> tanh(Tensor([-1000.0, 0.0, 1000.0]))
        tensor([-1.,  0.,  1.])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    y = activations.tanh(x.data)
    return record("tanh", y, (x, lambda g: g * (1 - y**2)))


def sigmoid(x: Tensor) -> Tensor:
    """Squash every number into the range from 0 to 1.

    y = 1 / (1 + exp(−x)),  ∂L/∂x = ∂L/∂y · y (1 − y)

    Args:
        x: a tensor of any shape.

    Example:
        >>> sigmoid(Tensor([-1000.0, 0.0, 1000.0]))
        tensor([0. , 0.5, 1. ])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    y = activations.sigmoid(x.data)
    return record("sigmoid", y, (x, lambda g: g * y * (1 - y)))


def relu(x: Tensor) -> Tensor:
    """Keep what is positive and set the rest to zero.

    y = max(x, 0),  ∂L/∂x = ∂L/∂y where x > 0, otherwise 0

    Args:
        x: a tensor of any shape.

    Example:
        >>> relu(Tensor([-1.0, 0.0, 2.0]))
        tensor([0., 0., 2.])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    return record("relu", activations.relu(x.data), (x, lambda g: g * (x.data > 0)))


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Turn scores into probabilities: positive numbers that sum to 1 along `axis`.

    yᵢ = exp(xᵢ) / Σⱼ exp(xⱼ),  ∂L/∂xᵢ = yᵢ (∂L/∂yᵢ − Σⱼ ∂L/∂yⱼ yⱼ)

    Args:
        x: scores (logits) of any shape.
        axis: the axis of the classes.

    Example:
        >>> softmax(Tensor([1000.0, 1000.0, -1000.0]))
        tensor([0.5, 0.5, 0. ])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    y = activations.softmax(x.data, axis)
    return record("softmax", y, (x, lambda g: y * (g - (g * y).sum(axis, keepdims=True))))


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return the logarithm of `softmax`, also where the probability itself rounds to 0.

    yᵢ = xᵢ − log Σⱼ exp(xⱼ),  ∂L/∂xᵢ = ∂L/∂yᵢ − exp(yᵢ) Σⱼ ∂L/∂yⱼ

    Args:
        x: scores (logits) of any shape.
        axis: the axis of the classes.

    Example:
        >>> log_softmax(Tensor([1000.0, 0.0]))
        tensor([    0., -1000.])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    y = activations.log_softmax(x.data, axis)
    return record("log_softmax", y, (x, lambda g: g - np.exp(y) * g.sum(axis, keepdims=True)))


def maximum(x: Any, y: Any) -> Tensor:
    """Return the larger one of each pair of numbers; equal ones share the gradient.

    z = max(x, y),  ∂L/∂x = ∂L/∂z where x > y, half of it where x = y, otherwise 0

    Args:
        x: a tensor or an array of any shape.
        y: another one that broadcasts with it.

    Example:
        >>> maximum(Tensor([1.0, 5.0]), 3.0)
        tensor([3., 5.])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    x, y = as_tensors(x, y)
    share = ((x.data > y.data) + 1.0 * (x.data >= y.data)) / 2  # 1, ½ or 0 goes to x.
    return record(
        "maximum",
        np.maximum(x.data, y.data),
        (x, lambda g: g * share),
        (y, lambda g: g * (1 - share)),
    )


def where(condition: np.ndarray, x: Any, y: Any) -> Tensor:
    """Take from `x` where the condition is true, and from `y` elsewhere.

    z = x or y,  ∂L/∂x = ∂L/∂z where the condition is true, otherwise 0; ∂L/∂y the other way round

    Args:
        condition: true or false, an array.
        x: a tensor or an array that broadcasts with it.
        y: another one.

    Example:
        >>> where(np.array([True, False]), Tensor([1.0, 2.0]), 0.0)
        tensor([1., 0.])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    x, y = as_tensors(x, y)
    return record(
        "where",
        np.where(condition, x.data, y.data),
        (x, lambda g: np.where(condition, g, 0)),
        (y, lambda g: np.where(condition, 0, g)),
    )


def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join tensors along an axis; each one gets its piece of the gradient.

    z = (x, y, …),  ∂L/∂x = the piece of ∂L/∂z that x is

    Args:
        tensors: the tensors, of one shape but for that axis.
        axis: the axis.

    Example:
        >>> concatenate([Tensor([1.0, 2.0]), Tensor([3.0])])
        tensor([1., 2., 3.])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    data = np.concatenate([x.data for x in tensors], axis)
    ends = np.cumsum([x.shape[axis] for x in tensors])
    inputs = [(x, lambda g, n=n: np.split(g, ends, axis)[n]) for n, x in enumerate(tensors)]
    return record("concatenate", data, *inputs)


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis.

    z = (x; y; …),  ∂L/∂x = the slice of ∂L/∂z that x is

    Args:
        tensors: the tensors, of one shape.
        axis: where the new axis stands.

    Example:
        >>> stack([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])], axis=1)
        tensor([[1., 3.],
                [2., 4.]])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    return concatenate([x.reshape(*np.expand_dims(x.data, axis).shape) for x in tensors], axis)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Slide filters over images, as `scratch.Conv2d` does.

    y[n, o, i, j] = Σ weight[o, c, u, v] x[n, c, s i + d u, s j + d v] + bias[o]
    s the stride, d the dilation, x padded, the sum over c, u and v

    Args:
        x: the images.
        weight: the filters.
        bias: a number for each filter; `None` is zeros.
        stride: the step of the filters in pixels.
        padding: the zeros at each edge in pixels.
        dilation: the distance of the points of a filter in pixels.

    Shape:
        x (N, C, H, W), weight (O, C, KH, KW), bias (O,) -> (N, O, OH, OW)

    Raises:
        ValueError: if a shape does not fit or a setting is too small.

    Example:
        >>> x = Tensor([[[[1.0, 2.0, 3.0]]]], requires_grad=True)
        >>> y = conv2d(x, Tensor([[[[1.0, 10.0]]]]))
        >>> y
        tensor([[[[21., 32.]]]], grad_fn=<conv2d>)
        >>> y.backward(np.ones((1, 1, 1, 2)))
        >>> x.grad
        array([[[[ 1., 11., 10.]]]])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    if weight.data.ndim != 4:
        raise ValueError(f"`weight` must have shape (O, C, KH, KW), got {weight.shape}.")
    if x.data.ndim != 4 or x.shape[1] != weight.shape[1]:
        raise ValueError(f"`x` must have shape (N, {weight.shape[1]}, H, W), got {x.shape}.")
    settings = (
        as_pair("stride", stride, minimum=1),
        as_pair("padding", padding, minimum=0),
        as_pair("dilation", dilation, minimum=1),
    )
    _, _, height, width = x.shape
    kernel = weight.data.transpose(2, 3, 1, 0)  # (O, C, KH, KW) -> (KH, KW, C, O)
    view = windows(x.data, kernel.shape[:2], *settings)  # (KH, KW, C, OH, OW, N)
    y = np.tensordot(kernel, view, axes=((0, 1, 2), (0, 1, 2)))  # -> (O, OH, OW, N)

    def grad_x(g: np.ndarray) -> np.ndarray:
        grad_view = np.tensordot(kernel, np.moveaxis(g, 0, -1), axes=1)  # shape of `view`
        return add_windows(grad_view, (height, width), *settings)

    def grad_weight(g: np.ndarray) -> np.ndarray:
        grad = np.tensordot(view, g, axes=((3, 4, 5), (2, 3, 0)))  # -> (KH, KW, C, O)
        return grad.transpose(3, 2, 0, 1)  # (KH, KW, C, O) -> (O, C, KH, KW)

    # (O, OH, OW, N) -> (N, O, OH, OW)
    output = record("conv2d", np.moveaxis(y, -1, 0), (x, grad_x), (weight, grad_weight))
    return output if bias is None else output + bias.reshape(-1, 1, 1)


def cross_entropy(logits: Tensor, target: np.ndarray) -> Tensor:
    """Return the mean cross-entropy of logits (N, C) for integer classes `target` (N,).

    L = −1/N Σₙ log softmax(xₙ)[tₙ],  ∂L/∂x = (softmax(x) − onehot(t)) / N

    Args:
        logits: the scores, shape (N, C).
        target: the classes t, integers, shape (N,).

    Raises:
        ValueError: if a shape is wrong, or a target is not an integer from 0 to C − 1.

    Example:
        >>> logits = Tensor([[2.0, 0.0], [0.0, 0.0]], requires_grad=True)
        >>> loss = cross_entropy(logits, np.array([0, 1]))
        >>> round(loss.item(), 4)
        0.41
        >>> loss.backward()
        >>> logits.grad.round(4)
        array([[-0.0596,  0.0596],
               [ 0.25  , -0.25  ]])

    Taught in: book/algorithms/automatic_differentiation.md
    """
    loss = CrossEntropyLoss()
    value = np.asarray(loss(logits.data, target), logits.data.dtype)
    return record("cross_entropy", value, (logits, lambda g: g * loss.backward()))

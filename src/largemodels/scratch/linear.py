"""The fully connected layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.initializers import INITIALIZERS
from largemodels.scratch.layer import Layer, Parameter, check_shape

__all__ = ["Linear"]


class Linear(Layer):
    """Weigh the input features, sum them up and add a bias, once for each output feature.

    forward:   y = x Wᵀ + b
    backward:  ∂L/∂W = (∂L/∂y)ᵀ x,  ∂L/∂b = Σₙ ∂L/∂yₙ,  ∂L/∂x = ∂L/∂y W

    Args:
        in_features: the size of an input row.
        out_features: the size of an output row.
        bias: whether to add b; it starts at zero.
        rng: the random generator of the initial weight; `None` takes a new one.
        initializer: the distribution of the initial weight, a name in `INITIALIZERS`.
        dtype: the type of the parameters.

    Attributes:
        weight: W, shape (out_features, in_features).
        bias: b, shape (out_features,), or `None`.

    Shape:
        (N, in_features) -> (N, out_features)

    Raises:
        ValueError: if a size is below 1, the initializer is unknown or an input has a wrong shape.

    Example:
        >>> layer = Linear(3, 2)
        >>> layer.weight.data[...] = [[1, 2, 3], [4, 5, 6]]
        >>> layer(np.array([[1, 0, -1]], dtype=np.float32))
        array([[-2., -2.]], dtype=float32)
        >>> layer.backward(np.array([[1, 10]], dtype=np.float32))
        array([[41., 52., 63.]], dtype=float32)
        >>> layer.weight.grad
        array([[  1.,   0.,  -1.],
               [ 10.,   0., -10.]], dtype=float32)

    Taught in: book/algorithms/backpropagation.md
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        initializer: str = "he_normal",
        dtype: DTypeLike = np.float32,
    ) -> None:
        if in_features < 1:
            raise ValueError(f"`in_features` (={in_features}) must be at least 1.")
        if out_features < 1:
            raise ValueError(f"`out_features` (={out_features}) must be at least 1.")
        if initializer not in INITIALIZERS:
            known = ", ".join(INITIALIZERS)
            raise ValueError(f"`initializer` (={initializer!r}) must be one of: {known}.")
        rng = np.random.default_rng(rng)
        self.in_features = in_features
        self.out_features = out_features
        shape = (out_features, in_features)
        self.weight = Parameter(INITIALIZERS[initializer](shape, rng, dtype))
        self.bias = Parameter(np.zeros(out_features, dtype)) if bias else None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return y = x Wᵀ + b for `x` of shape (N, in_features)."""
        if x.ndim != 2 or x.shape[1] != self.in_features:
            raise ValueError(f"`x` must have shape (N, {self.in_features}), got {x.shape}.")
        self.saved = x
        y = x @ self.weight.data.T  # (N, in) @ (in, out) -> (N, out)
        if self.bias is not None:
            y = y + self.bias.data  # (N, out) + (out,) -> (N, out)
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Set the gradients of W and b, and return ∂L/∂x from `grad_output` = ∂L/∂y."""
        x = self.saved
        check_shape("grad_output", grad_output, (len(x), self.out_features))
        self.weight.grad = grad_output.T @ x  # (out, N) @ (N, in) -> (out, in)
        if self.bias is not None:
            self.bias.grad = grad_output.sum(axis=0)  # (N, out) -> (out,)
        return grad_output @ self.weight.data  # (N, out) @ (out, in) -> (N, in)

    def extra_repr(self) -> str:
        """Return the sizes, as PyTorch prints them."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )

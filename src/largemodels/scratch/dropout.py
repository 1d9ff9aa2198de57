"""Dropout: learn without relying on any single number.

Taught in: book/algorithms/attention_and_transformers.md
"""

from __future__ import annotations

import numpy as np

from largemodels.scratch.layer import Layer, check_shape

__all__ = ["Dropout"]


class Dropout(Layer):
    """Set each number to zero with probability p while the network learns; scale up the rest.

    forward:   training: y = x · m / (1 − p),  each m is 0 with probability p, otherwise 1
               evaluation: y = x
    backward:  training: ∂L/∂x = ∂L/∂y · m / (1 − p),  with the m of the forward pass
               evaluation: ∂L/∂x = ∂L/∂y

    The division keeps the mean of y equal to x, so evaluation has nothing to correct ("inverted"
    dropout).

    Args:
        p: the probability of a zero, from 0 to 1.
        rng: the random generator of the zeros; `None` takes a new one.

    Shape:
        any -> the same

    Raises:
        ValueError: if `p` is no probability, or a gradient has a wrong shape.

    Source:
        Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to
        prevent neural networks from overfitting", JMLR 15, 2014, section 4; scaled while the
        network learns, as in section 10.

    Example:
        >>> layer = Dropout(0.75, rng=np.random.default_rng(1))
        >>> layer(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
        array([ 0.,  0., 12., 16.,  0.])
        >>> layer.backward(np.array([1.0, 1.0, 1.0, 1.0, 1.0]))
        array([0., 0., 4., 4., 0.])
        >>> layer.eval()(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
        array([1., 2., 3., 4., 5.])
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"`p` (={p}) must be from 0 to 1.")
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return x · m / (1 − p) in training, and `x` in evaluation."""
        if not self.training or self.p == 0:
            self.saved = x.shape, None
            return x
        kept = self.rng.random(x.shape, dtype=np.float32) >= self.p
        # With p = 1 nothing is kept, and there is nothing to scale.
        scale = 0.0 if self.p == 1 else 1 / (1 - self.p)
        factor = kept * x.dtype.type(scale)
        self.saved = x.shape, factor
        return x * factor

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        shape, factor = self.saved
        check_shape("grad_output", grad_output, shape)
        return grad_output if factor is None else grad_output * factor

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p}"

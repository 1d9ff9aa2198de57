"""Dropout: learn without relying on any single number."""

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

    In a sequence (N, T, H), a new m at each step would make a recurrent network forget a little at
    each step. With `shared_axes=(1,)`, one m serves all steps ("variational" dropout).

    Args:
        p: the probability of a zero, from 0 to 1.
        shared_axes: the axes along which all numbers have one and the same m.
        rng: the random generator of the zeros; `None` takes a new one.

    Shape:
        any -> the same

    Raises:
        ValueError: if `p` is no probability, the input lacks one of the `shared_axes`, or a
            gradient has a wrong shape.

    Source:
        Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to
        prevent neural networks from overfitting", JMLR 15, 2014, section 4; scaled while the
        network learns, as in section 10. One m for all steps: Gal and Ghahramani, "A theoretically
        grounded application of dropout in recurrent neural networks", NeurIPS 2016.

    Example:
        >>> layer = Dropout(0.75, rng=np.random.default_rng(1))
        >>> layer(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
        array([ 0.,  0., 12., 16.,  0.])
        >>> layer.backward(np.array([1.0, 1.0, 1.0, 1.0, 1.0]))
        array([0., 0., 4., 4., 0.])
        >>> layer.eval()(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
        array([1., 2., 3., 4., 5.])

    Taught in: book/training/regularization.md
    """

    def __init__(
        self,
        p: float = 0.5,
        *,
        shared_axes: tuple[int, ...] = (),
        rng: np.random.Generator | None = None,
    ) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"`p` (={p}) must be from 0 to 1.")
        self.p = p
        self.shared_axes = shared_axes
        self.rng = np.random.default_rng(rng)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return x · m / (1 − p) in training, and `x` in evaluation."""
        if not self.training or self.p == 0:
            self.saved = x.shape, None
            return x
        kept = self.rng.random(self._mask_shape(x.shape), dtype=np.float32) >= self.p
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

    def _mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        sizes = list(shape)
        for axis in self.shared_axes:
            if not -len(shape) <= axis < len(shape):
                raise ValueError(
                    f"`shared_axes` (={self.shared_axes}) must be axes of `x`, got shape {shape}."
                )
            sizes[axis] = 1
        return tuple(sizes)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"p={self.p}" + (f", shared_axes={self.shared_axes}" if self.shared_axes else "")

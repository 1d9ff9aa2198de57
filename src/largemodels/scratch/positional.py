"""Positional encodings: attention does not see the order of its inputs, so tell it."""

from __future__ import annotations

import numpy as np

from largemodels.scratch.layer import Layer, check_shape

__all__ = ["RotaryEmbedding", "SinusoidalEncoding", "sinusoidal_encoding"]


def _angles(positions: int, features: int, base: float) -> np.ndarray:
    """Return the angle of each position and each pair of features, (T, D/2).

    angle[t, i] = t · base^(−2i / D)
    """
    frequencies = base ** (-np.arange(0, features, 2) / features)  # (D/2,)
    return np.arange(positions)[:, None] * frequencies  # (T, 1) * (D/2,) -> (T, D/2)


def _check_features(name: str, features: int, base: float) -> None:
    if features < 2 or features % 2:
        raise ValueError(f"`{name}` (={features}) must be even and at least 2.")
    if not base > 0:
        raise ValueError(f"`base` (={base}) must be above 0.")


def sinusoidal_encoding(positions: int, d_model: int, base: float = 10_000.0) -> np.ndarray:
    """Return a row of sines and cosines for each position, from fast ones to slow ones.

    PE[t, 2i] = sin(t / base^(2i / D)),  PE[t, 2i + 1] = cos(t / base^(2i / D))

    The row of position t + k is a rotation of the row of t that depends on k only.

    Args:
        positions: the number T of positions.
        d_model: the number D of features, even.
        base: the waves are 2π positions long at first, and come close to 2π · base at last.

    Returns:
        The encoding, float64, shape (T, D).

    Raises:
        ValueError: if a number is out of its range.

    Source:
        Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.5.

    Example:
        >>> sinusoidal_encoding(3, 4).round(3)
        array([[ 0.   ,  1.   ,  0.   ,  1.   ],
               [ 0.841,  0.54 ,  0.01 ,  1.   ],
               [ 0.909, -0.416,  0.02 ,  1.   ]])

    Taught in: book/algorithms/attention_and_transformers.md
    """
    if positions < 0:
        raise ValueError(f"`positions` (={positions}) must be at least 0.")
    _check_features("d_model", d_model, base)
    angles = _angles(positions, d_model, base)
    pairs = np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # (T, D/2, 2)
    return pairs.reshape(positions, d_model)  # (T, D/2, 2) -> (T, D)


class SinusoidalEncoding(Layer):
    """Add the sinusoidal encoding of its position to each vector of a sequence.

    forward:   y[n, t] = x[n, t] + PE[t],  PE from `sinusoidal_encoding`
    backward:  ∂L/∂x = ∂L/∂y

    Args:
        d_model: the number D of features, even.
        base: as in `sinusoidal_encoding`.

    Shape:
        (..., T, D) -> (..., T, D)

    Raises:
        ValueError: if a setting is out of its range, or an input or a gradient has a wrong shape.

    Source:
        Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.5.

    Example:
        >>> layer = SinusoidalEncoding(2)
        >>> layer(np.array([[10.0, 20.0], [10.0, 20.0]])).round(3)
        array([[10.   , 21.   ],
               [10.841, 20.54 ]])
        >>> layer.backward(np.array([[1.0, 2.0], [3.0, 4.0]]))
        array([[1., 2.],
               [3., 4.]])

    Taught in: book/algorithms/attention_and_transformers.md
    """

    def __init__(self, d_model: int, base: float = 10_000.0) -> None:
        _check_features("d_model", d_model, base)
        self.d_model = d_model
        self.base = base

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return `x` + PE for `x` of shape (..., T, D)."""
        _check_sequence(x, self.d_model)
        self.saved = x.shape
        encoding = sinusoidal_encoding(x.shape[-2], self.d_model, self.base)
        return x + encoding.astype(x.dtype)  # (..., T, D) + (T, D)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        check_shape("grad_output", grad_output, self.saved)
        return grad_output

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.d_model}, base={self.base}"


class RotaryEmbedding(Layer):
    """Rotate each pair of features by an angle that grows with the position.

    forward:   (y₂ᵢ, y₂ᵢ₊₁) = R(θ) (x₂ᵢ, x₂ᵢ₊₁),  θ = t · base^(−2i / D),
               R(θ) = [[cos θ, −sin θ], [sin θ, cos θ]]
    backward:  (∂L/∂x₂ᵢ, ∂L/∂x₂ᵢ₊₁) = R(−θ) (∂L/∂y₂ᵢ, ∂L/∂y₂ᵢ₊₁)

    It serves queries and keys, before their product. Two rotations leave their difference in it:
    the score of query t and key s depends on t − s, not on t and s themselves.

    The pairs are neighbors, as in the paper. Some libraries pair feature i with i + D/2 instead:
    the same layer, with the features in another order.

    Args:
        dim: the number D of features of a head, even.
        base: the slowest pair turns once in nearly 2π · base positions.

    Shape:
        (..., T, D) -> (..., T, D)

    Raises:
        ValueError: if a setting is out of its range, or an input or a gradient has a wrong shape.

    Source:
        Su, Lu, Pan, Murtadha, Wen and Liu, "RoFormer: enhanced transformer with rotary position
        embedding", arXiv:2104.09864, 2021, equations 15 and 34.

    Example:
        >>> layer = RotaryEmbedding(2)
        >>> layer(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).round(3)
        array([[ 1.   ,  0.   ],
               [ 0.54 ,  0.841],
               [-0.909, -0.416]])
        >>> layer.backward(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).round(3)
        array([[ 1.   ,  0.   ],
               [ 0.54 , -0.841],
               [ 0.909, -0.416]])

    Taught in: book/algorithms/attention_and_transformers.md
    """

    def __init__(self, dim: int, base: float = 10_000.0) -> None:
        _check_features("dim", dim, base)
        self.dim = dim
        self.base = base

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return `x` of shape (..., T, D), rotated."""
        _check_sequence(x, self.dim)
        angles = _angles(x.shape[-2], self.dim, self.base)  # (T, D/2)
        cos, sin = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
        self.saved = x.shape, cos, sin
        return _rotate(x, cos, sin)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y: rotated back."""
        shape, cos, sin = self.saved
        check_shape("grad_output", grad_output, shape)
        return _rotate(grad_output, cos, -sin)

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"{self.dim}, base={self.base}"


def _rotate(x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    """Rotate the pairs of features, (..., T, D), by angles of shape (T, D/2)."""
    even, odd = x[..., 0::2], x[..., 1::2]  # (..., T, D) -> twice (..., T, D/2)
    rotated = np.empty_like(x)
    rotated[..., 0::2] = even * cos - odd * sin
    rotated[..., 1::2] = even * sin + odd * cos
    return rotated


def _check_sequence(x: np.ndarray, features: int) -> None:
    if x.ndim < 2 or x.shape[-1] != features:
        raise ValueError(f"`x` must have shape (..., T, {features}), got {x.shape}.")

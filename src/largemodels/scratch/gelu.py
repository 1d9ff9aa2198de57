"""GELU: the smooth activation of transformers."""

from __future__ import annotations

import math

import numpy as np

from largemodels.scratch.layer import Layer, check_shape

__all__ = ["GELU", "gelu", "normal_cdf"]

# NumPy has no error function, and Python's takes one number at a time, five times as slowly. So Φ
# stands in a table with 128 entries per unit from −9 to 9; further out it is 0 or 1 to the last
# digit. Between two entries, a Taylor series does the rest.
ENTRIES_PER_UNIT = 128
LIMIT = 9
TABLE = np.array(
    [
        0.5 * (1 + math.erf(i / ENTRIES_PER_UNIT / math.sqrt(2)))
        for i in range(-LIMIT * ENTRIES_PER_UNIT, LIMIT * ENTRIES_PER_UNIT + 1)
    ]
)


def normal_pdf(x: np.ndarray) -> np.ndarray:
    """Return the density of the standard normal distribution, φ(x) = exp(−x²/2) / √(2π)."""
    return np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


def normal_cdf(x: np.ndarray) -> np.ndarray:
    """Return the probability that a standard normal number is below `x`.

    Φ(x) = ½ (1 + erf(x / √2)),  computed from the nearest entry a of a table, h = x − a:
    Φ(a + h) = Φ(a) + φ(a) (h − a h²/2 + (a² − 1) h³/6 − (a³ − 3a) h⁴/24 + …)

    With |h| ≤ 1/256, what the series leaves out is below 10⁻¹³.

    Args:
        x: an array of any shape.

    Source:
        Abramowitz and Stegun, "Handbook of mathematical functions", 1964, 26.2.12 for the
        derivatives of Φ.

    Example:
        >>> normal_cdf(np.array([-1000.0, 0.0, 1.96])).round(3)
        array([0.   , 0.5  , 0.975])

    Taught in: book/math/neurons_and_activations.md
    """
    x = np.clip(x, -LIMIT, LIMIT)
    entry = np.rint(x * ENTRIES_PER_UNIT)
    a = entry / ENTRIES_PER_UNIT
    h = x - a
    # NaN has no entry. It comes back through h.
    index = np.nan_to_num(entry).astype(np.intp) + LIMIT * ENTRIES_PER_UNIT
    third = (a * a - 1) / 6 - (a * a - 3) * a * h / 24
    series = h * (1 - h * (a / 2 - h * third))
    return TABLE.astype(x.dtype)[index] + normal_pdf(a) * series


def gelu(x: np.ndarray, approximate: str = "none") -> np.ndarray:
    """Let each number pass with the probability that a normal number is smaller.

    gelu(x) = x Φ(x),  Φ the distribution function of the standard normal distribution
    with "tanh":  gelu(x) ≈ ½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))

    Args:
        x: an array of any shape.
        approximate: "none", or "tanh" for the approximation, which is at most 0.0005 off.

    Raises:
        ValueError: if `approximate` is something else.

    Source:
        Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016, section 2.

    Example:
        >>> gelu(np.array([-1000.0, -1.0, 0.0, 1.0])).round(4)
        array([-0.    , -0.1587,  0.    ,  0.8413])
        >>> gelu(np.array([-1000.0, -1.0, 0.0, 1.0]), approximate="tanh").round(4)
        array([-0.    , -0.1588,  0.    ,  0.8412])

    Taught in: book/math/neurons_and_activations.md
    """
    _check_approximate(approximate)
    return x * (normal_cdf(x) if approximate == "none" else 0.5 * (1 + _tanh_of_cubic(x)))


class GELU(Layer):
    """The layer of `gelu`.

    y = x Φ(x),  ∂L/∂x = ∂L/∂y · (Φ(x) + x φ(x)),  φ the density that belongs to Φ
    with "tanh":  y = ½ x (1 + t),  t = tanh(√(2/π) (x + 0.044715 x³)),
    ∂L/∂x = ∂L/∂y · ½ (1 + t + x (1 − t²) √(2/π) (1 + 0.134145 x²))

    Args:
        approximate: "none", or "tanh" for the approximation.

    Shape:
        any -> the same

    Raises:
        ValueError: if `approximate` is something else.

    Source:
        Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016, section 2.

    Example:
        >>> layer = GELU()
        >>> layer(np.array([-1.0, 0.0, 1.0])).round(4)
        array([-0.1587,  0.    ,  0.8413])
        >>> layer.backward(np.array([1.0, 1.0, 1.0])).round(4)
        array([-0.0833,  0.5   ,  1.0833])

    Taught in: book/math/neurons_and_activations.md
    """

    def __init__(self, approximate: str = "none") -> None:
        _check_approximate(approximate)
        self.approximate = approximate

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return gelu(x)."""
        # Φ, or what the approximation takes for it, serves both passes.
        cdf = normal_cdf(x) if self.approximate == "none" else 0.5 * (1 + _tanh_of_cubic(x))
        self.saved = x, cdf
        return x * cdf

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        x, cdf = self.saved
        check_shape("grad_output", grad_output, x.shape)
        if self.approximate == "none":
            slope = normal_pdf(x)
        else:  # With cdf = ½ (1 + t), ½ (1 − t²) = 2 cdf (1 − cdf).
            slope = 2 * cdf * (1 - cdf) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return grad_output * (cdf + x * slope)

    def extra_repr(self) -> str:
        """Return the setting, with the name that PyTorch uses."""
        return f"approximate={self.approximate!r}"


def _tanh_of_cubic(x: np.ndarray) -> np.ndarray:
    return np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))


def _check_approximate(approximate: str) -> None:
    if approximate not in ("none", "tanh"):
        raise ValueError(f'`approximate` (={approximate!r}) must be "none" or "tanh".')

"""Losses for numbers with outliers: the absolute error and Huber's compromise."""

from __future__ import annotations

import numpy as np

from largemodels.scratch.layer import check_shape
from largemodels.scratch.losses import Loss

__all__ = ["HuberLoss", "L1Loss"]


class L1Loss(Loss):
    """The mean absolute error: an outlier pulls no harder than any other example.

    L = 1/M Σᵢ |pᵢ − tᵢ|,  ∂L/∂pᵢ = sign(pᵢ − tᵢ) / M,  0 at the kink

    The best constant prediction is the median; with the squared error it is the mean.

    Shape:
        prediction and target of one shape

    Raises:
        ValueError: if prediction and target differ in shape or are empty.

    Example:
        >>> loss = L1Loss()
        >>> loss(np.array([1.0, 4.0]), np.array([0.0, 100.0]))
        48.5
        >>> loss.backward()
        array([ 0.5, -0.5])

    Taught in: book/math/losses.md
    """

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        """Return L for `prediction` and `target` of the same shape."""
        difference = _difference(prediction, target)
        self.saved = difference
        return float(np.abs(difference).mean())

    def backward(self) -> np.ndarray:
        """Return ∂L/∂prediction."""
        difference = self.saved
        return np.sign(difference) / difference.size


class HuberLoss(Loss):
    """Huber's loss: the squared error of small differences, the absolute error of large ones.

    L = 1/M Σᵢ h(pᵢ − tᵢ),  h(d) = d²/2 where |d| ≤ δ, otherwise δ (|d| − δ/2)
    ∂L/∂pᵢ = clip(pᵢ − tᵢ, −δ, δ) / M

    Smooth at 0, as the absolute error is not, and no outlier pulls harder than δ.

    Args:
        delta: δ, in units of the prediction.

    Shape:
        prediction and target of one shape

    Raises:
        ValueError: if prediction and target differ in shape or are empty, or `delta` is not above
            0.

    Source:
        Huber, "Robust estimation of a location parameter", The Annals of Mathematical Statistics
        35(1), 1964.

    Example:
        >>> loss = HuberLoss(delta=1.0)
        >>> loss(np.array([0.5, 4.0]), np.array([0.0, 100.0]))  # (0.125 + 95.5) / 2
        47.8125
        >>> loss.backward()
        array([ 0.25, -0.5 ])

    Taught in: book/math/losses.md
    """

    def __init__(self, delta: float = 1.0) -> None:
        if not delta > 0:
            raise ValueError(f"`delta` (={delta}) must be above 0.")
        self.delta = delta

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        """Return L for `prediction` and `target` of the same shape."""
        difference = _difference(prediction, target)
        self.saved = difference
        # d²/2 up to δ, and from there on a straight line with the slope δ.
        inside = np.minimum(np.abs(difference), self.delta)
        return float((inside * (np.abs(difference) - inside / 2)).mean())

    def backward(self) -> np.ndarray:
        """Return ∂L/∂prediction."""
        difference = self.saved
        return np.clip(difference, -self.delta, self.delta) / difference.size


def _difference(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    if prediction.size == 0:
        raise ValueError(f"`prediction` must not be empty, got shape {prediction.shape}.")
    check_shape("target", target, prediction.shape)
    return prediction - target

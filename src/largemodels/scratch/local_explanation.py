"""LIME: explain one decision of any model by a straight line near it.

`largemodels.trust.explanation.lime` asks captum, and takes images. This one is here to be read.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from largemodels.scratch.layer import check_shape

__all__ = ["explain_locally"]


def explain_locally(
    predict: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    scale: np.ndarray,
    rng: np.random.Generator,
    *,
    samples: int = 1000,
    kernel_width: float = 0.75,
    l2: float = 1e-6,
) -> tuple[np.ndarray, float]:
    """Fit a linear model to another model's answers around one example.

    zₛ = x + scale · εₛ,  εₛ ~ N(0, I),  πₛ = exp(−‖εₛ‖² / (D · width²))
    w, b = argmin Σ πₛ (f(zₛ) − w · εₛ − b)² + λ ‖w‖²

    R² says whether to believe it: near 0, there is no straight line to be seen.

    Args:
        predict: f, the model, from (S, D) to one number for each row, (S,).
        x: the example, shape (D,).
        scale: the standard deviation of each feature, shape (D,): how far "near" is.
        rng: the random generator of the samples.
        samples: how many points to ask about, S.
        kernel_width: how fast the weight falls, in standard deviations for each feature.
        l2: λ, the strength of the penalty.

    Returns:
        w, what one standard deviation more of each feature adds to the answer, shape (D,); and the
        weighted R².

    Raises:
        ValueError: if a shape is wrong, or `samples`, `kernel_width` or `l2` is out of range.

    Source:
        Ribeiro, Singh and Guestrin, ""Why should I trust you?": explaining the predictions of any
        classifier", KDD 2016, equation 2.

    Example:
        >>> def price(z):  # Only the first feature counts, and only here it rises.
        ...     return np.where(z[:, 0] < 10, 3 * z[:, 0], 0)
        >>> weights, r2 = explain_locally(
        ...     price, np.array([1.0, 5.0]), np.array([2.0, 1.0]), np.random.default_rng(0)
        ... )
        >>> weights.round(2) + 0.0, round(r2, 2)
        (array([6., 0.]), 1.0)

    Taught in: book/training/interpretability.md
    """
    if x.ndim != 1 or len(x) == 0:
        raise ValueError(f"`x` must have shape (D,), D at least 1, got {x.shape}.")
    check_shape("scale", scale, x.shape)
    if samples <= len(x):
        raise ValueError(f"`samples` (={samples}) must be above the number of features, {len(x)}.")
    if not kernel_width > 0:
        raise ValueError(f"`kernel_width` (={kernel_width}) must be above 0.")
    if not l2 >= 0:
        raise ValueError(f"`l2` (={l2}) must be at least 0.")
    steps = rng.standard_normal((samples, len(x)))
    answers = predict(x + scale * steps)
    check_shape("predict's result", answers, (samples,))
    weight = np.exp(-(steps**2).mean(axis=1) / kernel_width**2)
    weight /= weight.sum()
    # Around the weighted means, b is gone.
    steps = steps - weight @ steps
    answers = answers - weight @ answers
    weighted = weight[:, None] * steps  # (S, D)
    w = np.linalg.solve(weighted.T @ steps + l2 * np.eye(len(x)), weighted.T @ answers)
    variance = weight @ answers**2
    rest = weight @ (answers - steps @ w) ** 2
    return w, float(1 - rest / variance) if variance > 0 else 0.0

"""Bayesian optimization: model what was seen, and try where an improvement is most likely."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from largemodels.scratch.gelu import normal_cdf, normal_pdf
from largemodels.scratch.layer import check_shape

__all__ = ["bayesian_optimization", "expected_improvement", "gaussian_process"]


def gaussian_process(
    x: np.ndarray, y: np.ndarray, x_new: np.ndarray, *, length_scale: float, noise: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a Gaussian process expects at new points, and how uncertain it is.

    k(a, b) = exp(−‖a − b‖² / 2ℓ²),  A = k(X, X) + σ² I
    mean = k(x, X) A⁻¹ y,  variance = 1 − k(x, X) A⁻¹ k(X, x)

    Before it has seen anything, it expects 0 ± 1: standardize y.

    Args:
        x: the points seen, shape (N, D).
        y: the values there, shape (N,).
        x_new: the points asked for, shape (M, D).
        length_scale: ℓ, over which distance values belong together, in the unit of `x`.
        noise: σ, the standard deviation of the error of `y`.

    Returns:
        The means and the standard deviations without the noise, each of shape (M,).

    Raises:
        ValueError: if a shape is wrong, or `length_scale` or `noise` is not above 0.

    Source:
        Rasmussen and Williams, "Gaussian processes for machine learning", MIT Press 2006,
        algorithm 2.1.

    Example:
        >>> x, y = np.array([[0.0], [1.0]]), np.array([1.0, -1.0])
        >>> mean, std = gaussian_process(x, y, np.array([[0.0], [0.5], [9.0]]), length_scale=0.5)
        >>> mean.round(2) + 0.0, std.round(2)
        (array([1., 0., 0.]), array([0.  , 0.59, 1.  ]))

    Taught in: book/training/hyper_parameters.md
    """
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"`x` must have shape (N, D), N at least 1, got {x.shape}.")
    check_shape("y", y, x.shape[:1])
    check_shape("x_new", x_new, (len(x_new), x.shape[1]))
    for name, value in {"length_scale": length_scale, "noise": noise}.items():
        if not value > 0:
            raise ValueError(f"`{name}` (={value}) must be above 0.")

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squares = ((a[:, None] - b) ** 2).sum(axis=-1)  # (N, 1, D), (M, D) -> (N, M)
        return np.exp(-squares / (2 * length_scale**2))

    covariance = kernel(x, x) + noise**2 * np.eye(len(x))
    cross = kernel(x, x_new)  # (N, M)
    solved = np.linalg.solve(covariance, np.column_stack([y, cross]))  # (N, 1 + M)
    mean = cross.T @ solved[:, 0]  # (M, N) @ (N,)
    variance = 1 - (cross * solved[:, 1:]).sum(axis=0)
    return mean, np.sqrt(np.maximum(variance, 0))  # Rounding may leave −1e-17.


def expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """Return by how much a point is expected to be below the best value so far.

    EI = E max(best − f, 0) = (best − mean) Φ(z) + std φ(z),  z = (best − mean) / std

    Args:
        mean: the expected values, any shape.
        std: their standard deviations, the same shape.
        best: the smallest value so far.

    Raises:
        ValueError: if the shapes differ, or a standard deviation is negative.

    Source:
        Jones, Schonlau and Welch, "Efficient global optimization of expensive black-box functions",
        Journal of Global Optimization 13, 1998, equation 15.

    Example:
        >>> mean, std = np.array([0.0, 1.0, -2.0]), np.array([1.0, 1.0, 0.0])
        >>> expected_improvement(mean, std, best=0.0).round(4)
        array([0.3989, 0.0833, 2.    ])

    Taught in: book/training/hyper_parameters.md
    """
    check_shape("std", std, mean.shape)
    if not (std >= 0).all():
        raise ValueError(f"`std` must be at least 0, got {std.min()}.")
    gain = best - mean
    z = np.divide(gain, std, out=np.zeros_like(gain), where=std > 0)
    return np.where(std > 0, gain * normal_cdf(z) + std * normal_pdf(z), np.maximum(gain, 0))


def bayesian_optimization(
    objective: Callable[[np.ndarray], float],
    candidates: np.ndarray,
    *,
    trials: int,
    length_scale: float,
    rng: np.random.Generator,
    initial: int = 3,
) -> tuple[np.ndarray, np.ndarray]:
    """Look for the smallest value of an expensive function among candidates.

    next x = the candidate with the largest expected improvement

    The first points are drawn at random. The values are standardized before each fit.

    Args:
        objective: the function, from a point of shape (D,) to a number.
        candidates: the points to choose from, shape (M, D).
        trials: how many of them to evaluate.
        length_scale: ℓ of the Gaussian process, in the unit of the candidates.
        rng: the random generator of the first points.
        initial: how many points to draw at random first.

    Returns:
        The numbers of the candidates in the order in which they were tried, and their values.

    Raises:
        ValueError: if `initial` is below 1, or `trials` is not from `initial` to M.

    Source:
        Jones, Schonlau and Welch, "Efficient global optimization of expensive black-box functions",
        Journal of Global Optimization 13, 1998.

    Example:
        >>> grid = np.linspace(-2, 2, 101)[:, None]
        >>> tried, values = bayesian_optimization(
        ...     lambda x: float((x[0] - 0.6) ** 2), grid,
        ...     trials=8, length_scale=1.0, rng=np.random.default_rng(0),
        ... )
        >>> grid[tried[values.argmin()]].round(1)
        array([0.6])

    Taught in: book/training/hyper_parameters.md
    """
    if initial < 1:
        raise ValueError(f"`initial` (={initial}) must be at least 1.")
    if not initial <= trials <= len(candidates):
        raise ValueError(
            f"`trials` (={trials}) must be from `initial` (={initial}) to the number of "
            f"candidates, {len(candidates)}."
        )
    tried = rng.choice(len(candidates), size=initial, replace=False).tolist()
    values = [float(objective(candidates[i])) for i in tried]
    while len(tried) < trials:
        y = np.array(values)
        scale = y.std() if y.std() > 0 else 1.0
        y = (y - y.mean()) / scale
        mean, std = gaussian_process(candidates[tried], y, candidates, length_scale=length_scale)
        gain = expected_improvement(mean, std, float(y.min()))
        gain[tried] = -math.inf  # Each point once.
        tried.append(int(gain.argmax()))
        values.append(float(objective(candidates[tried[-1]])))
    return np.array(tried), np.array(values)

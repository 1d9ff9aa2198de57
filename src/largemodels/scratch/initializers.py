"""Initial weights: random, and of the size that keeps signals alive through many layers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

__all__ = [
    "INITIALIZERS",
    "fans",
    "he_normal",
    "he_uniform",
    "normal",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

Shape = tuple[int, ...]


def fans(shape: Shape) -> tuple[int, int]:
    """Return how many numbers go into a unit and how many come out of it.

    fan_in = in · height · width,  fan_out = out · height · width

    Args:
        shape: the shape of a weight: (out, in), or (out, in, height, width) of a convolution.

    Raises:
        ValueError: if `shape` has fewer than two dimensions.

    Example:
        >>> fans((128, 784))
        (784, 128)
        >>> fans((32, 16, 3, 3))
        (144, 288)

    Taught in: book/math/neurons_and_activations.md
    """
    if len(shape) < 2:
        raise ValueError(f"`shape` (={shape}) must have at least 2 dimensions: (out, in, ...).")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def zeros(shape: Shape, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Return zeros: right for biases, wrong for weights, because all units would stay equal.

    W = 0

    Args:
        shape: the shape of the array.
        rng: not used; it is here so that all initializers have the same arguments.
        dtype: the type of the numbers.

    Example:
        >>> zeros((2, 3), np.random.default_rng(0))
        array([[0., 0., 0.],
               [0., 0., 0.]], dtype=float32)

    Taught in: book/math/neurons_and_activations.md
    """
    return np.zeros(shape, dtype)


def normal(shape: Shape, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Draw from a normal distribution with a fixed, small standard deviation.

    W ~ N(0, σ²),  σ = 0.01

    Args:
        shape: the shape of the array.
        rng: the random generator.
        dtype: the type of the numbers.

    Example:
        >>> round(float(normal((1000, 1000), np.random.default_rng(0)).std()), 3)
        0.01

    Taught in: book/math/neurons_and_activations.md
    """
    return (0.01 * rng.standard_normal(shape)).astype(dtype)


def xavier_normal(
    shape: Shape, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> np.ndarray:
    """Draw normal weights that suit sigmoid and tanh.

    w ~ N(0, σ²),  σ² = 2 / (fan_in + fan_out)

    Args:
        shape: the shape of the weight, (out, in, ...).
        rng: the random generator.
        dtype: the type of the numbers.

    Source:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010, equation 12.

    Example:
        >>> round(float(xavier_normal((1000, 1000), np.random.default_rng(0)).var()), 5)
        0.001

    Taught in: book/math/neurons_and_activations.md
    """
    fan_in, fan_out = fans(shape)
    std = math.sqrt(2 / (fan_in + fan_out))
    return (std * rng.standard_normal(shape)).astype(dtype)


def xavier_uniform(
    shape: Shape, rng: np.random.Generator, dtype: DTypeLike = np.float32
) -> np.ndarray:
    """Draw uniform weights that suit sigmoid and tanh.

    w ~ U(−a, a),  a = √(6 / (fan_in + fan_out)),  so that the variance is a²/3

    Args:
        shape: the shape of the weight, (out, in, ...).
        rng: the random generator.
        dtype: the type of the numbers.

    Source:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010, equation 16.

    Example:
        >>> round(float(xavier_uniform((1000, 1000), np.random.default_rng(0)).var()), 5)
        0.001

    Taught in: book/math/neurons_and_activations.md
    """
    fan_in, fan_out = fans(shape)
    limit = math.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape).astype(dtype)


def he_normal(shape: Shape, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Draw normal weights that suit ReLU, which lets half of the signal through.

    w ~ N(0, σ²),  σ² = 2 / fan_in

    Args:
        shape: the shape of the weight, (out, in, ...).
        rng: the random generator.
        dtype: the type of the numbers.

    Source:
        He et al., "Delving deep into rectifiers", ICCV 2015, equation 10.

    Example:
        >>> round(float(he_normal((1000, 1000), np.random.default_rng(0)).var()), 5)
        0.002

    Taught in: book/math/neurons_and_activations.md
    """
    fan_in, _ = fans(shape)
    std = math.sqrt(2 / fan_in)
    return (std * rng.standard_normal(shape)).astype(dtype)


def he_uniform(shape: Shape, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Draw uniform weights that suit ReLU, which lets half of the signal through.

    w ~ U(−a, a),  a = √(6 / fan_in),  so that the variance is a²/3 = 2 / fan_in

    Args:
        shape: the shape of the weight, (out, in, ...).
        rng: the random generator.
        dtype: the type of the numbers.

    Source:
        He et al., "Delving deep into rectifiers", ICCV 2015, equation 10 for its variance.

    Example:
        >>> round(float(he_uniform((1000, 1000), np.random.default_rng(0)).var()), 5)
        0.002

    Taught in: book/math/neurons_and_activations.md
    """
    fan_in, _ = fans(shape)
    limit = math.sqrt(6 / fan_in)
    return rng.uniform(-limit, limit, shape).astype(dtype)


INITIALIZERS: dict[str, Callable[..., np.ndarray]] = {
    "zeros": zeros,
    "normal": normal,
    "xavier_normal": xavier_normal,
    "xavier_uniform": xavier_uniform,
    "he_normal": he_normal,
    "he_uniform": he_uniform,
}

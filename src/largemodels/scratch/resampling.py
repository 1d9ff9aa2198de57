"""Rare classes: repeat them, thin out the others, or make new examples between old ones.

Only the training data is resampled. The validation and the test data keep the shares of the world.
"""

from __future__ import annotations

import numpy as np

from largemodels.scratch.layer import check_shape

__all__ = ["oversample", "smote", "undersample"]


def oversample(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the indices of a balanced data set in which examples of rare classes repeat.

    Every example is there; each class is filled up to the size of the largest one.

    Args:
        y: the classes, shape (N,).
        rng: the random generator.

    Raises:
        ValueError: if `y` is empty or has not one axis.

    Example:
        >>> y = np.array([0, 0, 0, 0, 1])
        >>> np.bincount(y[oversample(y, np.random.default_rng(0))])
        array([4, 4])

    Taught in: book/training/imbalanced_data.md
    """
    groups = _groups(y)
    size = max(map(len, groups))
    return np.concatenate(
        [np.append(group, rng.choice(group, size - len(group))) for group in groups]
    )


def undersample(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the indices of a balanced data set, with as many of each class as of the rarest.

    A new draw for each member of an ensemble is balanced bagging: nothing is thrown away for good.

    Args:
        y: the classes, shape (N,).
        rng: the random generator.

    Raises:
        ValueError: if `y` is empty or has not one axis.

    Example:
        >>> y = np.array([0, 0, 0, 0, 1])
        >>> np.bincount(y[undersample(y, np.random.default_rng(0))])
        array([1, 1])

    Taught in: book/training/imbalanced_data.md
    """
    groups = _groups(y)
    size = min(map(len, groups))
    return np.concatenate([rng.choice(group, size, replace=False) for group in groups])


def smote(
    x: np.ndarray, count: int, rng: np.random.Generator, *, neighbours: int = 5
) -> np.ndarray:
    """Make new examples of a rare class, each on the line from one example to a near one.

    new = xᵢ + u (xⱼ − xᵢ),  u uniform in [0, 1],  xⱼ one of the K nearest neighbours of xᵢ

    Between two examples of a class another class may lie: look at what you made.

    Args:
        x: the examples of the rare class only, shape (N, features). Features in different units
            must be standardized first: distances decide.
        count: how many to make.
        rng: the random generator.
        neighbours: K.

    Shape:
        (N, features) -> (count, features)

    Raises:
        ValueError: if there are no two examples, `count` is negative, or `neighbours` is not from 1
            to N − 1.

    Source:
        Chawla, Bowyer, Hall and Kegelmeyer, "SMOTE: synthetic minority over-sampling technique",
        Journal of Artificial Intelligence Research 16, 2002, section 4.2.

    Example:
        >>> x = np.array([[0.0, 0.0], [1.0, 1.0], [9.0, 9.0]])
        >>> new = smote(x, 4, np.random.default_rng(0), neighbours=1)
        >>> new.shape, bool((new[:, 0] == new[:, 1]).all())  # All on the line of the three.
        ((4, 2), True)

    Taught in: book/training/imbalanced_data.md
    """
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"`x` must have shape (N, features), N at least 2, got {x.shape}.")
    if count < 0:
        raise ValueError(f"`count` (={count}) must be at least 0.")
    if not 1 <= neighbours < len(x):
        raise ValueError(f"`neighbours` (={neighbours}) must be from 1 to {len(x) - 1}.")
    distances = ((x[:, None] - x) ** 2).sum(axis=-1)  # (N, 1, features), (N, features) -> (N, N)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argpartition(distances, neighbours - 1, axis=1)[:, :neighbours]  # (N, K)
    i = rng.integers(len(x), size=count)
    j = nearest[i, rng.integers(neighbours, size=count)]
    return x[i] + rng.random((count, 1)) * (x[j] - x[i])


def _groups(y: np.ndarray) -> list[np.ndarray]:
    """Return the indices of each class."""
    check_shape("y", y, (y.size,))
    if y.size == 0:
        raise ValueError("`y` is empty.")
    return [np.flatnonzero(y == label) for label in np.unique(y)]

"""Cross-validation: every example is judged by a model that has not seen it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["k_fold", "out_of_fold_predictions"]


def k_fold(
    n: int, k: int, rng: np.random.Generator | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut n examples into k parts of nearly equal size, each of them the validation data once.

    Args:
        n: the number of examples.
        k: the number of parts, from 2 to n.
        rng: the random generator that shuffles first; `None` keeps the order.

    Returns:
        For each part the indices of the training and of the validation examples.

    Raises:
        ValueError: if `k` is not from 2 to `n`.

    Source:
        Stone, "Cross-validatory choice and assessment of statistical predictions", Journal of the
        Royal Statistical Society B 36(2), 1974.

    Example:
        >>> for train, validation in k_fold(5, 2):
        ...     print(train, validation)
        [3 4] [0 1 2]
        [0 1 2] [3 4]

    Taught in: book/training/evaluation.md
    """
    if not 2 <= k <= n:
        raise ValueError(f"`k` (={k}) must be from 2 to the number of examples, {n}.")
    order = np.arange(n) if rng is None else rng.permutation(n)
    parts = np.array_split(order, k)
    return [
        (np.concatenate([*parts[:i], *parts[i + 1 :]]), validation)
        for i, validation in enumerate(parts)
    ]


def out_of_fold_predictions(
    fit_predict: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    k: int,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Predict each example by a model that was trained without it: the input of a stacked model.

    A stacked model learns from the predictions of others. Predictions of examples that these were
    trained on look too good, and the stacked model would trust the one that overfits most.

    Args:
        fit_predict: trains on (x, y), the first two arguments, and predicts the third, an x.
        x: the inputs, shape (N, ...).
        y: the targets, shape (N, ...).
        k: the number of parts.
        rng: the random generator that shuffles first; `None` keeps the order.

    Returns:
        The predictions, shape (N, ...), in the order of `x`.

    Raises:
        ValueError: if `x` and `y` differ in length, or `k` is not from 2 to N.

    Source:
        Wolpert, "Stacked generalization", Neural Networks 5(2), 1992.

    Example:
        >>> def mean(x, y, x_new):  # The others' mean.
        ...     return np.full(len(x_new), y.mean())
        >>> y = np.array([0.0, 3.0, 6.0])
        >>> out_of_fold_predictions(mean, np.zeros((3, 1)), y, k=3)
        array([4.5, 3. , 1.5])

    Taught in: book/training/evaluation.md
    """
    if len(x) != len(y):
        raise ValueError(f"`x` and `y` must have the same length, got {len(x)} and {len(y)}.")
    folds = k_fold(len(x), k, rng)
    parts = [fit_predict(x[train], y[train], x[validation]) for train, validation in folds]
    predictions = np.concatenate(parts)
    order = np.concatenate([validation for _, validation in folds])
    return predictions[np.argsort(order)]

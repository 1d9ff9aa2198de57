"""Collaborative filtering with neighbours: recommend what similar users liked."""

from __future__ import annotations

from typing import Literal

import numpy as np

__all__ = ["cosine_similarity", "predict_from_neighbours"]


def cosine_similarity(x: np.ndarray) -> np.ndarray:
    """Return the cosine of the angle between each two rows.

    s(x, y) = x · y / (‖x‖ ‖y‖),  0 where a row is zero

    Args:
        x: the rows, shape (N, features).

    Shape:
        (N, features) -> (N, N)

    Raises:
        ValueError: if `x` has not two axes.

    Example:
        >>> cosine_similarity(np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]])).round(3)
        array([[1.   , 1.   , 0.707],
               [1.   , 1.   , 0.707],
               [0.707, 0.707, 1.   ]])

    Taught in: book/algorithms/embeddings_and_factorization.md
    """
    if x.ndim != 2:
        raise ValueError(f"`x` must have shape (N, features), got {x.shape}.")
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    unit = np.divide(x, norms, out=np.zeros_like(x, dtype=np.float64), where=norms > 0)
    return unit @ unit.T  # (N, features) @ (features, N)


def predict_from_neighbours(
    ratings: np.ndarray, *, by: Literal["user", "item"], neighbours: int
) -> np.ndarray:
    """Predict all ratings from those of the most similar users, or of the most similar items.

    r̂_ui = r̄_u + Σ_v s(u, v) (r_vi − r̄_v) / Σ_v |s(u, v)|,  v the K nearest users who rated i

    With items, rows and columns change their parts. r̄ is the mean of a row's ratings, and s the
    cosine of the rows of r − r̄, in which what is not known counts as 0. Only neighbours with s > 0
    speak; where there is none, the prediction is r̄_u. Who has no rating gets the mean of all.

    Args:
        ratings: r, shape (users, items); NaN where it is not known.
        by: "user" or "item".
        neighbours: K.

    Shape:
        (users, items) -> (users, items)

    Raises:
        ValueError: if `ratings` has not two axes or knows no rating, `by` is unknown, or
            `neighbours` is below 1.

    Source:
        Resnick, Iacovou, Suchak, Bergstrom and Riedl, "GroupLens: an open architecture for
        collaborative filtering of netnews", CSCW 1994 (users); Sarwar, Karypis, Konstan and Riedl,
        "Item-based collaborative filtering recommendation algorithms", WWW 2001 (items).

    Example:
        >>> nan = np.nan
        >>> ratings = np.array([[5.0, 4.0, 1.0], [5.0, nan, 1.0], [1.0, 2.0, 5.0]])
        >>> predict_from_neighbours(ratings, by="user", neighbours=1)[1].round(2)
        array([4.67, 3.67, 0.67])

    Taught in: book/algorithms/embeddings_and_factorization.md
    """
    if ratings.ndim != 2:
        raise ValueError(f"`ratings` must have shape (users, items), got {ratings.shape}.")
    if by not in ("user", "item"):
        raise ValueError(f"`by` (={by!r}) must be 'user' or 'item'.")
    if neighbours < 1:
        raise ValueError(f"`neighbours` (={neighbours}) must be at least 1.")
    table = ratings if by == "user" else ratings.T  # Rows are the ones who have neighbours.
    known = ~np.isnan(table)
    if not known.any():
        raise ValueError("`ratings` must hold at least one rating.")
    counts = known.sum(axis=1)
    sums = np.where(known, table, 0).sum(axis=1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), table[known].mean())
    centred = np.where(known, table - means[:, None], 0)
    similarity = cosine_similarity(centred)
    np.fill_diagonal(similarity, 0)  # Nobody is his own neighbour.
    similarity = np.maximum(similarity, 0)
    predictions = np.empty(table.shape)
    # One column at a time: the neighbours are among those who rated this very item.
    for column in range(table.shape[1]):
        raters = np.flatnonzero(known[:, column])
        weight = similarity[:, raters]  # (rows, raters)
        if neighbours < len(raters):
            limit = -np.partition(-weight, neighbours - 1, axis=1)[:, neighbours - 1]
            weight = np.where(weight >= limit[:, None], weight, 0)
        total = weight.sum(axis=1)
        shift = weight @ centred[raters, column]
        predictions[:, column] = means + np.where(total > 0, shift / np.maximum(total, 1e-300), 0)
    return predictions if by == "user" else predictions.T

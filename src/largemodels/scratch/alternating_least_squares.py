"""Alternating least squares: matrix factorization without a learning rate."""

from __future__ import annotations

import numpy as np

from largemodels.scratch.embedding import Embedding
from largemodels.scratch.layer import check_shape
from largemodels.scratch.matrix_factorization import MatrixFactorization

__all__ = ["alternating_least_squares"]


def alternating_least_squares(
    model: MatrixFactorization, pairs: np.ndarray, ratings: np.ndarray, *, sweeps: int
) -> list[float]:
    """Fit a matrix factorization by solving for all users, then for all items, and again.

    L = 1/N Σ [(r − r̂)² + λ (b_u² + b_i² + ‖p_u‖² + ‖q_i‖²)],  r̂ = μ + b_u + b_i + p_u · q_i

    While the items stand still, L is a least-squares problem for each user alone. With
    aᵢ = (q_i, 1), r' = r − μ − b_i and sums over the N_u ratings of the user:

    (p_u, b_u) = (Σ aᵢ aᵢᵀ + λ N_u I)⁻¹ Σ aᵢ r'

    Each half of a sweep finds the exact minimum, so L never grows. L as a whole is not convex:
    where it ends depends on the factors at the start. Who has no rating gets zeros.

    All users are solved at once, from a table of (users, items): (U, I) @ (I, (K+1)²). That is for
    some thousands of each, not for millions.

    Args:
        model: the model to fit; it is changed. λ is its `l2`, μ its `mean`.
        pairs: user and item of each rating, integers, shape (N, 2).
        ratings: r, shape (N,).
        sweeps: how many times to go over the users and the items.

    Returns:
        L after each sweep.

    Raises:
        ValueError: if `l2` is 0, there is no rating, a shape is wrong, the pairs are no integers in
            range, or `sweeps` is below 1.

    Source:
        Zhou, Wilkinson, Schreiber and Pan, "Large-scale parallel collaborative filtering for the
        Netflix prize", AAIM 2008, section 3, where the penalty counts once for each rating, too.

    Example:
        >>> pairs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> ratings = np.array([5.0, 1.0, 1.0, 5.0])  # The two like the opposite.
        >>> model = MatrixFactorization(2, 2, 1, mean=3, l2=0.01, rng=np.random.default_rng(0))
        >>> losses = alternating_least_squares(model, pairs, ratings, sweeps=10)
        >>> losses == sorted(losses, reverse=True)
        True
        >>> model(pairs).round(1)
        array([5., 1., 1., 5.], dtype=float32)

    Taught in: book/algorithms/embeddings_and_factorization.md
    """
    if not model.l2 > 0:
        raise ValueError(f"`l2` (={model.l2}) must be above 0: it keeps the equations solvable.")
    if sweeps < 1:
        raise ValueError(f"`sweeps` (={sweeps}) must be at least 1.")
    if pairs.ndim != 2 or len(pairs) == 0:
        raise ValueError(f"`pairs` must have shape (N, 2), N at least 1, got {pairs.shape}.")
    check_shape("ratings", ratings, pairs.shape[:1])
    model(pairs)  # Raises where a pair is out of range.
    users, items = pairs.T
    counts = np.zeros((model.num_users, model.num_items))  # How often a user rated an item.
    totals = np.zeros_like(counts)  # The sum of these ratings, less μ.
    np.add.at(counts, (users, items), 1)
    np.add.at(totals, (users, items), ratings - float(model.mean))
    user_side = model.user_factors, model.user_bias
    item_side = model.item_factors, model.item_bias
    losses = []
    for _ in range(sweeps):
        user = _solve(counts, totals, *item_side, l2=model.l2)
        _assign(user, *user_side)
        item = _solve(counts.T, totals.T, *user_side, l2=model.l2)
        _assign(item, *item_side)
        error = ((ratings - model(pairs)) ** 2).mean()
        penalty = ((user**2).sum(axis=1)[users] + (item**2).sum(axis=1)[items]).mean()
        losses.append(float(error + model.l2 * penalty))
    return losses


def _solve(
    counts: np.ndarray, totals: np.ndarray, factors: Embedding, bias: Embedding, *, l2: float
) -> np.ndarray:
    """Return (p, b) of each row of the tables, shape (U, K + 1), from those of the columns."""
    q, b = (table.weight.data.astype(np.float64) for table in (factors, bias))  # (I, K), (I, 1)
    a = np.column_stack([q, np.ones(len(q))])  # (I, K + 1)
    width = a.shape[1]
    products = (a[:, :, None] * a[:, None, :]).reshape(len(a), -1)  # aᵢ aᵢᵀ: (I, (K + 1)²)
    gram = (counts @ products).reshape(-1, width, width)  # (U, I) @ (I, (K + 1)²)
    right = (totals - counts * b[:, 0]) @ a  # (U, I) @ (I, K + 1) -> (U, K + 1)
    # Who has no rating has the equation x = 0 instead of 0 = 0.
    ridge = l2 * np.maximum(counts.sum(axis=1), 1)
    return np.linalg.solve(gram + ridge[:, None, None] * np.eye(width), right[..., None])[..., 0]


def _assign(table: np.ndarray, factors: Embedding, bias: Embedding) -> None:
    factors.weight.data[...] = table[:, :-1]
    bias.weight.data[...] = table[:, -1:]

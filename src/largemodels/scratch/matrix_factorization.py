"""Matrix factorization: recommend what the ratings of others foretell."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.embedding import Embedding
from largemodels.scratch.layer import Layer, check_shape

__all__ = ["MatrixFactorization"]


class MatrixFactorization(Layer):
    """Predict a rating from what a user likes and what an item has.

    forward:   r̂ = μ + b_u + b_i + p_u · q_i
    backward:  of 1/N Σ [(r − r̂)² + λ (b_u² + b_i² + ‖p_u‖² + ‖q_i‖²)], N ratings of users u and
               items i. With g = ∂L/∂r̂ of each rating and the mean squared error as L:
               ∂/∂b_u = Σ (g + 2λ/N b_u),  ∂/∂p_u = Σ (g q_i + 2λ/N p_u),  over the ratings of u
               ∂/∂b_i = Σ (g + 2λ/N b_i),  ∂/∂q_i = Σ (g p_u + 2λ/N q_i),  over the ratings of i

    The penalty counts once for each rating, as in the paper, so it stays in proportion to the
    error of users with many ratings and of users with few. It is part of the backward pass only:
    `MSELoss` and the history of `fit` show the plain squared error.

    The biases start at zero and the factors near it, so the first predictions are about μ. Names
    and shapes are those of the PyTorch twin, `largemodels.models.pytorch.MatrixFactorization`.

    Args:
        num_users: the number of users.
        num_items: the number of items.
        factors: the number K of features in p_u and in q_i.
        mean: the mean μ of all training ratings; it is kept, not learned.
        l2: λ, the strength of the penalty.
        rng: the random generator of the initial factors, N(0, 0.1²); `None` takes a new one.
        dtype: the type of the parameters.

    Attributes:
        user_factors: the rows p_u, an `Embedding` of shape (num_users, K).
        item_factors: the rows q_i, an `Embedding` of shape (num_items, K).
        user_bias: b_u, an `Embedding` of shape (num_users, 1).
        item_bias: b_i, an `Embedding` of shape (num_items, 1).

    Shape:
        (..., 2), integers: user and item, counted from 0 -> (...), ratings

    Raises:
        ValueError: if a number is below 1, `l2` is negative, the pairs are no integers in range,
            or a shape is wrong.

    Source:
        Koren, Bell and Volinsky, "Matrix factorization techniques for recommender systems", IEEE
        Computer 42(8), 2009, equations 4 and 5.

    Example:
        >>> model = MatrixFactorization(2, 3, factors=2, mean=3.5)
        >>> model.user_factors.weight.data[1] = [1, -1]
        >>> model.item_factors.weight.data[2] = [0.5, 0]
        >>> model.item_bias.weight.data[2] = 0.25  # A little better than the others.
        >>> model(np.array([[1, 2]]))  # 3.5 + 0 + 0.25 + 1 · 0.5 − 1 · 0
        array([4.25], dtype=float32)

    Taught in: book/algorithms/embeddings_and_factorization.md
    """

    buffer_names = ("mean",)

    def __init__(
        self,
        num_users: int,
        num_items: int,
        factors: int = 16,
        mean: float = 0.0,
        *,
        l2: float = 0.0,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        sizes = {"num_users": num_users, "num_items": num_items, "factors": factors}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"`{name}` (={size}) must be at least 1.")
        if not l2 >= 0:
            raise ValueError(f"`l2` (={l2}) must be at least 0.")
        rng = np.random.default_rng(rng)
        self.num_users = num_users
        self.num_items = num_items
        self.factors = factors
        self.l2 = l2
        self.mean = np.array(mean, dtype)
        self.user_factors = Embedding(num_users, factors, rng=rng, dtype=dtype)
        self.item_factors = Embedding(num_items, factors, rng=rng, dtype=dtype)
        self.user_bias = Embedding(num_users, 1, rng=rng, dtype=dtype)
        self.item_bias = Embedding(num_items, 1, rng=rng, dtype=dtype)
        for factor in (self.user_factors, self.item_factors):
            factor.weight.data *= 0.1
        for bias in (self.user_bias, self.item_bias):
            bias.weight.data[...] = 0

    def forward(self, pairs: np.ndarray) -> np.ndarray:
        """Return the predicted ratings r̂ of `pairs`: (..., 2) -> (...)."""
        self._check_pairs(pairs)
        users, items = pairs[..., 0], pairs[..., 1]  # (..., 2) -> (...), (...)
        p, q = self.user_factors(users), self.item_factors(items)  # (..., K)
        b_u, b_i = self.user_bias(users), self.item_bias(items)  # (..., 1)
        self.saved = p, q, b_u, b_i
        return self.mean + (b_u + b_i)[..., 0] + (p * q).sum(axis=-1)  # (..., K) -> (...)

    def backward(self, grad_output: np.ndarray) -> None:
        """Set all gradients from `grad_output` = ∂L/∂r̂; users and items have no gradient."""
        p, q, b_u, b_i = self.saved
        check_shape("grad_output", grad_output, p.shape[:-1])
        g = grad_output[..., None]  # (...) -> (..., 1)
        shrink = 2 * self.l2 / max(1, grad_output.size)
        self.user_factors.backward(g * q + shrink * p)
        self.item_factors.backward(g * p + shrink * q)
        self.user_bias.backward(g + shrink * b_u)
        self.item_bias.backward(g + shrink * b_i)

    def _check_pairs(self, pairs: np.ndarray) -> None:
        if not np.issubdtype(pairs.dtype, np.integer):
            raise ValueError(f"`pairs` must hold integers, got {pairs.dtype}.")
        if pairs.ndim == 0 or pairs.shape[-1] != 2:
            raise ValueError(f"`pairs` must have shape (..., 2), got {pairs.shape}.")
        for i, (name, size) in enumerate([("users", self.num_users), ("items", self.num_items)]):
            column = pairs[..., i]
            if column.size > 0 and not (column.min() >= 0 and column.max() < size):
                raise ValueError(
                    f"`pairs` must hold {name} from 0 to {size - 1}, "
                    f"got {column.min()} to {column.max()}."
                )

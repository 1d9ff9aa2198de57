"""Recommenders in PyTorch: matrix factorization and neural collaborative filtering."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from largemodels.models.pytorch.mlp import MLP

__all__ = ["MatrixFactorization", "NeuralRecommender"]


class MatrixFactorization(nn.Module):
    """Predict a rating from what a user likes and what an item has.

    r̂ = μ + b_u + b_i + p_u · q_i

    All parameters start near zero, so the first predictions are the mean μ.

    Args:
        num_users: the number of users.
        num_items: the number of items.
        factors: the number K of features in p_u and in q_i.
        mean: the mean μ of all training ratings; it is kept, not learned.

    Shape:
        (N, 2), integers: user and item, counted from 0 -> (N,), ratings

    Raises:
        ValueError: if a number is below 1.

    Source:
        Koren, Bell and Volinsky, "Matrix factorization techniques for recommender systems", IEEE
        Computer 2009, equation 4.

    Example:
        >>> model = MatrixFactorization(943, 1682, mean=3.5)
        >>> model(torch.tensor([[0, 5], [942, 1681]])).shape
        torch.Size([2])
        >>> sum(parameter.numel() for parameter in model.parameters())
        44625

    Taught in: book/algorithms/embeddings_and_factorization.md
    """

    mean: torch.Tensor

    def __init__(
        self, num_users: int, num_items: int, factors: int = 16, mean: float = 0.0
    ) -> None:
        super().__init__()
        _check_sizes(num_users=num_users, num_items=num_items, factors=factors)
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.user_factors = nn.Embedding(num_users, factors)
        self.item_factors = nn.Embedding(num_items, factors)
        self.user_bias = nn.Embedding(num_users, 1)
        self.item_bias = nn.Embedding(num_items, 1)
        for table in (self.user_factors, self.item_factors):
            nn.init.normal_(table.weight, std=0.1)
        for table in (self.user_bias, self.item_bias):
            nn.init.zeros_(table.weight)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Return the predicted ratings for `pairs` of shape (N, 2)."""
        user, item = pairs.unbind(-1)  # (N, 2) -> (N,), (N,)
        bias = self.user_bias(user) + self.item_bias(item)  # (N, 1)
        product = self.user_factors(user) * self.item_factors(item)  # (N, K)
        return self.mean + bias.squeeze(-1) + product.sum(dim=-1)


class NeuralRecommender(nn.Module):
    """Predict whether a user will take an item: neural collaborative filtering.

    logit = w · [p_u ⊙ q_i ; relu(MLP([p′_u ; q′_i]))] + b

    The first half generalizes the product of a matrix factorization: it weighs each factor. The
    second half learns from its own embeddings p′ and q′ what a product cannot say.

    Args:
        num_users: the number of users.
        num_items: the number of items.
        factors: the number of features in p_u and in q_i.
        mlp_sizes: the sizes of the multilayer perceptron; the first is that of its input, half of
            it p′_u and half q′_i.

    Shape:
        (N, 2), integers: user and item, counted from 0 -> (N,), logits

    Raises:
        ValueError: if a number is below 1, or the first size is odd.

    Source:
        He, Liao, Zhang, Nie, Hu and Chua, "Neural collaborative filtering", WWW 2017, section 3.4
        (NeuMF).

    Example:
        >>> model = NeuralRecommender(943, 1682)
        >>> model(torch.tensor([[0, 5], [942, 1681]])).shape
        torch.Size([2])
        >>> sum(parameter.numel() for parameter in model.parameters())
        63681

    Taught in: book/algorithms/embeddings_and_factorization.md
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        factors: int = 8,
        mlp_sizes: Sequence[int] = (32, 16, 8),
    ) -> None:
        super().__init__()
        _check_sizes(num_users=num_users, num_items=num_items, factors=factors)
        if mlp_sizes[0] < 2 or mlp_sizes[0] % 2:
            raise ValueError(
                f"`mlp_sizes` (={list(mlp_sizes)}) must start with an even number of at least 2."
            )
        self.user_factors = nn.Embedding(num_users, factors)
        self.item_factors = nn.Embedding(num_items, factors)
        self.mlp_user_factors = nn.Embedding(num_users, mlp_sizes[0] // 2)
        self.mlp_item_factors = nn.Embedding(num_items, mlp_sizes[0] // 2)
        self.mlp = MLP(mlp_sizes)
        self.output = nn.Linear(factors + mlp_sizes[-1], 1)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.1)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Return the logits for `pairs` of shape (N, 2)."""
        user, item = pairs.unbind(-1)  # (N, 2) -> (N,), (N,)
        product = self.user_factors(user) * self.item_factors(item)  # (N, factors)
        both = torch.cat([self.mlp_user_factors(user), self.mlp_item_factors(item)], dim=-1)
        hidden = functional.relu(self.mlp(both))  # (N, sizes[0]) -> (N, sizes[-1])
        features = torch.cat([product, hidden], dim=-1)
        return self.output(features).squeeze(-1)  # (N, 1) -> (N,)


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`{name}` (={size}) must be at least 1.")

"""Recommenders in Keras: matrix factorization and neural collaborative filtering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from largemodels.models.keras.mlp import MLP

__all__ = ["MatrixFactorization", "NeuralRecommender"]


@keras.saving.register_keras_serializable(package="largemodels")
class MatrixFactorization(keras.Model):
    """Predict a rating from what a user likes and what an item has.

    r̂ = μ + b_u + b_i + p_u · q_i

    All parameters start near zero, so the first predictions are the mean μ.

    Args:
        num_users: the number of users.
        num_items: the number of items.
        factors: the number K of features in p_u and in q_i.
        mean: the mean μ of all training ratings; it is kept, not learned.
        name: the name of the model.

    Shape:
        (N, 2), integers: user and item, counted from 0 -> (N,), ratings

    Raises:
        ValueError: if a number is below 1.

    Source:
        Koren, Bell and Volinsky, "Matrix factorization techniques for recommender systems", IEEE
        Computer 2009, equation 4.

    Example:
        >>> model = MatrixFactorization(943, 1682, mean=3.5)
        >>> tuple(model(ops.array([[0, 5], [942, 1681]])).shape)
        (2,)
        >>> sum(weight.value.numpy().size for weight in model.trainable_weights)
        44625

    Taught in: book/algorithms/embeddings_and_factorization.md
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        factors: int = 16,
        mean: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        _check_sizes(num_users=num_users, num_items=num_items, factors=factors)
        self.settings: dict[str, Any] = {
            "num_users": num_users,
            "num_items": num_items,
            "factors": factors,
            "mean": mean,
        }
        self.mean = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(mean), trainable=False, name="mean"
        )
        self.user_factors = _factors(num_users, factors)
        self.item_factors = _factors(num_items, factors)
        self.user_bias = layers.Embedding(num_users, 1, embeddings_initializer="zeros")
        self.item_bias = layers.Embedding(num_items, 1, embeddings_initializer="zeros")
        self.build((None, 2))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of all layers."""
        for layer in self.layers:
            layer.build(input_shape[:-1])

    def call(self, pairs: Any) -> Any:
        """Return the predicted ratings for `pairs` of shape (N, 2)."""
        user, item = ops.unstack(pairs, num=2, axis=-1)  # (N, 2) -> (N,), (N,)
        bias = self.user_bias(user) + self.item_bias(item)  # (N, 1)
        product = self.user_factors(user) * self.item_factors(item)  # (N, K)
        return self.mean + ops.squeeze(bias, -1) + ops.sum(product, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the model, so that Keras can save it."""
        return {**self.settings, "name": self.name}


@keras.saving.register_keras_serializable(package="largemodels")
class NeuralRecommender(keras.Model):
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
        name: the name of the model.

    Shape:
        (N, 2), integers: user and item, counted from 0 -> (N,), logits

    Raises:
        ValueError: if a number is below 1, or the first size is odd.

    Source:
        He, Liao, Zhang, Nie, Hu and Chua, "Neural collaborative filtering", WWW 2017, section 3.4
        (NeuMF).

    Example:
        >>> model = NeuralRecommender(943, 1682)
        >>> tuple(model(ops.array([[0, 5], [942, 1681]])).shape)
        (2,)
        >>> model.count_params()
        63681

    Taught in: book/algorithms/embeddings_and_factorization.md
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        factors: int = 8,
        mlp_sizes: Sequence[int] = (32, 16, 8),
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        _check_sizes(num_users=num_users, num_items=num_items, factors=factors)
        if mlp_sizes[0] < 2 or mlp_sizes[0] % 2:
            raise ValueError(
                f"`mlp_sizes` (={list(mlp_sizes)}) must start with an even number of at least 2."
            )
        self.settings: dict[str, Any] = {
            "num_users": num_users,
            "num_items": num_items,
            "factors": factors,
            "mlp_sizes": list(mlp_sizes),
        }
        self.user_factors = _factors(num_users, factors)
        self.item_factors = _factors(num_items, factors)
        self.mlp_user_factors = _factors(num_users, mlp_sizes[0] // 2)
        self.mlp_item_factors = _factors(num_items, mlp_sizes[0] // 2)
        self.mlp = MLP(mlp_sizes)
        self.output_layer = layers.Dense(1)
        self.build((None, 2))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of all layers; the perceptron has its own already."""
        for layer in self.layers[:4]:
            layer.build(input_shape[:-1])
        self.output_layer.build((None, self.settings["factors"] + self.settings["mlp_sizes"][-1]))

    def call(self, pairs: Any) -> Any:
        """Return the logits for `pairs` of shape (N, 2)."""
        user, item = ops.unstack(pairs, num=2, axis=-1)  # (N, 2) -> (N,), (N,)
        product = self.user_factors(user) * self.item_factors(item)  # (N, factors)
        both = ops.concatenate([self.mlp_user_factors(user), self.mlp_item_factors(item)], axis=-1)
        hidden = ops.relu(self.mlp(both))  # (N, sizes[0]) -> (N, sizes[-1])
        features = ops.concatenate([product, hidden], axis=-1)
        return ops.squeeze(self.output_layer(features), -1)  # (N, 1) -> (N,)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the model, so that Keras can save it."""
        return {**self.settings, "name": self.name}


def _factors(rows: int, factors: int) -> keras.layers.Layer:
    """Return a table of factors that starts near zero."""
    # One initializer draws the same numbers each time, so every table takes its own.
    normal = keras.initializers.RandomNormal(stddev=0.1)
    return layers.Embedding(rows, factors, embeddings_initializer=normal)


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`{name}` (={size}) must be at least 1.")

"""The multilayer perceptron in Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import keras

__all__ = ["MLP"]


@keras.saving.register_keras_serializable(package="largemodels")
class MLP(keras.Sequential):
    """A multilayer perceptron: dense layers with an activation between them.

    hᵢ = φ(hᵢ₋₁ Wᵢᵀ + bᵢ),  y = hₖ₋₁ Wₖᵀ + bₖ

    Args:
        sizes: the numbers of features, from the input to the output.
        activation: the name of the activation.
        name: the name of the model.

    Shape:
        (N, sizes[0]) -> (N, sizes[-1]), logits

    Raises:
        ValueError: if there are fewer than two sizes.

    Example:
        >>> model = MLP([784, 128, 10])
        >>> [tuple(weight.shape) for weight in model.weights]
        [(784, 128), (128,), (128, 10), (10,)]

    Taught in: book/algorithms/backpropagation.md
    """

    def __init__(
        self, sizes: Sequence[int], activation: str = "relu", name: str | None = None
    ) -> None:
        if len(sizes) < 2:
            raise ValueError(f"`sizes` (={sizes}) must name an input size and an output size.")
        super().__init__(name=name)
        self.sizes = list(sizes)
        self.activation = activation
        self.add(keras.Input((sizes[0],)))
        for units in sizes[1:-1]:
            self.add(keras.layers.Dense(units, activation, kernel_initializer="he_normal"))
        # The output has no activation: the losses take logits.
        self.add(keras.layers.Dense(sizes[-1], kernel_initializer="he_normal"))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the model, so that Keras can save it."""
        return {"sizes": list(self.sizes), "activation": self.activation, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Return the model of a saved configuration."""
        return cls(**config)

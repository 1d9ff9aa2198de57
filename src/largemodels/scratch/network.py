"""Networks: layers one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.activations import ReLU
from largemodels.scratch.layer import Layer
from largemodels.scratch.linear import Linear

__all__ = ["MLP", "Sequential"]


class Sequential(Layer):
    """Layers one after the other; the backward pass goes through them in reverse.

    forward:   y = fₖ(… f₂(f₁(x)))
    backward:  ∂L/∂x = the chain rule, from fₖ back to f₁

    Args:
        *layers: the layers, in the order of the forward pass.

    Shape:
        that of the first layer -> that of the last one

    Raises:
        ValueError: if one layer stands at two places; it remembers one forward pass only.

    Example:
        >>> Sequential(Linear(3, 2), ReLU())
        Sequential(
          (0): Linear(in_features=3, out_features=2, bias=True)
          (1): ReLU()
        )

    Taught in: book/algorithms/backpropagation.md
    """

    def __init__(self, *layers: Layer) -> None:
        if len({id(layer) for layer in layers}) < len(layers):
            raise ValueError("`layers` holds one layer twice; make a new layer for each place.")
        self.layers = layers

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Send `x` through all layers."""
        for layer in self.layers:
            x = layer(x)
        return x

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Set the gradients of all parameters, and return ∂L/∂x from `grad_output` = ∂L/∂y."""
        for layer in reversed(self.layers):
            grad_output = layer.backward(grad_output)
        return grad_output

    def named_children(self) -> list[tuple[str, Layer]]:
        """Return the layers, named by their position."""
        return [(str(position), layer) for position, layer in enumerate(self.layers)]


class MLP(Sequential):
    """A multilayer perceptron: linear layers with an activation between them.

    hᵢ = φ(hᵢ₋₁ Wᵢᵀ + bᵢ),  y = hₖ₋₁ Wₖᵀ + bₖ

    Args:
        sizes: the numbers of features, from the input to the output.
        activation: the class of the activation φ.
        rng: the random generator of the initial weights; `None` takes a new one.
        initializer: the distribution of the initial weights, a name in `INITIALIZERS`.
        dtype: the type of the parameters.

    Shape:
        (N, sizes[0]) -> (N, sizes[-1])

    Raises:
        ValueError: if there are fewer than two sizes.

    Source:
        Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
        Nature 323, 1986.

    Example:
        >>> MLP([784, 128, 10])
        MLP(
          (0): Linear(in_features=784, out_features=128, bias=True)
          (1): ReLU()
          (2): Linear(in_features=128, out_features=10, bias=True)
        )

    Taught in: book/algorithms/backpropagation.md
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: type[Layer] = ReLU,
        rng: np.random.Generator | None = None,
        *,
        initializer: str = "he_normal",
        dtype: DTypeLike = np.float32,
    ) -> None:
        if len(sizes) < 2:
            raise ValueError(f"`sizes` (={sizes}) must name an input size and an output size.")
        rng = np.random.default_rng(rng)
        layers: list[Layer] = []
        for in_features, out_features in pairwise(sizes):
            layers += [
                Linear(in_features, out_features, rng=rng, initializer=initializer, dtype=dtype),
                activation(),
            ]
        # The output has no activation: the losses take logits.
        super().__init__(*layers[:-1])

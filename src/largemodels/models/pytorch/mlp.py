"""The multilayer perceptron in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from largemodels.models.pytorch.chain import Chain

__all__ = ["MLP"]


class MLP(Chain):
    """A multilayer perceptron: linear layers with an activation between them.

    hᵢ = φ(hᵢ₋₁ Wᵢᵀ + bᵢ),  y = hₖ₋₁ Wₖᵀ + bₖ

    Args:
        sizes: the numbers of features, from the input to the output.
        activation: the class of the activation.

    Shape:
        (N, sizes[0]) -> (N, sizes[-1]), logits

    Raises:
        ValueError: if there are fewer than two sizes.

    Example:
        >>> MLP([784, 128, 10])
        MLP(
          (0): Linear(in_features=784, out_features=128, bias=True)
          (1): ReLU()
          (2): Linear(in_features=128, out_features=10, bias=True)
        )

    Taught in: book/algorithms/backpropagation.md
    """

    def __init__(self, sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU) -> None:
        if len(sizes) < 2:
            raise ValueError(f"`sizes` (={sizes}) must name an input size and an output size.")
        layers: list[nn.Module] = []
        for in_features, out_features in pairwise(sizes):
            linear = nn.Linear(in_features, out_features)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)
            layers += [linear, activation()]
        # The output has no activation: the losses take logits.
        super().__init__(*layers[:-1])

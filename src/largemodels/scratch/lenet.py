"""LeNet: a small convolutional network that reads handwritten digits."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.activations import ReLU
from largemodels.scratch.convolution import Conv2d
from largemodels.scratch.layer import Layer
from largemodels.scratch.linear import Linear
from largemodels.scratch.network import Sequential
from largemodels.scratch.pooling import Flatten, MaxPool2d

__all__ = ["LeNet"]


class LeNet(Sequential):
    """A LeNet-5 for 28×28 images: two convolutions find patterns, three linear layers decide.

    | key | layer                         | output       | parameters (1 channel, 10 classes) |
    |-----|-------------------------------|--------------|------------------------------------|
    |     | the image                     | C × 28 × 28  |                                    |
    | 0   | 6 filters 5×5, padding 2      | 6 × 28 × 28  |    156 = 6 · (1 · 5 · 5 + 1)       |
    | 1   | activation                    |              |                                    |
    | 2   | max pooling 2×2               | 6 × 14 × 14  |                                    |
    | 3   | 16 filters 5×5                | 16 × 10 × 10 |  2,416 = 16 · (6 · 5 · 5 + 1)      |
    | 4   | activation                    |              |                                    |
    | 5   | max pooling 2×2               | 16 × 5 × 5   |                                    |
    | 6   | flatten                       | 400          |                                    |
    | 7   | linear                        | 120          | 48,120 = 120 · (400 + 1)           |
    | 8   | activation                    |              |                                    |
    | 9   | linear                        | 84           | 10,164 = 84 · (120 + 1)            |
    | 10  | activation                    |              |                                    |
    | 11  | linear                        | classes      |    850 = 10 · (84 + 1)             |

    The padding of 2 makes the 32×32 pixels that the network of 1998 expects. That one differs in
    four points: its pooling is a mean with a learned factor and bias, its activation a scaled tanh,
    its second convolution sees only some of the channels, and its output measures distances to
    drawn digits. What stands here is how the network is built today; it returns logits.

    Args:
        in_channels: the number C of channels of the image.
        num_classes: the number of classes.
        activation: the class of the activation.
        rng: the random generator of the initial weights; `None` takes a new one.
        initializer: the distribution of the initial weights, a name in `INITIALIZERS`.
        dtype: the type of the parameters.

    Shape:
        (N, C, 28, 28) -> (N, num_classes)

    Raises:
        ValueError: if a setting is too small, or an input has a wrong shape.

    Source:
        LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
        recognition", Proceedings of the IEEE 86(11), 1998, section II.B and figure 2.

    Example:
        >>> model = LeNet()
        >>> model(np.zeros((2, 1, 28, 28), dtype=np.float32)).shape
        (2, 10)
        >>> sum(parameter.data.size for parameter in model.parameters())
        61706

    Taught in: book/algorithms/convolutional_networks.md
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        activation: type[Layer] = ReLU,
        *,
        rng: np.random.Generator | None = None,
        initializer: str = "he_normal",
        dtype: DTypeLike = np.float32,
    ) -> None:
        rng = np.random.default_rng(rng)
        super().__init__(
            Conv2d(in_channels, 6, 5, padding=2, rng=rng, initializer=initializer, dtype=dtype),
            activation(),
            MaxPool2d(2),
            Conv2d(6, 16, 5, rng=rng, initializer=initializer, dtype=dtype),
            activation(),
            MaxPool2d(2),
            Flatten(),
            Linear(16 * 5 * 5, 120, rng=rng, initializer=initializer, dtype=dtype),
            activation(),
            Linear(120, 84, rng=rng, initializer=initializer, dtype=dtype),
            activation(),
            Linear(84, num_classes, rng=rng, initializer=initializer, dtype=dtype),
        )

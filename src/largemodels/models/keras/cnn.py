"""Small convolutional networks in Keras: LeNet, and the CNN of many first tutorials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from largemodels.models.keras.saving import SavedSequential

__all__ = ["CNN", "LeNet"]


@keras.saving.register_keras_serializable(package="largemodels")
class LeNet(SavedSequential):
    """A LeNet-5 for 28×28 images, the twin of `largemodels.scratch.LeNet`.

    image → conv 6@5×5 → φ → pool → conv 16@5×5 → φ → pool → 400 → 120 → φ → 84 → φ → classes

    Args:
        in_channels: the number C of channels of the image.
        num_classes: the number of classes.
        activation: the name of the activation.
        name: the name of the model.

    Shape:
        (N, 28, 28, C) -> (N, num_classes), logits; Keras has the channels last

    Source:
        LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
        recognition", Proceedings of the IEEE 86(11), 1998, section II.B and figure 2.

    Example:
        >>> import numpy as np
        >>> model = LeNet()
        >>> tuple(model(np.zeros((2, 28, 28, 1))).shape)
        (2, 10)
        >>> model.count_params()
        61706

    Taught in: book/algorithms/convolutional_networks.md
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        activation: str = "relu",
        name: str | None = None,
    ) -> None:
        self.settings = {
            "in_channels": in_channels,
            "num_classes": num_classes,
            "activation": activation,
        }
        he: dict[str, Any] = {"kernel_initializer": "he_normal"}
        super().__init__(
            [
                keras.Input((28, 28, in_channels)),
                layers.Conv2D(6, 5, padding="same", activation=activation, **he),
                layers.MaxPooling2D(2),
                layers.Conv2D(16, 5, activation=activation, **he),
                layers.MaxPooling2D(2),
                layers.Flatten(),
                layers.Dense(120, activation, **he),
                layers.Dense(84, activation, **he),
                layers.Dense(num_classes, **he),
            ],
            name=name,
        )


@keras.saving.register_keras_serializable(package="largemodels")
class CNN(SavedSequential):
    """A small CNN: 3×3 convolutions, max pooling after the first ones, and two dense layers.

    image → (conv 3×3 → ReLU → pool 2×2) … → (conv 3×3 → ReLU) … → linear → ReLU → linear

    A ReLU follows every layer but the last one, which returns logits. Neither convolution nor
    pooling pads: each convolution takes 2 pixels from height and width, each pooling halves them.

    Args:
        image_shape: height H, width W and channels C of the image; Keras has the channels last.
        channels: the number of filters of each convolution.
        pools: after how many of the convolutions, from the first on, a 2×2 max pooling follows.
        hidden: the number of units of the dense layer before the last one.
        num_classes: the number of classes.
        name: the name of the model.

    Shape:
        (N, H, W, C) -> (N, num_classes), logits

    Raises:
        ValueError: if `pools` does not fit to `channels`, or the image is too small.

    Source:
        TensorFlow, "Convolutional Neural Network (CNN)" (tutorial), the model for CIFAR-10.

    Example:
        >>> import numpy as np
        >>> model = CNN()
        >>> tuple(model(np.zeros((2, 28, 28, 1))).shape)
        (2, 10)

        The same network on CIFAR-10, and two that have one convolution only:

        >>> model.count_params(), CNN((32, 32, 3)).count_params()
        (93322, 122570)
        >>> CNN(channels=[32], pools=1).count_params()
        347146
        >>> CNN(channels=[32], pools=1, hidden=128).count_params()
        693962

    Taught in: book/algorithms/convolutional_networks.md
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (28, 28, 1),
        channels: Sequence[int] = (32, 64, 64),
        pools: int = 2,
        hidden: int = 64,
        num_classes: int = 10,
        name: str | None = None,
    ) -> None:
        if not 0 <= pools <= len(channels):
            raise ValueError(f"`pools` (={pools}) must be from 0 to {len(channels)}.")
        self.settings = {
            "image_shape": list(image_shape),
            "channels": list(channels),
            "pools": pools,
            "hidden": hidden,
            "num_classes": num_classes,
        }
        he: dict[str, Any] = {"kernel_initializer": "he_normal"}
        super().__init__(name=name)
        self.add(keras.Input(tuple(image_shape)))
        for position, filters in enumerate(channels):
            self.add(layers.Conv2D(filters, 3, activation="relu", **he))
            if position < pools:
                self.add(layers.MaxPooling2D(2))
        self.add(layers.Flatten())
        self.add(layers.Dense(hidden, "relu", **he))
        self.add(layers.Dense(num_classes, **he))

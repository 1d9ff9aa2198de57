"""Inception blocks, and a small network of them, in Keras."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from largemodels.models.keras.saving import SavedSequential

__all__ = ["InceptionBlock", "InceptionNet"]


def _convolution(filters: int, kernel_size: int) -> keras.layers.Layer:
    """Return a convolution with a ReLU that keeps the size of the image."""
    return layers.Conv2D(
        filters, kernel_size, padding="same", activation="relu", kernel_initializer="he_normal"
    )


@keras.saving.register_keras_serializable(package="largemodels")
class InceptionBlock(keras.layers.Layer):
    """Four branches side by side, the twin of `largemodels.scratch.InceptionBlock`.

    y = [branch1(x), branch2(x), branch3(x), branch4(x)] along the channels
        branch 1: 1×1 convolution
        branch 2: 1×1 convolution, 3×3 convolution
        branch 3: 1×1 convolution, 5×5 convolution
        branch 4: 3×3 max pooling, 1×1 convolution

    A ReLU follows every convolution. Keras learns the number of channels from the first input.

    Args:
        out_1x1: the channels of branch 1.
        reduce_3x3: the channels between the two convolutions of branch 2.
        out_3x3: the channels of branch 2.
        reduce_5x5: the channels between the two convolutions of branch 3.
        out_5x5: the channels of branch 3.
        out_pool: the channels of branch 4.
        **options: the name and the like, as every Keras layer takes them.

    Shape:
        (N, H, W, C) -> (N, H, W, out_1x1 + out_3x3 + out_5x5 + out_pool)

    Source:
        Szegedy et al., "Going deeper with convolutions", CVPR 2015, figure 2(b) and table 1.

    Example:
        >>> block = InceptionBlock(64, 96, 128, 16, 32, 32)  # "inception (3a)" of table 1.
        >>> tuple(block(ops.zeros((1, 28, 28, 192))).shape)
        (1, 28, 28, 256)
        >>> block.count_params()
        163696

    Taught in: book/case_studies/image_recognition.md
    """

    def __init__(
        self,
        out_1x1: int,
        reduce_3x3: int,
        out_3x3: int,
        reduce_5x5: int,
        out_5x5: int,
        out_pool: int,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.settings = {
            "out_1x1": out_1x1,
            "reduce_3x3": reduce_3x3,
            "out_3x3": out_3x3,
            "reduce_5x5": reduce_5x5,
            "out_5x5": out_5x5,
            "out_pool": out_pool,
        }
        self.branch1 = keras.Sequential([_convolution(out_1x1, 1)], name="branch1")
        self.branch2 = keras.Sequential(
            [_convolution(reduce_3x3, 1), _convolution(out_3x3, 3)], name="branch2"
        )
        self.branch3 = keras.Sequential(
            [_convolution(reduce_5x5, 1), _convolution(out_5x5, 5)], name="branch3"
        )
        self.branch4 = keras.Sequential(
            [layers.MaxPooling2D(3, strides=1, padding="same"), _convolution(out_pool, 1)],
            name="branch4",
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of all branches."""
        for branch in self._branches():
            branch.build(input_shape)

    def call(self, x: Any) -> Any:
        """Return the outputs of the four branches, one after the other along the channels."""
        return ops.concatenate([branch(x) for branch in self._branches()], axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer, so that Keras can save it."""
        return {**super().get_config(), **self.settings}

    def _branches(self) -> tuple[keras.Sequential, ...]:
        return self.branch1, self.branch2, self.branch3, self.branch4


@keras.saving.register_keras_serializable(package="largemodels")
class InceptionNet(SavedSequential):
    """A small GoogLeNet: a convolution, three Inception blocks, a mean and a dense layer.

    | layer                                      | output (32×32 image) | parameters (C = 3) |
    |--------------------------------------------|----------------------|--------------------|
    | 32 filters 3×3, padding 1, ReLU            | 32 × 32 × 32         |                896 |
    | max pooling 2×2                            | 16 × 16 × 32         |                    |
    | Inception block, 16 + 32 + 8 + 8 channels  | 16 × 16 × 64         |              9,468 |
    | Inception block, 32 + 48 + 16 + 32         | 16 × 16 × 128        |             23,848 |
    | max pooling 2×2                            | 8 × 8 × 128          |                    |
    | Inception block, 48 + 96 + 24 + 24         | 8 × 8 × 192          |             65,820 |
    | mean of each channel, dense                | classes              |              1,930 |

    GoogLeNet has 9 such blocks and two more outputs that help it to learn; for CIFAR-10 three
    blocks and one output are enough. The image may have any size from 4×4 pixels on.

    Args:
        in_channels: the number C of channels of the image.
        num_classes: the number of classes.
        name: the name of the model.

    Shape:
        (N, H, W, C) -> (N, num_classes), logits

    Source:
        Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 5; the sizes are ours.

    Example:
        >>> model = InceptionNet()
        >>> tuple(model(ops.zeros((2, 32, 32, 3))).shape)
        (2, 10)
        >>> model.count_params()
        101962

    Taught in: book/case_studies/image_recognition.md
    """

    def __init__(
        self, in_channels: int = 3, num_classes: int = 10, name: str | None = None
    ) -> None:
        self.settings = {"in_channels": in_channels, "num_classes": num_classes}
        super().__init__(
            [
                keras.Input((None, None, in_channels)),
                _convolution(32, 3),
                layers.MaxPooling2D(2),
                InceptionBlock(16, 24, 32, 4, 8, 8),
                InceptionBlock(32, 32, 48, 8, 16, 32),
                layers.MaxPooling2D(2),
                InceptionBlock(48, 48, 96, 12, 24, 24),
                layers.GlobalAveragePooling2D(),
                layers.Dense(num_classes, kernel_initializer="he_normal"),
            ],
            name=name,
        )

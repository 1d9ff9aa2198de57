"""ResNet for small images in Keras."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from largemodels.models.keras.normalization import batch_norm
from largemodels.models.keras.saving import SavedSequential

__all__ = ["PaddingShortcut", "ResNet", "ResidualBlock"]


def _convolution(
    filters: int, kernel_size: int, strides: int, use_bias: bool
) -> list[keras.layers.Layer]:
    """Return a convolution that pads as PyTorch does, by half a kernel on each side."""
    padding = kernel_size // 2
    convolution = layers.Conv2D(
        filters, kernel_size, strides, use_bias=use_bias, kernel_initializer="he_normal"
    )
    # `padding="same"` would pad the right and the bottom only, if the stride is 2.
    return [layers.ZeroPadding2D(padding), convolution] if padding else [convolution]


@keras.saving.register_keras_serializable(package="largemodels")
class PaddingShortcut(keras.layers.Layer):
    """Bring an image to fewer pixels and more channels without a parameter.

    y = every `strides`-th pixel of x, with channels of zeros after those of x

    Args:
        out_channels: the number O of channels of the output, at least C.
        strides: the step from one pixel to the next.
        **options: the name and the like, as every Keras layer takes them.

    Shape:
        (N, H, W, C) -> (N, OH, OW, O) with OH = ⌊(H − 1) / strides⌋ + 1, and OW likewise.

    Raises:
        ValueError: if the output has fewer channels than the input.

    Source:
        He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016,
        section 4.1, option A.

    Example:
        >>> x = ops.array([[[[1.0], [2.0], [3.0]]]])
        >>> ops.convert_to_numpy(PaddingShortcut(2, strides=2)(x))
        array([[[[1., 0.],
                 [3., 0.]]]], dtype=float32)

    Taught in: book/algorithms/convolutional_networks.md
    """

    def __init__(self, out_channels: int, strides: int, **options: Any) -> None:
        super().__init__(**options)
        self.out_channels = out_channels
        self.strides = strides

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check the number of channels."""
        in_channels = input_shape[-1] or 0
        if self.out_channels < in_channels:
            raise ValueError(
                f"`out_channels` (={self.out_channels}) must be at least the {in_channels} "
                "channels of the input."
            )

    def call(self, x: Any) -> Any:
        """Return the shortcut of `x`."""
        x = x[:, :: self.strides, :: self.strides, :]  # (N, H, W, C) -> (N, OH, OW, C)
        new_channels = self.out_channels - x.shape[-1]
        return ops.pad(x, [[0, 0], [0, 0], [0, 0], [0, new_channels]])  # -> (N, OH, OW, O)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer, so that Keras can save it."""
        own = {"out_channels": self.out_channels, "strides": self.strides}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="largemodels")
class ResidualBlock(keras.layers.Layer):
    """Learn what to add to the input, the twin of `largemodels.scratch.ResidualBlock`.

    y = relu(F(x) + S(x));  F is 3×3 convolution, ReLU, 3×3 convolution

    Args:
        in_channels: the number C of channels of the input.
        out_channels: the number O of channels of the output.
        strides: the step of the first convolution and of the shortcut.
        normalization: whether a batch normalization follows each convolution; the convolutions
            then have no bias.
        projection: whether the shortcut S, where channels or size change, is a 1×1 convolution
            (option B of the paper); otherwise it is a `PaddingShortcut` (option A).
        **options: the name and the like, as every Keras layer takes them.

    Shape:
        (N, H, W, C) -> (N, OH, OW, O) with OH = ⌊(H − 1) / strides⌋ + 1, and OW likewise.

    Raises:
        ValueError: if the output has fewer channels than the input, without a projection.

    Source:
        He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016,
        equations 1 and 2.

    Example:
        >>> block = ResidualBlock(16, 32, strides=2, normalization=True)
        >>> tuple(block(ops.zeros((1, 8, 8, 16))).shape)
        (1, 4, 4, 32)
        >>> sum(weight.value.numpy().size for weight in block.trainable_weights)
        14528

    Taught in: book/algorithms/convolutional_networks.md
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        strides: int = 1,
        *,
        normalization: bool = False,
        projection: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.settings = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "strides": strides,
            "normalization": normalization,
            "projection": projection,
        }

        def convolution(kernel_size: int, strides: int) -> list[keras.layers.Layer]:
            own = _convolution(out_channels, kernel_size, strides, use_bias=not normalization)
            return [*own, batch_norm()] if normalization else own

        self.body = keras.Sequential(
            [*convolution(3, strides), layers.ReLU(), *convolution(3, 1)], name="body"
        )
        self.shortcut: keras.layers.Layer
        if in_channels == out_channels and strides == 1:
            self.shortcut = layers.Identity()
        elif projection:
            self.shortcut = keras.Sequential(convolution(1, strides), name="shortcut")
        else:
            self.shortcut = PaddingShortcut(out_channels, strides)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of both ways."""
        self.body.build(input_shape)
        self.shortcut.build(input_shape)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Return relu(F(x) + S(x)) for `x` of shape (N, H, W, C)."""
        return ops.relu(self.body(x, training=training) + self.shortcut(x, training=training))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer, so that Keras can save it."""
        return {**super().get_config(), **self.settings}


@keras.saving.register_keras_serializable(package="largemodels")
class ResNet(SavedSequential):
    """The ResNet for CIFAR-10: three stages of residual blocks with 16, 32 and 64 channels.

    depth = 6 n + 2: a convolution, 3 stages of n blocks with 2 convolutions each, a dense layer

    The first block of the second and of the third stage halves height and width. A mean over all
    pixels precedes the dense layer, so the image may have any size.

    Args:
        depth: the number of layers with weights, 6 n + 2; the paper has 20, 32, 44, 56 and 110.
        num_classes: the number of classes.
        in_channels: the number C of channels of the image.
        projection: whether the two shortcuts that change the shape are learned; the paper pads on
            CIFAR-10 (option A), which takes no parameter.
        name: the name of the model.

    Shape:
        (N, H, W, C) -> (N, num_classes), logits; CIFAR-10 has C = 3 and H = W = 32.

    Raises:
        ValueError: if `depth` is not 6 n + 2.

    Source:
        He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016,
        section 4.2; table 6 gives 0.27 million parameters for depth 20.

    Example:
        >>> model = ResNet()
        >>> tuple(model(ops.zeros((2, 32, 32, 3))).shape)
        (2, 10)
        >>> sum(weight.value.numpy().size for weight in model.trainable_weights)
        269722
        >>> model = ResNet(projection=True)
        >>> sum(weight.value.numpy().size for weight in model.trainable_weights)
        272474

    Taught in: book/algorithms/convolutional_networks.md
    """

    def __init__(
        self,
        depth: int = 20,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        projection: bool = False,
        name: str | None = None,
    ) -> None:
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"`depth` (={depth}) must be 6 n + 2 with n of at least 1.")
        self.settings = {
            "depth": depth,
            "num_classes": num_classes,
            "in_channels": in_channels,
            "projection": projection,
        }
        super().__init__(name=name)
        self.add(keras.Input((None, None, in_channels)))
        for layer in [*_convolution(16, 3, 1, use_bias=False), batch_norm(), layers.ReLU()]:
            self.add(layer)
        channels = 16
        for out_channels in (16, 32, 64):
            for _ in range(depth // 6):
                self.add(
                    ResidualBlock(
                        channels,
                        out_channels,
                        strides=1 if channels == out_channels else 2,
                        normalization=True,
                        projection=projection,
                    )
                )
                channels = out_channels
        self.add(layers.GlobalAveragePooling2D())
        self.add(layers.Dense(num_classes, kernel_initializer="he_normal"))

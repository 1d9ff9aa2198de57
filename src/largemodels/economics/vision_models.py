"""Counts for the reference models of images: each function has the name and sizes of its model.

For `MLP`, `LeNet` and `GPT` see `largemodels.economics.compute`, for texts, sounds and ratings
`largemodels.economics.sequence_models`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from largemodels.economics._checks import check_at_least
from largemodels.economics.compute import Compute, conv2d, linear, mlp

__all__ = [
    "batch_norm",
    "cnn",
    "conv_transpose2d",
    "dcgan_discriminator",
    "dcgan_generator",
    "discriminator",
    "face_embedding",
    "generator",
    "grid_detector",
    "inception_net",
    "resnet",
]

Size = tuple[int, int]

# The channels of the blocks in `largemodels.models.pytorch.InceptionNet`, see `InceptionBlock`.
INCEPTION_BLOCKS = (
    (32, 16, 24, 32, 4, 8, 8),
    (64, 32, 32, 48, 8, 16, 32),
    (128, 48, 48, 96, 12, 24, 24),
)


def batch_norm(num_features: int) -> Compute:
    """Count a batch normalization: a learned scale and shift per channel, no matrix product.

    parameters = 2 · C

    Args:
        num_features: C. Its running mean and variance are kept, not learned.

    Raises:
        ValueError: if the size is below 1.

    Example:
        >>> batch_norm(16).parameters
        32

    Taught in: book/concepts/compute_data_algorithms.md
    """
    check_at_least("num_features", num_features, 1)
    return Compute(parameters=2 * num_features)


def conv_transpose2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    input_size: Size,
    *,
    batch_size: int = 1,
    bias: bool = True,
    input_gradient: bool = True,
) -> Compute:
    """Count a transposed convolution with a square kernel: each input pixel paints a patch.

    parameters = C_in · C_out · kernel² + C_out
    forward = 2 · N · H_in · W_in · C_in · C_out · kernel²,  backward = 2 · forward

    Stride and padding change where the patches go, not how many there are.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: the side of the kernel in pixels.
        input_size: height and width of the input in pixels.
        batch_size: N.
        bias: whether there is a bias.
        input_gradient: whether the backward pass goes on below.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> conv_transpose2d(64, 1, 4, (14, 14)).forward_flops
        401408

    Taught in: book/concepts/compute_data_algorithms.md
    """
    sizes = {"in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size}
    sizes |= {"height": input_size[0], "width": input_size[1], "batch_size": batch_size}
    for name, size in sizes.items():
        check_at_least(name, size, 1)
    pixels = batch_size * input_size[0] * input_size[1]
    weights = in_channels * out_channels * kernel_size**2
    forward = 2 * pixels * weights
    return Compute(
        parameters=weights + out_channels * bias,
        forward_flops=forward,
        backward_flops=forward * (1 + input_gradient),
        activations=pixels * in_channels,
    )


def cnn(
    image_shape: tuple[int, int, int] = (1, 28, 28),
    channels: Sequence[int] = (32, 64, 64),
    pools: int = 2,
    hidden: int = 64,
    num_classes: int = 10,
    *,
    batch_size: int = 1,
) -> Compute:
    """Count a `CNN`: 3×3 convolutions, pooling after the first ones, two linear layers.

    Args:
        image_shape: channels, height and width of the image.
        channels: the number of filters of each convolution.
        pools: after how many of them a 2×2 max pooling follows.
        hidden: the units of the first linear layer.
        num_classes: the number of classes.
        batch_size: N.

    Raises:
        ValueError: if the image is too small, or a size is below 1.

    Example:
        >>> cnn().parameters
        93322

    Taught in: book/concepts/compute_data_algorithms.md
    """
    inputs, *size = image_shape
    total = Compute()
    for position, outputs in enumerate(channels):
        total += conv2d(
            inputs, outputs, 3, _pair(size), batch_size=batch_size, input_gradient=position > 0
        )
        inputs, size = outputs, [side - 2 for side in size]
        if position < pools:
            size = [side // 2 for side in size]
    features = inputs * size[0] * size[1]
    return (
        total
        + linear(features, hidden, rows=batch_size)
        + linear(hidden, num_classes, rows=batch_size)
    )


def resnet(
    depth: int = 20,
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    projection: bool = False,
    image_size: Size = (32, 32),
    batch_size: int = 1,
) -> Compute:
    """Count a `ResNet` for small images: 3 stages of residual blocks.

    Args:
        depth: 6 n + 2.
        num_classes: the number of classes.
        in_channels: the channels of the image.
        projection: whether the shortcuts that change the shape are learned.
        image_size: height and width of the image in pixels.
        batch_size: N.

    Raises:
        ValueError: if `depth` is not 6 n + 2, or a size is below 1.

    Example:
        >>> resnet().parameters
        269722
        >>> round(resnet().forward_flops / 1e6)
        81

    Taught in: book/concepts/compute_data_algorithms.md
    """
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"`depth` (={depth}) must be 6 n + 2 with n of at least 1.")
    layers = [(in_channels, 16, 3, 1)]
    total = _convolutions(layers, image_size, batch_size, first=True)
    channels, size = 16, image_size
    for outputs in (16, 32, 64):
        for _ in range(depth // 6):
            stride = 1 if outputs == channels else 2
            if stride == 2 and projection:
                shortcut = _convolutions([(channels, outputs, 1, 2)], size, batch_size)
                total += replace(shortcut, activations=0)  # Its input is that of the block.
            body = [(channels, outputs, 3, stride), (outputs, outputs, 3, 1)]
            total += _convolutions(body, size, batch_size)
            channels, size = outputs, _divide(size, stride)
    return total + linear(64, num_classes, rows=batch_size)


def inception_net(
    in_channels: int = 3,
    num_classes: int = 10,
    *,
    image_size: Size = (32, 32),
    batch_size: int = 1,
) -> Compute:
    """Count an `InceptionNet`: a convolution, three Inception blocks, a linear layer.

    Args:
        in_channels: the channels of the image.
        num_classes: the number of classes.
        image_size: height and width of the image in pixels.
        batch_size: N.

    Raises:
        ValueError: if the image is too small, or a size is below 1.

    Example:
        >>> inception_net().parameters
        101962

    Taught in: book/concepts/compute_data_algorithms.md
    """
    total = conv2d(
        in_channels, 32, 3, image_size, padding=1, batch_size=batch_size, input_gradient=False
    )
    half = (image_size[0] // 2, image_size[1] // 2)
    quarter = (half[0] // 2, half[1] // 2)
    for block, size in zip(INCEPTION_BLOCKS, (half, half, quarter), strict=True):
        inputs, out_1x1, reduce_3x3, out_3x3, reduce_5x5, out_5x5, out_pool = block
        pixels = batch_size * size[0] * size[1]
        for outputs, kernel, channels in [
            (out_1x1, 1, inputs),
            (reduce_3x3, 1, inputs),
            (out_3x3, 3, reduce_3x3),
            (reduce_5x5, 1, inputs),
            (out_5x5, 5, reduce_5x5),
            (out_pool, 1, inputs),
        ]:
            total += conv2d(
                channels, outputs, kernel, size, padding=kernel // 2, batch_size=batch_size
            )
        # Three of the branches keep one and the same input.
        total += Compute(activations=-2 * pixels * inputs)
    return total + linear(192, num_classes, rows=batch_size)


def generator(
    latent_dim: int = 64, features: int = 784, hidden: int = 256, *, batch_size: int = 1
) -> Compute:
    """Count the `Generator` of a GAN, of two linear layers.

    Args:
        latent_dim: the random numbers of a sample.
        features: the numbers of a sample.
        hidden: the units between the two.
        batch_size: N.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> generator().parameters
        218128

    Taught in: book/concepts/compute_data_algorithms.md
    """
    return mlp([latent_dim, hidden, features], batch_size=batch_size)


def discriminator(features: int = 784, hidden: int = 256, *, batch_size: int = 1) -> Compute:
    """Count the `Discriminator` of a GAN, of two linear layers.

    Args:
        features: the numbers of a sample.
        hidden: the units in between.
        batch_size: N.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> discriminator().parameters
        201217

    Taught in: book/concepts/compute_data_algorithms.md
    """
    return mlp([features, hidden, 1], batch_size=batch_size)


def dcgan_generator(
    latent_dim: int = 64, channels: int = 1, filters: int = 64, *, batch_size: int = 1
) -> Compute:
    """Count a `DCGANGenerator`, of three transposed convolutions.

    Args:
        latent_dim: the random numbers of an image.
        channels: the channels of the image.
        filters: the filters before the last layer.
        batch_size: N.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> dcgan_generator().parameters
        533889

    Taught in: book/concepts/compute_data_algorithms.md
    """
    first = conv_transpose2d(
        latent_dim, 2 * filters, 7, (1, 1), batch_size=batch_size, bias=False, input_gradient=False
    )
    second = conv_transpose2d(2 * filters, filters, 4, (7, 7), batch_size=batch_size, bias=False)
    last = conv_transpose2d(filters, channels, 4, (14, 14), batch_size=batch_size)
    return first + batch_norm(2 * filters) + second + batch_norm(filters) + last


def dcgan_discriminator(channels: int = 1, filters: int = 64, *, batch_size: int = 1) -> Compute:
    """Count a `DCGANDiscriminator`, of three convolutions.

    Args:
        channels: the channels of the image.
        filters: the filters of the first layer.
        batch_size: N.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> dcgan_discriminator().parameters
        138689

    Taught in: book/concepts/compute_data_algorithms.md
    """
    first = conv2d(
        channels, filters, 4, (28, 28), stride=2, padding=1, batch_size=batch_size,
        input_gradient=False,
    )  # fmt: skip
    second = conv2d(
        filters, 2 * filters, 4, (14, 14), stride=2, padding=1, batch_size=batch_size, bias=False
    )
    last = conv2d(2 * filters, 1, 7, (7, 7), batch_size=batch_size)
    return first + second + batch_norm(2 * filters) + last


def grid_detector(
    num_classes: int,
    in_channels: int = 3,
    channels: Sequence[int] = (16, 32, 64),
    *,
    image_size: Size,
    batch_size: int = 1,
) -> Compute:
    """Count a `GridDetector`: convolutions with stride 2, one without, and one of 1×1.

    Args:
        num_classes: K; the detector has 5 + K outputs for each cell.
        in_channels: the channels of the image.
        channels: the filters of the convolutions with stride 2.
        image_size: height and width of the image in pixels.
        batch_size: N.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> grid_detector(3, image_size=(64, 64)).parameters
        61208

    Taught in: book/concepts/compute_data_algorithms.md
    """
    sizes = [in_channels, *channels]
    layers = [(a, b, 3, 2) for a, b in zip(sizes, channels, strict=False)]
    layers.append((channels[-1], channels[-1], 3, 1))
    cells = image_size
    for _ in channels:
        cells = _divide(cells, 2)
    return _convolutions(layers, image_size, batch_size, first=True) + conv2d(
        channels[-1], 5 + num_classes, 1, cells, batch_size=batch_size
    )


def face_embedding(
    embedding_dim: int = 32,
    in_channels: int = 3,
    channels: Sequence[int] = (16, 32, 64),
    *,
    image_size: Size,
    batch_size: int = 1,
) -> Compute:
    """Count a `FaceEmbedding`: convolutions, all but the first with stride 2, a linear layer.

    Args:
        embedding_dim: the coordinates of a face.
        in_channels: the channels of the picture.
        channels: the filters of the convolutions.
        image_size: height and width of the picture in pixels.
        batch_size: N.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> face_embedding(16, 1, image_size=(64, 64)).parameters
        24448

    Taught in: book/concepts/compute_data_algorithms.md
    """
    sizes = [in_channels, *channels]
    layers = [
        (a, b, 3, 2 if position else 1)
        for position, (a, b) in enumerate(zip(sizes, channels, strict=False))
    ]
    return _convolutions(layers, image_size, batch_size, first=True) + linear(
        channels[-1], embedding_dim, rows=batch_size
    )


def _convolutions(
    layers: Sequence[tuple[int, int, int, int]],
    size: Size,
    batch_size: int,
    *,
    first: bool = False,
) -> Compute:
    """Count convolutions without bias, each with a batch norm; `first`: the input is the image."""
    total = Compute()
    for position, (inputs, outputs, kernel, stride) in enumerate(layers):
        total += conv2d(
            inputs,
            outputs,
            kernel,
            size,
            batch_size=batch_size,
            stride=stride,
            padding=kernel // 2,
            bias=False,
            input_gradient=not first or position > 0,
        )
        total += batch_norm(outputs)
        size = _divide(size, stride)
    return total


def _divide(size: Size, stride: int) -> Size:
    return (size[0] - 1) // stride + 1, (size[1] - 1) // stride + 1


def _pair(size: Sequence[int]) -> Size:
    return size[0], size[1]

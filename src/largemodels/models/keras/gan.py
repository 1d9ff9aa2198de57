"""Generators and discriminators in Keras: of dense layers (GAN) and of convolutions (DCGAN)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from largemodels.models.keras.normalization import batch_norm
from largemodels.models.keras.saving import SavedSequential

__all__ = ["DCGANDiscriminator", "DCGANGenerator", "Discriminator", "Generator"]


@keras.saving.register_keras_serializable(package="largemodels")
class Generator(SavedSequential):
    """Make a sample from noise, with dense layers.

    x = tanh(leaky_relu(z W₁ + b₁) W₂ + b₂)

    Args:
        latent_dim: the number Z of random numbers that a sample is made of.
        features: the number F of numbers of a sample, for example 784 pixels.
        hidden: the number of units between the two.
        name: the name of the model.

    Shape:
        (N, Z) -> (N, F), values from −1 to 1

    Source:
        Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, section 5; the activations
        are those of Radford et al., see `DCGANGenerator`.

    Example:
        >>> model = Generator()
        >>> tuple(model(keras.ops.zeros((2, 64))).shape)
        (2, 784)
        >>> model.count_params()
        218128

    Taught in: book/algorithms/generative_adversarial_networks.md
    """

    def __init__(
        self,
        latent_dim: int = 64,
        features: int = 784,
        hidden: int = 256,
        name: str | None = None,
    ) -> None:
        self.settings = {"latent_dim": latent_dim, "features": features, "hidden": hidden}
        super().__init__(
            [
                keras.Input((latent_dim,)),
                layers.Dense(hidden, kernel_initializer="he_normal"),
                layers.LeakyReLU(0.2),
                layers.Dense(features, "tanh", kernel_initializer="he_normal"),
            ],
            name=name,
        )


@keras.saving.register_keras_serializable(package="largemodels")
class Discriminator(SavedSequential):
    """Judge whether a sample is real, with dense layers.

    logit = leaky_relu(x W₁ + b₁) · w₂ + b₂;  σ(logit) is the probability of a real sample

    Args:
        features: the number F of numbers of a sample, for example 784 pixels.
        hidden: the number of units in between.
        name: the name of the model.

    Shape:
        (N, F) -> (N, 1), logits

    Source:
        Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, section 5; the activation
        is that of Radford et al., see `DCGANDiscriminator`.

    Example:
        >>> model = Discriminator()
        >>> tuple(model(keras.ops.zeros((2, 784))).shape)
        (2, 1)
        >>> model.count_params()
        201217

    Taught in: book/algorithms/generative_adversarial_networks.md
    """

    def __init__(self, features: int = 784, hidden: int = 256, name: str | None = None) -> None:
        self.settings = {"features": features, "hidden": hidden}
        super().__init__(
            [
                keras.Input((features,)),
                layers.Dense(hidden, kernel_initializer="he_normal"),
                layers.LeakyReLU(0.2),
                layers.Dense(1, kernel_initializer="he_normal"),
            ],
            name=name,
        )


def _dcgan_options(strides: int) -> dict[str, Any]:
    """Return what all convolutions have in common, transposed or not."""
    return {
        "strides": strides,
        # With stride 2 and an even number of pixels, "same" equals PyTorch's padding of 1.
        "padding": "valid" if strides == 1 else "same",
        # One initializer draws the same numbers each time, so every layer takes its own.
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.02),
    }


def _upsample(
    filters: int, kernel_size: int, strides: int = 1, **options: Any
) -> keras.layers.Layer:
    """Return a transposed convolution with PyTorch's padding."""
    return layers.Conv2DTranspose(filters, kernel_size, **_dcgan_options(strides), **options)


def _downsample(
    filters: int, kernel_size: int, strides: int = 1, **options: Any
) -> keras.layers.Layer:
    """Return a convolution with PyTorch's padding."""
    return layers.Conv2D(filters, kernel_size, **_dcgan_options(strides), **options)


@keras.saving.register_keras_serializable(package="largemodels")
class DCGANGenerator(SavedSequential):
    """Make a 28×28 image from noise, with transposed convolutions.

    | layer                                          | output (64 filters) |
    |------------------------------------------------|---------------------|
    | noise                                          | 1 × 1 × Z           |
    | transposed convolution 7×7, batch norm, ReLU   | 7 × 7 × 128         |
    | the same, 4×4, stride 2                        | 14 × 14 × 64        |
    | transposed convolution 4×4, stride 2, tanh     | 28 × 28 × C         |

    Args:
        latent_dim: the number Z of random numbers that an image is made of.
        channels: the number C of channels of the image.
        filters: the number of filters before the last layer; the layer before has twice as many.
        name: the name of the model.

    Shape:
        (N, Z) -> (N, 28, 28, C), values from −1 to 1

    Source:
        Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional
        generative adversarial networks", ICLR 2016, sections 3 and 4; theirs makes 64×64 images.

    Example:
        >>> model = DCGANGenerator()
        >>> tuple(model(keras.ops.zeros((2, 64))).shape)
        (2, 28, 28, 1)
        >>> sum(weight.value.numpy().size for weight in model.trainable_weights)
        533889

    Taught in: book/algorithms/generative_adversarial_networks.md
    """

    def __init__(
        self,
        latent_dim: int = 64,
        channels: int = 1,
        filters: int = 64,
        name: str | None = None,
    ) -> None:
        self.settings = {"latent_dim": latent_dim, "channels": channels, "filters": filters}
        super().__init__(
            [
                keras.Input((latent_dim,)),
                layers.Reshape((1, 1, latent_dim)),
                _upsample(2 * filters, 7, use_bias=False),
                batch_norm(),
                layers.ReLU(),
                _upsample(filters, 4, strides=2, use_bias=False),
                batch_norm(),
                layers.ReLU(),
                _upsample(channels, 4, strides=2, activation="tanh"),
            ],
            name=name,
        )


@keras.saving.register_keras_serializable(package="largemodels")
class DCGANDiscriminator(SavedSequential):
    """Judge whether a 28×28 image is real, with convolutions.

    | layer                                              | output (64 filters) |
    |----------------------------------------------------|---------------------|
    | image                                              | 28 × 28 × C         |
    | convolution 4×4, stride 2, leaky ReLU              | 14 × 14 × 64        |
    | convolution 4×4, stride 2, batch norm, leaky ReLU  | 7 × 7 × 128         |
    | convolution 7×7                                    | 1                   |

    Args:
        channels: the number C of channels of the image.
        filters: the number of filters of the first layer; the next one has twice as many.
        name: the name of the model.

    Shape:
        (N, 28, 28, C) -> (N, 1), logits

    Source:
        Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional
        generative adversarial networks", ICLR 2016, sections 3 and 4; theirs takes 64×64 images.

    Example:
        >>> model = DCGANDiscriminator()
        >>> tuple(model(keras.ops.zeros((2, 28, 28, 1))).shape)
        (2, 1)
        >>> sum(weight.value.numpy().size for weight in model.trainable_weights)
        138689

    Taught in: book/algorithms/generative_adversarial_networks.md
    """

    def __init__(self, channels: int = 1, filters: int = 64, name: str | None = None) -> None:
        self.settings = {"channels": channels, "filters": filters}
        super().__init__(
            [
                keras.Input((28, 28, channels)),
                _downsample(filters, 4, strides=2),
                layers.LeakyReLU(0.2),
                _downsample(2 * filters, 4, strides=2, use_bias=False),
                batch_norm(),
                layers.LeakyReLU(0.2),
                _downsample(1, 7),
                layers.Flatten(),
            ],
            name=name,
        )

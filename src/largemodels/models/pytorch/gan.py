"""Generators and discriminators in PyTorch: of linear layers (GAN) and of convolutions (DCGAN)."""

from __future__ import annotations

from torch import nn

from largemodels.models.pytorch.chain import Chain
from largemodels.models.pytorch.initialization import he_initialize

__all__ = ["DCGANDiscriminator", "DCGANGenerator", "Discriminator", "Generator"]


class Generator(Chain):
    """Make a sample from noise, with linear layers.

    x = tanh(W₂ leaky_relu(W₁ z + b₁) + b₂)

    Args:
        latent_dim: the number Z of random numbers that a sample is made of.
        features: the number F of numbers of a sample, for example 784 pixels.
        hidden: the number of units between the two.

    Shape:
        (N, Z) -> (N, F), values from −1 to 1

    Source:
        Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, section 5; the activations
        are those of Radford et al., see `DCGANGenerator`.

    Example:
        >>> import torch
        >>> model = Generator()
        >>> model(torch.zeros(2, 64)).shape
        torch.Size([2, 784])
        >>> sum(parameter.numel() for parameter in model.parameters())
        218128

    Taught in: book/algorithms/generative_adversarial_networks.md
    """

    def __init__(self, latent_dim: int = 64, features: int = 784, hidden: int = 256) -> None:
        super().__init__(
            nn.Linear(latent_dim, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, features),
            nn.Tanh(),
        )
        self.apply(he_initialize)


class Discriminator(Chain):
    """Judge whether a sample is real, with linear layers.

    logit = w₂ · leaky_relu(W₁ x + b₁) + b₂;  σ(logit) is the probability of a real sample

    Args:
        features: the number F of numbers of a sample, for example 784 pixels.
        hidden: the number of units in between.

    Shape:
        (N, F) -> (N, 1), logits

    Source:
        Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, section 5; the activation
        is that of Radford et al., see `DCGANDiscriminator`.

    Example:
        >>> import torch
        >>> model = Discriminator()
        >>> model(torch.zeros(2, 784)).shape
        torch.Size([2, 1])
        >>> sum(parameter.numel() for parameter in model.parameters())
        201217

    Taught in: book/algorithms/generative_adversarial_networks.md
    """

    def __init__(self, features: int = 784, hidden: int = 256) -> None:
        super().__init__(nn.Linear(features, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))
        self.apply(he_initialize)


class DCGANGenerator(Chain):
    """Make a 28×28 image from noise, with transposed convolutions.

    | layer                                          | output (64 filters) |
    |------------------------------------------------|---------------------|
    | noise                                          | Z × 1 × 1           |
    | transposed convolution 7×7, batch norm, ReLU   | 128 × 7 × 7         |
    | the same, 4×4, stride 2                        | 64 × 14 × 14        |
    | transposed convolution 4×4, stride 2, tanh     | C × 28 × 28         |

    Args:
        latent_dim: the number Z of random numbers that an image is made of.
        channels: the number C of channels of the image.
        filters: the number of filters before the last layer; the layer before has twice as many.

    Shape:
        (N, Z) -> (N, C, 28, 28), values from −1 to 1

    Source:
        Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional
        generative adversarial networks", ICLR 2016, sections 3 and 4; theirs makes 64×64 images.

    Example:
        >>> import torch
        >>> model = DCGANGenerator()
        >>> model(torch.zeros(2, 64)).shape
        torch.Size([2, 1, 28, 28])
        >>> sum(parameter.numel() for parameter in model.parameters())
        533889

    Taught in: book/algorithms/generative_adversarial_networks.md
    """

    def __init__(self, latent_dim: int = 64, channels: int = 1, filters: int = 64) -> None:
        super().__init__(
            nn.Unflatten(1, (latent_dim, 1, 1)),
            nn.ConvTranspose2d(latent_dim, 2 * filters, 7, bias=False),
            nn.BatchNorm2d(2 * filters),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * filters, filters, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.ConvTranspose2d(filters, channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        self.apply(_dcgan_initialize)


class DCGANDiscriminator(Chain):
    """Judge whether a 28×28 image is real, with convolutions.

    | layer                                              | output (64 filters) |
    |----------------------------------------------------|---------------------|
    | image                                              | C × 28 × 28         |
    | convolution 4×4, stride 2, leaky ReLU              | 64 × 14 × 14        |
    | convolution 4×4, stride 2, batch norm, leaky ReLU  | 128 × 7 × 7         |
    | convolution 7×7                                    | 1                   |

    Args:
        channels: the number C of channels of the image.
        filters: the number of filters of the first layer; the next one has twice as many.

    Shape:
        (N, C, 28, 28) -> (N, 1), logits

    Source:
        Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional
        generative adversarial networks", ICLR 2016, sections 3 and 4; theirs takes 64×64 images.

    Example:
        >>> import torch
        >>> model = DCGANDiscriminator()
        >>> model(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 1])
        >>> sum(parameter.numel() for parameter in model.parameters())
        138689

    Taught in: book/algorithms/generative_adversarial_networks.md
    """

    def __init__(self, channels: int = 1, filters: int = 64) -> None:
        super().__init__(
            nn.Conv2d(channels, filters, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(filters, 2 * filters, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * filters),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * filters, 1, 7),
            nn.Flatten(),
        )
        self.apply(_dcgan_initialize)


def _dcgan_initialize(module: nn.Module) -> None:
    """Draw the weights from a normal distribution with standard deviation 0.02, as the paper."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

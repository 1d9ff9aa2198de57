"""Small convolutional networks in PyTorch: LeNet, and the CNN of many first tutorials."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from largemodels.models.pytorch.chain import Chain
from largemodels.models.pytorch.initialization import he_initialize

__all__ = ["CNN", "LeNet"]


class LeNet(Chain):
    """A LeNet-5 for 28×28 images, the twin of `largemodels.scratch.LeNet`.

    image → conv 6@5×5 → φ → pool → conv 16@5×5 → φ → pool → 400 → 120 → φ → 84 → φ → classes

    Args:
        in_channels: the number C of channels of the image.
        num_classes: the number of classes.
        activation: the class of the activation.

    Shape:
        (N, C, 28, 28) -> (N, num_classes), logits

    Source:
        LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
        recognition", Proceedings of the IEEE 86(11), 1998, section II.B and figure 2.

    Example:
        >>> import torch
        >>> model = LeNet()
        >>> model(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
        >>> sum(parameter.numel() for parameter in model.parameters())
        61706

    Taught in: book/algorithms/convolutional_networks.md
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__(
            nn.Conv2d(in_channels, 6, 5, padding=2),
            activation(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            activation(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            activation(),
            nn.Linear(120, 84),
            activation(),
            nn.Linear(84, num_classes),
        )
        self.apply(he_initialize)


class CNN(Chain):
    """A small CNN: 3×3 convolutions, max pooling after the first ones, and two linear layers.

    image → (conv 3×3 → ReLU → pool 2×2) … → (conv 3×3 → ReLU) … → linear → ReLU → linear

    A ReLU follows every layer but the last one, which returns logits. Neither convolution nor
    pooling pads: each convolution takes 2 pixels from height and width, each pooling halves them.

    Args:
        image_shape: channels C, height H and width W of the image.
        channels: the number of filters of each convolution.
        pools: after how many of the convolutions, from the first on, a 2×2 max pooling follows.
        hidden: the number of units of the linear layer before the last one.
        num_classes: the number of classes.

    Shape:
        (N, C, H, W) -> (N, num_classes), logits

    Raises:
        ValueError: if `pools` does not fit to `channels`, or the image is too small.

    Source:
        TensorFlow, "Convolutional Neural Network (CNN)" (tutorial), the model for CIFAR-10.

    Example:
        >>> import torch
        >>> model = CNN()
        >>> model(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])

        The same network on CIFAR-10, and two that have one convolution only:

        >>> def count(model):
        ...     return sum(parameter.numel() for parameter in model.parameters())
        >>> count(model), count(CNN((3, 32, 32)))
        (93322, 122570)
        >>> count(CNN(channels=[32], pools=1)), count(CNN(channels=[32], pools=1, hidden=128))
        (347146, 693962)

    Taught in: book/algorithms/convolutional_networks.md
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        channels: Sequence[int] = (32, 64, 64),
        pools: int = 2,
        hidden: int = 64,
        num_classes: int = 10,
    ) -> None:
        if not 0 <= pools <= len(channels):
            raise ValueError(f"`pools` (={pools}) must be from 0 to {len(channels)}.")
        layers: list[nn.Module] = []
        in_channels, height, width = image_shape
        for position, out_channels in enumerate(channels):
            layers += [nn.Conv2d(in_channels, out_channels, 3), nn.ReLU()]
            in_channels, height, width = out_channels, height - 2, width - 2
            if position < pools:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            if min(height, width) < 1:
                raise ValueError(
                    f"`image_shape` (={image_shape}) is too small for {len(channels)} convolutions "
                    f"and {pools} poolings."
                )
        super().__init__(
            *layers,
            nn.Flatten(),
            nn.Linear(in_channels * height * width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_classes),
        )
        self.apply(he_initialize)

"""ResNet for small images in PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from largemodels.models.pytorch.chain import Chain
from largemodels.models.pytorch.initialization import he_initialize

__all__ = ["PaddingShortcut", "ResNet", "ResidualBlock"]


class PaddingShortcut(nn.Module):
    """Bring an image to fewer pixels and more channels without a parameter.

    y = every `stride`-th pixel of x, with channels of zeros after those of x

    Args:
        in_channels: the number C of channels of the input.
        out_channels: the number O of channels of the output, at least C.
        stride: the step from one pixel to the next.

    Shape:
        (N, C, H, W) -> (N, O, OH, OW) with OH = ⌊(H − 1) / stride⌋ + 1, and OW likewise.

    Raises:
        ValueError: if the output has fewer channels than the input.

    Source:
        He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016,
        section 4.1, option A.

    Example:
        >>> PaddingShortcut(1, 2, stride=2)(torch.tensor([[[[1.0, 2.0, 3.0]]]]))
        tensor([[[[1., 3.]],
        <BLANKLINE>
                 [[0., 0.]]]])

    Taught in: book/algorithms/convolutional_networks.md
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise ValueError(
                f"`out_channels` (={out_channels}) must be at least `in_channels` (={in_channels})."
            )
        self.new_channels = out_channels - in_channels
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the shortcut of `x`."""
        x = x[:, :, :: self.stride, :: self.stride]  # (N, C, H, W) -> (N, C, OH, OW)
        # `pad` counts from the last axis: (N, C, OH, OW) -> (N, O, OH, OW).
        return functional.pad(x, (0, 0, 0, 0, 0, self.new_channels))


class ResidualBlock(nn.Module):
    """Learn what to add to the input, the twin of `largemodels.scratch.ResidualBlock`.

    y = relu(F(x) + S(x));  F is 3×3 convolution, ReLU, 3×3 convolution

    Args:
        in_channels: the number C of channels of the input.
        out_channels: the number O of channels of the output.
        stride: the step of the first convolution and of the shortcut.
        normalization: makes the layer after each convolution from its number of channels, for
            example `nn.BatchNorm2d`; the convolutions then have no bias. `None` leaves it out.
        projection: whether the shortcut S, where channels or size change, is a 1×1 convolution
            (option B of the paper); otherwise it is a `PaddingShortcut` (option A).

    Shape:
        (N, C, H, W) -> (N, O, OH, OW) with OH = ⌊(H − 1) / stride⌋ + 1, and OW likewise.

    Raises:
        ValueError: if the output has fewer channels than the input, without a projection.

    Source:
        He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016,
        equations 1 and 2.

    Example:
        >>> block = ResidualBlock(16, 32, stride=2, normalization=nn.BatchNorm2d)
        >>> block(torch.zeros(1, 16, 8, 8)).shape
        torch.Size([1, 32, 4, 4])
        >>> sum(parameter.numel() for parameter in block.parameters())
        14528

    Taught in: book/algorithms/convolutional_networks.md
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        normalization: Callable[[int], nn.Module] | None = None,
        projection: bool = True,
    ) -> None:
        super().__init__()

        def convolution(channels: int, kernel_size: int, stride: int) -> list[nn.Module]:
            layer = nn.Conv2d(
                channels,
                out_channels,
                kernel_size,
                stride,
                padding=kernel_size // 2,
                # A normalization subtracts the mean, and every bias with it.
                bias=normalization is None,
            )
            return [layer] if normalization is None else [layer, normalization(out_channels)]

        self.body = nn.Sequential(
            *convolution(in_channels, 3, stride), nn.ReLU(), *convolution(out_channels, 3, 1)
        )
        self.shortcut: nn.Module
        if in_channels == out_channels and stride == 1:
            self.shortcut = nn.Identity()
        elif projection:
            self.shortcut = nn.Sequential(*convolution(in_channels, 1, stride))
        else:
            self.shortcut = PaddingShortcut(in_channels, out_channels, stride)
        self.apply(he_initialize)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(F(x) + S(x)) for `x` of shape (N, C, H, W)."""
        return functional.relu(self.body(x) + self.shortcut(x))


class ResNet(Chain):
    """The ResNet for CIFAR-10: three stages of residual blocks with 16, 32 and 64 channels.

    depth = 6 n + 2: a convolution, 3 stages of n blocks with 2 convolutions each, a linear layer

    The first block of the second and of the third stage halves height and width. A mean over all
    pixels precedes the linear layer, so the image may have any size.

    Args:
        depth: the number of layers with weights, 6 n + 2; the paper has 20, 32, 44, 56 and 110.
        num_classes: the number of classes.
        in_channels: the number C of channels of the image.
        projection: whether the two shortcuts that change the shape are learned; the paper pads on
            CIFAR-10 (option A), which takes no parameter.

    Shape:
        (N, C, H, W) -> (N, num_classes), logits; CIFAR-10 has C = 3 and H = W = 32.

    Raises:
        ValueError: if `depth` is not 6 n + 2.

    Source:
        He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016,
        section 4.2; table 6 gives 0.27 million parameters for depth 20.

    Example:
        >>> model = ResNet()
        >>> model(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
        >>> sum(parameter.numel() for parameter in model.parameters())
        269722
        >>> sum(parameter.numel() for parameter in ResNet(projection=True).parameters())
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
    ) -> None:
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"`depth` (={depth}) must be 6 n + 2 with n of at least 1.")
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
        ]
        channels = 16
        for out_channels in (16, 32, 64):
            for _ in range(depth // 6):
                layers.append(
                    ResidualBlock(
                        channels,
                        out_channels,
                        stride=1 if channels == out_channels else 2,
                        normalization=nn.BatchNorm2d,
                        projection=projection,
                    )
                )
                channels = out_channels
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))
        self.apply(he_initialize)

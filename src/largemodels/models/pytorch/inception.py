"""Inception blocks, and a small network of them, in PyTorch."""

from __future__ import annotations

import torch
from torch import nn

from largemodels.models.pytorch.chain import Chain
from largemodels.models.pytorch.initialization import he_initialize

__all__ = ["InceptionBlock", "InceptionNet"]


class InceptionBlock(nn.Module):
    """Four branches side by side, the twin of `largemodels.scratch.InceptionBlock`.

    y = [branch1(x), branch2(x), branch3(x), branch4(x)] along the channels
        branch 1: 1×1 convolution
        branch 2: 1×1 convolution, 3×3 convolution
        branch 3: 1×1 convolution, 5×5 convolution
        branch 4: 3×3 max pooling, 1×1 convolution

    A ReLU follows every convolution.

    Args:
        in_channels: the number C of channels of the input.
        out_1x1: the channels of branch 1.
        reduce_3x3: the channels between the two convolutions of branch 2.
        out_3x3: the channels of branch 2.
        reduce_5x5: the channels between the two convolutions of branch 3.
        out_5x5: the channels of branch 3.
        out_pool: the channels of branch 4.

    Attributes:
        out_channels: the sum of the four branches' channels.

    Shape:
        (N, C, H, W) -> (N, out_1x1 + out_3x3 + out_5x5 + out_pool, H, W)

    Source:
        Szegedy et al., "Going deeper with convolutions", CVPR 2015, figure 2(b) and table 1.

    Example:
        >>> block = InceptionBlock(192, 64, 96, 128, 16, 32, 32)  # "inception (3a)" of table 1.
        >>> block(torch.zeros(1, 192, 28, 28)).shape
        torch.Size([1, 256, 28, 28])
        >>> sum(parameter.numel() for parameter in block.parameters())
        163696

    Taught in: book/case_studies/image_recognition.md
    """

    def __init__(
        self,
        in_channels: int,
        out_1x1: int,
        reduce_3x3: int,
        out_3x3: int,
        reduce_5x5: int,
        out_5x5: int,
        out_pool: int,
    ) -> None:
        super().__init__()

        def convolution(channels: int, out_channels: int, kernel_size: int) -> list[nn.Module]:
            padding = kernel_size // 2  # The image keeps its size.
            return [nn.Conv2d(channels, out_channels, kernel_size, padding=padding), nn.ReLU()]

        self.branch1 = nn.Sequential(*convolution(in_channels, out_1x1, 1))
        self.branch2 = nn.Sequential(
            *convolution(in_channels, reduce_3x3, 1), *convolution(reduce_3x3, out_3x3, 3)
        )
        self.branch3 = nn.Sequential(
            *convolution(in_channels, reduce_5x5, 1), *convolution(reduce_5x5, out_5x5, 5)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), *convolution(in_channels, out_pool, 1)
        )
        self.out_channels = out_1x1 + out_3x3 + out_5x5 + out_pool
        self.apply(he_initialize)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the four branches, one after the other along the channels."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(x) for branch in branches], dim=1)


class InceptionNet(Chain):
    """A small GoogLeNet: a convolution, three Inception blocks, a mean and a linear layer.

    | layer                                      | output (32×32 image) | parameters (C = 3) |
    |--------------------------------------------|----------------------|--------------------|
    | 32 filters 3×3, padding 1, ReLU            | 32 × 32 × 32         |                896 |
    | max pooling 2×2                            | 32 × 16 × 16         |                    |
    | Inception block, 16 + 32 + 8 + 8 channels  | 64 × 16 × 16         |              9,468 |
    | Inception block, 32 + 48 + 16 + 32         | 128 × 16 × 16        |             23,848 |
    | max pooling 2×2                            | 128 × 8 × 8          |                    |
    | Inception block, 48 + 96 + 24 + 24         | 192 × 8 × 8          |             65,820 |
    | mean of each channel, linear               | classes              |              1,930 |

    GoogLeNet has 9 such blocks and two more outputs that help it to learn; for CIFAR-10 three
    blocks and one output are enough. The image may have any size from 4×4 pixels on.

    Args:
        in_channels: the number C of channels of the image.
        num_classes: the number of classes.

    Shape:
        (N, C, H, W) -> (N, num_classes), logits

    Source:
        Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 5; the sizes are ours.

    Example:
        >>> model = InceptionNet()
        >>> model(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
        >>> sum(parameter.numel() for parameter in model.parameters())
        101962

    Taught in: book/case_studies/image_recognition.md
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 10) -> None:
        super().__init__(
            nn.Conv2d(in_channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            InceptionBlock(32, 16, 24, 32, 4, 8, 8),
            InceptionBlock(64, 32, 32, 48, 8, 16, 32),
            nn.MaxPool2d(2),
            InceptionBlock(128, 48, 48, 96, 12, 24, 24),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(192, num_classes),
        )
        self.apply(he_initialize)

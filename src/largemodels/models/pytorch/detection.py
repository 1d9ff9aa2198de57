"""A small object detector in PyTorch: one look, one grid, one box a cell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from largemodels.models.pytorch.initialization import he_initialize

__all__ = ["GridDetector", "detection_loss"]


class GridDetector(nn.Module):
    """Say for each cell of an image whether an object has its centre there, which, and its box.

    outputs = conv₁ₓ₁(features(image));  each entry of `channels` halves height and width

    `largemodels.models.boxes` explains the outputs, encodes the boxes of an image as such outputs,
    and decodes outputs to boxes.

    Args:
        num_classes: the number K of classes.
        in_channels: the number C of channels of the image.
        channels: the numbers of filters of the convolutions with stride 2; one more convolution,
            without a stride, follows. Three of them make cells of 8 × 8 pixels.

    Attributes:
        stride: the height and width of a cell in pixels.

    Shape:
        (N, C, H, W) -> (N, GH, GW, 5 + K) with GH = ⌈H / stride⌉, and GW likewise.

    Raises:
        ValueError: if `num_classes` is below 1.

    Source:
        After Redmon, Divvala, Girshick and Farhadi, "You only look once: unified, real-time object
        detection", CVPR 2016; here with one box a cell, and convolutions to the end.

    Example:
        >>> model = GridDetector(num_classes=3)
        >>> model.stride, model(torch.zeros(2, 3, 48, 64)).shape
        (8, torch.Size([2, 6, 8, 8]))
        >>> sum(parameter.numel() for parameter in model.parameters())
        61208

    Taught in: book/case_studies/object_detection.md
    """

    def __init__(
        self, num_classes: int, in_channels: int = 3, channels: Sequence[int] = (16, 32, 64)
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"`num_classes` (={num_classes}) must be at least 1.")
        self.stride = 2 ** len(channels)
        sizes = [in_channels, *channels, channels[-1]]
        strides = [2] * len(channels) + [1]
        layers: list[nn.Module] = []
        for inputs, outputs, stride in zip(sizes, sizes[1:], strides, strict=False):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        self.features = nn.Sequential(*layers)
        self.output = nn.Conv2d(channels[-1], 5 + num_classes, 1)
        self.apply(he_initialize)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the outputs of all cells for `images` of shape (N, C, H, W)."""
        outputs = self.output(self.features(images))
        return outputs.permute(0, 2, 3, 1)  # (N, 5 + K, GH, GW) -> (N, GH, GW, 5 + K)


def detection_loss(
    outputs: torch.Tensor, cells: torch.Tensor, box_weight: float = 5.0
) -> torch.Tensor:
    """Return how wrong the outputs of a detector are.

    L = (1/M) (Σ_all cells BCE(o) + Σ_cells with an object (λ |t − t̂|² + CE(c)))

    M is the number of objects, at least 1. A cell without an object says nothing about boxes.

    Args:
        outputs: the outputs of the detector, shape (N, GH, GW, 5 + K).
        cells: what they should be, from `largemodels.models.boxes.encode_boxes`, shape
            (N, GH, GW, 6).
        box_weight: how much the box counts, λ.

    Source:
        After Redmon, Divvala, Girshick and Farhadi, "You only look once: unified, real-time object
        detection", CVPR 2016, equation 3, with cross-entropies for objects and classes.

    Example:
        >>> outputs, cells = torch.zeros(1, 1, 2, 7), torch.zeros(1, 1, 2, 6)
        >>> cells[0, 0, 1] = torch.tensor([1, 0.5, 0, 0, 0, 1])
        >>> round(detection_loss(outputs, cells).item(), 4)  # 2 ln 2 + 5 · 0.5² + ln 2
        3.3294

    Taught in: book/case_studies/object_detection.md
    """
    has_object = cells[..., 0] == 1  # (N, GH, GW)
    found, wanted = outputs[has_object], cells[has_object]  # -> (M, 5 + K), (M, 6)
    objects = functional.binary_cross_entropy_with_logits(
        outputs[..., 0], cells[..., 0], reduction="sum"
    )
    boxes = functional.mse_loss(found[:, 1:5], wanted[:, 1:5], reduction="sum")
    classes = functional.cross_entropy(found[:, 5:], wanted[:, 5].long(), reduction="sum")
    return (objects + box_weight * boxes + classes) / max(1, len(found))

"""A small object detector in Keras: one look, one grid, one box a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from largemodels.models.keras.normalization import batch_norm
from largemodels.models.keras.saving import SavedSequential

__all__ = ["GridDetector", "detection_loss"]


@keras.saving.register_keras_serializable(package="largemodels")
class GridDetector(SavedSequential):
    """Say for each cell of an image whether an object has its centre there, which, and its box.

    outputs = conv₁ₓ₁(features(image));  each entry of `channels` halves height and width

    `largemodels.models.boxes` explains the outputs, encodes the boxes of an image as such outputs,
    and decodes outputs to boxes.

    Args:
        num_classes: the number K of classes.
        in_channels: the number C of channels of the image.
        channels: the numbers of filters of the convolutions with stride 2; one more convolution,
            without a stride, follows. Three of them make cells of 8 × 8 pixels.
        name: the name of the model.

    Attributes:
        stride: the height and width of a cell in pixels.

    Shape:
        (N, H, W, C) -> (N, GH, GW, 5 + K) with GH = ⌈H / stride⌉, and GW likewise.

    Raises:
        ValueError: if `num_classes` is below 1.

    Source:
        After Redmon, Divvala, Girshick and Farhadi, "You only look once: unified, real-time object
        detection", CVPR 2016; here with one box a cell, and convolutions to the end.

    Example:
        >>> model = GridDetector(num_classes=3)
        >>> model.stride, tuple(model(ops.zeros((2, 48, 64, 3))).shape)
        (8, (2, 6, 8, 8))
        >>> sum(weight.value.numpy().size for weight in model.trainable_weights)
        61208

    Taught in: book/case_studies/object_detection.md
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        channels: Sequence[int] = (16, 32, 64),
        name: str | None = None,
    ) -> None:
        if num_classes < 1:
            raise ValueError(f"`num_classes` (={num_classes}) must be at least 1.")
        self.settings = {
            "num_classes": num_classes,
            "in_channels": in_channels,
            "channels": list(channels),
        }
        super().__init__(name=name)
        self.stride = 2 ** len(channels)
        self.add(keras.Input((None, None, in_channels)))
        strides = [2] * len(channels) + [1]
        for filters, step in zip([*channels, channels[-1]], strides, strict=True):
            # `padding="same"` would pad the right and the bottom only, if the stride is 2.
            self.add(layers.ZeroPadding2D(1))
            self.add(
                layers.Conv2D(filters, 3, step, use_bias=False, kernel_initializer="he_normal")
            )
            self.add(batch_norm())
            self.add(layers.ReLU())
        self.add(layers.Conv2D(5 + num_classes, 1, kernel_initializer="he_normal"))


def detection_loss(outputs: Any, cells: Any, box_weight: float = 5.0) -> Any:
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
        >>> outputs = ops.zeros((1, 1, 2, 7))
        >>> cells = ops.array([[[[0, 0, 0, 0, 0, 0], [1, 0.5, 0, 0, 0, 1]]]], dtype="float32")
        >>> round(float(detection_loss(outputs, cells)), 4)  # 2 ln 2 + 5 · 0.5² + ln 2
        3.3294

    Taught in: book/case_studies/object_detection.md
    """
    has_object = cells[..., 0]  # (N, GH, GW), 0 or 1: a factor, so that the shapes stay.
    objects = ops.binary_crossentropy(has_object, outputs[..., 0], from_logits=True)
    boxes = ops.sum((outputs[..., 1:5] - cells[..., 1:5]) ** 2, axis=-1)
    classes = ops.sparse_categorical_crossentropy(
        ops.cast(cells[..., 5], "int32"), outputs[..., 5:], from_logits=True
    )
    total = ops.sum(objects + has_object * (box_weight * boxes + classes))
    return total / ops.maximum(1.0, ops.sum(has_object))

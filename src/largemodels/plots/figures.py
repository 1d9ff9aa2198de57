"""The figures that pages and exercises share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from largemodels.plots.style import BACKGROUND, FOREGROUND, MUTED, PALETTE, STYLE, figure

#: Every word that these functions write into a figure, in one place for translators.
WORDS = {
    "epoch": "epoch",
    "loss": "loss",
    "accuracy": "accuracy (%)",
    "training": "training",
    "validation": "validation",
    "true class": "true class",
    "predicted class": "predicted class",
}


def learning_curves(history: Any) -> Figure:
    """Draw loss and accuracy of each epoch, training solid and validation dashed.

    Args:
        history: What ``fit`` returns: an object with the sequences ``loss`` and, where measured,
            ``validation_loss``, ``accuracy`` and ``validation_accuracy`` (shares from 0 to 1), or a
            mapping with these keys. To compare runs, a mapping from a label to each history.

    Returns:
        One panel for the loss and, if there is an accuracy, one for the accuracy.

    Raises:
        ValueError: If there is no loss, or two curves differ in length.

    Example:
        >>> fig = learning_curves({"loss": [2.3, 0.5], "accuracy": [0.4, 0.9]})
        >>> [axes.get_ylabel() for axes in fig.axes]
        ['loss', 'accuracy (%)']
    """
    compared = isinstance(history, Mapping) and "loss" not in history
    runs = dict(history) if compared else {"": history}
    if not runs:
        raise ValueError("`history` (={}) must hold at least one run.")
    curves = {label: _curves(run, label) for label, run in runs.items()}

    quantities = [
        quantity
        for quantity in ("loss", "accuracy")
        if any(quantity in c or f"validation_{quantity}" in c for c in curves.values())
    ]
    fig = figure(6.0 if len(quantities) == 2 else 4.0, 2.9)
    colors = [color.light for color in PALETTE.values()]
    already_explained: list[object] = []
    with matplotlib.rc_context(STYLE):
        for position, quantity in enumerate(quantities, start=1):
            axes = fig.add_subplot(1, len(quantities), position)
            for index, (label, run) in enumerate(curves.items()):
                color = colors[index % len(colors)]
                for part, style in (("training", "-"), ("validation", "--")):
                    key = quantity if part == "training" else f"validation_{quantity}"
                    if key not in run:
                        continue
                    name = f"{label}, {WORDS[part]}" if compared else WORDS[part]
                    values = run[key] * (100 if quantity == "accuracy" else 1)
                    # One epoch makes a point, not a line.
                    marker = "o" if len(values) == 1 else None
                    epochs = np.arange(1, len(values) + 1)
                    axes.plot(epochs, values, style, color=color, marker=marker, label=name)
            axes.set_xlabel(WORDS["epoch"])
            axes.set_ylabel(WORDS[quantity])
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            labels = [line.get_label() for line in axes.lines]
            if len(labels) > 1 and labels != already_explained:
                axes.legend(fontsize="small")
            already_explained = labels
    return fig


def image_grid(
    images: Any,
    titles: Sequence[object] | None = None,
    *,
    columns: int = 8,
    size: float = 0.75,
) -> Figure:
    """Show small images side by side, pixel for pixel.

    Args:
        images: Gray images of shape ``(N, height, width)``, which share one scale from the smallest
            to the largest value, or color images of shape ``(N, height, width, 3)`` with integers
            from 0 to 255 or fractions from 0 to 1.
        titles: A short title for each image, or None.
        columns: Images in a row.
        size: Width of an image in inches.

    Returns:
        The figure.

    Raises:
        ValueError: If shape, number of titles or number of columns do not fit.

    Example:
        >>> fig = image_grid(np.zeros((3, 8, 8)), titles=[4, 0, 7], columns=2)
        >>> [axes.get_title() for axes in fig.axes]
        ['4', '0', '7']
    """
    images = np.asarray(images)
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)) or len(images) == 0:
        raise ValueError(
            f"`images` (of shape {images.shape}) must have shape (N, height, width) "
            "or (N, height, width, 3), N at least 1."
        )
    _check_titles(titles, len(images))
    if images.ndim == 3:
        scale: dict[str, Any] = {"cmap": "gray", "vmin": images.min(), "vmax": images.max()}
    else:
        scale = {}
    return _grid(images, titles, columns, size, scale)


def weight_images(
    weight: Any,
    shape: tuple[int, int],
    titles: Sequence[object] | None = None,
    *,
    columns: int = 8,
    size: float = 0.75,
) -> Figure:
    """Show each row of a weight matrix as an image: what a unit looks for in its input.

    Blue is positive and vermillion is negative; the stronger the color, the larger the weight. A
    weight of zero shows the page itself. Each image is scaled by its own largest weight.

    Args:
        weight: Weight matrix of shape ``(units, height * width)``.
        shape: ``(height, width)`` of the input.
        titles: A short title for each unit, or None.
        columns: Images in a row.
        size: Width of an image in inches.

    Returns:
        The figure.

    Raises:
        ValueError: If the shapes, the titles or the number of columns do not fit.

    Example:
        >>> fig = weight_images(np.eye(4), shape=(2, 2), columns=4)
        >>> len(fig.axes)
        4
    """
    weight = np.asarray(weight, dtype=float)
    if weight.ndim != 2 or len(weight) == 0 or weight.shape[1] != shape[0] * shape[1]:
        raise ValueError(
            f"`weight` (of shape {weight.shape}) must have shape (units, {shape[0] * shape[1]}) "
            f"to be shown as images of `shape` (={shape})."
        )
    _check_titles(titles, len(weight))
    # An image cannot switch with the page: these two lie between the light and the dark palette.
    positive, negative = (matplotlib.colors.to_rgb(color) for color in ("#2b8fd0", "#e0762f"))
    largest = np.abs(weight).max(axis=1, keepdims=True)
    strength = np.abs(weight) / np.where(largest > 0, largest, 1)
    # Color says the sign, opacity the size: so zero is the page, whatever its color.
    colors = np.where((weight > 0)[..., None], positive, negative)  # (units, pixels, 3)
    images = np.concatenate([colors, strength[..., None]], axis=2)  # (units, pixels, 4)
    images = images.reshape(-1, *shape, 4)  # (units, pixels, 4) -> (units, height, width, 4)
    return _grid(images, titles, columns, size, {}, frame=True)


def confusion_matrix(
    y_true: Any, y_pred: Any, class_names: Sequence[object] | None = None
) -> Figure:
    """Count, for each true class, what the model predicted.

    Row ``i``, column ``j`` holds the number of examples of class ``i`` that were predicted as class
    ``j``. The color is the share of the row, so that rare classes are judged fairly.

    Args:
        y_true: Integer classes of shape ``(N,)``.
        y_pred: Predicted integer classes of shape ``(N,)``.
        class_names: A name for each class; by default its number.

    Returns:
        The figure.

    Raises:
        ValueError: If the shapes differ, or a class has no name.

    Example:
        >>> fig = confusion_matrix([0, 0, 1], [0, 1, 1], ["cat", "dog"])
        >>> [text.get_text() for text in fig.axes[0].texts]
        ['1', '1', '1']
    """
    true, predicted = np.asarray(y_true), np.asarray(y_pred)
    if true.ndim != 1 or true.shape != predicted.shape or len(true) == 0:
        raise ValueError(
            f"`y_true` (of shape {true.shape}) and `y_pred` (of shape {predicted.shape}) "
            "must both have shape (N,), N at least 1."
        )
    for name, classes in (("y_true", true), ("y_pred", predicted)):
        if not np.issubdtype(classes.dtype, np.integer) or classes.min() < 0:
            raise ValueError(f"`{name}` (of type {classes.dtype}) must hold integers from 0.")
    # Widen first: unsigned 8-bit labels would overflow in the sum of the next lines.
    true, predicted = true.astype(np.intp), predicted.astype(np.intp)
    classes_seen = int(max(true.max(), predicted.max())) + 1
    names = list(range(classes_seen)) if class_names is None else list(class_names)
    number = len(names)
    if number < classes_seen:
        raise ValueError(
            f"`class_names` (={names}) must name each class; class {classes_seen - 1} has no name."
        )
    counts = np.bincount(true * number + predicted, minlength=number**2).reshape(number, number)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    side = max(2.6, 0.46 * number + 1.0)
    fig = figure(side + 0.4, side)
    with matplotlib.rc_context(STYLE):
        axes = fig.add_subplot(aspect="equal")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        for row, column in np.argwhere(counts > 0):
            right = row == column
            color = PALETTE["blue" if right else "vermillion"].light
            # Zero stays blank; one mistake in a thousand can still be seen.
            opacity = 0.12 + 0.88 * shares[row, column]
            cell = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=color, alpha=opacity)
            cell.set_linewidth(0)
            axes.add_patch(cell)
            # On a strong color the page's own background is the most readable ink.
            ink = BACKGROUND if opacity > 0.72 else FOREGROUND
            axes.text(
                column,
                row,
                str(counts[row, column]),
                ha="center",
                va="center",
                fontsize="small" if number <= 10 else "x-small",
                color=ink.light,
            )
        for boundary in np.arange(number + 1) - 0.5:
            axes.axhline(boundary, color=MUTED.light, linewidth=0.3)
            axes.axvline(boundary, color=MUTED.light, linewidth=0.3)
        axes.set_xlim(-0.5, number - 0.5)
        axes.set_ylim(number - 0.5, -0.5)
        long_names = max(len(str(name)) for name in names) > 3
        axes.set_xticks(
            range(number),
            [str(name) for name in names],
            rotation=45 if long_names else 0,
            ha="right" if long_names else "center",
            rotation_mode="anchor" if long_names else None,
        )
        axes.set_yticks(range(number), [str(name) for name in names])
        axes.set_xlabel(WORDS["predicted class"])
        axes.set_ylabel(WORDS["true class"])
    return fig


def _curves(run: Any, label: str) -> dict[str, np.ndarray]:
    """Read the curves of one run from an object or a mapping."""
    keys = ("loss", "validation_loss", "accuracy", "validation_accuracy")
    found = {
        key: run.get(key) if isinstance(run, Mapping) else getattr(run, key, None) for key in keys
    }
    curves = {
        key: np.asarray(values, dtype=float)
        for key, values in found.items()
        if values is not None and len(values) > 0
    }
    where = f"`history[{label!r}]`" if label else "`history`"
    if "loss" not in curves:
        raise ValueError(f"{where} (={run!r}) must have a `loss` with at least one epoch.")
    lengths = {key: len(values) for key, values in curves.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{where} must have curves of one length, got {lengths}.")
    return curves


def _check_titles(titles: Sequence[object] | None, images: int) -> None:
    if titles is not None and len(titles) != images:
        raise ValueError(f"`titles` (of length {len(titles)}) must name all {images} images.")


def _grid(
    images: np.ndarray,
    titles: Sequence[object] | None,
    columns: int,
    size: float,
    scale: dict[str, Any],
    frame: bool = False,
) -> Figure:
    if columns < 1:
        raise ValueError(f"`columns` (={columns}) must be at least 1.")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = size * images.shape[1] / images.shape[2] + (0.25 if titles is not None else 0.0)
    fig = figure(columns * (size + 0.06), rows * (height + 0.06))
    with matplotlib.rc_context(STYLE):
        fig.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
        for index, image in enumerate(images):
            axes: Axes = fig.add_subplot(rows, columns, index + 1)
            axes.imshow(image, **scale)
            axes.grid(False)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(frame)
            if titles is not None:
                axes.set_title(
                    str(titles[index]), fontsize="small", loc="center", fontweight="normal", pad=3
                )
    return fig

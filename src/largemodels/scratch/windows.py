"""The windows that a kernel sees while it slides over an image, and the way back.

Convolution and pooling both look at an image through windows, so they share this module.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

__all__ = ["Pair", "add_windows", "as_pair", "output_size", "windows"]

Pair = int | tuple[int, int]


def as_pair(name: str, value: Pair, minimum: int) -> tuple[int, int]:
    """Return a setting for (height, width); one integer serves both.

    Args:
        name: the name of the setting, for the error message.
        value: an integer or a pair of integers.
        minimum: the smallest integer that makes sense.

    Raises:
        ValueError: if `value` is something else or too small.

    Example:
        >>> as_pair("stride", 2, minimum=1)
        (2, 2)
        >>> as_pair("stride", (2, 0), minimum=1)
        Traceback (most recent call last):
        ValueError: `stride` (=(2, 0)) must be an integer or a pair of integers, at least 1.

    Taught in: book/algorithms/convolutional_networks.md
    """
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2 or not all(isinstance(n, int | np.integer) and n >= minimum for n in pair):
        raise ValueError(
            f"`{name}` (={value!r}) must be an integer or a pair of integers, at least {minimum}."
        )
    return int(pair[0]), int(pair[1])


def output_size(
    image_size: tuple[int, int],
    kernel_size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """Return how many windows fit into an image, downwards and across.

    output = ⌊(image + 2 · padding − dilation · (kernel − 1) − 1) / stride⌋ + 1

    Rows and columns that fill no whole step of the stride at the end are not seen.

    Args:
        image_size: height and width of the image, in pixels.
        kernel_size: height and width of the kernel, in pixels.
        stride: the step from one window to the next.
        padding: the number of rows and columns added on each side.
        dilation: the step from one kernel entry to the next.

    Raises:
        ValueError: if the kernel is larger than the padded image.

    Example:
        >>> output_size((28, 28), (5, 5))
        (24, 24)
        >>> output_size((7, 9), (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 3))
        (4, 6)

    Taught in: book/algorithms/convolutional_networks.md
    """
    padded = tuple(size + 2 * p for size, p in zip(image_size, padding, strict=True))
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True))
    if span[0] > padded[0] or span[1] > padded[1]:
        raise ValueError(
            f"`kernel_size` (={kernel_size}) spans {span[0]}×{span[1]} pixels, "
            f"but the padded image has only {padded[0]}×{padded[1]}."
        )
    return (padded[0] - span[0]) // stride[0] + 1, (padded[1] - span[1]) // stride[1] + 1


def windows(
    x: np.ndarray,
    kernel_size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    *,
    fill: float = 0.0,
) -> np.ndarray:
    """Return what each entry of a kernel sees at each place, without a copy for each window.

    windows[u, v, c, i, j, n] = x̃[n, c, i · stride + u · dilation, j · stride + v · dilation]

    x̃ is x with padding around it. A pixel that lies in several windows is still stored once.

    The batch comes last: then the same pixel of all images lies together in memory, and to copy or
    add what a kernel entry sees moves long runs of numbers. With one image after the other, a run
    would end with each row of an image, and both would take nearly twice as long.

    Args:
        x: images, shape (N, C, H, W).
        kernel_size: height KH and width KW of the kernel.
        stride: the step from one window to the next.
        padding: the number of rows and columns to add on each side.
        dilation: the step from one kernel entry to the next.
        fill: the value of the padding.

    Returns:
        The windows, shape (KH, KW, C, OH, OW, N), with OH and OW from `output_size`; a read-only
        view of one copy of the images.

    Raises:
        ValueError: if the kernel is larger than the padded image.

    Example:
        >>> x = np.array([[[[1, 2, 3], [4, 5, 6]]]])
        >>> view = windows(x, (1, 2))
        >>> view.shape
        (1, 2, 1, 2, 2, 1)
        >>> view[0, 0, 0, :, :, 0]  # What the left entry of the kernel sees.
        array([[1, 2],
               [4, 5]])
        >>> view[0, 1, 0, :, :, 0]  # What its right entry sees.
        array([[2, 3],
               [5, 6]])

    Taught in: book/algorithms/convolutional_networks.md
    """
    output_size(x.shape[2:], kernel_size, stride, padding, dilation)
    top, left = padding
    x = np.moveaxis(x, 0, -1)  # (N, C, H, W) -> (C, H, W, N)
    # np.pad copies, also where there is no padding: so the memory has the batch last, too.
    padded = np.pad(x, ((0, 0), (top, top), (left, left), (0, 0)), constant_values=fill)
    return _view(padded, kernel_size, stride, dilation)


def add_windows(
    grad_windows: np.ndarray,
    image_size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Return the gradient of the images from the gradient of their windows.

    ∂L/∂x = at each pixel, the sum of the gradients of all window entries that show it

    This is the backward pass of `windows`. What falls on the padding is dropped.

    Args:
        grad_windows: the gradient of the windows, shape (KH, KW, C, OH, OW, N).
        image_size: height H and width W of the images.
        stride: the step from one window to the next.
        padding: the number of rows and columns that were added on each side.
        dilation: the step from one kernel entry to the next.

    Returns:
        The gradient of the images, shape (N, C, H, W).

    Example:
        >>> x = np.array([[[[1, 2, 3], [4, 5, 6]]]])
        >>> add_windows(np.ones_like(windows(x, (1, 2))), (2, 3))  # Two windows show the middle.
        array([[[[1, 2, 1],
                 [1, 2, 1]]]])

    Taught in: book/algorithms/convolutional_networks.md
    """
    kh, kw, c, _, _, n = grad_windows.shape
    (height, width), (top, left) = image_size, padding
    grad_padded = np.zeros((c, height + 2 * top, width + 2 * left, n), grad_windows.dtype)
    view = _view(grad_padded, (kh, kw), stride, dilation, writeable=True)
    # The windows overlap, so one sum over the whole view would lose all but one share of a pixel.
    # What a single kernel entry sees never overlaps, so it is right to go through the entries.
    for entry in np.ndindex(kh, kw):
        view[entry] += grad_windows[entry]
    grad = grad_padded[:, top : top + height, left : left + width]
    return np.moveaxis(grad, -1, 0)  # (C, H, W, N) -> (N, C, H, W)


def _view(
    x: np.ndarray,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    *,
    writeable: bool = False,
) -> np.ndarray:
    span = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    view = sliding_window_view(x, span, axis=(1, 2), writeable=writeable)
    view = view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    return view.transpose(4, 5, 0, 1, 2, 3)  # (C, OH, OW, N, KH, KW) -> (KH, KW, C, OH, OW, N)

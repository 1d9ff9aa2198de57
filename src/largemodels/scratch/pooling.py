"""Pooling: keep one number of each window, and flatten images to rows."""

from __future__ import annotations

import math

import numpy as np

from largemodels.scratch.layer import Layer, check_shape
from largemodels.scratch.windows import Pair, add_windows, as_pair, output_size, windows

__all__ = ["AvgPool2d", "Flatten", "GlobalAvgPool2d", "MaxPool2d"]


class _Pool2d(Layer):
    """What max and average pooling have in common: the windows.

    Args:
        kernel_size: height KH and width KW of a window, in pixels; one integer serves both.
        stride: the step from one window to the next; `None` takes `kernel_size`.
        padding: the number of rows and columns to add on each side, at most half a window.
    """

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        self.kernel_size = as_pair("kernel_size", kernel_size, minimum=1)
        self.stride = self.kernel_size if stride is None else as_pair("stride", stride, minimum=1)
        self.padding = as_pair("padding", padding, minimum=0)
        # A larger padding would make windows that see no pixel at all.
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"`padding` (={padding}) must be at most half of `kernel_size` (={kernel_size})."
            )

    def _columns(self, x: np.ndarray, fill: float = 0.0) -> np.ndarray:
        """Return the numbers of each window along the first axis, (KH·KW, C, OH, OW, N)."""
        if x.ndim != 4:
            raise ValueError(f"`x` must have shape (N, C, H, W), got {x.shape}.")
        view = windows(x, self.kernel_size, self.stride, self.padding, fill=fill)
        # A reduction over the first axis of this copy runs through memory in order; over the first
        # two axes of the view it would take ten times as long when the batch is small.
        return view.reshape(math.prod(self.kernel_size), *view.shape[2:])

    def _check_grad_output(
        self, grad_output: np.ndarray, x_shape: tuple[int, int, int, int]
    ) -> None:
        size = output_size(x_shape[2:], self.kernel_size, self.stride, self.padding)
        check_shape("grad_output", grad_output, (*x_shape[:2], *size))

    def extra_repr(self) -> str:
        """Return the settings, with the names that PyTorch uses."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(_Pool2d):
    """Keep the largest number of each window.

    forward:   y[n, c, i, j] = max over u, v of x̃[n, c, i·stride + u, j·stride + v];
               x̃ is x with −∞ around it, so that padding never wins
    backward:  ∂L/∂x = at each pixel, the sum of ∂L/∂y over the windows in which it is the maximum

    When several pixels of a window are the maximum, the first one, row by row, takes the whole
    gradient, as in PyTorch.

    Args:
        kernel_size: height KH and width KW of a window, in pixels; one integer serves both.
        stride: the step from one window to the next; `None` takes `kernel_size`.
        padding: the number of rows and columns to add on each side, at most half a window.

    Shape:
        (N, C, H, W) -> (N, C, OH, OW)
        with OH = ⌊(H + 2 · padding − KH) / stride⌋ + 1, and OW likewise.

    Raises:
        ValueError: if a setting is too small, the padding is too large, or an input has a wrong
            shape or is smaller than the window.

    Source:
        Ranzato, Huang, Boureau and LeCun, "Unsupervised learning of invariant feature hierarchies
        with applications to object recognition", CVPR 2007.

    Example:
        >>> layer = MaxPool2d(kernel_size=(2, 3), stride=1)
        >>> layer(np.array([[[[1.0, 2.0, 0.0, 1.0], [0.0, 1.0, 3.0, 2.0], [2.0, 0.0, 1.0, 1.0]]]]))
        array([[[[3., 3.],
                 [3., 3.]]]])
        >>> layer.backward(np.array([[[[1.0, 10.0], [100.0, 1000.0]]]]))
        array([[[[   0.,    0.,    0.,    0.],
                 [   0.,    0., 1111.,    0.],
                 [   0.,    0.,    0.,    0.]]]])

    Taught in: book/algorithms/convolutional_networks.md
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the maximum of each window for `x` of shape (N, C, H, W)."""
        floating = np.issubdtype(x.dtype, np.floating)
        columns = self._columns(x, -np.inf if floating else np.iinfo(x.dtype).min)
        y = columns.max(axis=0)  # (KH·KW, C, OH, OW, N) -> (C, OH, OW, N)
        # Of all places that hold the maximum, the first has the highest rank. (argmax says the
        # same and takes several times as long.)
        rank = ((columns == y) * self._ranks()).max(axis=0)
        self.saved = x.shape, rank
        return np.moveaxis(y, -1, 0)  # (C, OH, OW, N) -> (N, C, OH, OW)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        x_shape, rank = self.saved
        self._check_grad_output(grad_output, x_shape)
        grad_y = np.moveaxis(grad_output, 0, -1)  # (N, C, OH, OW) -> (C, OH, OW, N)
        grad_columns = (self._ranks() == rank) * grad_y  # (KH·KW, C, OH, OW, N)
        grad_windows = grad_columns.reshape(*self.kernel_size, *grad_y.shape)
        return add_windows(grad_windows, x_shape[2:], self.stride, self.padding)

    def _ranks(self) -> np.ndarray:
        """Return the ranks KH·KW, ..., 2, 1 of the places of a window."""
        size = math.prod(self.kernel_size)
        return np.arange(size, 0, -1, dtype=np.min_scalar_type(size)).reshape(size, 1, 1, 1, 1)


class AvgPool2d(_Pool2d):
    """Keep the mean of each window.

    forward:   y[n, c, i, j] = (1 / KH·KW) Σ x̃[n, c, i·stride + u, j·stride + v], summed over u, v;
               x̃ is x with zeros around it; they count as pixels
    backward:  ∂L/∂x = at each pixel, the sum of ∂L/∂y / (KH·KW) over the windows that show it

    Args:
        kernel_size: height KH and width KW of a window, in pixels; one integer serves both.
        stride: the step from one window to the next; `None` takes `kernel_size`.
        padding: the number of rows and columns to add on each side, at most half a window.

    Shape:
        (N, C, H, W) -> (N, C, OH, OW)
        with OH = ⌊(H + 2 · padding − KH) / stride⌋ + 1, and OW likewise.

    Raises:
        ValueError: if a setting is too small, the padding is too large, or an input has a wrong
            shape or is smaller than the window.

    Source:
        LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
        recognition", Proceedings of the IEEE 86(11), 1998, section II, as sub-sampling.

    Example:
        >>> layer = AvgPool2d(kernel_size=(1, 2), stride=1)
        >>> layer(np.array([[[[1.0, 3.0, 7.0]]]]))
        array([[[[2., 5.]]]])
        >>> layer.backward(np.array([[[[2.0, 20.0]]]]))
        array([[[[ 1., 11., 10.]]]])

    Taught in: book/algorithms/convolutional_networks.md
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the mean of each window for `x` of shape (N, C, H, W)."""
        self.saved = x.shape
        y = self._columns(x).mean(axis=0)  # (KH·KW, C, OH, OW, N) -> (C, OH, OW, N)
        return np.moveaxis(y, -1, 0)  # (C, OH, OW, N) -> (N, C, OH, OW)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        x_shape = self.saved
        self._check_grad_output(grad_output, x_shape)
        # (N, C, OH, OW) -> (C, OH, OW, N)
        share = np.moveaxis(grad_output, 0, -1) / math.prod(self.kernel_size)
        # Each entry of a window takes the same share: (C, OH, OW, N) -> (KH, KW, C, OH, OW, N).
        grad_windows = np.broadcast_to(share, (*self.kernel_size, *share.shape))
        return add_windows(grad_windows, x_shape[2:], self.stride, self.padding)


class GlobalAvgPool2d(Layer):
    """Keep the mean of each channel: average pooling with one window as large as the image.

    forward:   y[n, c, 0, 0] = (1 / H·W) Σ x[n, c, i, j], summed over i, j
    backward:  ∂L/∂x[n, c, i, j] = ∂L/∂y[n, c, 0, 0] / (H·W)

    PyTorch calls it `AdaptiveAvgPool2d(1)`.

    Shape:
        (N, C, H, W) -> (N, C, 1, 1)

    Raises:
        ValueError: if an input has a wrong shape.

    Source:
        Lin, Chen and Yan, "Network in network", ICLR 2014, section 3.2.

    Example:
        >>> layer = GlobalAvgPool2d()
        >>> layer(np.array([[[[1.0, 3.0, 8.0]]]]))
        array([[[[4.]]]])
        >>> layer.backward(np.array([[[[6.0]]]]))
        array([[[[2., 2., 2.]]]])

    Taught in: book/algorithms/convolutional_networks.md
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the mean of each channel for `x` of shape (N, C, H, W)."""
        if x.ndim != 4:
            raise ValueError(f"`x` must have shape (N, C, H, W), got {x.shape}.")
        self.saved = x.shape
        return x.mean(axis=(2, 3), keepdims=True)  # (N, C, H, W) -> (N, C, 1, 1)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        n, c, height, width = self.saved
        check_shape("grad_output", grad_output, (n, c, 1, 1))
        # (N, C, 1, 1) -> (N, C, H, W)
        return np.full((n, c, height, width), grad_output / (height * width))


class Flatten(Layer):
    """Make one row of numbers of each image.

    forward:   y[n, (c·H + i)·W + j] = x[n, c, i, j]
    backward:  ∂L/∂x = ∂L/∂y, in the shape of x

    Shape:
        (N, C, H, W) -> (N, C·H·W); any other shape (N, ...) likewise.

    Example:
        >>> layer = Flatten()
        >>> layer(np.array([[[1.0, 2.0], [3.0, 4.0]]]))
        array([[1., 2., 3., 4.]])
        >>> layer.backward(np.array([[5.0, 6.0, 7.0, 8.0]]))
        array([[[5., 6.],
                [7., 8.]]])

    Taught in: book/algorithms/convolutional_networks.md
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return `x` in the shape (N, the number of numbers in a row of `x`)."""
        self.saved = x.shape
        return x.reshape(len(x), math.prod(x.shape[1:]))  # (N, ...) -> (N, features)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        shape = self.saved
        check_shape("grad_output", grad_output, (shape[0], math.prod(shape[1:])))
        return grad_output.reshape(shape)  # (N, features) -> (N, ...)

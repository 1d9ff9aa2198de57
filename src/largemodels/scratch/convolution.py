"""The two-dimensional convolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.initializers import INITIALIZERS
from largemodels.scratch.layer import Layer, Parameter, check_shape
from largemodels.scratch.windows import Pair, add_windows, as_pair, output_size, windows

__all__ = ["Conv2d"]


class Conv2d(Layer):
    """Slide filters over an image; at each place, weigh what the filter sees and sum it up.

    forward:   y[n, o, i, j] = b[o] + Σ w[o, c, u, v] · x̃[n, c, i·stride + u·dilation,
               j·stride + v·dilation], summed over c, u, v; x̃ is x with zeros around it
    backward:  with the windows as columns of a matrix X, y = W X + b, so that
               ∂L/∂W = ∂L/∂y Xᵀ,  ∂L/∂b = Σ ∂L/∂y,  ∂L/∂X = Wᵀ ∂L/∂y; each pixel of x then sums
               up the gradients of its copies in X

    The kernel is not flipped: mathematics calls this a cross-correlation. The windows are copied
    to X once for the forward and once for the backward pass, and not kept in between: they take
    KH · KW times the memory of the image, and copying is cheap beside the matrix product.

    Args:
        in_channels: the number C of channels of the input.
        out_channels: the number O of filters, and so of channels of the output.
        kernel_size: height KH and width KW of a filter, in pixels; one integer serves both.
        stride: the step from one window to the next.
        padding: the number of rows and columns of zeros to add on each side.
        dilation: the step from one entry of the filter to the next.
        groups: the number of equal parts of the channels that do not see each other.
        bias: whether to add b; it starts at zero.
        rng: the random generator of the initial weight; `None` takes a new one.
        initializer: the distribution of the initial weight, a name in `INITIALIZERS`.
        dtype: the type of the parameters.

    Attributes:
        weight: w, shape (O, C / groups, KH, KW).
        bias: b, shape (O,), or `None`.

    Shape:
        (N, C, H, W) -> (N, O, OH, OW)
        with OH = ⌊(H + 2 · padding − dilation · (KH − 1) − 1) / stride⌋ + 1, and OW likewise.

    Raises:
        ValueError: if a setting is too small, the channels do not divide into the groups, the
            initializer is unknown, or an input has a wrong shape or is smaller than the kernel.

    Source:
        LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
        recognition", Proceedings of the IEEE 86(11), 1998, section II.

    Example:
        >>> layer = Conv2d(1, 1, kernel_size=(2, 3))
        >>> layer.weight.data[...] = [[1, 0, -1], [2, 1, 0]]
        >>> x = np.array([[[[1, 2, 0, 1], [0, 1, 3, 2], [2, 0, 1, 1]]]], dtype=np.float32)
        >>> layer(x)  # The first number is 1·1 − 1·0 + 2·0 + 1·1.
        array([[[[2., 6.],
                 [1., 0.]]]], dtype=float32)
        >>> layer.backward(np.array([[[[1, 0], [0, 10]]]], dtype=np.float32))
        array([[[[  1.,   0.,  -1.,   0.],
                 [  2.,  11.,   0., -10.],
                 [  0.,  20.,  10.,   0.]]]], dtype=float32)
        >>> layer.weight.grad  # The two windows, once the first and ten times the last.
        array([[[[11., 32., 20.],
                 [ 0., 11., 13.]]]], dtype=float32)

    Taught in: book/algorithms/convolutional_networks.md
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
        initializer: str = "he_normal",
        dtype: DTypeLike = np.float32,
    ) -> None:
        sizes = {"groups": groups, "in_channels": in_channels, "out_channels": out_channels}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"`{name}` (={size}) must be at least 1.")
            if size % groups:
                raise ValueError(f"`{name}` (={size}) must be divisible by `groups` (={groups}).")
        if initializer not in INITIALIZERS:
            known = ", ".join(INITIALIZERS)
            raise ValueError(f"`initializer` (={initializer!r}) must be one of: {known}.")
        rng = np.random.default_rng(rng)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = as_pair("kernel_size", kernel_size, minimum=1)
        self.stride = as_pair("stride", stride, minimum=1)
        self.padding = as_pair("padding", padding, minimum=0)
        self.dilation = as_pair("dilation", dilation, minimum=1)
        self.groups = groups
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(INITIALIZERS[initializer](shape, rng, dtype))
        self.bias = Parameter(np.zeros(out_channels, dtype)) if bias else None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the filtered images for `x` of shape (N, C, H, W)."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"`x` must have shape (N, {self.in_channels}, H, W), got {x.shape}.")
        self.saved = x
        n, out, height, width = self._output_shape(x)
        y = self._weight_matrix() @ self._columns(x)
        y = y.reshape(out, height, width, n)  # (G, O/G, OH·OW·N) -> (O, OH, OW, N)
        if self.bias is not None:
            y += self.bias.data[:, None, None, None]  # (O, OH, OW, N) + (O, 1, 1, 1)
        return np.moveaxis(y, -1, 0)  # (O, OH, OW, N) -> (N, O, OH, OW)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Set the gradients of w and b, and return ∂L/∂x from `grad_output` = ∂L/∂y."""
        x = self.saved
        n, out, height, width = self._output_shape(x)
        check_shape("grad_output", grad_output, (n, out, height, width))
        if self.bias is not None:
            self.bias.grad = grad_output.sum(axis=(0, 2, 3))  # (N, O, OH, OW) -> (O,)
        # The columns fill the memory: they are made before everything else that is large, and
        # dropped before the next large array.
        columns = self._columns(x)
        grad_rows = np.moveaxis(grad_output, 0, -1)  # (N, O, OH, OW) -> (O, OH, OW, N)
        # (O, OH, OW, N) -> (G, O/G, OH·OW·N)
        grad_rows = grad_rows.reshape(self.groups, out // self.groups, height * width * n)
        # (G, C/G·KH·KW, OH·OW·N) @ (G, OH·OW·N, O/G) -> (G, C/G·KH·KW, O/G)
        grad_weight = columns @ grad_rows.transpose(0, 2, 1)
        # (G, C/G·KH·KW, O/G) -> (G, O/G, C/G·KH·KW) -> (O, C/G, KH, KW)
        self.weight.grad = grad_weight.transpose(0, 2, 1).reshape(self.weight.data.shape)
        del columns
        # (G, C/G·KH·KW, O/G) @ (G, O/G, OH·OW·N) -> (G, C/G·KH·KW, OH·OW·N)
        grad_columns = self._weight_matrix().transpose(0, 2, 1) @ grad_rows
        del grad_rows
        grad_windows = grad_columns.reshape(self.in_channels, *self.kernel_size, height, width, n)
        grad_windows = grad_windows.transpose(1, 2, 0, 3, 4, 5)  # -> (KH, KW, C, OH, OW, N)
        return add_windows(grad_windows, x.shape[2:], self.stride, self.padding, self.dilation)

    def _output_shape(self, x: np.ndarray) -> tuple[int, int, int, int]:
        height, width = output_size(
            x.shape[2:], self.kernel_size, self.stride, self.padding, self.dilation
        )
        return len(x), self.out_channels, height, width

    def _weight_matrix(self) -> np.ndarray:
        """Return W: one matrix for each group, one row for each of its filters."""
        weight = self.weight.data
        # (O, C/G, KH, KW) -> (G, O/G, C/G·KH·KW)
        return weight.reshape(self.groups, len(weight) // self.groups, weight[0].size)

    def _columns(self, x: np.ndarray) -> np.ndarray:
        """Return X: one matrix for each group, one column for each window."""
        view = windows(x, self.kernel_size, self.stride, self.padding, self.dilation)
        _, _, _, height, width, n = view.shape
        # (KH, KW, C, OH, OW, N) -> (C, KH, KW, OH, OW, N) -> (G, C/G·KH·KW, OH·OW·N)
        return view.transpose(2, 0, 1, 3, 4, 5).reshape(
            self.groups, self.weight.data[0].size, height * width * n
        )

    def extra_repr(self) -> str:
        """Return the settings, as PyTorch prints them."""
        settings = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        settings += f", stride={self.stride}"
        if self.padding != (0, 0):
            settings += f", padding={self.padding}"
        if self.dilation != (1, 1):
            settings += f", dilation={self.dilation}"
        if self.groups != 1:
            settings += f", groups={self.groups}"
        if self.bias is None:
            settings += ", bias=False"
        return settings

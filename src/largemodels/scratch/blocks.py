"""The building blocks of deep convolutional networks: residual and Inception blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.activations import Identity, ReLU
from largemodels.scratch.convolution import Conv2d
from largemodels.scratch.layer import Layer, check_shape
from largemodels.scratch.network import Sequential
from largemodels.scratch.pooling import MaxPool2d

__all__ = ["InceptionBlock", "ResidualBlock"]


class ResidualBlock(Layer):
    """Learn what to add to the input, not the output itself.

    forward:   y = relu(F(x) + S(x));  F is 3×3 convolution, ReLU, 3×3 convolution
    backward:  with g = ∂L/∂y where y > 0, otherwise 0:
               ∂L/∂x = the gradient through F + the gradient through S, both from g

    The shortcut S hands x on as it is where the shapes allow it. Then its gradient is g itself,
    however small the weights of F are: that is why very deep networks of such blocks learn.
    Where channels or size change, S is a 1×1 convolution with the same stride.

    Args:
        in_channels: the number C of channels of the input.
        out_channels: the number O of channels of the output.
        stride: the step of the first convolution and of the shortcut.
        normalization: makes the layer after each convolution from its number of channels, for
            example `BatchNorm2d`; the convolutions then have no bias. `None` leaves it out.
        rng: the random generator of the initial weights; `None` takes a new one.
        dtype: the type of the convolutions' parameters.

    Attributes:
        body: F, a `Sequential`.
        shortcut: S, an `Identity` or a `Sequential`.

    Shape:
        (N, C, H, W) -> (N, O, OH, OW) with OH = ⌊(H − 1) / stride⌋ + 1, and OW likewise.

    Raises:
        ValueError: if a setting is too small, or an input has a wrong shape.

    Source:
        He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016,
        equations 1 and 2.

    Example:
        >>> block = ResidualBlock(1, 1)
        >>> for layer, weight in zip(block.body.layers[::2], [-2, 3]):
        ...     layer.weight.data[...] = 0
        ...     layer.weight.data[0, 0, 1, 1] = weight  # A pixel's neighbors do not count.
        >>> block(np.array([[[[3, -4]]]], dtype=np.float32))  # 3 + 3·relu(−2·3), −4 + 3·relu(2·4)
        array([[[[ 3., 20.]]]], dtype=float32)
        >>> block.backward(np.array([[[[1, 10]]]], dtype=np.float32))  # 1, 10 − 10·3·2
        array([[[[  1., -50.]]]], dtype=float32)

    Taught in: book/algorithms/convolutional_networks.md
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        normalization: Callable[[int], Layer] | None = None,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        rng = np.random.default_rng(rng)

        def convolution(channels: int, kernel_size: int, stride: int) -> list[Layer]:
            layer = Conv2d(
                channels,
                out_channels,
                kernel_size,
                stride,
                padding=kernel_size // 2,
                # A normalization subtracts the mean, and every bias with it.
                bias=normalization is None,
                rng=rng,
                dtype=dtype,
            )
            return [layer] if normalization is None else [layer, normalization(out_channels)]

        self.body = Sequential(
            *convolution(in_channels, 3, stride), ReLU(), *convolution(out_channels, 3, 1)
        )
        same_shape = in_channels == out_channels and stride == 1
        self.shortcut = (
            Identity() if same_shape else Sequential(*convolution(in_channels, 1, stride))
        )
        self.activation = ReLU()

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return relu(F(x) + S(x)) for `x` of shape (N, C, H, W)."""
        return self.activation(self.body(x) + self.shortcut(x))

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Set the gradients of all parameters, and return ∂L/∂x from `grad_output` = ∂L/∂y."""
        grad_sum = self.activation.backward(grad_output)
        return self.body.backward(grad_sum) + self.shortcut.backward(grad_sum)


class InceptionBlock(Layer):
    """Look at the image at several scales at once, and put the answers side by side.

    forward:   y = [branch1(x), branch2(x), branch3(x), branch4(x)] along the channels
               branch 1: 1×1 convolution
               branch 2: 1×1 convolution, 3×3 convolution
               branch 3: 1×1 convolution, 5×5 convolution
               branch 4: 3×3 max pooling, 1×1 convolution
    backward:  ∂L/∂x = the sum of the gradients through the branches; each takes its channels
               of ∂L/∂y

    A ReLU follows every convolution. The 1×1 convolutions before the larger ones reduce the
    channels: without them, these would cost several times as much.

    Args:
        in_channels: the number C of channels of the input.
        out_1x1: the channels of branch 1.
        reduce_3x3: the channels between the two convolutions of branch 2.
        out_3x3: the channels of branch 2.
        reduce_5x5: the channels between the two convolutions of branch 3.
        out_5x5: the channels of branch 3.
        out_pool: the channels of branch 4.
        rng: the random generator of the initial weights; `None` takes a new one.
        dtype: the type of the parameters.

    Attributes:
        out_channels: the sum of the four branches' channels.

    Shape:
        (N, C, H, W) -> (N, out_1x1 + out_3x3 + out_5x5 + out_pool, H, W)

    Raises:
        ValueError: if a number of channels is below 1, or an input has a wrong shape.

    Source:
        Szegedy et al., "Going deeper with convolutions", CVPR 2015, figure 2(b) and table 1.

    Example:
        >>> block = InceptionBlock(192, 64, 96, 128, 16, 32, 32)  # "inception (3a)" of table 1.
        >>> block(np.zeros((1, 192, 28, 28), dtype=np.float32)).shape
        (1, 256, 28, 28)
        >>> sum(parameter.data.size for parameter in block.parameters())
        163696

    Taught in: book/algorithms/convolutional_networks.md
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
        *,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        rng = np.random.default_rng(rng)

        def convolution(channels: int, out_channels: int, kernel_size: int) -> list[Layer]:
            padding = kernel_size // 2  # The image keeps its size.
            layer = Conv2d(
                channels, out_channels, kernel_size, padding=padding, rng=rng, dtype=dtype
            )
            return [layer, ReLU()]

        self.branch1 = Sequential(*convolution(in_channels, out_1x1, 1))
        self.branch2 = Sequential(
            *convolution(in_channels, reduce_3x3, 1), *convolution(reduce_3x3, out_3x3, 3)
        )
        self.branch3 = Sequential(
            *convolution(in_channels, reduce_5x5, 1), *convolution(reduce_5x5, out_5x5, 5)
        )
        self.branch4 = Sequential(
            MaxPool2d(3, stride=1, padding=1), *convolution(in_channels, out_pool, 1)
        )
        # Where one branch ends in the output and the next one begins.
        self._borders = np.cumsum([out_1x1, out_3x3, out_5x5])
        self.out_channels = out_1x1 + out_3x3 + out_5x5 + out_pool

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs of the four branches, one after the other along the channels."""
        y = np.concatenate([branch(x) for _, branch in self.named_children()], axis=1)
        self.saved = y.shape
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Set the gradients of all parameters, and return ∂L/∂x from `grad_output` = ∂L/∂y."""
        check_shape("grad_output", grad_output, self.saved)
        shares = np.split(grad_output, self._borders, axis=1)
        branches = [branch for _, branch in self.named_children()]
        grads = [branch.backward(g) for branch, g in zip(branches, shares, strict=True)]
        return grads[0] + grads[1] + grads[2] + grads[3]

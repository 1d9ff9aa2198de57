"""Activation functions: what bends the straight lines of a network."""

from __future__ import annotations

import numpy as np

from largemodels.scratch.layer import Layer, check_shape

__all__ = [
    "Identity",
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "identity",
    "leaky_relu",
    "log_softmax",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]


def identity(x: np.ndarray) -> np.ndarray:
    """Return `x` as it is.

    identity(x) = x

    Args:
        x: an array of any shape.

    Example:
        >>> identity(np.array([-1.0, 2.0]))
        array([-1.,  2.])

    Taught in: book/math/neurons_and_activations.md
    """
    return x


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Squash every number into the range from 0 to 1.

    σ(x) = 1 / (1 + exp(−x)) = exp(x) / (1 + exp(x))

    Args:
        x: an array of any shape.

    Example:
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
        array([0. , 0.5, 1. ])

    Taught in: book/math/neurons_and_activations.md
    """
    # exp never sees a positive number, so it cannot overflow: the first form of the formula
    # serves x ≥ 0, the second one x < 0.
    z = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, z) / (1 + z)


def tanh(x: np.ndarray) -> np.ndarray:
    """Squash every number into the range from −1 to 1.

    tanh(x) = (exp(x) − exp(−x)) / (exp(x) + exp(−x))

    Args:
        x: an array of any shape.

    Example:
        >>> tanh(np.array([-1000.0, 0.0, 1000.0]))
        array([-1.,  0.,  1.])

    Taught in: book/math/neurons_and_activations.md
    """
    return np.tanh(x)


def relu(x: np.ndarray) -> np.ndarray:
    """Keep what is positive and set the rest to zero.

    relu(x) = max(x, 0)

    Args:
        x: an array of any shape.

    Source:
        Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.

    Example:
        >>> relu(np.array([-1.0, 0.0, 2.0]))
        array([0., 0., 2.])

    Taught in: book/math/neurons_and_activations.md
    """
    return np.maximum(x, 0)


def leaky_relu(x: np.ndarray, negative_slope: float = 0.01) -> np.ndarray:
    """Keep what is positive and shrink the rest, so that no unit is ever cut off.

    leaky_relu(x) = x where x > 0, otherwise α x

    Args:
        x: an array of any shape.
        negative_slope: α.

    Source:
        Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models",
        ICML 2013 workshop on deep learning for audio, speech and language processing.

    Example:
        >>> leaky_relu(np.array([-1.0, 0.0, 2.0]), negative_slope=0.1)
        array([-0.1,  0. ,  2. ])

    Taught in: book/math/neurons_and_activations.md
    """
    return np.where(x > 0, x, negative_slope * x)


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """Turn scores into probabilities: positive numbers that sum to 1 along `axis`.

    softmax(x)ᵢ = exp(xᵢ) / Σⱼ exp(xⱼ)

    Args:
        x: scores (logits) of any shape.
        axis: the axis of the classes.

    Example:
        >>> softmax(np.array([1000.0, 1000.0, -1000.0]))
        array([0.5, 0.5, 0. ])

    Taught in: book/math/neurons_and_activations.md
    """
    # A common shift of all scores cancels in the fraction. With the largest score at 0, exp
    # cannot overflow.
    z = np.exp(x - x.max(axis=axis, keepdims=True))
    return z / z.sum(axis=axis, keepdims=True)


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the logarithm of `softmax`, also where the probability itself rounds to 0.

    log softmax(x)ᵢ = xᵢ − log Σⱼ exp(xⱼ)

    Args:
        x: scores (logits) of any shape.
        axis: the axis of the classes.

    Example:
        >>> log_softmax(np.array([1000.0, 0.0]))
        array([    0., -1000.])

    Taught in: book/math/neurons_and_activations.md
    """
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


class Identity(Layer):
    """The layer that changes nothing.

    y = x,  ∂L/∂x = ∂L/∂y

    Shape:
        any -> the same

    Example:
        >>> Identity()(np.array([-1.0, 2.0]))
        array([-1.,  2.])

    Taught in: book/math/neurons_and_activations.md
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return `x`."""
        self.saved = x
        return identity(x)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        check_shape("grad_output", grad_output, self.saved.shape)
        return grad_output


class Sigmoid(Layer):
    """The layer of `sigmoid`.

    y = σ(x),  ∂L/∂x = ∂L/∂y · y (1 − y)

    Shape:
        any -> the same

    Example:
        >>> layer = Sigmoid()
        >>> layer(np.array([0.0]))
        array([0.5])
        >>> layer.backward(np.array([1.0]))
        array([0.25])

    Taught in: book/math/neurons_and_activations.md
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return σ(x)."""
        y = sigmoid(x)
        self.saved = y
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        y = self.saved
        check_shape("grad_output", grad_output, y.shape)
        return grad_output * y * (1 - y)


class Tanh(Layer):
    """The layer of `tanh`.

    y = tanh(x),  ∂L/∂x = ∂L/∂y · (1 − y²)

    Shape:
        any -> the same

    Example:
        >>> layer = Tanh()
        >>> layer(np.array([0.0]))
        array([0.])
        >>> layer.backward(np.array([1.0]))
        array([1.])

    Taught in: book/math/neurons_and_activations.md
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return tanh(x)."""
        y = tanh(x)
        self.saved = y
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        y = self.saved
        check_shape("grad_output", grad_output, y.shape)
        return grad_output * (1 - y**2)


class ReLU(Layer):
    """The layer of `relu`.

    y = max(x, 0),  ∂L/∂x = ∂L/∂y where x > 0, otherwise 0

    At x = 0 there is no derivative; the layer takes 0, as PyTorch does.

    Shape:
        any -> the same

    Example:
        >>> layer = ReLU()
        >>> layer(np.array([-1.0, 2.0]))
        array([0., 2.])
        >>> layer.backward(np.array([5.0, 5.0]))
        array([0., 5.])

    Taught in: book/math/neurons_and_activations.md
    """

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return max(x, 0)."""
        self.saved = x
        return relu(x)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        x = self.saved
        check_shape("grad_output", grad_output, x.shape)
        return grad_output * (x > 0)


class LeakyReLU(Layer):
    """The layer of `leaky_relu`.

    y = x where x > 0, otherwise α x,  ∂L/∂x = ∂L/∂y where x > 0, otherwise α ∂L/∂y

    Args:
        negative_slope: α.

    Shape:
        any -> the same

    Example:
        >>> layer = LeakyReLU(negative_slope=0.1)
        >>> layer(np.array([-1.0, 2.0]))
        array([-0.1,  2. ])
        >>> layer.backward(np.array([5.0, 5.0]))
        array([0.5, 5. ])

    Taught in: book/math/neurons_and_activations.md
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return leaky_relu(x)."""
        self.saved = x
        return leaky_relu(x, self.negative_slope)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        x = self.saved
        check_shape("grad_output", grad_output, x.shape)
        return np.where(x > 0, grad_output, self.negative_slope * grad_output)

    def extra_repr(self) -> str:
        """Return the setting, with the name that PyTorch uses."""
        return f"negative_slope={self.negative_slope}"


class Softmax(Layer):
    """The layer of `softmax`.

    y = softmax(x),  ∂L/∂xᵢ = yᵢ (∂L/∂yᵢ − Σⱼ ∂L/∂yⱼ yⱼ)

    Before a `CrossEntropyLoss` leave it out: that loss takes logits.

    Args:
        axis: the axis of the classes; PyTorch calls it `dim`.

    Shape:
        any -> the same

    Example:
        >>> layer = Softmax()
        >>> layer(np.array([0.0, 0.0]))
        array([0.5, 0.5])
        >>> layer.backward(np.array([1.0, 0.0]))
        array([ 0.25, -0.25])

    Taught in: book/math/neurons_and_activations.md
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return softmax(x)."""
        y = softmax(x, self.axis)
        self.saved = y
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        y = self.saved
        check_shape("grad_output", grad_output, y.shape)
        return y * (grad_output - (grad_output * y).sum(axis=self.axis, keepdims=True))

    def extra_repr(self) -> str:
        """Return the setting."""
        return f"axis={self.axis}"


class LogSoftmax(Layer):
    """The layer of `log_softmax`.

    y = log softmax(x),  ∂L/∂xᵢ = ∂L/∂yᵢ − softmax(x)ᵢ Σⱼ ∂L/∂yⱼ

    Args:
        axis: the axis of the classes; PyTorch calls it `dim`.

    Shape:
        any -> the same

    Example:
        >>> layer = LogSoftmax()
        >>> layer(np.array([1000.0, 0.0]))
        array([    0., -1000.])
        >>> layer.backward(np.array([0.0, 1.0]))
        array([-1.,  1.])

    Taught in: book/math/neurons_and_activations.md
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return log softmax(x)."""
        y = log_softmax(x, self.axis)
        self.saved = y
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return ∂L/∂x from `grad_output` = ∂L/∂y."""
        y = self.saved
        check_shape("grad_output", grad_output, y.shape)
        return grad_output - np.exp(y) * grad_output.sum(axis=self.axis, keepdims=True)

    def extra_repr(self) -> str:
        """Return the setting."""
        return f"axis={self.axis}"

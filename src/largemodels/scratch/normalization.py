"""Normalization: bring numbers to one scale, over the batch or over the features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.layer import Layer, Parameter, check_shape

__all__ = ["BatchNorm1d", "BatchNorm2d", "LayerNorm", "RMSNorm"]


def _grad_of_standardized(
    grad_z: np.ndarray, z: np.ndarray, inverse_std: np.ndarray, axes: tuple[int, ...]
) -> np.ndarray:
    """Return ∂L/∂x of z = (x − mean(x)) / std(x), with mean and variance over `axes`.

    ∂L/∂x = (∂L/∂z − mean(∂L/∂z) − z mean(∂L/∂z · z)) / std

    A common shift of x changes nothing in z, nor does a common factor: the two means take these two
    directions out of the gradient.
    """
    mean = grad_z.mean(axis=axes, keepdims=True)
    along_z = (grad_z * z).mean(axis=axes, keepdims=True)
    return inverse_std * (grad_z - mean - z * along_z)


class _BatchNorm(Layer):
    """What the two batch normalizations have in common: all but the shape of the input."""

    buffer_names = ("running_mean", "running_var", "num_batches_tracked")
    # The shapes that the layer takes, by their number of axes.
    shapes: dict[int, str]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if num_features < 1:
            raise ValueError(f"`num_features` (={num_features}) must be at least 1.")
        if eps < 0:
            raise ValueError(f"`eps` (={eps}) must be at least 0.")
        if not 0 <= momentum <= 1:
            raise ValueError(f"`momentum` (={momentum}) must be from 0 to 1.")
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.weight = Parameter(np.ones(num_features, dtype))
        self.bias = Parameter(np.zeros(num_features, dtype))
        self.running_mean = np.zeros(num_features, dtype)
        self.running_var = np.ones(num_features, dtype)
        self.num_batches_tracked = np.array(0)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return γ (x − μ) / √(σ² + ε) + β; while the layer learns, update the statistics."""
        if x.ndim not in self.shapes or x.shape[1] != self.num_features:
            shapes = " or ".join(self.shapes.values()).replace("C", str(self.num_features))
            raise ValueError(f"`x` must have shape {shapes}, got {x.shape}.")
        if self.training:
            axes = (0, *range(2, x.ndim))
            mean = x.mean(axis=axes)  # (N, C, ...) -> (C,)
            centered = x - self._columns(mean, x)
            var = (centered**2).mean(axis=axes)
            self._track(mean, var, count=x.size // self.num_features)
        else:
            mean, var = self.running_mean, self.running_var
            centered = x - self._columns(mean, x)
        inverse_std = self._columns(1 / np.sqrt(var + self.eps), x)
        z = centered * inverse_std
        self.saved = z, inverse_std, self.training
        return self._columns(self.weight.data, x) * z + self._columns(self.bias.data, x)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Set the gradients of γ and β, and return ∂L/∂x from `grad_output` = ∂L/∂y."""
        z, inverse_std, with_batch_statistics = self.saved
        check_shape("grad_output", grad_output, z.shape)
        axes = (0, *range(2, z.ndim))
        self.weight.grad = (grad_output * z).sum(axis=axes)  # (N, C, ...) -> (C,)
        self.bias.grad = grad_output.sum(axis=axes)
        grad_z = grad_output * self._columns(self.weight.data, z)
        if with_batch_statistics:
            return _grad_of_standardized(grad_z, z, inverse_std, axes)
        return grad_z * inverse_std  # Running statistics do not depend on this x.

    def _track(self, mean: np.ndarray, var: np.ndarray, count: int) -> None:
        """Move the running statistics towards those of a batch with `count` numbers a feature."""
        if count < 2:
            raise ValueError(
                f"`x` must have at least 2 numbers for each feature in training, got {count}."
            )
        unbiased = var * (count / (count - 1))
        self.running_mean += self.momentum * (mean - self.running_mean)
        self.running_var += self.momentum * (unbiased - self.running_var)
        self.num_batches_tracked += 1

    def _columns(self, features: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return one number for each feature in a shape that suits `x`, (C,) -> (C, 1, ...)."""
        return features.reshape(self.num_features, *[1] * (x.ndim - 2))

    def extra_repr(self) -> str:
        """Return the settings, as PyTorch prints them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            "affine=True, bias=True, track_running_stats=True"
        )


class BatchNorm1d(_BatchNorm):
    """Give each feature mean 0 and variance 1 over the batch, then a learned scale and shift.

    forward:   y = γ z + β,  z = (x − μ) / √(σ² + ε)
               training: μ and σ² are mean and (biased) variance over the batch; then
               running_mean ← (1 − m) running_mean + m μ,
               running_var ← (1 − m) running_var + m σ² n / (n − 1)
               evaluation: μ and σ² are running_mean and running_var
    backward:  ∂L/∂γ = Σ ∂L/∂y z,  ∂L/∂β = Σ ∂L/∂y,  with g = γ ∂L/∂y:
               training: ∂L/∂x = (g − mean(g) − z mean(g z)) / √(σ² + ε)
               evaluation: ∂L/∂x = g / √(σ² + ε)

    n is how many numbers of a feature a batch has. The variance that normalizes is divided by n,
    the one that is kept by n − 1, as in PyTorch.

    Args:
        num_features: the number C of features.
        eps: ε, which keeps the division away from 0.
        momentum: m, the share of the newest batch in the running statistics.
        dtype: the type of the parameters and the running statistics.

    Attributes:
        weight: γ, shape (C,); it starts at one.
        bias: β, shape (C,); it starts at zero.
        running_mean: shape (C,), a buffer: kept and moved with the parameters, but not learned.
        running_var: shape (C,), a buffer.
        num_batches_tracked: how many batches the running statistics have seen, a buffer.

    Shape:
        (N, C) -> (N, C), or (N, C, L) -> (N, C, L)

    Raises:
        ValueError: if a setting is out of its range, an input or a gradient has a wrong shape, or
            there is only one number of each feature to learn from.

    Source:
        Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
        internal covariate shift", ICML 2015, algorithms 1 and 2.

    Example:
        >>> layer = BatchNorm1d(1, dtype=np.float64)
        >>> layer(np.array([[1.0], [3.0], [8.0]])).round(3)
        array([[-1.019],
               [-0.34 ],
               [ 1.359]])
        >>> layer.running_mean, layer.running_var  # 0.9·0 + 0.1·4, 0.9·1 + 0.1·13
        (array([0.4]), array([2.2]))
        >>> layer.backward(np.array([[1.0], [0.0], [0.0]])).round(3)
        array([[ 0.109],
               [-0.152],
               [ 0.044]])

    Taught in: book/algorithms/convolutional_networks.md
    """

    shapes = {2: "(N, C)", 3: "(N, C, L)"}  # noqa: RUF012  (nobody writes to it)


class BatchNorm2d(_BatchNorm):
    """Give each channel mean 0 and variance 1 over the batch and the image, then scale and shift.

    forward:   y = γ z + β,  z = (x − μ) / √(σ² + ε),  one μ, σ², γ and β for each channel
    backward:  ∂L/∂γ = Σ ∂L/∂y z,  ∂L/∂β = Σ ∂L/∂y,  with g = γ ∂L/∂y:
               ∂L/∂x = (g − mean(g) − z mean(g z)) / √(σ² + ε)

    All pixels of a channel, of all images, share their statistics. The rest is as in
    `BatchNorm1d`, the running statistics too.

    Args:
        num_features: the number C of channels.
        eps: ε, which keeps the division away from 0.
        momentum: m, the share of the newest batch in the running statistics.
        dtype: the type of the parameters and the running statistics.

    Attributes:
        weight: γ, shape (C,); it starts at one.
        bias: β, shape (C,); it starts at zero.
        running_mean: shape (C,), a buffer: kept and moved with the parameters, but not learned.
        running_var: shape (C,), a buffer.
        num_batches_tracked: how many batches the running statistics have seen, a buffer.

    Shape:
        (N, C, H, W) -> (N, C, H, W)

    Raises:
        ValueError: if a setting is out of its range, an input or a gradient has a wrong shape, or
            there is only one number of each channel to learn from.

    Source:
        Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
        internal covariate shift", ICML 2015, section 3.2.

    Example:
        >>> layer = BatchNorm2d(2)
        >>> x = np.array([[[[1, 3]], [[10, 50]]]], dtype=np.float32)
        >>> layer(x).round(3)
        array([[[[-1.,  1.]],
        <BLANKLINE>
                [[-1.,  1.]]]], dtype=float32)
        >>> layer.running_mean
        array([0.2, 3. ], dtype=float32)

    Taught in: book/algorithms/convolutional_networks.md
    """

    shapes = {4: "(N, C, H, W)"}  # noqa: RUF012  (nobody writes to it)


class _NormalizationOfRows(Layer):
    """What layer and RMS normalization have in common: each row has its own scale."""

    bias: Parameter | None = None

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None, dtype: DTypeLike
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(shape)
        if not self.normalized_shape or min(self.normalized_shape) < 1:
            raise ValueError(
                f"`normalized_shape` (={normalized_shape}) must hold sizes of at least 1."
            )
        if eps is not None and eps < 0:
            raise ValueError(f"`eps` (={eps}) must be at least 0.")
        self.eps = eps
        self.weight = Parameter(np.ones(self.normalized_shape, dtype))

    def _feature_axes(self, x: np.ndarray) -> tuple[int, ...]:
        """Check the shape of `x`, and return the axes of a row."""
        count = len(self.normalized_shape)
        if x.shape[-count:] != self.normalized_shape:
            sizes = ", ".join(map(str, self.normalized_shape))
            raise ValueError(f"`x` must have shape (..., {sizes}), got {x.shape}.")
        return tuple(range(-count, 0))

    def _grad_z(self, grad_output: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Set the gradients of the parameters, and return ∂L/∂z of y = γ z + β."""
        check_shape("grad_output", grad_output, z.shape)
        row_axes = tuple(range(z.ndim - len(self.normalized_shape)))
        self.weight.grad = (grad_output * z).sum(axis=row_axes)  # (..., D) -> (D,)
        if self.bias is not None:
            self.bias.grad = grad_output.sum(axis=row_axes)
        return grad_output * self.weight.data


class LayerNorm(_NormalizationOfRows):
    """Give each row of features mean 0 and variance 1, then a learned scale and shift.

    forward:   y = γ z + β,  z = (x − μ) / √(σ² + ε),  μ and σ² over the features of one row
    backward:  ∂L/∂γ = Σ ∂L/∂y z,  ∂L/∂β = Σ ∂L/∂y over the rows,  with g = γ ∂L/∂y:
               ∂L/∂x = (g − mean(g) − z mean(g z)) / √(σ² + ε),  means over the features

    No row depends on another one, so training and evaluation are the same.

    Args:
        normalized_shape: the sizes D of the last axes, which make a row; an integer is one axis.
        eps: ε, which keeps the division away from 0.
        bias: whether there is β.
        dtype: the type of the parameters.

    Attributes:
        weight: γ, shape (D,); it starts at one.
        bias: β, shape (D,), or `None`; it starts at zero.

    Shape:
        (..., D) -> (..., D)

    Raises:
        ValueError: if a setting is out of its range, or an input or a gradient has a wrong shape.

    Source:
        Ba, Kiros and Hinton, "Layer normalization", arXiv:1607.06450, 2016, equations 3 and 4.

    Example:
        >>> layer = LayerNorm(3, dtype=np.float64)
        >>> layer(np.array([[1.0, 3.0, 8.0], [10.0, 30.0, 80.0]])).round(3)
        array([[-1.019, -0.34 ,  1.359],
               [-1.019, -0.34 ,  1.359]])
        >>> layer.backward(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])).round(3)
        array([[ 0.109, -0.152,  0.044],
               [ 0.   ,  0.   ,  0.   ]])

    Taught in: book/algorithms/attention_and_transformers.md
    """

    eps: float

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        *,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(normalized_shape, eps, dtype)
        self.bias = Parameter(np.zeros(self.normalized_shape, dtype)) if bias else None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return γ (x − μ) / √(σ² + ε) + β for `x` of shape (..., D)."""
        axes = self._feature_axes(x)
        centered = x - x.mean(axis=axes, keepdims=True)
        inverse_std = 1 / np.sqrt((centered**2).mean(axis=axes, keepdims=True) + self.eps)
        z = centered * inverse_std
        self.saved = z, inverse_std
        y = self.weight.data * z
        return y if self.bias is None else y + self.bias.data

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Set the gradients of γ and β, and return ∂L/∂x from `grad_output` = ∂L/∂y."""
        z, inverse_std = self.saved
        grad_z = self._grad_z(grad_output, z)
        return _grad_of_standardized(grad_z, z, inverse_std, self._feature_axes(z))

    def extra_repr(self) -> str:
        """Return the settings, as PyTorch prints them."""
        bias = self.bias is not None
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine=True, bias={bias}"


class RMSNorm(_NormalizationOfRows):
    """Divide each row of features by its root mean square, then multiply by a learned scale.

    forward:   y = γ z,  z = x / √(mean(x²) + ε),  the mean over the features of one row
    backward:  ∂L/∂γ = Σ ∂L/∂y z over the rows,  with g = γ ∂L/∂y:
               ∂L/∂x = (g − z mean(g z)) / √(mean(x²) + ε)

    Against `LayerNorm`, the mean stays where it is, and there is no shift.

    Args:
        normalized_shape: the sizes D of the last axes, which make a row; an integer is one axis.
        eps: ε, which keeps the division away from 0; `None` takes the distance from 1 to the next
            number of the input's type.
        dtype: the type of the weight.

    Attributes:
        weight: γ, shape (D,); it starts at one.

    Shape:
        (..., D) -> (..., D)

    Raises:
        ValueError: if a setting is out of its range, or an input or a gradient has a wrong shape.

    Source:
        Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019, equation 4.

    Example:
        >>> layer = RMSNorm(2, dtype=np.float64)
        >>> layer(np.array([[1.0, 7.0], [10.0, 70.0]]))  # √((1 + 49) / 2) = 5
        array([[0.2, 1.4],
               [0.2, 1.4]])
        >>> layer.backward(np.array([[5.0, 0.0], [0.0, 0.0]])).round(3)
        array([[ 0.98, -0.14],
               [ 0.  ,  0.  ]])

    Taught in: book/algorithms/attention_and_transformers.md
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(normalized_shape, eps, dtype)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return γ x / √(mean(x²) + ε) for `x` of shape (..., D)."""
        axes = self._feature_axes(x)
        eps = np.finfo(x.dtype).eps if self.eps is None else self.eps
        inverse_rms = 1 / np.sqrt((x**2).mean(axis=axes, keepdims=True) + eps)
        z = x * inverse_rms
        self.saved = z, inverse_rms
        return self.weight.data * z

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Set the gradient of γ, and return ∂L/∂x from `grad_output` = ∂L/∂y."""
        z, inverse_rms = self.saved
        grad_z = self._grad_z(grad_output, z)
        along_z = (grad_z * z).mean(axis=self._feature_axes(z), keepdims=True)
        return inverse_rms * (grad_z - z * along_z)

    def extra_repr(self) -> str:
        """Return the settings, as PyTorch prints them."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine=True"

"""Move weights from a scratch model to its PyTorch twin, and from either to the Keras twin.

PyTorch and scratch name their arrays alike. Keras lays them out differently:

| layer           | scratch and PyTorch              | Keras                                      |
|-----------------|----------------------------------|--------------------------------------------|
| linear, dense   | weight (out, in)                 | kernel (in, out)                           |
| convolution     | weight (out, in, KH, KW)         | kernel (KH, KW, in, out)                   |
| transposed one  | weight (in, out, KH, KW)         | kernel (KH, KW, out, in)                   |
| normalization   | weight, bias (features,)         | gamma, beta (features,)                    |
| its statistics  | running_mean, running_var        | moving_mean, moving_variance               |
| embedding       | weight (rows, features)          | embeddings (rows, features)                |

An image is (N, C, H, W) in scratch and PyTorch, and (N, H, W, C) in Keras. So a flattened image
has another order there, and the linear layer that follows needs its columns in that order.

Taught in: book/algorithms/backpropagation.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from largemodels.scratch.layer import Layer, check_shape

if TYPE_CHECKING:
    import keras
    from torch import nn

__all__ = ["copy_to_keras", "copy_to_pytorch", "keras_arrays"]

# What Keras calls an array, by the last part of its name in PyTorch.
_KERAS_NAMES = {
    "weight": ("kernel", "gamma", "embeddings"),
    "bias": ("bias", "beta"),
    "running_mean": ("moving_mean",),
    "running_var": ("moving_variance",),
}


def copy_to_pytorch(scratch_model: Layer, torch_model: nn.Module) -> None:
    """Copy all parameters and buffers of a scratch model to its PyTorch twin.

    Both name their arrays alike, so the `state_dict` moves as it is.

    Args:
        scratch_model: the model to copy from; it stays as it is.
        torch_model: the model to copy to; it keeps its device and its dtype.

    Raises:
        ValueError: if the models differ in the names or the shapes of their parameters.

    Example:
        >>> import torch
        >>> from largemodels.models import pytorch
        >>> from largemodels.scratch import MLP
        >>> scratch_model, torch_model = MLP([3, 4, 2]), pytorch.MLP([3, 4, 2])
        >>> copy_to_pytorch(scratch_model, torch_model)
        >>> x = np.ones((1, 3), dtype=np.float32)
        >>> np.allclose(scratch_model(x), torch_model(torch.from_numpy(x)).detach(), atol=1e-5)
        True
    """
    import torch

    state_dict = scratch_model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in torch_model.state_dict().items()}
    if shapes.keys() != state_dict.keys():
        raise ValueError(
            f"The models must have the same parameters: `scratch_model` has {sorted(state_dict)}, "
            f"`torch_model` has {sorted(shapes)}."
        )
    for name, array in state_dict.items():
        check_shape(name, array, shapes[name])
    torch_model.load_state_dict({name: torch.from_numpy(a) for name, a in state_dict.items()})


def copy_to_keras(model: Layer | nn.Module, keras_model: keras.Model) -> None:
    """Copy all parameters and running statistics of a model to its Keras twin.

    `keras_arrays` says what changes on the way.

    Args:
        model: the scratch or PyTorch model to copy from; it stays as it is.
        keras_model: the model to copy to.

    Raises:
        ValueError: if the models differ in the number, the kind or the shapes of their arrays.

    Example:
        >>> from largemodels.models import keras
        >>> from largemodels.scratch import MLP
        >>> scratch_model, keras_model = MLP([3, 4, 2]), keras.MLP([3, 4, 2])
        >>> copy_to_keras(scratch_model, keras_model)
        >>> x = np.ones((1, 3), dtype=np.float32)
        >>> np.allclose(scratch_model(x), keras_model(x), atol=1e-5)
        True
    """
    if isinstance(model, Layer):
        arrays = model.state_dict()
    else:
        arrays = {name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}
    keras_model.set_weights(keras_arrays(arrays, keras_model))


def keras_arrays(
    state_dict: Mapping[str, np.ndarray], keras_model: keras.Model
) -> list[np.ndarray]:
    """Return the arrays of a model in the order and the layout of its Keras twin.

    The twins define their layers in one order, so the arrays meet one by one. A kernel has its
    axes turned around, as the table of this module shows. Columns that follow a `Flatten` of the
    twin itself (not of a block inside it) go from the order (C, H, W) to (H, W, C). How many
    batches a normalization has seen, `num_batches_tracked`, is not kept by Keras.

    Args:
        state_dict: the arrays with PyTorch's names, in the order of the layers. It may as well
            hold gradients: they have the shapes of what they belong to.
        keras_model: the twin; it stays as it is.

    Returns:
        one array for each of `keras_model.weights`.

    Raises:
        ValueError: if the models differ in the number, the kind or the shapes of their arrays.

    Example:
        >>> import keras
        >>> twin = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 5)])
        >>> state_dict = {"0.weight": np.zeros((16, 3, 5, 5)), "0.bias": np.zeros(16)}
        >>> [array.shape for array in keras_arrays(state_dict, twin)]
        [(5, 5, 3, 16), (16,)]
    """
    names = [name for name in state_dict if not name.endswith("num_batches_tracked")]
    weights = list(_weights(keras_model))
    if len(names) != len(weights):
        raise ValueError(
            f"The models must have the same number of arrays: `model` has {len(names)} "
            f"({names}), `keras_model` has {len(weights)} "
            f"({[weight.path for weight, _ in weights]})."
        )
    arrays = []
    for name, (weight, image_shape) in zip(names, weights, strict=True):
        if weight.name not in _KERAS_NAMES.get(name.rpartition(".")[2], ()):
            raise ValueError(f"`{name}` and its twin `{weight.path}` are of different kinds.")
        array = state_dict[name]
        if weight.name == "kernel":
            array = _keras_kernel(array)
        check_shape(weight.path, array, tuple(weight.shape))
        if image_shape is not None:
            height, width, channels = image_shape
            # (C·H·W, out) -> (C, H, W, out) -> (H, W, C, out) -> (H·W·C, out)
            array = array.reshape(channels, height, width, -1)
            array = array.transpose(1, 2, 0, 3).reshape(weight.shape)
        arrays.append(array)
    return arrays


def _keras_kernel(array: np.ndarray) -> np.ndarray:
    """Return a weight of PyTorch with its axes in the order of Keras."""
    if array.ndim == 4:
        # A convolution: (out, in, KH, KW) -> (KH, KW, in, out).
        # A transposed one: (in, out, KH, KW) -> (KH, KW, out, in).
        return array.transpose(2, 3, 1, 0)
    return array.T  # (out, in) -> (in, out)


def _weights(keras_model: keras.Model) -> Iterator[tuple[Any, tuple[int, int, int] | None]]:
    """Yield each weight, and the (H, W, C) of the image if it takes a flattened one."""
    import keras

    image_shape = None
    for layer in keras_model.layers:
        if isinstance(layer, keras.layers.Flatten) and len(layer.input.shape) == 4:
            image_shape = tuple(layer.input.shape[1:])
        for weight in layer.weights:
            yield weight, image_shape
            image_shape = None  # Only the kernel that comes first sees the image.

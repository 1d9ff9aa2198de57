"""Move weights from a scratch model to its twins.

Taught in: book/algorithms/backpropagation.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from largemodels.scratch import Linear, Sequential
from largemodels.scratch.layer import check_shape

if TYPE_CHECKING:
    import keras
    from torch import nn

__all__ = ["copy_to_keras", "copy_to_pytorch"]


def copy_to_pytorch(scratch_model: Sequential, torch_model: nn.Module) -> None:
    """Copy all parameters of a scratch model to its PyTorch twin.

    Both name their parameters alike, so the `state_dict` moves as it is.

    Args:
        scratch_model: the model to copy from; it stays as it is.
        torch_model: the model to copy to; it keeps its device and its dtype.

    Raises:
        ValueError: if the models differ in the names or the shapes of their parameters.

    Example:
        >>> import numpy as np, torch
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


def copy_to_keras(scratch_model: Sequential, keras_model: keras.Sequential) -> None:
    """Copy all parameters of a scratch model to its Keras twin.

    Keras keeps the weight of a dense layer transposed, (in, out), and merges a layer with its
    activation. So the linear layers of one model meet the dense layers of the other in order.

    Args:
        scratch_model: the model to copy from; it stays as it is.
        keras_model: the model to copy to.

    Raises:
        ValueError: if the models differ in the number or the shapes of their layers.

    Example:
        >>> import numpy as np
        >>> from largemodels.models import keras
        >>> from largemodels.scratch import MLP
        >>> scratch_model, keras_model = MLP([3, 4, 2]), keras.MLP([3, 4, 2])
        >>> copy_to_keras(scratch_model, keras_model)
        >>> x = np.ones((1, 3), dtype=np.float32)
        >>> np.allclose(scratch_model(x), keras_model(x), atol=1e-5)
        True
    """
    linear_layers = [layer for layer in scratch_model.layers if isinstance(layer, Linear)]
    dense_layers = [layer for layer in keras_model.layers if layer.weights]
    if len(linear_layers) != len(dense_layers):
        raise ValueError(
            f"The models must have the same number of layers: `scratch_model` has "
            f"{len(linear_layers)} linear layers, `keras_model` has {len(dense_layers)} dense ones."
        )
    moves = []
    for linear, dense in zip(linear_layers, dense_layers, strict=True):
        arrays = [linear.weight.data.T]  # (out, in) -> (in, out)
        if linear.bias is not None:
            arrays.append(linear.bias.data)
        if len(arrays) != len(dense.weights):
            raise ValueError(f"`{dense.name}` and its twin must both have a bias, or none.")
        for array, weight in zip(arrays, dense.weights, strict=True):
            check_shape(f"{weight.path}", array, tuple(weight.shape))
        moves.append((dense, arrays))
    for dense, arrays in moves:
        dense.set_weights(arrays)

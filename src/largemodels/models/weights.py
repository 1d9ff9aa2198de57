"""Move weights between a scratch model, its PyTorch twin and its Keras twin.

PyTorch and scratch name their arrays alike. Keras names them otherwise, and lays some out
differently:

| layer            | scratch and PyTorch              | Keras                                      |
|------------------|----------------------------------|--------------------------------------------|
| linear, dense    | weight (out, in)                 | kernel (in, out)                           |
| convolution      | weight (out, in, KH, KW)         | kernel (KH, KW, in, out)                   |
| the same in 1-D  | weight (out, in, K)              | kernel (K, in, out)                        |
| transposed one   | weight (in, out, KH, KW)         | kernel (KH, KW, out, in)                   |
| their bias       | bias (out,)                      | bias (out,)                                |
| normalization    | weight, bias (features,)         | gamma, beta (features,)                    |
| its statistics   | running_mean, running_var        | moving_mean, moving_variance               |
| RMS norm         | weight (features,)               | scale (features,)                          |
| embedding        | weight (rows, features)          | embeddings (rows, features)                |
| RNN              | weight_ih (H, I)                 | kernel (I, H)                              |
|                  | weight_hh (H, H)                 | recurrent_kernel (H, H), transposed        |
|                  | bias_ih, bias_hh (H,)            | bias (H,), their sum                       |
| LSTM             | the same with 4 H for H:         | the same with 4 H for H;                   |
|                  | gates i, f, g, o                 | gates i, f, c, o, where c is PyTorch's g   |
| GRU              | the same with 3 H for H:         | the same with 3 H for H, but bias (2, 3 H) |
|                  | gates r, z, n                    | gates z, r, h, where h is PyTorch's n      |
| attention        | in_proj_weight (3 E, E)          | query, key, value: kernel (E, heads, E/h.) |
|                  | in_proj_bias (3 E,)              | query, key, value: bias (heads, E/heads)   |
|                  | out_proj.weight (E, E)           | attention_output: kernel (heads, E/h., E)  |
|                  | out_proj.bias (E,)               | attention_output: bias (E,)                |
| a plain array    | any name, any shape              | the same name, the same shape              |

A recurrent layer of PyTorch ends its names in `_l0`, `_l0_reverse`, `_l1` and so on; each of them
is a recurrent cell of its own in Keras. The two biases of an LSTM add up, those of a GRU do not:
its reset gate stands between them, if the Keras layer has `reset_after=True`, as by default.

An image is (N, C, H, W) in scratch and PyTorch, and (N, H, W, C) in Keras. So a flattened image
has another order there, and the linear layer that follows needs its columns in that order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from largemodels.scratch.layer import Layer, check_shape

if TYPE_CHECKING:
    import keras
    from torch import nn

__all__ = ["copy_from_keras", "copy_to_keras", "copy_to_pytorch", "copy_to_scratch", "keras_arrays"]

# The arrays of one layer, by the last part of their names.
Arrays = dict[str, np.ndarray]

# A name of a recurrent layer: what the array is, and to which cell it belongs.
_RECURRENT_NAME = re.compile(r"((?:weight|bias)_[ih]h)_(l\d+(?:_reverse)?)")


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

    Taught in: book/tools/frameworks_side_by_side.md
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


def copy_to_scratch(torch_model: nn.Module, scratch_model: Layer) -> None:
    """Copy all parameters and buffers of a PyTorch model to its scratch twin.

    Args:
        torch_model: the model to copy from; it stays as it is.
        scratch_model: the model to copy to; it keeps its dtype.

    Raises:
        ValueError: if the models differ in the names or the shapes of their parameters.

    Example:
        >>> import torch
        >>> from largemodels.models import pytorch
        >>> from largemodels.scratch import MLP
        >>> torch_model, scratch_model = pytorch.MLP([3, 4, 2]), MLP([3, 4, 2])
        >>> copy_to_scratch(torch_model, scratch_model)
        >>> x = np.ones((1, 3), dtype=np.float32)
        >>> np.allclose(scratch_model(x), torch_model(torch.from_numpy(x)).detach(), atol=1e-5)
        True

    Taught in: book/tools/frameworks_side_by_side.md
    """
    state_dict = torch_model.state_dict()
    scratch_model.load_state_dict({name: t.cpu().numpy() for name, t in state_dict.items()})


def copy_to_keras(model: Layer | nn.Module, keras_model: keras.Model) -> None:
    """Copy all parameters and running statistics of a model to its Keras twin.

    `keras_arrays` says what changes on the way.

    Args:
        model: the scratch or PyTorch model to copy from; it stays as it is.
        keras_model: the model to copy to.

    Raises:
        ValueError: if the models differ in the number, the kind or the shapes of their layers.

    Example:
        >>> from largemodels.models import keras
        >>> from largemodels.scratch import MLP
        >>> scratch_model, keras_model = MLP([3, 4, 2]), keras.MLP([3, 4, 2])
        >>> copy_to_keras(scratch_model, keras_model)
        >>> x = np.ones((1, 3), dtype=np.float32)
        >>> np.allclose(scratch_model(x), keras_model(x), atol=1e-5)
        True

    Taught in: book/tools/frameworks_side_by_side.md
    """
    keras_model.set_weights(keras_arrays(_arrays(model), keras_model))


def copy_from_keras(keras_model: keras.Model, model: Layer | nn.Module) -> None:
    """Copy all parameters and running statistics of a Keras model to its scratch or PyTorch twin.

    The way back of `copy_to_keras`. Keras has the sum of the two biases of an LSTM or RNN: one of
    them gets it, the other one zeros.

    Args:
        keras_model: the model to copy from; it stays as it is.
        model: the scratch or PyTorch model to copy to; it keeps its device and its dtype.

    Raises:
        ValueError: if the models differ in the number, the kind or the shapes of their layers.

    Example:
        >>> from largemodels.models import keras
        >>> from largemodels.scratch import MLP
        >>> keras_model, scratch_model = keras.MLP([3, 4, 2]), MLP([3, 4, 2])
        >>> copy_from_keras(keras_model, scratch_model)
        >>> x = np.ones((1, 3), dtype=np.float32)
        >>> np.allclose(scratch_model(x), keras_model(x), atol=1e-5)
        True

    Taught in: book/tools/frameworks_side_by_side.md
    """
    arrays = _arrays(model)
    # Each number gets the number of its place, and `keras_arrays` shows where in Keras it goes.
    places, total = {}, 1
    for name, array in arrays.items():
        places[name] = np.arange(total, total + array.size).reshape(array.shape)
        total += array.size
    for name in _summed_biases(arrays):
        places[name][...] = 0  # So that the sum of both names the place of the other one.
    numbers = np.zeros(total)
    for place, weight in zip(
        keras_arrays(places, keras_model), keras_model.get_weights(), strict=True
    ):
        numbers[place] = weight
    state_dict = {
        name: arrays[name] if name.endswith("num_batches_tracked") else numbers[place]
        for name, place in places.items()
    }
    if isinstance(model, Layer):
        model.load_state_dict(state_dict)
    else:
        import torch

        tensors = {name: torch.from_numpy(np.asarray(a)) for name, a in state_dict.items()}
        model.load_state_dict(tensors, strict=False)  # A shared weight has a second name.


def keras_arrays(
    state_dict: Mapping[str, np.ndarray], keras_model: keras.Model
) -> list[np.ndarray]:
    """Return the arrays of a model in the order and the layout of its Keras twin.

    The twins define their layers in one order, so the layers that have arrays meet one by one, a
    plain array of a block before the layers inside it. The table of this module says what becomes
    of the arrays of a layer. The linear layer that follows a `Flatten` of an image has its columns
    changed from the order (C, H, W) to (H, W, C). How many batches a normalization has seen,
    `num_batches_tracked`, is not kept by Keras.

    The arrays do not tell the number of heads of an attention, nor an activation: the twins must
    be made with the same.

    Args:
        state_dict: the arrays with PyTorch's names, in the order of the layers. It may as well
            hold gradients: they have the shapes of what they belong to. The two biases of an LSTM
            or RNN have one and the same gradient, that of their sum; give 0 for one of them.
        keras_model: the twin; it stays as it is. Its layers must have their weights already.

    Returns:
        one array for each of `keras_model.weights`.

    Raises:
        ValueError: if the models differ in the number, the kind or the shapes of their layers.

    Example:
        >>> import keras
        >>> twin = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 5)])
        >>> state_dict = {"0.weight": np.zeros((16, 3, 5, 5)), "0.bias": np.zeros(16)}
        >>> [array.shape for array in keras_arrays(state_dict, twin)]
        [(5, 5, 3, 16), (16,)]

    Taught in: book/tools/frameworks_side_by_side.md
    """
    modules = _modules(state_dict)
    layers = list(_layers(keras_model))
    if len(modules) != len(layers):
        raise ValueError(
            f"The models must have the same number of layers with arrays: `model` has "
            f"{len(modules)} ({list(modules)}), `keras_model` has {len(layers)} "
            f"({[layer.path for layer, _, _ in layers]})."
        )
    arrays = {}
    for (name, module), (layer, weights, image_shape) in zip(modules.items(), layers, strict=True):
        translated = _translate(module, layer)
        if sorted(translated) != sorted(weight.name for weight in weights):
            raise ValueError(
                f"`{name}` with {list(module)} and its twin `{layer.path}` "
                f"({type(layer).__name__}) with {[weight.name for weight in weights]} are of "
                "different kinds."
            )
        for weight in weights:
            array = translated[weight.name]
            check_shape(weight.path, array, tuple(weight.shape))
            if image_shape is not None and weight.name == "kernel":
                height, width, channels = image_shape
                # (C·H·W, out) -> (C, H, W, out) -> (H, W, C, out) -> (H·W·C, out)
                array = array.reshape(channels, height, width, -1)
                array = array.transpose(1, 2, 0, 3).reshape(weight.shape)
            arrays[id(weight)] = array
    return [arrays[id(weight)] for weight in keras_model.weights]


def _arrays(model: Layer | nn.Module) -> Arrays:
    """Return the parameters and buffers of a model, each once, in the order of the layers."""
    if isinstance(model, Layer):
        return model.state_dict()
    # A weight that two layers share counts once, where it stands first.
    once = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    state_dict = model.state_dict()
    return {name: state_dict[name].cpu().numpy() for name in state_dict if name in once}


def _summed_biases(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of the biases that Keras adds to another one: b_hh of an RNN or LSTM."""
    found = []
    for name in arrays:
        weight = name.replace("bias_hh", "weight_hh")
        if weight != name and weight in arrays:
            rows, columns = arrays[weight].shape
            if rows != 3 * columns:  # A GRU, with three gates, keeps them apart.
                found.append(name)
    return found


def _modules(state_dict: Mapping[str, np.ndarray]) -> dict[str, Arrays]:
    """Return the arrays of each module of PyTorch, those of a layer of Keras together."""
    # The model's own arrays come first in Keras. A scratch model names its buffers last.
    modules: dict[str, Arrays] = {"": {}}
    for name, array in state_dict.items():
        module, _, last = name.rpartition(".")
        if last == "num_batches_tracked":
            continue
        if last in {"in_proj_weight", "in_proj_bias"}:
            parts = np.split(array, 3)  # (3 E, …) -> 3 × (E, …)
            for part, own in zip(("query", "key", "value"), parts, strict=True):
                modules.setdefault(f"{module}.{part}", {})[last.removeprefix("in_proj_")] = own
            continue
        if match := _RECURRENT_NAME.fullmatch(last):
            last, cell = match.groups()
            module = f"{module}.{cell}"
        modules.setdefault(module, {})[last] = array
    return {name: arrays for name, arrays in modules.items() if arrays}


def _layers(
    keras_model: keras.Model,
) -> Iterator[tuple[Any, list[Any], tuple[int, int, int] | None]]:
    """Yield each layer with weights of its own, these, and the (H, W, C) of a flattened image."""
    import keras

    image_shape = None
    seen: set[int] = set()
    for layer, own in _own_weights(keras_model):
        if isinstance(layer, keras.layers.Flatten) and len(layer.input.shape) == 4:
            image_shape = tuple(layer.input.shape[1:])
        new = [weight for weight in own if id(weight) not in seen]
        if not new:
            continue  # No weights, or a layer that stands in two places.
        if image_shape is not None and not isinstance(layer, keras.layers.Dense):
            raise ValueError(
                f"`{layer.path}` follows a flattened image, so it must be a Dense layer, got "
                f"{type(layer).__name__}."
            )
        yield layer, new, image_shape
        seen.update(id(weight) for weight in new)
        image_shape = None  # Only the layer that comes first sees the image.


def _own_weights(layer: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Yield a layer and its own weights, and after it all layers inside it, as PyTorch does."""
    # Keras has no public name for the layers inside a layer that is no model.
    inner = layer._flatten_layers(include_self=False, recursive=False)
    of_inner = {id(weight) for other in inner for weight in other.weights}
    yield layer, [weight for weight in layer.weights if id(weight) not in of_inner]
    for other in inner:
        yield from _own_weights(other)


def _translate(module: Arrays, layer: Any) -> Arrays:
    """Return the arrays of a module of PyTorch, named and laid out as those of a Keras layer."""
    from keras import layers

    match layer:
        case layers.Dense() | layers.Conv1D() | layers.Conv2D() | layers.Conv2DTranspose():
            # (out, in, …) -> (…, in, out), and for a transposed one (in, out, …) -> (…, out, in)
            axes = {2: (1, 0), 3: (2, 1, 0), 4: (2, 3, 1, 0)}
            turned = {name: a.transpose(axes.get(a.ndim)) for name, a in module.items()}
            return _rename(turned, weight="kernel")
        case layers.EinsumDense():
            return _attention_projection(module, layer)
        case layers.Embedding():
            return _rename(module, weight="embeddings")
        case layers.RMSNormalization():
            return _rename(module, weight="scale")
        case layers.BatchNormalization() | layers.LayerNormalization():
            statistics = {"running_mean": "moving_mean", "running_var": "moving_variance"}
            return _rename(module, weight="gamma", bias="beta", **statistics)
        case layers.LSTMCell() | layers.SimpleRNNCell():
            cell = _recurrent_weights(module)
            if "bias_ih" in cell and "bias_hh" in cell:
                cell["bias"] = cell.pop("bias_ih") + cell.pop("bias_hh")
            return cell
        case layers.GRUCell():
            return _gru_cell(module, layer)
        case _:
            return module  # Plain arrays, or a kind without a rule: then the names differ.


def _rename(module: Arrays, **names: str) -> Arrays:
    return {names.get(name, name): array for name, array in module.items()}


def _recurrent_weights(module: Arrays) -> Arrays:
    turned = {name: array.T for name, array in module.items()}  # (gates·H, …) -> (…, gates·H)
    return _rename(turned, weight_ih="kernel", weight_hh="recurrent_kernel")


def _gru_cell(module: Arrays, layer: Any) -> Arrays:
    if not layer.reset_after:
        raise ValueError(
            f"`{layer.path}` must have `reset_after` (=False) True: PyTorch's reset gate acts on "
            "the product of weight_hh and the state, not on the state."
        )
    h = layer.units
    # (r, z, n) -> (z, r, n)
    swapped = {
        name: np.concatenate([a[h : 2 * h], a[:h], a[2 * h :]]) for name, a in module.items()
    }
    cell = _recurrent_weights(swapped)
    if "bias_ih" in cell and "bias_hh" in cell:
        # 2 × (3 H,) -> (2, 3 H)
        cell["bias"] = np.stack([cell.pop("bias_ih"), cell.pop("bias_hh")])
    return cell


def _attention_projection(module: Arrays, layer: Any) -> Arrays:
    """Return a projection of an attention with an axis for the heads."""
    operands, output = layer.equation.split("->")
    letters = operands.split(",")[1]
    shape = tuple(layer.kernel.shape)
    # The axes of the kernel that are summed over are those of the input.
    inputs = sum(letter not in output for letter in letters)
    flat_shape = math.prod(shape[:inputs]), math.prod(shape[inputs:])
    if any(letter in output for letter in letters[:inputs]):
        return module  # A kernel of another order has no rule.
    projection = _rename(module, weight="kernel")
    if "kernel" in projection:
        check_shape(f"{layer.path}/kernel, heads flattened", projection["kernel"].T, flat_shape)
        projection["kernel"] = projection["kernel"].T.reshape(shape)  # (out, in) -> (in, heads, …)
    if "bias" in projection and layer.bias is not None:
        # (E,) -> (heads, E/heads)
        projection["bias"] = projection["bias"].reshape(layer.bias.shape)
    return projection

"""Three times one multilayer perceptron: same weights, same outputs, same gradients."""

import os
from pathlib import Path

# Before TensorFlow starts, which otherwise reports its build options.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from largemodels.models import keras as keras_models
from largemodels.models import pytorch
from largemodels.models.weights import copy_to_keras, copy_to_pytorch
from largemodels.scratch import (
    MLP,
    CrossEntropyLoss,
    Layer,
    Linear,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
)

ACTIVATIONS = {
    "relu": (ReLU, torch.nn.ReLU),
    "sigmoid": (Sigmoid, torch.nn.Sigmoid),
    "tanh": (Tanh, torch.nn.Tanh),
}


def scratch_mlp(sizes: list[int], activation: type[Layer] = ReLU) -> MLP:
    rng = np.random.default_rng(0)
    model = MLP(sizes, activation, rng)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # Biases start at zero; here they must count.
            parameter.data[...] = rng.standard_normal(parameter.data.shape)
    return model


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [[7, 3], [7, 5, 3], [20, 11, 6, 4, 3]])
def test_three_twins_agree(activation: str, sizes: list[int]) -> None:
    scratch_activation, torch_activation = ACTIVATIONS[activation]
    model = scratch_mlp(sizes, scratch_activation)
    torch_model = pytorch.MLP(sizes, torch_activation)
    keras_model = keras_models.MLP(sizes, activation)
    copy_to_pytorch(model, torch_model)
    copy_to_keras(model, keras_model)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((9, sizes[0]), dtype=np.float32)
    y = rng.integers(0, sizes[-1], 9)

    loss = CrossEntropyLoss()
    logits = model(x)
    value = loss(logits, y)
    grad_x = model.backward(loss.backward())

    torch_x = torch.from_numpy(x).requires_grad_()
    torch_logits = torch_model(torch_x)
    torch_loss = torch.nn.functional.cross_entropy(torch_logits, torch.from_numpy(y))
    torch_loss.backward()

    keras_x = tf.Variable(x)
    with tf.GradientTape() as tape:
        keras_logits = keras_model(keras_x)
        keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, keras_logits)
    keras_grad_x, *keras_grads = tape.gradient(
        keras_loss, [keras_x, *(weight.value for weight in keras_model.trainable_weights)]
    )

    close = {"rtol": 1e-5, "atol": 1e-5}
    for other in (torch_logits.detach(), keras_logits):
        np.testing.assert_allclose(other, logits, **close)
    for other in (torch_loss.item(), float(keras_loss)):
        assert other == pytest.approx(value, rel=1e-5)
    for other in (torch_x.grad, keras_grad_x):
        np.testing.assert_allclose(other, grad_x, **close)
    torch_parameters = dict(torch_model.named_parameters())
    for (name, parameter), keras_grad in zip(model.named_parameters(), keras_grads, strict=True):
        np.testing.assert_allclose(torch_parameters[name].grad, parameter.grad, **close)
        # Keras keeps a weight as (in, out); the transpose of a bias is the bias.
        np.testing.assert_allclose(np.transpose(keras_grad), parameter.grad, **close)


@pytest.mark.parametrize("make", [MLP, pytorch.MLP, keras_models.MLP])
def test_twins_start_alike(make: type) -> None:
    keras.utils.set_random_seed(0)  # Seeds NumPy, PyTorch and TensorFlow.
    model = make([500, 300, 10])
    if isinstance(model, keras.Model):
        arrays = [np.transpose(weight) for weight in model.get_weights()]
    elif isinstance(model, torch.nn.Module):
        arrays = [parameter.detach().numpy() for parameter in model.parameters()]
    else:
        arrays = [parameter.data for parameter in model.parameters()]
    assert [array.shape for array in arrays] == [(300, 500), (300,), (10, 300), (10,)]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    for weight, bias in (arrays[:2], arrays[2:]):
        assert weight.var() == pytest.approx(2 / weight.shape[1], rel=0.1)
        assert weight.mean() == pytest.approx(0, abs=0.01)
        assert (bias == 0).all()


@pytest.mark.parametrize("make", [MLP, pytorch.MLP, keras_models.MLP])
def test_one_size_is_not_enough(make: type) -> None:
    with pytest.raises(ValueError, match=r"`sizes` \(=\[3\]\) must name"):
        make([3])


def test_copies_are_independent() -> None:
    model, torch_model = scratch_mlp([3, 4, 2]), pytorch.MLP([3, 4, 2])
    keras_model = keras_models.MLP([3, 4, 2])
    copy_to_pytorch(model, torch_model)
    copy_to_keras(model, keras_model)
    before = model.state_dict()
    with torch.no_grad():
        for parameter in torch_model.parameters():
            parameter += 1
    for weight in keras_model.weights:
        weight.assign_add(tf.ones(weight.shape))
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.data, before[name])


def test_the_pytorch_twin_keeps_its_type() -> None:
    torch_model = pytorch.MLP([3, 2]).double()
    copy_to_pytorch(scratch_mlp([3, 2]), torch_model)
    assert torch_model[0].weight.dtype == torch.float64


def test_a_model_without_biases_moves_too() -> None:
    model = Sequential(Linear(3, 2, bias=False))
    torch_model = torch.nn.Sequential(torch.nn.Linear(3, 2, bias=False))
    keras_model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    copy_to_pytorch(model, torch_model)
    copy_to_keras(model, keras_model)
    x = np.ones((1, 3), dtype=np.float32)
    np.testing.assert_allclose(torch_model(torch.from_numpy(x)).detach(), model(x), rtol=1e-5)
    np.testing.assert_allclose(keras_model(x), model(x), rtol=1e-5)


def test_a_twin_of_another_form_is_named_and_unchanged() -> None:
    model = scratch_mlp([3, 4, 2])
    torch_model = pytorch.MLP([3, 4, 5])
    torch_before = {name: tensor.clone() for name, tensor in torch_model.state_dict().items()}
    with pytest.raises(ValueError, match=r"`2.weight` must have shape \(5, 4\), got \(2, 4\)"):
        copy_to_pytorch(model, torch_model)
    for name, tensor in torch_model.state_dict().items():
        assert torch.equal(tensor, torch_before[name])

    keras_model = keras_models.MLP([3, 4, 5])
    keras_before = keras_model.get_weights()
    with pytest.raises(ValueError, match=r"kernel` must have shape \(4, 5\), got \(4, 2\)"):
        copy_to_keras(model, keras_model)
    for array, before in zip(keras_model.get_weights(), keras_before, strict=True):
        np.testing.assert_array_equal(array, before)

    with pytest.raises(ValueError, match="must have the same parameters"):
        copy_to_pytorch(model, pytorch.MLP([3, 2]))
    with pytest.raises(ValueError, match=r"`model` has 2 .* `keras_model` has 1"):
        copy_to_keras(model, keras_models.MLP([3, 2]))
    without_bias = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    with pytest.raises(ValueError, match=r"`0` with \['weight', 'bias'\] .* with \['kernel'\]"):
        copy_to_keras(scratch_mlp([3, 2]), without_bias)


def test_the_keras_twin_can_be_saved(tmp_path: Path) -> None:
    model = keras_models.MLP([3, 4, 2], "tanh")
    model.save(tmp_path / "mlp.keras")
    loaded = keras.saving.load_model(tmp_path / "mlp.keras")
    x = np.ones((1, 3), dtype=np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert (loaded.sizes, loaded.activation) == ([3, 4, 2], "tanh")

"""Layers, losses and optimizers from scratch equal those of Keras, in float32 to 1e-5.

The weights move by the documented `copy_to_keras`, and `keras_arrays` turns the gradients. What
Keras has no twin for, such as a max pooling with padding, is compared with PyTorch only.
"""

import os

# Before TensorFlow starts, which otherwise reports its build options.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from largemodels import scratch
from largemodels.models.weights import copy_to_keras, keras_arrays

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def channels_last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, 1, -1) if x.ndim == 4 else x


def twin(*parts: layers.Layer, shape: tuple[int | None, ...]) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *parts])


class LastOutput(scratch.Layer):
    """A recurrent layer, seen without its last state."""

    def __init__(self, layer: scratch.Layer) -> None:
        self.layer = layer

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.layer(x)[0]

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        return self.layer.backward(grad_output)[0]


# The layer, its twin, and the shape of an input in which no two sizes are equal.
LAYERS: dict[str, tuple[scratch.Layer, keras.Model, tuple[int, ...]]] = {
    "Linear": (scratch.Linear(3, 5), twin(layers.Dense(5), shape=(3,)), (4, 3)),
    "Linear without bias": (
        scratch.Linear(3, 5, bias=False),
        twin(layers.Dense(5, use_bias=False), shape=(3,)),
        (4, 3),
    ),
    "Conv2d": (
        scratch.Conv2d(2, 5, (3, 2), (2, 1)),
        twin(layers.Conv2D(5, (3, 2), (2, 1)), shape=(7, 6, 2)),
        (4, 2, 7, 6),
    ),
    "Conv2d with padding": (
        scratch.Conv2d(2, 5, 3, padding=1),
        twin(layers.Conv2D(5, 3, padding="same"), shape=(7, 6, 2)),
        (4, 2, 7, 6),
    ),
    "Conv2d with dilation": (
        scratch.Conv2d(2, 5, (2, 3), dilation=(2, 1), bias=False),
        twin(layers.Conv2D(5, (2, 3), dilation_rate=(2, 1), use_bias=False), shape=(7, 6, 2)),
        (4, 2, 7, 6),
    ),
    "MaxPool2d": (
        scratch.MaxPool2d((3, 2), (1, 2)),
        twin(layers.MaxPooling2D((3, 2), (1, 2)), shape=(7, 6, 2)),
        (4, 2, 7, 6),
    ),
    "AvgPool2d": (
        scratch.AvgPool2d((3, 2), (1, 2)),
        twin(layers.AveragePooling2D((3, 2), (1, 2)), shape=(7, 6, 2)),
        (4, 2, 7, 6),
    ),
    "GlobalAvgPool2d": (
        scratch.GlobalAvgPool2d(),
        twin(layers.GlobalAveragePooling2D(keepdims=True), shape=(7, 6, 2)),
        (4, 2, 7, 6),
    ),
    "BatchNorm2d": (
        scratch.BatchNorm2d(2),
        twin(layers.BatchNormalization(epsilon=1e-5), shape=(7, 6, 2)),
        (4, 2, 7, 6),
    ),
    "LayerNorm": (
        scratch.LayerNorm(5),
        twin(layers.LayerNormalization(epsilon=1e-5), shape=(3, 5)),
        (4, 3, 5),
    ),
    "RMSNorm": (
        scratch.RMSNorm(5, eps=1e-6),
        twin(layers.RMSNormalization(epsilon=1e-6), shape=(3, 5)),
        (4, 3, 5),
    ),
    "Embedding": (scratch.Embedding(6, 5), twin(layers.Embedding(6, 5), shape=(None,)), (4, 3)),
    "RNN": (
        LastOutput(scratch.RNN(3, 5)),
        twin(layers.SimpleRNN(5, return_sequences=True), shape=(None, 3)),
        (4, 6, 3),
    ),
    "LSTM": (
        LastOutput(scratch.LSTM(3, 5)),
        twin(layers.LSTM(5, return_sequences=True), shape=(None, 3)),
        (4, 6, 3),
    ),
    "GRU": (
        LastOutput(scratch.GRU(3, 5)),
        twin(layers.GRU(5, return_sequences=True), shape=(None, 3)),
        (4, 6, 3),
    ),
    "Sigmoid": (scratch.Sigmoid(), twin(layers.Activation("sigmoid"), shape=(3,)), (4, 3)),
    "Tanh": (scratch.Tanh(), twin(layers.Activation("tanh"), shape=(3,)), (4, 3)),
    "ReLU": (scratch.ReLU(), twin(layers.ReLU(), shape=(3,)), (4, 3)),
    "LeakyReLU": (scratch.LeakyReLU(0.2), twin(layers.LeakyReLU(0.2), shape=(3,)), (4, 3)),
    "GELU": (scratch.GELU(), twin(layers.Activation("gelu"), shape=(3,)), (4, 3)),
    "GELU by tanh": (
        scratch.GELU("tanh"),
        twin(layers.Lambda(lambda x: keras.ops.gelu(x, approximate=True)), shape=(3,)),
        (4, 3),
    ),
    "Softmax": (scratch.Softmax(), twin(layers.Softmax(), shape=(3,)), (4, 3)),
    "LogSoftmax": (
        scratch.LogSoftmax(),
        twin(layers.Activation("log_softmax"), shape=(3,)),
        (4, 3),
    ),
}


def assert_gradients_equal(
    layer: scratch.Layer, model: keras.Model, tape: tf.GradientTape, value: tf.Tensor
) -> None:
    gradients = {}
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        # Keras has the sum of the two biases of an RNN or LSTM, whose gradients are one.
        twice = name.endswith("bias_hh_l0") and "GRU" not in repr(layer)
        gradients[name] = np.zeros_like(parameter.grad) if twice else parameter.grad
    # The twin has buffers among its weights, too; their "gradients" do not count.
    buffers = {name: np.zeros_like(buffer) for name, buffer in layer.named_buffers()}
    expected = tape.gradient(value, model.trainable_weights)
    ours = dict(
        zip((w.path for w in model.weights), keras_arrays(gradients | buffers, model), strict=True)
    )
    for weight, gradient in zip(model.trainable_weights, expected, strict=True):
        gradient = tf.convert_to_tensor(gradient)  # That of an embedding is sparse.
        np.testing.assert_allclose(ours[weight.path], gradient, err_msg=weight.path, **CLOSE)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_and_its_gradients_equal_keras(name: str) -> None:
    layer, model, shape = LAYERS[name]
    for i, parameter in enumerate(layer.parameters()):  # Biases start at zero; here they count.
        parameter.data[...] = numbers(*parameter.data.shape, seed=i)
    copy_to_keras(layer, model)
    tokens = name == "Embedding"
    x = np.random.default_rng(1).integers(0, 6, shape) if tokens else numbers(*shape)
    y = layer(x)
    grad_output = numbers(*y.shape, seed=2)
    grad_x = layer.backward(grad_output)

    keras_x = tf.constant(channels_last(x))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(keras_x)
        keras_y = model(keras_x, training=True)
        value = tf.reduce_sum(keras_y * channels_last(grad_output))
    assert y.dtype == np.float32
    np.testing.assert_allclose(channels_last(y), keras_y, **CLOSE)
    if not tokens:
        np.testing.assert_allclose(channels_last(grad_x), tape.gradient(value, keras_x), **CLOSE)
    assert_gradients_equal(layer, model, tape, value)


def test_statistics_of_a_batch_normalization_are_kept_as_keras_keeps_them() -> None:
    # What stays is momentum in Keras and 1 − momentum here; and PyTorch, which scratch follows,
    # divides the variance by n − 1 where Keras divides by n.
    layer, x = scratch.BatchNorm2d(2, momentum=0.1), numbers(4, 2, 7, 6) + 3
    model = twin(layers.BatchNormalization(momentum=0.9, epsilon=1e-5), shape=(7, 6, 2))
    layer(x)
    model(channels_last(x), training=True)
    _, _, mean, variance = model.get_weights()
    n = 4 * 7 * 6
    np.testing.assert_allclose(layer.running_mean, mean, **CLOSE)
    unbiased = 0.9 + (variance - 0.9) * n / (n - 1)
    np.testing.assert_allclose(layer.running_var, unbiased, **CLOSE)
    layer.eval()
    layer.running_var[...] = variance
    np.testing.assert_allclose(channels_last(layer(x)), model(channels_last(x)), **CLOSE)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_and_its_gradients_equal_keras(causal: bool) -> None:
    layer = scratch.MultiHeadAttention(6, 2)
    for i, parameter in enumerate(layer.parameters()):
        parameter.data[...] = numbers(*parameter.data.shape, seed=i) / 4
    query, key, value = (keras.Input((None, 6)) for _ in range(3))
    attention = layers.MultiHeadAttention(2, 3)
    output = attention(query, value, key, use_causal_mask=causal)
    model = keras.Model([query, key, value], output)
    copy_to_keras(layer, model)
    inputs = [numbers(4, 5, 6, seed=seed) for seed in range(3)]
    y = layer(*inputs, is_causal=causal)
    grad_output = numbers(*y.shape, seed=3)
    grads = layer.backward(grad_output)

    tensors = [tf.constant(x) for x in inputs]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(tensors)
        keras_y = model(tensors)
        total = tf.reduce_sum(keras_y * grad_output)
    np.testing.assert_allclose(y, keras_y, **CLOSE)
    for ours, theirs in zip(grads, tape.gradient(total, tensors), strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)
    assert_gradients_equal(layer, model, tape, total)


def binary(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2, shape).astype(np.float32)


LOSSES: dict[str, tuple[scratch.Loss, keras.losses.Loss, np.ndarray]] = {
    "MSELoss": (scratch.MSELoss(), keras.losses.MeanSquaredError(), numbers(4, 3, seed=1)),
    "L1Loss": (scratch.L1Loss(), keras.losses.MeanAbsoluteError(), numbers(4, 3, seed=1)),
    "HuberLoss": (scratch.HuberLoss(0.7), keras.losses.Huber(0.7), numbers(4, 3, seed=1)),
    "CrossEntropyLoss": (
        scratch.CrossEntropyLoss(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        np.array([2, 0, 1, 2]),
    ),
    "CrossEntropyLoss of probabilities": (
        scratch.CrossEntropyLoss(),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        np.random.default_rng(1).dirichlet(np.ones(3), 4).astype(np.float32),
    ),
    "BCEWithLogitsLoss": (
        scratch.BCEWithLogitsLoss(),
        keras.losses.BinaryCrossentropy(from_logits=True),
        binary(4, 3),
    ),
    "HingeLoss": (scratch.HingeLoss(), keras.losses.Hinge(), 2 * binary(4, 3) - 1),
    "FocalLoss": (
        scratch.FocalLoss(2.0, 0.25),
        keras.losses.BinaryFocalCrossentropy(
            apply_class_balancing=True, alpha=0.25, gamma=2.0, from_logits=True
        ),
        binary(4, 3),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient_equal_keras(name: str) -> None:
    loss, keras_loss, target = LOSSES[name]
    prediction = 2 * numbers(4, 3)
    value, grad = loss(prediction, target), loss.backward()
    tensor = tf.constant(prediction)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        keras_value = keras_loss(target, tensor)
    np.testing.assert_allclose(value, keras_value, **CLOSE)
    np.testing.assert_allclose(grad, tape.gradient(keras_value, tensor), **CLOSE)


# ε stands elsewhere in Keras: under the root, or before the correction of Adam's bias. So it is
# tiny here. Keras' Adagrad starts its sums at 0.1 unless told otherwise.
OPTIMIZERS: dict[str, tuple[Callable, Callable]] = {
    "SGD": (lambda p: scratch.SGD(p, 0.1), lambda: keras.optimizers.SGD(0.1)),
    "momentum": (lambda p: scratch.SGD(p, 0.1, 0.9), lambda: keras.optimizers.SGD(0.1, 0.9)),
    "Nesterov": (
        lambda p: scratch.SGD(p, 0.1, 0.9, nesterov=True),
        lambda: keras.optimizers.SGD(0.1, 0.9, nesterov=True),
    ),
    "Adagrad": (
        lambda p: scratch.Adagrad(p, 0.1, 1e-12),
        lambda: keras.optimizers.Adagrad(0.1, initial_accumulator_value=0, epsilon=1e-12),
    ),
    "RMSprop": (
        lambda p: scratch.RMSprop(p, 0.1, 0.9, 1e-12),
        lambda: keras.optimizers.RMSprop(0.1, rho=0.9, epsilon=1e-12),
    ),
    "Adam": (
        lambda p: scratch.Adam(p, 0.1, eps=1e-12),
        lambda: keras.optimizers.Adam(0.1, epsilon=1e-12),
    ),
    "AdamW": (
        lambda p: scratch.AdamW(p, 0.1, eps=1e-12, weight_decay=0.3),
        lambda: keras.optimizers.AdamW(0.1, weight_decay=0.3, epsilon=1e-12),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_equals_keras_over_many_steps(name: str) -> None:
    make, make_keras = OPTIMIZERS[name]
    parameter = scratch.Parameter(numbers(3, 2))
    variable = keras.Variable(parameter.data.copy())
    optimizer, keras_optimizer = make([parameter]), make_keras()
    for step in range(12):
        grad = numbers(3, 2, seed=step + 1) * np.float32(10.0 ** (step % 4 - 2))
        parameter.grad = grad
        optimizer.step()
        keras_optimizer.apply([tf.constant(grad)], [variable])
        np.testing.assert_allclose(parameter.data, variable, **CLOSE)

"""What the tests of all twins share: one comparison of outputs and gradients."""

import copy
import os
from collections.abc import Callable

# Before TensorFlow starts, which otherwise reports its build options.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from largemodels.models.weights import copy_from_keras, copy_to_keras, keras_arrays

Compare = Callable[..., None]


def channels_last(array: np.ndarray) -> np.ndarray:
    """Return images as Keras wants them, and anything else as it is."""
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def assert_close(actual: object, expected: np.ndarray) -> None:
    # Small gradients must agree in as many digits as large ones.
    atol = 1e-5 * min(1, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=atol)


@pytest.fixture
def compare_twins() -> Compare:
    """Return a function that moves random weights and compares the outputs and all gradients.

    The input may be images, (N, C, H, W); the outputs must have the same shape in both.
    """

    def compare(
        torch_model: torch.nn.Module,
        keras_model: keras.Model,
        x: np.ndarray,
        training: bool = True,
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        for name, tensor in torch_model.state_dict().items():
            if tensor.is_floating_point():  # Every number must count, and a variance be positive.
                noise = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(noise + 0.5 if name.endswith("running_var") else noise - 0.5)
        copy_to_keras(torch_model, keras_model)
        emptied = copy.deepcopy(torch_model)
        for name, tensor in emptied.state_dict().items():
            if name.rpartition(".")[2] != "num_batches_tracked":  # Keras does not keep it.
                tensor.fill_(torch.nan)
        copy_from_keras(keras_model, emptied)  # The way back finds every number again.
        for name, tensor in emptied.state_dict().items():
            torch.testing.assert_close(tensor, torch_model.state_dict()[name], rtol=0, atol=0)

        torch_y = torch_model.train(training)(torch.from_numpy(x))
        upstream = np.random.default_rng(1).standard_normal(torch_y.shape, dtype=np.float32)
        upstream /= upstream.size
        torch_y.backward(torch.from_numpy(upstream))

        with tf.GradientTape() as tape:
            keras_y = keras_model(channels_last(x), training=training)
            loss = tf.reduce_sum(keras_y * upstream)
        parameters = [weight.value for weight in keras_model.trainable_weights]
        keras_grads = [tf.convert_to_tensor(grad) for grad in tape.gradient(loss, parameters)]

        assert_close(keras_y, torch_y.detach().numpy())
        gradients = torch_model.state_dict() | {
            name: parameter.grad for name, parameter in torch_model.named_parameters()
        }
        expected = keras_arrays({n: tensor.numpy() for n, tensor in gradients.items()}, keras_model)
        trainable = [a for a, w in zip(expected, keras_model.weights, strict=True) if w.trainable]
        assert len(trainable) == len(keras_grads)
        for actual, gradient in zip(keras_grads, trainable, strict=True):
            assert_close(actual, gradient)

    return compare

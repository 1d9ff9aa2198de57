"""Networks for images: scratch, PyTorch and Keras give the same outputs and gradients."""

import copy
import os
from pathlib import Path

# Before TensorFlow starts, which otherwise reports its build options.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from largemodels import scratch
from largemodels.models import keras as keras_models
from largemodels.models import pytorch
from largemodels.models.weights import (
    copy_from_keras,
    copy_to_keras,
    copy_to_pytorch,
    copy_to_scratch,
    keras_arrays,
)

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def randomize(model: torch.nn.Module) -> None:
    """Give the arrays that start at 0 or 1, all but the weights, numbers that must count."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 1:
            noise = torch.rand(tensor.shape, generator=generator) - 0.5
            tensor += noise if name.endswith(("bias", "mean")) else noise / 2


def channels_last(array: np.ndarray) -> np.ndarray:
    """Return images as Keras wants them, and anything else as it is."""
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def assert_close(actual: object, expected: np.ndarray) -> None:
    # Small gradients must agree in as many digits as large ones.
    atol = 1e-5 * min(1, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=atol)


def assert_twins_agree(
    torch_model: torch.nn.Module,
    keras_model: keras.Model,
    x: np.ndarray,
    scratch_model: scratch.Layer | None = None,
    training: bool = True,
) -> None:
    """Compare the outputs and all gradients of one batch, images as (N, C, H, W)."""
    torch.manual_seed(0)
    randomize(torch_model)
    if scratch_model is not None:
        # The scratch model takes the arrays, so that the way from it to PyTorch is tested too.
        arrays = {name: tensor.numpy() for name, tensor in torch_model.state_dict().items()}
        scratch_model.load_state_dict(arrays)
        for tensor in torch_model.state_dict().values():
            tensor.zero_()
        copy_to_pytorch(scratch_model.train(training), torch_model)
        copy_to_scratch(torch_model, scratch_model)
    copy_to_keras(torch_model, keras_model)
    emptied = copy.deepcopy(torch_model)
    for name, tensor in emptied.state_dict().items():
        if name.rpartition(".")[2] != "num_batches_tracked":  # Keras does not keep it.
            tensor.fill_(torch.nan)
    copy_from_keras(keras_model, emptied)  # The way back finds every number again.
    for name, tensor in emptied.state_dict().items():
        torch.testing.assert_close(tensor, torch_model.state_dict()[name], rtol=0, atol=0)

    torch_x = torch.from_numpy(x).requires_grad_()
    torch_y = torch_model.train(training)(torch_x)
    upstream = np.random.default_rng(1).standard_normal(torch_y.shape, dtype=np.float32)
    upstream /= upstream.size
    torch_y.backward(torch.from_numpy(upstream))

    keras_x = tf.Variable(channels_last(x))
    parameters = [weight.value for weight in keras_model.trainable_weights]
    with tf.GradientTape() as tape:
        keras_y = keras_model(keras_x, training=training)
        loss = tf.reduce_sum(keras_y * channels_last(upstream))
    keras_grad_x, *keras_grads = tape.gradient(loss, [keras_x, *parameters])

    assert_close(keras_y, channels_last(torch_y.detach().numpy()))
    assert torch_x.grad is not None
    assert_close(keras_grad_x, channels_last(torch_x.grad.numpy()))
    gradients = torch_model.state_dict() | {
        name: parameter.grad for name, parameter in torch_model.named_parameters()
    }
    expected = keras_arrays({n: tensor.numpy() for n, tensor in gradients.items()}, keras_model)
    trainable = [a for a, w in zip(expected, keras_model.weights, strict=True) if w.trainable]
    for actual, gradient in zip(keras_grads, trainable, strict=True):
        assert_close(actual, gradient)

    if scratch_model is not None:
        assert_close(scratch_model(x), torch_y.detach().numpy())
        assert_close(scratch_model.backward(upstream), torch_x.grad.numpy())
        for name, parameter in scratch_model.named_parameters():
            assert_close(parameter.grad, gradients[name].numpy())


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def test_lenet_has_three_twins() -> None:
    assert_twins_agree(
        pytorch.LeNet(2, 7), keras_models.LeNet(2, 7), images(3, 2, 28, 28), scratch.LeNet(2, 7)
    )


@pytest.mark.parametrize(("channels", "pools"), [([4, 6, 5], 2), ([4], 1), ([3, 4], 0)])
def test_cnn_twins_agree(channels: list[int], pools: int) -> None:
    height, width = 20, 23  # No square, so that a mix-up of the two shows.
    torch_model = pytorch.CNN((2, height, width), channels, pools, hidden=8, num_classes=3)
    keras_model = keras_models.CNN((height, width, 2), channels, pools, hidden=8, num_classes=3)
    assert_twins_agree(torch_model, keras_model, images(3, 2, height, width))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(
    ("in_channels", "out_channels", "stride"), [(3, 3, 1), (3, 5, 2), (3, 2, 1)]
)
def test_a_residual_block_has_three_twins(
    in_channels: int, out_channels: int, stride: int, normalize: bool, training: bool
) -> None:
    shape = in_channels, out_channels, stride
    keras_model = keras.Sequential(
        [
            keras.Input((6, 7, in_channels)),
            keras_models.ResidualBlock(*shape, normalization=normalize),
        ]
    )
    assert_twins_agree(
        pytorch.ResidualBlock(*shape, normalization=torch.nn.BatchNorm2d if normalize else None),
        keras_model,
        images(4, in_channels, 6, 7),
        scratch.ResidualBlock(*shape, normalization=scratch.BatchNorm2d if normalize else None),
        training,
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("projection", [True, False])
def test_resnet_twins_agree(projection: bool, training: bool) -> None:
    assert_twins_agree(
        pytorch.ResNet(8, 4, 2, projection=projection),
        keras_models.ResNet(8, 4, 2, projection=projection),
        images(4, 2, 12, 9),
        training=training,
    )


def test_resnet_20_twins_agree() -> None:
    assert_twins_agree(
        pytorch.ResNet(), keras_models.ResNet(), images(2, 3, 32, 32), training=False
    )


def test_running_statistics_move_towards_the_batch_in_both_twins() -> None:
    torch_model, keras_model = pytorch.ResNet(8), keras_models.ResNet(8)
    copy_to_keras(torch_model, keras_model)
    x = images(16, 3, 8, 8)
    torch_model.train()(torch.from_numpy(x))
    keras_model(x.transpose(0, 2, 3, 1), training=True)
    mean, var = torch_model[1].running_mean, torch_model[1].running_var
    keras_norm = next(
        layer for layer in keras_model.layers if isinstance(layer, keras.layers.BatchNormalization)
    )
    np.testing.assert_allclose(keras_norm.moving_mean, mean, **CLOSE)
    # PyTorch keeps the variance divided by n − 1, Keras the one divided by n.
    n = 16 * 8 * 8
    np.testing.assert_allclose((keras_norm.moving_variance - 0.9) * n / (n - 1), var - 0.9, **CLOSE)


@pytest.mark.parametrize("make", [pytorch.ResNet, keras_models.ResNet])
@pytest.mark.parametrize("depth", [2, 18])
def test_a_resnet_has_six_layers_more_each_time(make: type, depth: int) -> None:
    with pytest.raises(ValueError, match=rf"`depth` \(={depth}\) must be 6 n \+ 2"):
        make(depth)


def test_a_padding_shortcut_cannot_drop_channels() -> None:
    with pytest.raises(ValueError, match=r"`out_channels` \(=2\) must be at least"):
        pytorch.ResidualBlock(3, 2, projection=False)
    with pytest.raises(ValueError, match=r"`out_channels` \(=2\) must be at least"):
        keras_models.ResidualBlock(3, 2, projection=False)(np.zeros((1, 4, 4, 3)))


def test_an_inception_block_has_three_twins() -> None:
    channels = 5, 3, 4, 2, 3, 6  # All branches differ, so that a mix-up shows.
    keras_model = keras.Sequential([keras.Input((6, 7, 2)), keras_models.InceptionBlock(*channels)])
    assert_twins_agree(
        pytorch.InceptionBlock(2, *channels),
        keras_model,
        images(3, 2, 6, 7),
        scratch.InceptionBlock(2, *channels),
    )


def test_inception_net_twins_agree() -> None:
    assert_twins_agree(
        pytorch.InceptionNet(2, 4), keras_models.InceptionNet(2, 4), images(3, 2, 13, 10)
    )


# Noise and channels differ from each other and from 1, so that a mix-up shows.
GANS = {
    "generator": ("Generator", (6, 10, 7), (4, 6)),
    "discriminator": ("Discriminator", (10, 7), (4, 10)),
    "dcgan generator": ("DCGANGenerator", (5, 2, 3), (4, 5)),
    "dcgan discriminator": ("DCGANDiscriminator", (2, 3), (4, 2, 28, 28)),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "settings", "shape"), GANS.values(), ids=GANS)
def test_gan_twins_agree(
    name: str, settings: tuple[int, ...], shape: tuple[int, ...], training: bool
) -> None:
    torch_model, keras_model = getattr(pytorch, name), getattr(keras_models, name)
    assert_twins_agree(
        torch_model(*settings), keras_model(*settings), images(*shape), training=training
    )


@pytest.mark.parametrize("package", [pytorch, keras_models])
@pytest.mark.parametrize("name", ["DCGANGenerator", "DCGANDiscriminator"])
def test_dcgan_starts_with_small_weights(package: object, name: str) -> None:
    keras.utils.set_random_seed(0)  # Seeds NumPy, PyTorch and TensorFlow.
    model = getattr(package, name)()
    if isinstance(model, torch.nn.Module):
        arrays = [parameter.detach().numpy() for parameter in model.parameters()]
    else:
        arrays = model.get_weights()
    kernels = [array for array in arrays if array.ndim == 4]
    assert len(kernels) == 3
    for kernel in kernels:
        assert kernel.std() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("make", [pytorch.CNN, keras_models.CNN])
def test_a_cnn_that_cannot_be_built_says_why(make: type) -> None:
    with pytest.raises(ValueError, match=r"`pools` \(=4\) must be from 0 to 3"):
        make(pools=4)
    with pytest.raises(ValueError, match="image_shape" if make is pytorch.CNN else "negative"):
        make((5, 5, 5))


@pytest.mark.parametrize("package", [pytorch, keras_models])
def test_convolutions_start_with_the_variance_of_he(package: object) -> None:
    keras.utils.set_random_seed(0)  # Seeds NumPy, PyTorch and TensorFlow.
    model = package.CNN()
    if isinstance(model, torch.nn.Module):
        arrays = {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}
        arrays = keras_arrays(arrays, keras_models.CNN())
    else:
        arrays = model.get_weights()
    for weight, bias in zip(arrays[::2], arrays[1::2], strict=True):
        fan_in = np.prod(weight.shape[:-1])
        if weight.size > 5000:  # Enough numbers to tell their variance.
            assert weight.var() == pytest.approx(2 / fan_in, rel=0.1)
        assert (bias == 0).all()


def test_arrays_of_different_kinds_do_not_meet() -> None:
    keras_model = keras.Sequential([keras.Input((4,)), keras.layers.LayerNormalization()])
    with pytest.raises(ValueError, match=r"`0` with \['running_mean'.* are of different kinds"):
        keras_arrays({"0.running_mean": np.zeros(4), "0.bias": np.zeros(4)}, keras_model)


def test_an_embedding_and_a_transposed_convolution_move() -> None:
    table = torch.nn.Embedding(5, 3)
    keras_table = keras.Sequential([keras.Input((2,)), keras.layers.Embedding(5, 3)])
    copy_to_keras(table, keras_table)
    rows = np.array([[4, 0]])
    np.testing.assert_array_equal(keras_table(rows), table(torch.from_numpy(rows)).detach())

    up = torch.nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1)
    keras_up = keras.Sequential(
        [keras.Input((5, 6, 2)), keras.layers.Conv2DTranspose(3, 4, strides=2, padding="same")]
    )
    assert_twins_agree(up, keras_up, images(2, 2, 5, 6))


KERAS_MODELS = {
    "lenet": lambda: keras_models.LeNet(2, 7, "tanh"),
    "cnn": lambda: keras_models.CNN((9, 8, 1), [2], 1, 4, 3),
    "resnet": lambda: keras_models.ResNet(8, 4, 2, projection=True),
    "resnet with padding": lambda: keras_models.ResNet(8, 4, 2),
    "inception": lambda: keras_models.InceptionNet(2, 4),
    "generator": lambda: keras_models.Generator(3, 5, 4),
    "discriminator": lambda: keras_models.Discriminator(5, 4),
    "dcgan generator": lambda: keras_models.DCGANGenerator(5, 2, 3),
    "dcgan discriminator": lambda: keras_models.DCGANDiscriminator(2, 3),
}


@pytest.mark.parametrize("name", KERAS_MODELS)
def test_keras_twins_can_be_saved(name: str, tmp_path: Path) -> None:
    model = KERAS_MODELS[name]()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = images(2, *[size or 9 for size in model.input_shape[1:]])
    np.testing.assert_array_equal(loaded(x), model(x))
    assert type(loaded) is type(model)
    assert loaded.get_config() == model.get_config()

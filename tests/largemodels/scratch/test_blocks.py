"""Residual blocks, Inception blocks and LeNet equal the same networks in PyTorch, and learn."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from largemodels.data import load
from largemodels.scratch import (
    Adam,
    CrossEntropyLoss,
    Identity,
    InceptionBlock,
    Layer,
    LeNet,
    Parameter,
    ResidualBlock,
    Tanh,
    evaluate,
    fit,
    gradient_check,
)

seeds = st.integers(0, 2**32 - 1)
image_sizes = st.tuples(st.integers(1, 7), st.integers(1, 7))


class Scale(Layer):
    """Stands for a normalization: a factor for each channel."""

    def __init__(self, channels: int) -> None:
        self.weight = Parameter(np.linspace(0.5, 2, channels))

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.saved = x
        return x * self.weight.data[:, None, None]

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        self.weight.grad = (grad_output * self.saved).sum(axis=(0, 2, 3))
        return grad_output * self.weight.data[:, None, None]


class TorchScale(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight[:, None, None]


class TorchResidualBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int, normalize: bool) -> None:
        super().__init__()

        def convolution(channels: int, size: int, step: int) -> list[nn.Module]:
            layer = nn.Conv2d(channels, out_channels, size, step, size // 2, bias=not normalize)
            return [layer, TorchScale(out_channels)] if normalize else [layer]

        self.body = nn.Sequential(
            *convolution(in_channels, 3, stride), nn.ReLU(), *convolution(out_channels, 3, 1)
        )
        self.shortcut = nn.Identity()
        if in_channels != out_channels or stride != 1:
            self.shortcut = nn.Sequential(*convolution(in_channels, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class TorchInceptionBlock(nn.Module):
    def __init__(self, c: int, o1: int, r3: int, o3: int, r5: int, o5: int, op: int) -> None:
        super().__init__()

        def convolution(channels: int, out: int, size: int) -> list[nn.Module]:
            return [nn.Conv2d(channels, out, size, padding="same"), nn.ReLU()]

        self.branch1 = nn.Sequential(*convolution(c, o1, 1))
        self.branch2 = nn.Sequential(*convolution(c, r3, 1), *convolution(r3, o3, 3))
        self.branch3 = nn.Sequential(*convolution(c, r5, 1), *convolution(r5, o5, 5))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *convolution(c, op, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branches = self.branch1, self.branch2, self.branch3, self.branch4
        return torch.cat([branch(x) for branch in branches], dim=1)


def randomize(layer: Layer, seed: int) -> Layer:
    """Draw all parameters, so that no bias is zero."""
    rng = np.random.default_rng(seed)
    for parameter in layer.parameters():
        parameter.data[...] = rng.standard_normal(parameter.data.shape)
    return layer


@given(
    n=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    image_size=image_sizes,
    stride=st.integers(1, 3),
    normalize=st.booleans(),
    seed=seeds,
)
@settings(deadline=None, max_examples=50)
def test_residual_block_equals_pytorch(
    assert_equals_pytorch: Callable,
    n: int,
    channels: tuple[int, int],
    image_size: tuple[int, int],
    stride: int,
    normalize: bool,
    seed: int,
) -> None:
    normalization = Scale if normalize else None
    block = ResidualBlock(*channels, stride, normalization=normalization, dtype=np.float64)
    x = np.random.default_rng(seed).standard_normal((n, channels[0], *image_size))
    theirs = TorchResidualBlock(*channels, stride, normalize)
    assert_equals_pytorch(randomize(block, seed), theirs, x)


@given(
    n=st.integers(1, 3),
    channels=st.lists(st.integers(1, 7), min_size=7, max_size=7, unique=True),
    image_size=image_sizes,
    seed=seeds,
)
@settings(deadline=None, max_examples=50)
def test_inception_block_equals_pytorch(
    assert_equals_pytorch: Callable,
    n: int,
    channels: list[int],
    image_size: tuple[int, int],
    seed: int,
) -> None:
    block = randomize(InceptionBlock(*channels, dtype=np.float64), seed)
    x = np.random.default_rng(seed).standard_normal((n, channels[0], *image_size))
    assert_equals_pytorch(block, TorchInceptionBlock(*channels), x)


def test_lenet_equals_pytorch(assert_equals_pytorch: Callable) -> None:
    theirs = nn.Sequential(
        nn.Conv2d(3, 6, 5, padding=2),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 7),
    )
    model = LeNet(in_channels=3, num_classes=7, activation=Tanh, dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((2, 3, 28, 28))
    assert_equals_pytorch(model, theirs, x)


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: ResidualBlock(2, 2, rng=rng),
        lambda rng: ResidualBlock(2, 3, stride=2, normalization=Scale, rng=rng),
        lambda rng: InceptionBlock(2, 1, 2, 3, 1, 2, 4, rng=rng),
    ],
    ids=["identity shortcut", "projection and normalization", "inception"],
)
def test_gradient_check_passes(make: Callable[[np.random.Generator], Layer]) -> None:
    rng = np.random.default_rng(0)  # Fixed: close to a kink of a ReLU, a difference is no slope.
    result = gradient_check(make(rng), rng.standard_normal((2, 2, 3, 5)), rng)
    assert result.passed, str(result)


def test_a_residual_block_with_zero_weights_hands_its_input_and_gradient_on() -> None:
    block = ResidualBlock(2, 2)
    for parameter in block.parameters():
        parameter.data[...] = 0
    x = np.random.default_rng(0).uniform(1, 2, (2, 2, 3, 5)).astype(np.float32)
    np.testing.assert_array_equal(block(x), x)
    np.testing.assert_array_equal(block.backward(-x), -x)


def test_the_shortcut_has_parameters_only_where_it_must() -> None:
    assert isinstance(ResidualBlock(2, 2).shortcut, Identity)
    for block in (ResidualBlock(2, 3), ResidualBlock(2, 2, stride=2)):
        assert "shortcut.0.weight" in block.state_dict()


def test_a_normalization_replaces_the_biases() -> None:
    keys = ResidualBlock(2, 3, normalization=Scale).state_dict().keys()
    assert keys == {f"{part}.weight" for part in ["body.0", "body.1", "body.3", "body.4"]} | {
        "shortcut.0.weight",
        "shortcut.1.weight",
    }


def test_lenet_has_the_parameters_of_lenet5() -> None:
    assert sum(parameter.data.size for parameter in LeNet().parameters()) == 61_706


@pytest.mark.parametrize(
    "make", [lambda rng: ResidualBlock(1, 2, rng=rng), lambda rng: LeNet(rng=rng)]
)
def test_the_seed_decides_the_weights(make: Callable) -> None:
    first, second = (make(np.random.default_rng(3)).state_dict() for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    convolutions = [array for name, array in first.items() if array.ndim == 4]
    assert all(array.std() > 0 for array in convolutions)


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"`stride` \(=0\)"):
        ResidualBlock(2, 2, stride=0)
    with pytest.raises(ValueError, match=r"`out_channels` \(=0\) must be at least 1"):
        InceptionBlock(2, 1, 2, 0, 1, 2, 4)
    with pytest.raises(ValueError, match=r"`x` must have shape \(N, 1, H, W\)"):
        LeNet()(np.zeros((2, 3, 28, 28), dtype=np.float32))


def test_lenet_learns_to_read_digits() -> None:
    digits = load("digits")

    def enlarge(images: np.ndarray) -> np.ndarray:
        x = np.kron(images[:, None] / 16, np.ones((3, 3)))  # (N, 8, 8) -> (N, 1, 24, 24)
        return np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))).astype(np.float32)

    x, y = enlarge(digits.x_train), digits.y_train
    rng = np.random.default_rng(0)
    model, loss = LeNet(rng=rng), CrossEntropyLoss()
    optimizer = Adam(model.parameters(), lr=3e-3)
    fit(model, loss, optimizer, x, y, epochs=6, batch_size=32, rng=rng, progress=False)
    _, accuracy = evaluate(model, loss, enlarge(digits.x_test), digits.y_test)
    assert accuracy >= 0.95

"""Activations equal PyTorch's, and stay finite and silent at ±1000."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from largemodels import scratch

FUNCTIONS: dict[str, tuple[Callable, Callable]] = {
    "identity": (scratch.identity, lambda x: x),
    "sigmoid": (scratch.sigmoid, torch.sigmoid),
    "tanh": (scratch.tanh, torch.tanh),
    "relu": (scratch.relu, torch.relu),
    "leaky_relu": (
        lambda x: scratch.leaky_relu(x, 0.2),
        lambda x: functional.leaky_relu(x, 0.2),
    ),
    "gelu": (scratch.gelu, functional.gelu),
    "gelu tanh": (
        lambda x: scratch.gelu(x, "tanh"),
        lambda x: functional.gelu(x, approximate="tanh"),
    ),
    "softmax": (scratch.softmax, lambda x: torch.softmax(x, dim=-1)),
    "log_softmax": (scratch.log_softmax, lambda x: torch.log_softmax(x, dim=-1)),
}
LAYERS: dict[str, tuple[Callable[[], scratch.Layer], Callable]] = {
    "Identity": (scratch.Identity, lambda x: x * 1),
    "Sigmoid": (scratch.Sigmoid, torch.sigmoid),
    "Tanh": (scratch.Tanh, torch.tanh),
    "ReLU": (scratch.ReLU, torch.relu),
    "LeakyReLU": (scratch.LeakyReLU, torch.nn.LeakyReLU()),
    "LeakyReLU 0.2": (lambda: scratch.LeakyReLU(0.2), torch.nn.LeakyReLU(0.2)),
    "GELU": (scratch.GELU, torch.nn.GELU()),
    "GELU tanh": (lambda: scratch.GELU("tanh"), torch.nn.GELU("tanh")),
    "Softmax": (scratch.Softmax, torch.nn.Softmax(dim=-1)),
    "Softmax 0": (lambda: scratch.Softmax(axis=0), torch.nn.Softmax(dim=0)),
    "LogSoftmax": (scratch.LogSoftmax, torch.nn.LogSoftmax(dim=-1)),
    "LogSoftmax 0": (lambda: scratch.LogSoftmax(axis=0), torch.nn.LogSoftmax(dim=0)),
}
shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True).map(tuple)
seeds = st.integers(0, 2**32 - 1)
scales = st.sampled_from([1e-3, 1.0, 30.0, 1e3])


@pytest.mark.parametrize("name", FUNCTIONS)
@given(shape=shapes, seed=seeds, scale=scales)
@settings(deadline=None, max_examples=30)
def test_function_equals_pytorch(
    name: str, shape: tuple[int, ...], seed: int, scale: float
) -> None:
    ours, theirs = FUNCTIONS[name]
    x = scale * np.random.default_rng(seed).standard_normal(shape)
    np.testing.assert_allclose(ours(x), theirs(torch.from_numpy(x)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", LAYERS)
@given(shape=shapes, seed=seeds, scale=scales)
@settings(deadline=None, max_examples=30)
def test_layer_equals_pytorch(name: str, shape: tuple[int, ...], seed: int, scale: float) -> None:
    make, theirs = LAYERS[name]
    rng = np.random.default_rng(seed)
    x, grad_output = scale * rng.standard_normal(shape), rng.standard_normal(shape)
    layer = make()
    y, grad_input = layer(x), layer.backward(grad_output)

    torch_x = torch.from_numpy(x).requires_grad_()
    torch_y = theirs(torch_x)
    torch_y.backward(torch.from_numpy(grad_output))
    np.testing.assert_allclose(y, torch_y.detach(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(grad_input, torch_x.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_softmax_works_along_every_axis(axis: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    torch_x = torch.from_numpy(x)
    np.testing.assert_allclose(scratch.softmax(x, axis), functional.softmax(torch_x, axis))
    np.testing.assert_allclose(scratch.log_softmax(x, axis), functional.log_softmax(torch_x, axis))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_function_is_finite_and_silent_at_extremes(name: str, dtype: type) -> None:
    x = np.array([[-1e3, -100, -1, -0.0], [0.0, 1, 100, 1e3], [1e3, 1e3, -1e3, -1e3]], dtype=dtype)
    before = x.copy()
    with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise"):
        warnings.simplefilter("error")
        y = FUNCTIONS[name][0](x)
    assert np.isfinite(y).all()
    assert y.dtype == dtype
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(y, FUNCTIONS[name][1](torch.from_numpy(x)), rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layer_is_finite_and_silent_at_extremes(name: str, dtype: type) -> None:
    x = np.array([[-1e3, -100, -1, 0.0], [0.0, 1, 100, 1e3], [1e3, 1e3, -1e3, -1e3]], dtype=dtype)
    layer = LAYERS[name][0]()
    with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise"):
        warnings.simplefilter("error")
        y, grad_input = layer(x), layer.backward(np.ones_like(x))
    assert np.isfinite(y).all()
    assert np.isfinite(grad_input).all()


def test_exact_gelu_equals_pytorch_everywhere() -> None:
    x = np.linspace(-12, 12, 100_001)  # No step of the table is left out.
    expected = functional.gelu(torch.from_numpy(x))
    np.testing.assert_allclose(scratch.gelu(x), expected, rtol=0, atol=1e-13)


def test_approximate_gelu_is_close_but_not_equal() -> None:
    x = np.linspace(-6, 6, 1001)
    difference = np.abs(scratch.gelu(x) - scratch.gelu(x, "tanh")).max()
    assert 1e-4 < difference < 5e-4


def test_gelu_does_not_hide_what_is_not_a_number() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = scratch.gelu(np.array([np.nan, np.inf]))
    np.testing.assert_array_equal(y, [np.nan, np.inf])


def test_wrong_approximation_is_named() -> None:
    message = r"""`approximate` \(='erf'\) must be "none" or "tanh"."""
    with pytest.raises(ValueError, match=message):
        scratch.gelu(np.zeros(1), "erf")
    with pytest.raises(ValueError, match=message):
        scratch.GELU("erf")


def test_sigmoid_keeps_its_relative_precision_where_it_is_tiny() -> None:
    x = np.array([-40.0, -700.0])
    np.testing.assert_allclose(scratch.sigmoid(x), np.exp(x), rtol=1e-12)


def test_leaky_relu_takes_the_slope_at_zero_as_pytorch() -> None:
    layer = scratch.LeakyReLU(0.2)
    layer(np.array([0.0]))
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    functional.leaky_relu(x, 0.2).backward()
    assert layer.backward(np.array([1.0])) == x.grad == 0.2


def test_relu_takes_zero_as_its_derivative_at_zero() -> None:
    layer = scratch.ReLU()
    layer(np.array([0.0]))
    assert layer.backward(np.array([1.0])) == 0

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
    "softmax": (scratch.softmax, lambda x: torch.softmax(x, dim=-1)),
    "log_softmax": (scratch.log_softmax, lambda x: torch.log_softmax(x, dim=-1)),
}
LAYERS: dict[str, tuple[type[scratch.Layer], Callable]] = {
    "Identity": (scratch.Identity, lambda x: x * 1),
    "Sigmoid": (scratch.Sigmoid, torch.sigmoid),
    "Tanh": (scratch.Tanh, torch.tanh),
    "ReLU": (scratch.ReLU, torch.relu),
}
shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True).map(tuple)
seeds = st.integers(0, 2**32 - 1)
scales = st.sampled_from([1e-3, 1.0, 30.0, 1e3])


@pytest.mark.parametrize("name", FUNCTIONS)
@given(shape=shapes, seed=seeds, scale=scales)
@settings(deadline=None)
def test_function_equals_pytorch(
    name: str, shape: tuple[int, ...], seed: int, scale: float
) -> None:
    ours, theirs = FUNCTIONS[name]
    x = scale * np.random.default_rng(seed).standard_normal(shape)
    np.testing.assert_allclose(ours(x), theirs(torch.from_numpy(x)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", LAYERS)
@given(shape=shapes, seed=seeds, scale=scales)
@settings(deadline=None)
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


def test_sigmoid_keeps_its_relative_precision_where_it_is_tiny() -> None:
    x = np.array([-40.0, -700.0])
    np.testing.assert_allclose(scratch.sigmoid(x), np.exp(x), rtol=1e-12)


def test_relu_takes_zero_as_its_derivative_at_zero() -> None:
    layer = scratch.ReLU()
    layer(np.array([0.0]))
    assert layer.backward(np.array([1.0])) == 0

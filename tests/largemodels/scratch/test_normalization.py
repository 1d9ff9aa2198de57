"""Batch, layer and RMS normalization equal PyTorch's, the running statistics included."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import (
    BatchNorm1d,
    BatchNorm2d,
    Layer,
    LayerNorm,
    Linear,
    Parameter,
    ReLU,
    RMSNorm,
    Sequential,
)

seeds = st.integers(0, 2**32 - 1)
sizes = st.lists(st.integers(2, 6), min_size=4, max_size=4, unique=True)


def with_random_parameters(layer: Layer, rng: np.random.Generator) -> Any:
    for parameter in layer.parameters():
        parameter.data[...] = rng.standard_normal(parameter.data.shape)
    return layer


def assert_equal_buffers(layer: Layer, twin: torch.nn.Module) -> None:
    buffers = dict(layer.named_buffers())
    assert buffers.keys() == dict(twin.named_buffers()).keys()
    for name, theirs in twin.named_buffers():
        assert buffers[name].shape == tuple(theirs.shape)
        np.testing.assert_allclose(buffers[name], theirs, rtol=1e-10, atol=1e-10, err_msg=name)


@given(
    size=sizes,
    ndim=st.integers(2, 4),
    momentum=st.sampled_from([0.0, 0.1, 1.0]),
    eps=st.sampled_from([1e-5, 0.1]),
    seed=seeds,
)
@settings(deadline=None, max_examples=30)
def test_batch_normalization_equals_pytorch(
    assert_equals_pytorch: Callable,
    size: list[int],
    ndim: int,
    momentum: float,
    eps: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    classes = (
        (BatchNorm2d, torch.nn.BatchNorm2d) if ndim == 4 else (BatchNorm1d, torch.nn.BatchNorm1d)
    )
    layer = classes[0](size[1], eps, momentum, dtype=np.float64)
    twin = classes[1](size[1], eps, momentum)
    with_random_parameters(layer, rng)
    for _ in range(3):  # Each batch is of another size and moves the running statistics.
        x = 2 + 3 * rng.standard_normal((size[0] + int(rng.integers(3)), *size[1:ndim]))
        twin.zero_grad()
        assert_equals_pytorch(layer, twin, x)
        assert_equal_buffers(layer, twin)
    twin.zero_grad()
    layer.eval()
    assert_equals_pytorch(layer, twin.eval(), x)
    assert_equal_buffers(layer, twin)  # Evaluation leaves them alone.
    assert repr(layer) == repr(twin)


@given(
    size=sizes,
    normalized=st.integers(1, 3),
    layer_norm=st.booleans(),
    bias=st.booleans(),
    eps=st.sampled_from([None, 1e-5, 0.1]),
    seed=seeds,
)
@settings(deadline=None, max_examples=30)
def test_layer_and_rms_normalization_equal_pytorch(
    assert_equals_pytorch: Callable,
    size: list[int],
    normalized: int,
    layer_norm: bool,
    bias: bool,
    eps: float | None,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(size[-normalized:])
    layer: Layer
    twin: torch.nn.Module
    if layer_norm:
        options = {"eps": eps or 1e-5, "bias": bias}
        layer = LayerNorm(shape, **options, dtype=np.float64)
        twin = torch.nn.LayerNorm(shape, **options)
    else:
        layer, twin = RMSNorm(shape, eps, dtype=np.float64), torch.nn.RMSNorm(shape, eps)
    x = 2 + 3 * rng.standard_normal(size)
    assert_equals_pytorch(with_random_parameters(layer, rng), twin, x)
    assert repr(layer) == repr(twin)


def test_an_integer_is_one_axis() -> None:
    assert LayerNorm(3).normalized_shape == RMSNorm(3).normalized_shape == (3,)


# What follows names the usual slips one by one: numbers that a reader can check by hand.


def test_the_running_variance_is_unbiased_and_the_one_that_normalizes_is_not() -> None:
    layer = BatchNorm1d(1, eps=0, momentum=1, dtype=np.float64)
    y = layer(np.array([[1.0], [3.0]]))  # Variance 1 divided by n, 2 divided by n − 1.
    np.testing.assert_array_equal(y, [[-1], [1]])
    np.testing.assert_array_equal(layer.running_mean, [2])
    np.testing.assert_array_equal(layer.running_var, [2])


def test_momentum_is_the_share_of_the_newest_batch() -> None:
    layer = BatchNorm1d(1, momentum=0.25, dtype=np.float64)
    layer(np.array([[1.0], [3.0]]))
    np.testing.assert_array_equal(layer.running_mean, [0.5])  # 0.75·0 + 0.25·2
    np.testing.assert_array_equal(layer.running_var, [1.25])  # 0.75·1 + 0.25·2


def test_evaluation_uses_the_running_statistics() -> None:
    layer = BatchNorm1d(1, eps=0, dtype=np.float64).eval()
    layer.running_mean[...], layer.running_var[...] = 3, 4
    np.testing.assert_array_equal(layer(np.array([[7.0], [3.0]])), [[2], [0]])
    np.testing.assert_array_equal(layer.backward(np.array([[1.0], [0.0]])), [[0.5], [0]])
    np.testing.assert_array_equal(layer.running_mean, 3)
    assert layer.num_batches_tracked == 0


def test_backward_follows_the_mode_of_the_forward_pass() -> None:
    layer = BatchNorm1d(1, dtype=np.float64)
    x, grad_output = np.array([[1.0], [3.0], [8.0]]), np.array([[1.0], [0.0], [0.0]])
    layer(x)
    expected = layer.backward(grad_output)
    layer(x)
    np.testing.assert_array_equal(layer.eval().backward(grad_output), expected)


def test_each_row_has_its_own_scale_and_each_feature_its_own_parameters() -> None:
    layer = LayerNorm(2, eps=0, dtype=np.float64)
    layer.weight.data[...], layer.bias.data[...] = [2, 3], [10, 20]
    x = np.array([[1.0, 3.0], [100.0, -300.0]])
    np.testing.assert_array_equal(layer(x), [[8, 23], [12, 17]])


def test_the_root_mean_square_keeps_the_mean() -> None:
    layer = RMSNorm(2, eps=0, dtype=np.float64)
    np.testing.assert_array_equal(layer(np.array([[5.0, 5.0], [-3.0, -3.0]])), [[1, 1], [-1, -1]])


def test_equal_numbers_have_a_finite_gradient() -> None:
    for layer in [LayerNorm(3), BatchNorm1d(3), RMSNorm(3, 1e-5)]:
        assert np.isfinite(layer(np.zeros((2, 3), np.float32))).all()
        assert np.isfinite(layer.backward(np.ones((2, 3), np.float32))).all()


# Buffers: state that is not learnt.


def network() -> Sequential:
    return Sequential(Linear(3, 2, rng=np.random.default_rng(0)), BatchNorm1d(2), ReLU())


def test_buffers_move_with_the_state_and_are_no_parameters() -> None:
    model = network()
    model(np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32))
    names = [name for name, _ in model.named_parameters()]
    assert names == ["0.weight", "0.bias", "1.weight", "1.bias"]
    state = model.state_dict()
    buffers = ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert list(state) == names + buffers
    other = network()
    other.load_state_dict(state)
    copies = [dict(other.named_buffers()), dict(pickle.loads(pickle.dumps(model)).named_buffers())]
    for name in buffers:
        for copied in copies:
            np.testing.assert_array_equal(copied[name], state[name])
    assert state["1.num_batches_tracked"] == 1


def test_state_is_a_copy_and_loads_all_or_nothing() -> None:
    model = network()
    before, state = model.state_dict(), model.state_dict()
    for array in state.values():
        array += 1
    wrong = [
        ({k: v for k, v in state.items() if "var" not in k}, r"lacks \['1.running_var'\]"),
        ({**state, "1.running_mean": np.ones(3)}, r"`1.running_mean` .* \(2,\), got \(3,\)"),
    ]
    for wrong_state, message in wrong:
        with pytest.raises(ValueError, match=message):
            model.load_state_dict(wrong_state)
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("layer_class", [BatchNorm1d, BatchNorm2d, LayerNorm, RMSNorm])
def test_parameters_start_as_the_identity(layer_class: type) -> None:
    for name, parameter in layer_class(3).named_parameters():
        assert isinstance(parameter, Parameter)
        assert (parameter.data == (name == "weight")).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BatchNorm1d(0), r"`num_features` \(=0\) must be at least 1"),
        (lambda: BatchNorm1d(2, eps=-1), r"`eps` \(=-1\) must be at least 0"),
        (lambda: BatchNorm2d(2, momentum=1.5), r"`momentum` \(=1.5\) must be from 0 to 1"),
        (lambda: LayerNorm(0), r"`normalized_shape` \(=0\) must hold sizes of at least 1"),
        (lambda: RMSNorm(()), r"`normalized_shape` \(=\(\)\) must hold sizes of at least 1"),
        (lambda: RMSNorm(2, -1), r"`eps` \(=-1\) must be at least 0"),
        (
            lambda: BatchNorm1d(3)(np.ones((4, 2))),
            r"`x` must have shape \(N, 3\) or \(N, 3, L\), got \(4, 2\)",
        ),
        (lambda: BatchNorm2d(3)(np.ones((4, 3))), r"shape \(N, 3, H, W\), got \(4, 3\)"),
        (lambda: BatchNorm1d(3)(np.ones((1, 3))), "at least 2 numbers for each feature .* got 1"),
        (lambda: LayerNorm((3, 2))(np.ones((2, 3))), r"shape \(..., 3, 2\), got \(2, 3\)"),
        (lambda: RMSNorm(3)(np.ones((3, 2))), r"`x` must have shape \(..., 3\), got \(3, 2\)"),
    ],
)
def test_errors_name_argument_and_value(call: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

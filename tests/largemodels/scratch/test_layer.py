"""`Parameter`, `Layer`, `Linear`, `Sequential` and `MLP`: names, errors, and PyTorch's numbers."""

import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels import scratch
from largemodels.scratch import MLP, Layer, Linear, Parameter, ReLU, Sequential, Sigmoid, Tanh

TORCH_ACTIVATIONS = {ReLU: torch.nn.ReLU, Sigmoid: torch.nn.Sigmoid, Tanh: torch.nn.Tanh}


def with_random_biases(layer: Layer, rng: np.random.Generator) -> Layer:
    for name, parameter in layer.named_parameters():
        if name.endswith("bias"):
            parameter.data[...] = rng.standard_normal(parameter.data.shape)
    return layer


sizes = st.lists(st.integers(1, 9), min_size=3, max_size=5, unique=True)
seeds = st.integers(0, 2**32 - 1)


@given(size=sizes, bias=st.booleans(), seed=seeds)
@settings(deadline=None)
def test_linear_equals_pytorch(
    assert_equals_pytorch: Callable, size: list[int], bias: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n, n_in, n_out = size[:3]
    layer = Linear(n_in, n_out, bias=bias, rng=rng, dtype=np.float64)
    assert_equals_pytorch(
        with_random_biases(layer, rng),
        torch.nn.Linear(n_in, n_out, bias=bias),
        rng.standard_normal((n, n_in)),
    )


@given(size=sizes, activation=st.sampled_from([ReLU, Sigmoid, Tanh]), seed=seeds)
@settings(deadline=None)
def test_mlp_equals_pytorch(
    assert_equals_pytorch: Callable, size: list[int], activation: type[Layer], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n, widths = size[0], size[1:]
    torch_layers: list[torch.nn.Module] = []
    for n_in, n_out in pairwise(widths):
        torch_layers += [torch.nn.Linear(n_in, n_out), TORCH_ACTIVATIONS[activation]()]
    assert_equals_pytorch(
        with_random_biases(MLP(widths, activation, rng, dtype=np.float64), rng),
        torch.nn.Sequential(*torch_layers[:-1]),
        rng.standard_normal((n, widths[0])),
    )


def test_nested_layers_have_pytorchs_names() -> None:
    class Block(Layer):
        def __init__(self) -> None:
            self.first = Linear(2, 2)
            self.scale = Parameter(np.ones(2))
            self.inner = Sequential(Tanh(), Linear(2, 2, bias=False))

    names = [name for name, _ in Sequential(Block()).named_parameters()]
    assert names == ["0.scale", "0.first.weight", "0.first.bias", "0.inner.1.weight"]
    assert repr(Block()) == (
        "Block(\n"
        "  (first): Linear(in_features=2, out_features=2, bias=True)\n"
        "  (inner): Sequential(\n"
        "    (0): Tanh()\n"
        "    (1): Linear(in_features=2, out_features=2, bias=False)\n"
        "  )\n"
        ")"
    )


def test_repr_is_pytorchs() -> None:
    network = Sequential(Linear(3, 2), ReLU())
    torch_network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU())
    assert repr(network) == repr(torch_network)
    assert repr(Parameter(np.zeros((2, 3), np.float32))) == "Parameter(shape=(2, 3), dtype=float32)"


def test_state_dict_is_a_copy() -> None:
    layer = Linear(3, 2)
    state = layer.state_dict()
    layer.weight.data += 1
    assert (state["weight"] != layer.weight.data).all()


def test_load_state_dict_changes_all_or_nothing() -> None:
    network = MLP([3, 4, 2])
    before = network.state_dict()
    good = MLP([3, 4, 2]).state_dict()
    wrong = [
        ({name: good[name] for name in list(good)[:-1]}, r"lacks \['2.bias'\]"),
        ({**good, "3.weight": np.ones(1)}, r"unexpected \['3.weight'\]"),
        ({**good, "2.weight": np.ones((4, 2))}, r"`2.weight` .* \(2, 4\), got \(4, 2\)"),
    ]
    for state, message in wrong:
        with pytest.raises(ValueError, match=message):
            network.load_state_dict(state)
        for name, array in network.state_dict().items():
            np.testing.assert_array_equal(array, before[name])


def test_seeds_decide_the_weights() -> None:
    first, again, other = (MLP([3, 4, 2], rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    for a, b, c in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
        assert a.data.ndim == 1 or (a.data != c.data).any()
    # Two layers of one network draw from one stream: they differ.
    same_sizes = MLP([3, 3, 3], rng=np.random.default_rng(1)).parameters()
    assert (same_sizes[0].data != same_sizes[2].data).any()


def test_weights_have_the_variance_of_the_initializer_and_biases_are_zero() -> None:
    network = MLP([400, 300, 10], rng=np.random.default_rng(0), initializer="xavier_normal")
    first = network.parameters()
    assert first[0].data.var() == pytest.approx(2 / 700, rel=0.03)
    assert (first[1].data == 0).all()
    assert Linear(400, 300, rng=np.random.default_rng(0)).weight.data.var() == pytest.approx(
        2 / 400, rel=0.03
    )


def test_parameter_is_a_copy_of_floating_point_numbers() -> None:
    data = np.ones(2)
    parameter = Parameter(data)
    data += 1
    np.testing.assert_array_equal(parameter.data, 1)
    with pytest.raises(ValueError, match="`data` must hold floating-point numbers, got int64"):
        Parameter(np.array([1, 2]))
    with pytest.raises(ValueError, match=r"`grad` must have shape \(2,\), got \(2, 2\)"):
        parameter.grad = np.ones((2, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linear(0, 2), r"`in_features` \(=0\) must be at least 1"),
        (lambda: Linear(2, -1), r"`out_features` \(=-1\) must be at least 1"),
        (lambda: Linear(2, 2, initializer="lucky"), r"\(='lucky'\) must be one of: zeros, normal"),
        (lambda: MLP([3]), r"`sizes` \(=\[3\]\) must name an input size and an output size"),
        (lambda: MLP([3, 0, 2]), r"`out_features` \(=0\)"),
        (lambda: Sequential(relu := ReLU(), relu), "holds one layer twice"),
    ],
)
def test_wrong_settings_are_named(make: type, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("shape", [(4, 2), (3,), (4, 5, 3), ()])
def test_input_of_a_wrong_shape_is_named(shape: tuple[int, ...]) -> None:
    message = f"`x` must have shape (N, 3), got {shape}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Linear(3, 2)(np.ones(shape))


def test_empty_sequential_is_the_identity() -> None:
    x = np.ones((2, 3))
    assert scratch.Sequential()(x) is x

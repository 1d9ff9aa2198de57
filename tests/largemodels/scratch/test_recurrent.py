"""RNN, LSTM and GRU equal PyTorch's in every output and every gradient, and do what they say."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import GRU, LSTM, RNN, Layer, gradient_check
from largemodels.scratch.recurrent import RecurrentLayer

LAYERS = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
by_name = pytest.mark.parametrize("name", LAYERS)


def as_list(state: Any) -> list:
    """Return (h,) or (h, c) as a list, whatever the layer has."""
    return list(state) if isinstance(state, tuple) else [state]


def as_state(name: str, arrays: list) -> Any:
    return tuple(arrays) if name == "LSTM" else arrays[0]


def random_state(
    name: str, n: int, hidden_size: int, rng: np.random.Generator, dtype: type = np.float64
) -> Any:
    count = 2 if name == "LSTM" else 1
    return as_state(
        name, [rng.standard_normal((1, n, hidden_size)).astype(dtype) for _ in range(count)]
    )


def make(name: str, input_size: int, hidden_size: int, seed: int = 0, **options: Any) -> Any:
    options = {"dtype": np.float64, "rng": np.random.default_rng(seed)} | options
    return LAYERS[name](input_size, hidden_size, **options)


def make_torch(name: str, layer: RecurrentLayer) -> torch.nn.Module:
    twin = getattr(torch.nn, name)(
        layer.input_size,
        layer.hidden_size,
        bias=layer.bias_ih_l0 is not None,
        batch_first=True,
        dtype=torch.float64,
    )
    twin.load_state_dict({key: torch.from_numpy(v) for key, v in layer.state_dict().items()})
    return twin


def assert_equal(ours: np.ndarray, theirs: torch.Tensor | np.ndarray | None) -> None:
    if isinstance(theirs, torch.Tensor):
        theirs = theirs.detach().numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


@by_name
@given(
    sizes=st.lists(st.integers(1, 6), min_size=3, max_size=3, unique=True),
    steps=st.integers(3, 9),
    bias=st.booleans(),
    scale=st.sampled_from([0.1, 1.0, 100.0]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=40)
def test_layer_equals_pytorch(
    name: str, sizes: list[int], steps: int, bias: bool, scale: float, seed: int
) -> None:
    n, input_size, hidden_size = sizes
    rng = np.random.default_rng(seed)
    layer = make(name, input_size, hidden_size, bias=bias, rng=rng)
    x = scale * rng.standard_normal((n, steps, input_size))
    state = random_state(name, n, hidden_size, rng)
    grad_output = rng.standard_normal((n, steps, hidden_size))
    grad_state = random_state(name, n, hidden_size, rng)
    output, last = layer(x, state)
    grad_x, grad_initial = layer.backward(grad_output, grad_state)

    twin = make_torch(name, layer)
    torch_x = torch.from_numpy(x).requires_grad_()
    torch_state = [torch.from_numpy(s).requires_grad_() for s in as_list(state)]
    torch_output, torch_last = twin(torch_x, as_state(name, torch_state))
    torch.autograd.backward(
        [torch_output, *as_list(torch_last)],
        [torch.from_numpy(g) for g in [grad_output, *as_list(grad_state)]],
    )
    assert_equal(output, torch_output)
    for ours, theirs in zip(as_list(last), as_list(torch_last), strict=True):
        assert_equal(ours, theirs)
    assert_equal(grad_x, torch_x.grad)
    for ours, theirs in zip(as_list(grad_initial), torch_state, strict=True):
        assert_equal(ours, theirs.grad)
    torch_parameters = list(twin.named_parameters())
    assert [key for key, _ in layer.named_parameters()] == [key for key, _ in torch_parameters]
    for ours, (_, theirs) in zip(layer.parameters(), torch_parameters, strict=True):
        assert_equal(ours.grad, theirs.grad)


@by_name
def test_no_state_is_zeros_and_no_gradient_is_zeros(name: str) -> None:
    rng = np.random.default_rng(0)
    layer = make(name, 3, 4)
    x, zeros = rng.standard_normal((2, 5, 3)), np.zeros((1, 2, 4))
    zero_state = as_state(name, [zeros, zeros])
    assert_equal(layer(x)[0], layer(x, zero_state)[0])
    grad_output, grad_state = rng.standard_normal((2, 5, 4)), random_state(name, 2, 4, rng)
    assert_equal(layer.backward(grad_output)[0], layer.backward(grad_output, zero_state)[0])
    assert_equal(
        layer.backward(None, grad_state)[0],
        layer.backward(np.zeros_like(grad_output), grad_state)[0],
    )


class Joined(Layer):
    """All inputs of a recurrent layer in one array, and all outputs: what the check can read."""

    def __init__(self, name: str, layer: RecurrentLayer) -> None:
        self.name, self.layer = name, layer
        self.states = 2 if name == "LSTM" else 1

    def forward(self, x: np.ndarray) -> np.ndarray:
        h = self.layer.hidden_size
        state = [x[None, :, -1, k * h : (k + 1) * h] for k in range(self.states)]
        output, last = self.layer(x[:, :-1, : self.layer.input_size], as_state(self.name, state))
        self.saved = x.shape
        return np.concatenate([output, *(s.swapaxes(0, 1) for s in as_list(last))], axis=1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        steps = self.saved[1] - 1
        grad_last = [grad[None, :, steps + k] for k in range(self.states)]
        grad_x, grad_state = self.layer.backward(grad[:, :steps], as_state(self.name, grad_last))
        joined = np.zeros(self.saved)
        joined[:, :-1, : self.layer.input_size] = grad_x
        for k, g in enumerate(as_list(grad_state)):
            joined[:, -1, k * g.shape[2] : (k + 1) * g.shape[2]] = g[0]
        return joined


@by_name
def test_gradient_check(name: str) -> None:
    rng = np.random.default_rng(1)
    result = gradient_check(Joined(name, make(name, 3, 2)), rng.standard_normal((2, 5, 4)), rng)
    assert result.passed, str(result)


# What the formulas say, on numbers small enough to compute by hand.


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def numbers(*values: float) -> np.ndarray:
    return np.array(values).reshape(1, 1, -1)


def test_rnn_is_the_tanh_of_a_sum_and_starts_from_h0() -> None:
    layer = make("RNN", 1, 1)
    w, u, b, d = (p.data.item() for p in layer.parameters())
    h, expected = 0.7, []
    for x in [0.5, -1.0, 2.0]:
        h = np.tanh(w * x + b + u * h + d)
        expected.append(h)
    output, h_n = layer(np.array([[[0.5], [-1.0], [2.0]]]), numbers(0.7))
    assert_equal(output.ravel(), np.array(expected))
    assert_equal(h_n.ravel(), np.array(expected[-1:]))


def test_rnn_gradient_goes_back_to_the_first_step() -> None:
    layer = make("RNN", 1, 1)
    w, u = layer.weight_ih_l0.data.item(), layer.weight_hh_l0.data.item()
    output, _ = layer(np.array([[[0.5], [-1.0], [2.0], [0.1]]]), numbers(0.7))
    grad_x, grad_h0 = layer.backward(None, numbers(1.0))
    slopes = 1 - output.ravel() ** 2
    # ∂h₄/∂xₜ = w · slopeₜ · Π u · slope over the steps after t.
    expected = [w * slopes[t] * np.prod(u * slopes[t + 1 :]) for t in range(4)]
    assert_equal(grad_x.ravel(), np.array(expected))
    assert_equal(grad_h0.item(), np.prod(u * slopes))


def test_lstm_gates_stand_in_the_order_i_f_g_o() -> None:
    layer = make("LSTM", 1, 1)
    for parameter in layer.parameters():
        parameter.data[...] = 0
    layer.bias_ih_l0.data[:] = i, f, g, o = 0.3, -0.8, 1.7, -0.4
    _, (h_n, c_n) = layer(numbers(9.0), (numbers(5.0), numbers(0.6)))
    c = sigmoid(f) * 0.6 + sigmoid(i) * np.tanh(g)
    assert_equal(c_n.item(), c)
    assert_equal(h_n.item(), sigmoid(o) * np.tanh(c))


def test_gru_gates_stand_in_the_order_r_z_n() -> None:
    layer = make("GRU", 1, 1)
    for parameter in layer.parameters():
        parameter.data[...] = 0
    layer.bias_ih_l0.data[:] = r, z, n = 0.3, -0.8, 1.7
    layer.bias_hh_l0.data[2] = m = -1.1
    _, h_n = layer(numbers(9.0), numbers(0.6))
    candidate = np.tanh(n + sigmoid(r) * m)
    assert_equal(h_n.item(), (1 - sigmoid(z)) * candidate + sigmoid(z) * 0.6)


@by_name
def test_each_output_sees_its_step_and_those_before(name: str) -> None:
    rng = np.random.default_rng(0)
    layer, x = make(name, 3, 4), rng.standard_normal((1, 6, 3))
    before, last = layer(x)
    x[:, 2] += 1
    after, _ = layer(x)
    changed = np.abs(after - before).max(axis=(0, 2)) > 1e-6
    assert changed.tolist() == [False, False, True, True, True, True]
    assert_equal(as_list(last)[0][0], before[:, -1])


@by_name
def test_two_halves_with_the_state_between_them_are_the_whole(name: str) -> None:
    rng = np.random.default_rng(0)
    x, state = rng.standard_normal((2, 7, 3)), random_state(name, 2, 4, rng)
    grad_output = rng.standard_normal((2, 7, 4))
    grad_last = random_state(name, 2, 4, rng)
    whole, first, second = make(name, 3, 4), make(name, 3, 4), make(name, 3, 4)
    output, _ = whole(x, state)
    grad_x, grad_state = whole.backward(grad_output, grad_last)

    output1, middle = first(x[:, :3], state)
    output2, _ = second(x[:, 3:], middle)
    grad_x2, grad_middle = second.backward(grad_output[:, 3:], grad_last)
    grad_x1, grad_state1 = first.backward(grad_output[:, :3], grad_middle)
    assert_equal(np.concatenate([output1, output2], axis=1), output)
    assert_equal(np.concatenate([grad_x1, grad_x2], axis=1), grad_x)
    for ours, theirs in zip(as_list(grad_state1), as_list(grad_state), strict=True):
        assert_equal(ours, theirs)
    for a, b, c in zip(whole.parameters(), first.parameters(), second.parameters(), strict=True):
        assert_equal(b.grad + c.grad, a.grad)


def test_the_gradient_of_a_plain_rnn_vanishes_and_that_of_an_open_lstm_does_not() -> None:
    rng = np.random.default_rng(0)
    steps, hidden_size = 100, 32
    grads = {}
    for name in ["RNN", "LSTM"]:
        layer = make(name, 1, hidden_size, rng=rng)
        if name == "LSTM":
            layer.bias_ih_l0.data[hidden_size : 2 * hidden_size] = 6  # The forget gate is open.
        layer(rng.standard_normal((1, steps, 1)))
        ones = np.ones((1, 1, hidden_size))
        _, grad_state = layer.backward(None, as_state(name, [ones * (name == "RNN"), ones]))
        grads[name] = np.linalg.norm(as_list(grad_state)[-1])
    assert grads["RNN"] < 1e-9
    assert grads["LSTM"] > 1


# What a layer owes to its user.


@by_name
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_and_inputs_stay_untouched(name: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    layer = make(name, 3, 4, dtype=dtype)
    x, state = rng.standard_normal((2, 5, 3)).astype(dtype), random_state(name, 2, 4, rng, dtype)
    grad_output = rng.standard_normal((2, 5, 4)).astype(dtype)
    grad_state = random_state(name, 2, 4, rng, dtype)
    inputs = [x, *as_list(state), grad_output, *as_list(grad_state)]
    for array in inputs:
        array.flags.writeable = False  # A write raises.
    output, last = layer(x, state)
    grad_x, grad_initial = layer.backward(grad_output, grad_state)
    results = [output, *as_list(last), grad_x, *as_list(grad_initial)]
    results += [parameter.grad for parameter in layer.parameters()]
    assert {array.dtype for array in results} == {np.dtype(dtype)}
    # A result is the user's: to overwrite it changes no second backward pass.
    first = [array.copy() for array in results]
    for array in results:
        array[...] = 99
    again_x, again_initial = layer.backward(grad_output, grad_state)
    again = [again_x, *as_list(again_initial), *(p.grad for p in layer.parameters())]
    for a, b in zip(again, first[1 + len(as_list(last)) :], strict=True):
        np.testing.assert_array_equal(a, b)


@by_name
def test_an_empty_batch_has_empty_outputs_and_gradients_of_zero(name: str) -> None:
    layer = make(name, 3, 4)
    output, last = layer(np.zeros((0, 5, 3)))
    grad_x, _ = layer.backward(output)
    assert (output.shape, as_list(last)[0].shape, grad_x.shape) == ((0, 5, 4), (1, 0, 4), (0, 5, 3))
    assert not any(parameter.grad.any() for parameter in layer.parameters())


@by_name
def test_backward_before_forward_is_an_error(name: str) -> None:
    layer = make(name, 3, 4)
    with pytest.raises(RuntimeError, match="call forward before backward"):
        layer.backward(np.zeros((2, 5, 4)))
    layer(np.zeros((2, 5, 3)))
    with pytest.raises(RuntimeError, match="call forward before backward"):
        pickle.loads(pickle.dumps(layer)).backward(np.zeros((2, 5, 4)))


@by_name
@pytest.mark.parametrize("bias", [True, False])
def test_repr_is_pytorch_s_and_pickling_keeps_the_numbers(name: str, bias: bool) -> None:
    layer = make(name, 3, 4, bias=bias)
    assert repr(layer) == repr(make_torch(name, layer))
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    assert_equal(pickle.loads(pickle.dumps(layer))(x)[0], layer(x)[0])


@by_name
def test_initial_parameters_are_distributed_as_in_pytorch(name: str) -> None:
    for parameter in make(name, 50, 100).parameters():
        limit = 1 / np.sqrt(100)
        assert np.abs(parameter.data).max() <= limit
        assert parameter.data.std() == pytest.approx(limit / np.sqrt(3), rel=0.15)


@by_name
def test_errors_name_argument_and_value(name: str) -> None:
    with pytest.raises(ValueError, match=r"`input_size` \(=0\) must be at least 1"):
        make(name, 0, 4)
    with pytest.raises(ValueError, match=r"`hidden_size` \(=-1\) must be at least 1"):
        make(name, 3, -1)
    layer = make(name, 3, 4)
    with pytest.raises(ValueError, match=r"`x` must have shape \(N, T, 3\), got \(2, 5, 4\)"):
        layer(np.zeros((2, 5, 4)))
    with pytest.raises(ValueError, match=r"`x` must have shape \(N, T, 3\), got \(5, 3\)"):
        layer(np.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"at least one step, got shape \(2, 0, 3\)"):
        layer(np.zeros((2, 0, 3)))
    good, bad = np.zeros((1, 2, 4)), np.zeros((2, 4))
    with pytest.raises(ValueError, match=r"`h0` must have shape \(1, 2, 4\), got \(2, 4\)"):
        layer(np.zeros((2, 5, 3)), as_state(name, [bad, good]))
    layer(np.zeros((2, 5, 3)))
    with pytest.raises(ValueError, match=r"`grad_output` must have shape \(2, 5, 4\)"):
        layer.backward(np.zeros((5, 2, 4)))
    with pytest.raises(ValueError, match=r"`grad_h_n` must have shape \(1, 2, 4\), got \(2, 4\)"):
        layer.backward(None, as_state(name, [bad, good]))


def test_lstm_errors_name_the_cell_and_the_pair() -> None:
    layer = make("LSTM", 3, 4)
    x, good, bad = np.zeros((2, 5, 3)), np.zeros((1, 2, 4)), np.zeros((1, 2, 3))
    with pytest.raises(ValueError, match=r"`c0` must have shape \(1, 2, 4\), got \(1, 2, 3\)"):
        layer(x, (good, bad))
    with pytest.raises(ValueError, match=r"`state` must be the pair \(h0, c0\), got ndarray"):
        layer(x, good)
    layer(x)
    with pytest.raises(ValueError, match=r"`grad_c_n` must have shape \(1, 2, 4\)"):
        layer.backward(None, (good, bad))
    with pytest.raises(ValueError, match=r"`grad_state` must be the pair \(grad_h_n, grad_c_n\)"):
        layer.backward(None, good)


@by_name
def test_an_extreme_input_gives_finite_numbers_in_silence(name: str) -> None:
    layer = make(name, 3, 4, dtype=np.float32)
    x = np.array([1e3, -1e3, 1e30], np.float32) * np.ones((2, 5, 3), np.float32)
    with np.errstate(all="raise", under="ignore"):
        output, _ = layer(x)
        grad_x, _ = layer.backward(np.ones_like(output))
    assert np.isfinite(output).all()
    assert np.isfinite(grad_x).all()

"""The gradient check passes right layers, fails wrong ones, and points at the mistake."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels import scratch
from largemodels.scratch.gradient_check import numeric_gradient


def check(layer: scratch.Layer, shape: tuple[int, ...] = (5, 3)) -> scratch.GradientCheck:
    rng = np.random.default_rng(0)
    return scratch.gradient_check(layer, rng.standard_normal(shape), rng)


# Linear layers of equal sizes, so that a transposed weight has the right shape.
class ZeroBackward(scratch.Linear):
    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        return 0 * super().backward(grad_output)


class TransposedInput(scratch.Linear):
    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        super().backward(grad_output)
        return grad_output @ self.weight.data.T


class TransposedWeight(scratch.Linear):
    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        grad_input = super().backward(grad_output)
        self.weight.grad = grad_output.T @ self.saved
        self.weight.grad = self.weight.grad.T
        return grad_input


class NoBatchSum(scratch.Linear):
    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        grad_input = super().backward(grad_output)
        assert self.bias is not None
        self.bias.grad = grad_output[0]
        return grad_input


class BatchMean(scratch.Linear):
    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        grad_input = super().backward(grad_output)
        self.weight.grad = grad_output.T @ self.saved / len(grad_output)
        return grad_input


class WrongSign(scratch.Linear):
    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        return -super().backward(grad_output)


class NotANumber(scratch.Linear):
    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        grad_input = super().backward(grad_output)
        assert self.weight.grad is not None
        self.weight.grad[2, 1] = np.nan
        return grad_input


@pytest.mark.parametrize(
    ("layer", "parameter"),
    [
        (ZeroBackward, "input"),
        (TransposedInput, "input"),
        (TransposedWeight, "weight"),
        (NoBatchSum, "bias"),
        (BatchMean, "weight"),
        (WrongSign, "input"),
        (NotANumber, "weight"),
    ],
)
def test_a_wrong_layer_fails(layer: type[scratch.Linear], parameter: str) -> None:
    result = check(layer(3, 3, rng=np.random.default_rng(1)))
    assert not result.passed
    assert not result
    assert result.parameter == parameter
    assert "failed" in str(result)


@given(row=st.integers(0, 3), column=st.integers(0, 2), slip=st.floats(1e-4, 10))
@settings(deadline=None, max_examples=30)
def test_one_wrong_number_is_found(row: int, column: int, slip: float) -> None:
    class OneWrong(scratch.Linear):
        def backward(self, grad_output: np.ndarray) -> np.ndarray:
            grad_input = super().backward(grad_output)
            assert self.weight.grad is not None
            self.weight.grad[row, column] += slip
            return grad_input

    layer = OneWrong(3, 4, rng=np.random.default_rng(2))
    # The third layer of a network, to see the whole name.
    result = check(scratch.Sequential(scratch.Linear(3, 3), scratch.Tanh(), layer))
    assert not result
    assert (result.parameter, result.index) == ("2.weight", (row, column))
    assert result.analytic - result.numeric == pytest.approx(slip, rel=1e-3)


def test_the_worst_of_two_mistakes_is_reported() -> None:
    class TwoWrong(scratch.Identity):
        def backward(self, grad_output: np.ndarray) -> np.ndarray:
            grad_input = grad_output.copy()
            grad_input[1, 2] *= 1.01
            grad_input[4, 0] *= -3
            return grad_input

    assert check(TwoWrong()).index == (4, 0)


def test_a_missing_gradient_is_an_error() -> None:
    class NoGradient(scratch.Linear):
        def backward(self, grad_output: np.ndarray) -> np.ndarray:
            return grad_output @ self.weight.data

    layer = NoGradient(3, 2)
    layer.weight.grad = layer.weight.data  # One that is left over does not count.
    with pytest.raises(ValueError, match="did not set the gradient of `weight`"):
        check(layer)


def test_a_gradient_of_a_wrong_shape_is_an_error() -> None:
    class Summed(scratch.Identity):
        def backward(self, grad_output: np.ndarray) -> np.ndarray:
            return grad_output.sum(axis=0)

    with pytest.raises(ValueError, match=r"gradient of the input.* \(5, 3\), got \(3,\)"):
        check(Summed())


def test_an_output_that_is_the_input_itself_passes() -> None:
    assert check(scratch.Identity())


def test_layer_and_input_stay_as_they_are() -> None:
    layer = scratch.Linear(3, 2)
    layer(np.ones((1, 3), dtype=np.float32))
    state, saved = layer.state_dict(), layer.saved
    x = np.ones((5, 3), dtype=np.float32)
    assert scratch.gradient_check(layer, x)
    assert layer.saved is saved
    assert layer.weight.grad is None
    assert layer.weight.data.dtype == np.float32
    np.testing.assert_array_equal(layer.weight.data, state["weight"])
    np.testing.assert_array_equal(x, 1)


def test_the_same_seed_gives_the_same_result() -> None:
    layer = scratch.MLP([3, 4, 2])
    assert check(layer) == check(layer)


def test_a_wrong_loss_fails() -> None:
    class Unscaled(scratch.MSELoss):
        def backward(self) -> np.ndarray:
            return 2 * self.saved

    rng = np.random.default_rng(0)
    prediction, target = rng.standard_normal((2, 4, 3))
    assert scratch.gradient_check_loss(scratch.MSELoss(), prediction, target)
    result = scratch.gradient_check_loss(Unscaled(), prediction, target)
    assert not result
    assert result.analytic == pytest.approx(12 * result.numeric)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_numeric_gradient_equals_pytorch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weight, grad_output = (rng.standard_normal(shape) for shape in [(2, 3), (3, 4), (2, 4)])
    before = x.copy()
    numeric = numeric_gradient(lambda: np.sin(x @ weight), x, grad_output)
    torch_x = torch.from_numpy(before).requires_grad_()
    torch.sin(torch_x @ torch.from_numpy(weight)).backward(torch.from_numpy(grad_output))
    np.testing.assert_allclose(numeric, torch_x.grad, rtol=1e-8, atol=1e-8)
    np.testing.assert_array_equal(x, before)


@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-2, 1.0, 10.0]))
@settings(deadline=None, max_examples=50)
def test_right_networks_pass(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    network = scratch.Sequential(
        scratch.Linear(3, 4, rng=rng, initializer="xavier_uniform"),
        scratch.Sigmoid(),
        scratch.Linear(4, 2, rng=rng, bias=False),
        scratch.Tanh(),
    )
    result = scratch.gradient_check(network, scale * rng.standard_normal((5, 3)), rng)
    assert result, result

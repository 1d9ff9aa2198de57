"""Clipping equals PyTorch's, keeps the direction and refuses what it cannot mend."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import RNN, Parameter, clip_grad_norm


def parameter(grad: np.ndarray | None, shape: tuple[int, ...] = (2,)) -> Parameter:
    made = Parameter(np.zeros(shape if grad is None else grad.shape))
    made.grad = grad
    return made


@given(
    shapes=st.lists(
        st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), min_size=1, max_size=4
    ),
    max_norm=st.sampled_from([1e-3, 0.5, 1.0, 3.0, 100.0]),
    scale=st.sampled_from([1e-8, 1.0, 1e8]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_clipping_equals_pytorch(
    shapes: list[tuple[int, ...]], max_norm: float, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    grads = [scale * rng.standard_normal(shape) for shape in shapes]
    # One parameter of the list took no part in the loss.
    ours = [parameter(grad.copy()) for grad in grads] + [parameter(None)]
    theirs = [torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for shape in shapes]
    for p, grad in zip(theirs, grads, strict=True):
        p.grad = torch.from_numpy(grad.copy())
    theirs.append(torch.nn.Parameter(torch.zeros(2)))

    norm = clip_grad_norm(ours, max_norm)
    torch_norm = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    assert isinstance(norm, float)
    assert norm == pytest.approx(torch_norm.item(), rel=1e-10)
    for p, q in zip(ours[:-1], theirs[:-1], strict=True):
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-10, atol=0)
    assert ours[-1].grad is None


def test_all_gradients_shrink_by_one_factor() -> None:
    parameters = [parameter(np.array([30.0])), parameter(np.array([0.0, 40.0]))]
    assert clip_grad_norm(iter(parameters), 5.0) == 50
    np.testing.assert_allclose(np.concatenate([p.grad for p in parameters]), [3, 0, 4], rtol=1e-6)


def test_a_shared_array_shrinks_once() -> None:
    grad = np.array([30.0, 40.0])
    parameters = [parameter(grad), parameter(grad)]
    clip_grad_norm(parameters, 1.0)
    np.testing.assert_allclose(parameters[0].grad, grad / np.sqrt(5000), rtol=1e-6)
    np.testing.assert_allclose(parameters[1].grad, parameters[0].grad)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_short_gradients_stay_and_the_dtype_is_kept(dtype: type) -> None:
    layer = RNN(3, 4, dtype=dtype)
    output, _ = layer(np.ones((2, 5, 3), dtype))
    layer.backward(np.ones_like(output))
    before = [p.grad.copy() for p in layer.parameters() if p.grad is not None]
    norm = clip_grad_norm(layer.parameters(), float("inf"))
    for p, grad in zip(layer.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.grad, grad)
    clip_grad_norm(layer.parameters(), np.float64(norm / 2))
    assert {p.grad.dtype for p in layer.parameters() if p.grad is not None} == {np.dtype(dtype)}
    assert clip_grad_norm(layer.parameters(), norm) == pytest.approx(norm / 2, rel=1e-4)


def test_no_gradient_has_length_zero() -> None:
    assert clip_grad_norm([parameter(None)], 1.0) == 0


@pytest.mark.parametrize("max_norm", [0, -1.0, float("nan")])
def test_max_norm_must_be_positive(max_norm: float) -> None:
    with pytest.raises(ValueError, match=rf"`max_norm` \(={max_norm}\) must be positive"):
        clip_grad_norm([parameter(np.ones(2))], max_norm)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_an_error(bad: float) -> None:
    with pytest.raises(FloatingPointError, match=f"The norm of the gradients is {bad}"):
        clip_grad_norm([parameter(np.array([1.0, bad]))], 1.0)

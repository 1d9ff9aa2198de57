"""Optimizers equal PyTorch's over many steps with changing gradients."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import SGD, Adam, Optimizer, Parameter

STEPS = 12
# The second array is larger than a block of the update, and the third one has a row that is.
SHAPES = [(3, 2), (70, 1001), (2, 40_000), (5,), ()]


def assert_equal_to_pytorch(
    make: Callable[[list], Optimizer],
    make_torch: Callable[[list], torch.optim.Optimizer],
    shapes: list[tuple[int, ...]],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    initial = [rng.standard_normal(shape) for shape in shapes]
    ours = [Parameter(array) for array in initial]
    theirs = [torch.nn.Parameter(torch.tensor(array)) for array in initial]
    optimizer, torch_optimizer = make(ours), make_torch(theirs)
    for step in range(STEPS):
        for i, (our, their) in enumerate(zip(ours, theirs, strict=True)):
            if (step + i) % 4 == 3:  # Now and then a parameter takes no part in the loss.
                our.grad = their.grad = None
            else:
                grad = (10.0 ** rng.integers(-4, 3)) * rng.standard_normal(our.data.shape)
                our.grad, their.grad = np.array(grad), torch.tensor(grad)
        optimizer.step()
        torch_optimizer.step()
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(our.data, their.detach(), rtol=1e-10, atol=1e-10)


seeds = st.integers(0, 2**32 - 1)
learning_rates = st.floats(1e-5, 1.0)
below_one = st.floats(0, 0.999)


@given(lr=learning_rates, momentum=below_one, seed=seeds)
@settings(deadline=None)
def test_sgd_equals_pytorch(lr: float, momentum: float, seed: int) -> None:
    assert_equal_to_pytorch(
        lambda parameters: SGD(parameters, lr, momentum),
        lambda parameters: torch.optim.SGD(parameters, lr, momentum),
        [(3, 2), (5,)],
        seed,
    )


@given(lr=learning_rates, beta1=below_one, beta2=below_one, eps=st.floats(1e-10, 1), seed=seeds)
@settings(deadline=None)
def test_adam_equals_pytorch(lr: float, beta1: float, beta2: float, eps: float, seed: int) -> None:
    assert_equal_to_pytorch(
        lambda parameters: Adam(parameters, lr, (beta1, beta2), eps),
        lambda parameters: torch.optim.Adam(parameters, lr, (beta1, beta2), eps),
        [(3, 2), (5,)],
        seed,
    )


def test_default_settings_are_pytorchs() -> None:
    assert_equal_to_pytorch(Adam, torch.optim.Adam, SHAPES, seed=0)
    assert_equal_to_pytorch(
        lambda parameters: SGD(parameters, 0.1),
        lambda parameters: torch.optim.SGD(parameters, 0.1),
        SHAPES,
        seed=0,
    )


def test_learning_rate_may_change_between_steps() -> None:
    parameter = Parameter(np.array([1.0]))
    optimizer = SGD([parameter], lr=0.1)
    for lr, expected in [(0.1, 0.9), (0.5, 0.4)]:
        optimizer.lr = lr
        parameter.grad = np.array([1.0])
        optimizer.step()
        assert parameter.data == pytest.approx(expected)


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, 0.9), Adam])
def test_step_keeps_the_array_its_type_and_the_gradient(make: Callable) -> None:
    parameter = Parameter(np.ones((4, 3), dtype=np.float32))
    data, grad = parameter.data, np.full((4, 3), 2, dtype=np.float32)
    parameter.grad = grad
    make([parameter]).step()
    assert parameter.data is data
    assert data.dtype == np.float32
    assert (data < 1).all()
    np.testing.assert_array_equal(grad, 2)


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, 0.9), Adam])
def test_a_transposed_parameter_is_updated_too(make: Callable) -> None:
    parameter = Parameter(np.zeros((1, 1)))
    parameter.data = np.ones((300, 200)).T  # A view: a copy of it would swallow the update.
    parameter.grad = np.ones((200, 300))
    make([parameter]).step()
    assert (parameter.data < 1).all()


def test_zero_grad_forgets_the_gradients() -> None:
    parameter = Parameter(np.ones(2))
    parameter.grad = np.ones(2)
    SGD([parameter], 0.1).zero_grad()
    assert parameter.grad is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD([], 0.1), "`parameters` is empty"),
        (lambda p: SGD([p, p], 0.1), "one parameter twice"),
        (lambda p: SGD([p], -1), r"`lr` \(=-1\) must be at least 0"),
        (lambda p: SGD([p], float("nan")), r"`lr` \(=nan\)"),
        (lambda p: SGD([p], 0.1, 1.0), r"`momentum` \(=1.0\)"),
        (lambda p: Adam([p], betas=(0.9, 1.0)), r"`betas` \(=\(0.9, 1.0\)\)"),
        (lambda p: Adam([p], eps=-1e-8), r"`eps` \(=-1e-08\)"),
    ],
)
def test_wrong_settings_are_named(make: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(Parameter(np.ones(2)))

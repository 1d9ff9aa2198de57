"""Optimizers equal PyTorch's over many steps with changing gradients."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import SGD, Adagrad, Adam, AdamW, Optimizer, Parameter, RMSprop

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


epsilons = st.floats(1e-10, 1)


@given(
    lr=learning_rates,
    momentum=below_one,
    nesterov=st.booleans(),
    weight_decay=st.sampled_from([0, 0.01, 0.7]),
    seed=seeds,
)
@settings(deadline=None)
def test_sgd_equals_pytorch(
    lr: float, momentum: float, nesterov: bool, weight_decay: float, seed: int
) -> None:
    options = {"nesterov": nesterov and momentum > 0, "weight_decay": weight_decay}
    assert_equal_to_pytorch(
        lambda parameters: SGD(parameters, lr, momentum, **options),
        lambda parameters: torch.optim.SGD(parameters, lr, momentum, **options),
        [(3, 2), (5,)],
        seed,
    )


@given(lr=learning_rates, eps=epsilons, seed=seeds)
@settings(deadline=None, max_examples=30)
def test_adagrad_equals_pytorch(lr: float, eps: float, seed: int) -> None:
    assert_equal_to_pytorch(
        lambda parameters: Adagrad(parameters, lr, eps),
        lambda parameters: torch.optim.Adagrad(parameters, lr, eps=eps),
        [(3, 2), (5,)],
        seed,
    )


@given(lr=learning_rates, alpha=below_one, eps=epsilons, seed=seeds)
@settings(deadline=None, max_examples=30)
def test_rmsprop_equals_pytorch(lr: float, alpha: float, eps: float, seed: int) -> None:
    assert_equal_to_pytorch(
        lambda parameters: RMSprop(parameters, lr, alpha, eps),
        lambda parameters: torch.optim.RMSprop(parameters, lr, alpha, eps),
        [(3, 2), (5,)],
        seed,
    )


@given(
    lr=learning_rates,
    beta1=below_one,
    beta2=below_one,
    eps=epsilons,
    weight_decay=st.floats(0, 1),
    seed=seeds,
)
@settings(deadline=None, max_examples=30)
def test_adamw_equals_pytorch(
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, seed: int
) -> None:
    arguments = (lr, (beta1, beta2), eps, weight_decay)
    assert_equal_to_pytorch(
        lambda parameters: AdamW(parameters, *arguments),
        lambda parameters: torch.optim.AdamW(parameters, *arguments),
        [(3, 2), (5,)],
        seed,
    )


@given(lr=learning_rates, beta1=below_one, beta2=below_one, eps=epsilons, seed=seeds)
@settings(deadline=None)
def test_adam_equals_pytorch(lr: float, beta1: float, beta2: float, eps: float, seed: int) -> None:
    assert_equal_to_pytorch(
        lambda parameters: Adam(parameters, lr, (beta1, beta2), eps),
        lambda parameters: torch.optim.Adam(parameters, lr, (beta1, beta2), eps),
        [(3, 2), (5,)],
        seed,
    )


@pytest.mark.parametrize("make", [Adagrad, Adam, AdamW, RMSprop])
def test_default_settings_are_pytorchs(make: type[Optimizer]) -> None:
    assert_equal_to_pytorch(make, getattr(torch.optim, make.__name__), SHAPES, seed=0)


def test_default_settings_of_sgd_are_pytorchs() -> None:
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


all_optimizers = pytest.mark.parametrize(
    "make",
    [
        lambda p: SGD(p, 0.1, 0.9),
        lambda p: SGD(p, 0.1, 0.9, nesterov=True, weight_decay=0.1),
        Adam,
        AdamW,
        Adagrad,
        RMSprop,
    ],
)


@all_optimizers
def test_step_keeps_the_array_its_type_and_the_gradient(make: Callable) -> None:
    parameter = Parameter(np.ones((4, 3), dtype=np.float32))
    data, grad = parameter.data, np.full((4, 3), 2, dtype=np.float32)
    parameter.grad = grad
    make([parameter]).step()
    assert parameter.data is data
    assert data.dtype == np.float32
    assert (data < 1).all()
    np.testing.assert_array_equal(grad, 2)


@all_optimizers
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
        (lambda p: SGD([p], 0.1, nesterov=True), r"`momentum` \(=0.0\) must be above 0 with"),
        (lambda p: SGD([p], 0.1, weight_decay=-1), r"`weight_decay` \(=-1\)"),
        (lambda p: AdamW([p], weight_decay=-1), r"`weight_decay` \(=-1\)"),
        (lambda p: AdamW([p], betas=(1.0, 0.9)), r"`betas` \(=\(1.0, 0.9\)\)"),
        (lambda p: Adagrad([p], eps=-1), r"`eps` \(=-1\)"),
        (lambda p: RMSprop([p], eps=-1), r"`eps` \(=-1\)"),
        (lambda p: RMSprop([p], alpha=1.0), r"`alpha` \(=1.0\) must be at least 0 and below 1"),
        (lambda p: Adam([p], betas=(0.9, 1.0)), r"`betas` \(=\(0.9, 1.0\)\)"),
        (lambda p: Adam([p], eps=-1e-8), r"`eps` \(=-1e-08\)"),
    ],
)
def test_wrong_settings_are_named(make: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(Parameter(np.ones(2)))

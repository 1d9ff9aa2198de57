"""Schedules set PyTorch's learning rate after every single step."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from largemodels import scratch
from largemodels.scratch import SGD, Optimizer, Parameter, Schedule

rates = st.floats(1e-4, 10)
factors = st.floats(0.01, 0.99)


def make_optimizers(lr: float) -> tuple[Optimizer, torch.optim.Optimizer]:
    return SGD([Parameter(np.ones(2))], lr), torch.optim.SGD([torch.ones(2)], lr)


def assert_equal_to_pytorch(name: str, lr: float, steps: int, **options: float) -> None:
    """Compare η before the first step and after each step."""
    ours, theirs = make_optimizers(lr)
    schedule = getattr(scratch, name)(ours, **options)
    extra = {"cycle_momentum": False} if name == "OneCycleLR" else {}
    torch_schedule = getattr(lr_scheduler, name)(theirs, **options, **extra)
    for step in range(steps + 1):
        expected = theirs.param_groups[0]["lr"]
        assert isinstance(ours.lr, float)
        assert ours.lr == pytest.approx(expected, rel=1e-10, abs=1e-10), step
        assert schedule.last_epoch == torch_schedule.last_epoch == step
        if step < steps:
            theirs.step()  # PyTorch warns if it comes after.
            schedule.step()
            torch_schedule.step()


@given(lr=rates, step_size=st.integers(1, 5), gamma=factors)
@settings(deadline=None, max_examples=20)
def test_step_lr_equals_pytorch(lr: float, step_size: int, gamma: float) -> None:
    assert_equal_to_pytorch("StepLR", lr, 12, step_size=step_size, gamma=gamma)


@given(lr=rates, gamma=factors)
@settings(deadline=None, max_examples=20)
def test_exponential_lr_equals_pytorch(lr: float, gamma: float) -> None:
    assert_equal_to_pytorch("ExponentialLR", lr, 12, gamma=gamma)


@given(lr=rates, T_max=st.integers(1, 15), share=st.floats(0, 1))
@settings(deadline=None, max_examples=20)
def test_cosine_annealing_lr_equals_pytorch(lr: float, T_max: int, share: float) -> None:
    assert_equal_to_pytorch("CosineAnnealingLR", lr, T_max, T_max=T_max, eta_min=share * lr)


@given(
    lr=rates, start_factor=factors, end_factor=st.floats(0.01, 1), total_iters=st.integers(1, 15)
)
@settings(deadline=None, max_examples=20)
def test_linear_lr_equals_pytorch(
    lr: float, start_factor: float, end_factor: float, total_iters: int
) -> None:
    assert_equal_to_pytorch(
        "LinearLR",
        lr,
        18,
        start_factor=start_factor,
        end_factor=end_factor,
        total_iters=total_iters,
    )


@given(
    lr=rates,
    max_lr=rates,
    total_steps=st.integers(10, 25),
    pct_start=st.floats(0.11, 0.95),
    div_factor=st.floats(1, 50),
    final_div_factor=st.floats(1, 1e5),
)
@settings(deadline=None, max_examples=30)
def test_one_cycle_lr_equals_pytorch(lr: float, total_steps: int, **options: float) -> None:
    # The last call of `step` stands after the last step of the training, as PyTorch allows.
    assert_equal_to_pytorch("OneCycleLR", lr, total_steps, total_steps=total_steps, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("StepLR", {"step_size": 3}),
        ("ExponentialLR", {"gamma": 0.9}),
        ("CosineAnnealingLR", {"T_max": 7}),  # It goes on along the wave, beyond T_max.
        ("LinearLR", {}),
        ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20}),
    ],
)
def test_default_settings_are_pytorchs(name: str, options: dict[str, float]) -> None:
    assert_equal_to_pytorch(name, 0.3, 20, **options)


def assert_plateau_equals_pytorch(
    metrics: list[float], lr: float, **options: object
) -> list[float]:
    ours, theirs = make_optimizers(lr)
    schedule = scratch.ReduceLROnPlateau(ours, **options)
    torch_schedule = lr_scheduler.ReduceLROnPlateau(theirs, **options)
    seen = []
    for metric in metrics:
        schedule.step(metric)
        torch_schedule.step(metric)
        seen.append(ours.lr)
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-10, abs=1e-10)
    return seen


@given(
    seed=st.integers(0, 2**32 - 1),
    lr=rates,
    mode=st.sampled_from(["min", "max"]),
    factor=factors,
    patience=st.integers(0, 4),
    threshold=st.sampled_from([0.0, 1e-4, 0.2]),
    cooldown=st.integers(0, 3),
    min_lr=st.sampled_from([0.0, 1e-3]),
)
@settings(deadline=None, max_examples=50)
def test_reduce_lr_on_plateau_equals_pytorch(seed: int, lr: float, **options: object) -> None:
    metrics = np.random.default_rng(seed).uniform(0.5, 1, 40).tolist()
    assert_plateau_equals_pytorch(metrics, lr, **options)


def test_plateau_with_default_settings_equals_pytorch() -> None:
    seen = assert_plateau_equals_pytorch([1.0] * 24 + [0.5, float("nan")] + [0.6] * 24, lr=0.1)
    assert len(set(seen)) == 5


def test_plateau_makes_no_cut_that_is_none() -> None:
    options = {"factor": 0.5, "patience": 0, "eps": 0.1}
    seen = assert_plateau_equals_pytorch([1.0] * 9, lr=1.0, **options)
    assert min(seen) == 0.125


def test_the_optimizer_takes_steps_of_that_length() -> None:
    weight = Parameter(np.array([0.0]))
    optimizer = SGD([weight], lr=1.0)
    schedule = scratch.ExponentialLR(optimizer, gamma=0.5)
    for _ in range(3):
        weight.grad = np.array([-1.0])
        optimizer.step()
        schedule.step()
    assert weight.data == 1.75


def test_one_cycle_ends_with_the_training() -> None:
    optimizer, _ = make_optimizers(1.0)
    schedule = scratch.OneCycleLR(optimizer, 1.0, total_steps=10)
    for _ in range(10):
        schedule.step()
    for _ in range(2):  # A failed call counts for nothing.
        with pytest.raises(ValueError, match="called 11 times; `total_steps` is 10"):
            schedule.step()


def test_a_pickled_schedule_goes_on_where_it_was() -> None:
    optimizer, _ = make_optimizers(1.0)
    schedule = scratch.CosineAnnealingLR(optimizer, 9)
    for _ in range(4):
        schedule.step()
    copy = pickle.loads(pickle.dumps(schedule))
    assert copy.optimizer is not optimizer
    schedule.step()
    copy.step()
    assert copy.optimizer.lr == optimizer.lr


def test_every_schedule_of_the_clock_is_compared() -> None:
    schedules = {cls.__name__ for cls in Schedule.__subclasses__()}
    assert schedules == {"StepLR", "ExponentialLR", "CosineAnnealingLR", "LinearLR", "OneCycleLR"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: scratch.StepLR(o, 0), r"`step_size` \(=0\) must be at least 1"),
        (lambda o: scratch.StepLR(o, 1, -1), r"`gamma` \(=-1\) must be at least 0"),
        (lambda o: scratch.ExponentialLR(o, -1), r"`gamma` \(=-1\)"),
        (lambda o: scratch.CosineAnnealingLR(o, 0), r"`T_max` \(=0\)"),
        (lambda o: scratch.CosineAnnealingLR(o, 1, -1), r"`eta_min` \(=-1\)"),
        (lambda o: scratch.LinearLR(o, 0), r"`start_factor` \(=0\) must be above 0"),
        (lambda o: scratch.LinearLR(o, end_factor=2), r"`end_factor` \(=2\)"),
        (lambda o: scratch.LinearLR(o, total_iters=0), r"`total_iters` \(=0\)"),
        (lambda o: scratch.OneCycleLR(o, 0, 10), r"`max_lr` \(=0\) must be above 0"),
        (lambda o: scratch.OneCycleLR(o, 1, 10, div_factor=0), r"`div_factor` \(=0\)"),
        (lambda o: scratch.OneCycleLR(o, 1, 10, final_div_factor=-1), r"`final_div_factor`"),
        (lambda o: scratch.OneCycleLR(o, 1, 10, pct_start=1), r"`pct_start` \(=1\)"),
        (lambda o: scratch.OneCycleLR(o, 1, 10, pct_start=0.1), r"`total_steps` \(=10\)"),
        (lambda o: scratch.ReduceLROnPlateau(o, "low"), r"`mode` \(='low'\)"),
        (lambda o: scratch.ReduceLROnPlateau(o, factor=1), r"`factor` \(=1\)"),
        (lambda o: scratch.ReduceLROnPlateau(o, patience=-1), r"`patience` \(=-1\)"),
        (lambda o: scratch.ReduceLROnPlateau(o, cooldown=-1), r"`cooldown` \(=-1\)"),
    ],
)
def test_wrong_settings_are_named_and_change_nothing(make: Callable, message: str) -> None:
    optimizer, _ = make_optimizers(1.0)
    with pytest.raises(ValueError, match=message):
        make(optimizer)
    assert optimizer.lr == 1.0

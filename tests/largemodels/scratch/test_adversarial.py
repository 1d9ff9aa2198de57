"""The losses of a GAN equal the binary cross-entropies that they stand for."""

import pickle
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from largemodels.scratch import DiscriminatorLoss, GeneratorLoss
from largemodels.scratch.gradient_check import numeric_gradient

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 6), st.integers(1, 3))
scales = st.sampled_from([1e-3, 1.0, 30.0, 1e3])


def cross_entropy(logits: torch.Tensor, label: float) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


@given(real_size=sizes, fake_size=sizes, scale=scales, seed=seeds)
@settings(deadline=None, max_examples=40)
def test_discriminator_loss_equals_pytorch(
    real_size: tuple[int, int], fake_size: tuple[int, int], scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    real, fake = scale * rng.standard_normal(real_size), scale * rng.standard_normal(fake_size)
    loss = DiscriminatorLoss()
    value, grads = loss(real, fake), loss.backward()

    inputs = [torch.from_numpy(array).requires_grad_() for array in (real, fake)]
    torch_value = cross_entropy(inputs[0], 1.0) + cross_entropy(inputs[1], 0.0)
    torch_value.backward()
    assert value == pytest.approx(torch_value.item(), rel=1e-10, abs=1e-10)
    for grad, tensor in zip(grads, inputs, strict=True):
        np.testing.assert_allclose(grad, tensor.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("saturating", [False, True])
@given(size=sizes, scale=scales, seed=seeds)
@settings(deadline=None, max_examples=40)
def test_generator_loss_equals_pytorch(
    saturating: bool, size: tuple[int, int], scale: float, seed: int
) -> None:
    fake = scale * np.random.default_rng(seed).standard_normal(size)
    loss = GeneratorLoss(saturating)
    value, grad = loss(fake), loss.backward()

    tensor = torch.from_numpy(fake).requires_grad_()
    torch_value = -cross_entropy(tensor, 0.0) if saturating else cross_entropy(tensor, 1.0)
    torch_value.backward()
    assert value == pytest.approx(torch_value.item(), rel=1e-10, abs=1e-10)
    np.testing.assert_allclose(grad, tensor.grad, rtol=1e-10, atol=1e-10)


LOSSES: dict[str, tuple[Callable, int]] = {
    "DiscriminatorLoss": (DiscriminatorLoss, 2),
    "GeneratorLoss": (GeneratorLoss, 1),
    "GeneratorLoss, saturating": (lambda: GeneratorLoss(saturating=True), 1),
}
all_losses = pytest.mark.parametrize("name", LOSSES)


@all_losses
def test_gradient_check_passes(name: str) -> None:
    make, inputs = LOSSES[name]
    loss, rng = make(), np.random.default_rng(0)
    logits = [rng.standard_normal((3 + i, 1)) for i in range(inputs)]
    loss(*logits)
    grads = loss.backward()
    for array, grad in zip(logits, grads if inputs == 2 else [grads], strict=True):
        expected = numeric_gradient(lambda: loss(*logits), array)
        np.testing.assert_allclose(grad, expected, rtol=1e-6, atol=1e-9)


@all_losses
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_are_finite_and_the_type_is_kept(name: str, dtype: type) -> None:
    make, inputs = LOSSES[name]
    logits = np.array([[1e3], [-1e3], [0]], dtype)
    logits.flags.writeable = False
    loss = make()
    with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise"):
        warnings.simplefilter("error")
        value = loss(*[logits] * inputs)
        grads = loss.backward()
    assert isinstance(value, float)
    assert np.isfinite(value)
    for grad in grads if inputs == 2 else [grads]:
        assert np.isfinite(grad).all()
        assert grad.dtype == dtype
        assert grad.shape == logits.shape


def test_only_the_saturating_loss_has_nothing_to_learn_from_bad_fakes() -> None:
    slopes = {}
    for saturating in [False, True]:
        loss = GeneratorLoss(saturating)
        loss(np.array([-10.0]))
        slopes[saturating] = abs(loss.backward()[0])
    assert slopes[False] > 0.99
    assert 0 < slopes[True] < 1e-4


@all_losses
def test_backward_before_forward_is_an_error(name: str) -> None:
    make, inputs = LOSSES[name]
    loss = make()
    with pytest.raises(RuntimeError, match="call forward before backward"):
        loss.backward()
    loss(*[np.zeros(2)] * inputs)
    with pytest.raises(RuntimeError, match="call forward before backward"):
        pickle.loads(pickle.dumps(loss)).backward()


def test_an_empty_batch_is_named() -> None:
    some, none = np.zeros(2), np.zeros((0, 1))
    with pytest.raises(ValueError, match=r"`real_logits` must not be empty, got shape \(0, 1\)"):
        DiscriminatorLoss()(none, some)
    with pytest.raises(ValueError, match="`fake_logits` must not be empty"):
        DiscriminatorLoss()(some, none)
    with pytest.raises(ValueError, match="`fake_logits` must not be empty"):
        GeneratorLoss()(none)

"""Dropout zeroes with the right probability, keeps the mean, and leaves evaluation alone."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import Dropout


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(
    shape=st.lists(st.integers(0, 4), max_size=3).map(tuple),
    p=st.sampled_from([0.0, 0.25, 0.9, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=30)
def test_each_number_is_zero_or_scaled_and_so_is_its_gradient(
    shape: tuple[int, ...], p: float, seed: int
) -> None:
    layer, x = Dropout(p, rng=rng(seed)), np.asarray(rng(seed + 1).standard_normal(shape))
    kept = rng(seed).random(shape, dtype=np.float32) >= p
    factor = kept / (1 - p) if p < 1 else np.zeros(shape)
    np.testing.assert_allclose(layer(x), x * factor, rtol=1e-15)
    grad_output = np.asarray(rng(seed + 2).standard_normal(shape))
    np.testing.assert_allclose(layer.backward(grad_output), grad_output * factor, rtol=1e-15)


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (1.0, True), (0.3, False), (1.0, False)])
def test_where_nothing_is_random_it_equals_pytorch(p: float, training: bool) -> None:
    x = rng().standard_normal((3, 4))
    expected = torch.nn.Dropout(p).train(training)(torch.from_numpy(x)).numpy()
    layer = Dropout(p).train(training)
    np.testing.assert_array_equal(layer(x), expected)
    np.testing.assert_array_equal(layer.backward(x), expected)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_the_share_of_zeros_is_p_and_the_mean_stays(p: float) -> None:
    y = Dropout(p, rng=rng())(np.ones(200_000))
    assert (y == 0).mean() == pytest.approx(p, abs=0.005)  # Four standard deviations.
    assert y.mean() == pytest.approx(1, abs=0.02)


def test_every_forward_pass_draws_anew_and_the_seed_decides() -> None:
    layer, again, x = Dropout(rng=rng(1)), Dropout(rng=rng(1)), np.ones(100)
    first = layer(x)
    np.testing.assert_array_equal(again(x), first)
    assert (layer(x) != first).any()
    # Evaluation draws nothing, so it does not move what training draws next.
    copied = pickle.loads(pickle.dumps(layer))
    copied.eval()(x)
    np.testing.assert_array_equal(copied.train()(x), layer(x))


def test_backward_follows_the_mode_of_the_forward_pass() -> None:
    layer, x = Dropout(rng=rng()), np.ones(100)
    y = layer(x)
    np.testing.assert_array_equal(layer.eval().backward(x), y)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_must_be_a_probability(p: float) -> None:
    with pytest.raises(ValueError, match=rf"`p` \(={p}\) must be from 0 to 1"):
        Dropout(p)


@pytest.mark.parametrize("axes", [(1,), (-2,), (0, 2)])
def test_numbers_along_a_shared_axis_fall_together(axes: tuple[int, ...]) -> None:
    layer, x = Dropout(0.4, shared_axes=axes, rng=rng()), np.ones((6, 5, 4))
    y = layer(x)
    assert 0 < (y == 0).mean() < 1
    # One row of the shared axes, repeated, is the whole; the others differ.
    first = y[tuple(slice(1) if i in [a % 3 for a in axes] else slice(None) for i in range(3))]
    np.testing.assert_array_equal(y, np.broadcast_to(first, y.shape))
    assert first.std() > 0
    np.testing.assert_array_equal(layer.backward(x), y)
    assert repr(layer) == f"Dropout(p=0.4, shared_axes={axes})"


def test_a_shared_axis_that_the_input_lacks_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"`shared_axes` \(=\(2,\)\) must be axes of `x`, got shape"
    ):
        Dropout(shared_axes=(2,))(np.ones((3, 4)))

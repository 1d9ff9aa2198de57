"""Alternating least squares solves each half exactly, and finds planted factors."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import MatrixFactorization
from largemodels.scratch.alternating_least_squares import alternating_least_squares


def data(seed: int, users: int = 7, items: int = 5, n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, [users, items], (n, 2)), rng.uniform(1, 5, n)  # Some pairs come twice.


def model_for(seed: int, factors: int, l2: float = 0.1) -> MatrixFactorization:
    rng = np.random.default_rng(seed)
    return MatrixFactorization(7, 5, factors, mean=3.1, l2=l2, rng=rng, dtype=np.float64)


@given(seed=st.integers(0, 2**32 - 1), factors=st.integers(1, 4), l2=st.sampled_from([0.01, 1.0]))
@settings(deadline=None, max_examples=25)
def test_the_loss_is_that_of_the_model_and_never_grows(seed: int, factors: int, l2: float) -> None:
    pairs, ratings = data(seed)
    model = model_for(seed, factors, l2)
    losses = alternating_least_squares(model, pairs, ratings, sweeps=6)
    assert all(after <= before + 1e-12 for before, after in pairwise(losses))
    users, items = pairs.T
    parts = [
        model.user_factors.weight.data[users], model.item_factors.weight.data[items],
        model.user_bias.weight.data[users], model.item_bias.weight.data[items],
    ]  # fmt: skip
    penalty = sum((part**2).sum(axis=1) for part in parts)
    expected = ((ratings - model(pairs)) ** 2 + l2 * penalty).mean()
    assert losses[-1] == pytest.approx(expected, rel=1e-10)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_after_a_sweep_the_gradient_of_the_items_is_zero(seed: int) -> None:
    # `MatrixFactorization.backward` holds the gradient of the same loss, and is checked by PyTorch.
    pairs, ratings = data(seed)
    model = model_for(seed, 2)
    alternating_least_squares(model, pairs, ratings, sweeps=1)
    model.backward(2 / len(ratings) * (model(pairs) - ratings))
    np.testing.assert_allclose(model.item_factors.weight.grad, 0, atol=1e-10)
    np.testing.assert_allclose(model.item_bias.weight.grad, 0, atol=1e-10)
    alternating_least_squares(model, pairs, ratings, sweeps=400)
    model.backward(2 / len(ratings) * (model(pairs) - ratings))
    np.testing.assert_allclose(model.user_factors.weight.grad, 0, atol=1e-3)


def test_it_finds_planted_factors_and_leaves_who_has_no_rating_at_zero() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.standard_normal((40, 2)), rng.standard_normal((30, 2))
    every = np.stack(np.meshgrid(np.arange(40), np.arange(29), indexing="ij"), -1).reshape(-1, 2)
    every = rng.permutation(every)
    ratings = 3 + (p[every[:, 0]] * q[every[:, 1]]).sum(axis=1)
    model = MatrixFactorization(40, 30, 2, mean=3, l2=1e-4, rng=rng, dtype=np.float64)
    alternating_least_squares(model, every[:700], ratings[:700], sweeps=30)
    assert np.sqrt(((model(every[700:]) - ratings[700:]) ** 2).mean()) < 0.05
    assert not model.item_factors.weight.data[29].any()  # Nobody rated the last item.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": model_for(0, 2, l2=0.0)}, r"`l2` \(=0\.0\) must be above 0"),
        ({"sweeps": 0}, r"`sweeps` \(=0\) must be at least 1"),
        ({"pairs": np.zeros((0, 2), int)}, r"`pairs` must have shape \(N, 2\), N at least 1"),
        ({"ratings": np.zeros(3)}, r"`ratings` must have shape \(20,\), got \(3,\)"),
        ({"pairs": np.full((20, 2), 6)}, "`pairs` must hold items from 0 to 4, got 6 to 6"),
    ],
)
def test_errors_name_argument_and_value(change: dict, message: str) -> None:
    pairs, ratings = data(0)
    arguments = {"model": model_for(0, 2), "pairs": pairs, "ratings": ratings, "sweeps": 1}
    with pytest.raises(ValueError, match=message):
        alternating_least_squares(**(arguments | change))

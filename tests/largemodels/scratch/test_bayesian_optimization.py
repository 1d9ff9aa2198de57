"""The Gaussian process equals scikit-learn's, the expected improvement an integral."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from largemodels.scratch.bayesian_optimization import (
    bayesian_optimization,
    expected_improvement,
    gaussian_process,
)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6), length=st.sampled_from([0.3, 1.0, 4.0]))
@settings(deadline=None, max_examples=30)
def test_the_process_equals_scikit_learn(seed: int, n: int, length: float) -> None:
    rng = np.random.default_rng(seed)
    x, y, x_new = rng.standard_normal((n, 2)), rng.standard_normal(n), rng.standard_normal((5, 2))
    mean, std = gaussian_process(x, y, x_new, length_scale=length, noise=0.1)
    theirs = GaussianProcessRegressor(RBF(length), alpha=0.1**2, optimizer=None).fit(x, y)
    their_mean, their_std = theirs.predict(x_new, return_std=True)
    np.testing.assert_allclose(mean, their_mean, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(std, their_std, rtol=1e-6, atol=1e-6)


@given(mean=st.floats(-2, 2), std=st.floats(0.1, 2), best=st.floats(-2, 2))
@settings(deadline=None, max_examples=30)
def test_the_expected_improvement_equals_its_integral(mean: float, std: float, best: float) -> None:
    value = expected_improvement(np.array([mean]), np.array([std]), best)[0]
    low = min(mean - 12 * std, best)
    expected, _ = quad(lambda f: (best - f) * norm.pdf(f, mean, std), low, best, limit=200)
    assert value == pytest.approx(expected, abs=1e-8)


def test_it_finds_the_minimum_with_fewer_trials_than_random_search() -> None:
    grid = np.linspace(0, 10, 201)[:, None]

    def objective(x: np.ndarray) -> float:
        return float(np.sin(x[0]) + 0.1 * (x[0] - 6) ** 2)

    best = min(map(objective, grid))
    gaps = {"bayesian": 0.0, "random": 0.0}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        tried, values = bayesian_optimization(objective, grid, trials=10, length_scale=1.5, rng=rng)
        assert len(set(tried.tolist())) == 10
        assert values.tolist() == [objective(grid[i]) for i in tried]
        gaps["bayesian"] += values.min() - best
        gaps["random"] += min(objective(x) for x in rng.choice(grid, 10, replace=False)) - best
    assert gaps["bayesian"] < gaps["random"] / 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: gaussian_process(np.ones(3), np.ones(3), np.ones((2, 1)), length_scale=1),
            r"`x` must have shape \(N, D\)",
        ),
        (
            lambda: gaussian_process(np.ones((3, 1)), np.ones(3), np.ones((2, 2)), length_scale=1),
            r"`x_new` must have shape \(2, 1\), got \(2, 2\)",
        ),
        (
            lambda: gaussian_process(np.ones((3, 1)), np.ones(3), np.ones((2, 1)), length_scale=0),
            r"`length_scale` \(=0\) must be above 0",
        ),
        (
            lambda: expected_improvement(np.zeros(2), np.array([1.0, -1.0]), 0.0),
            r"`std` must be at least 0, got -1\.0",
        ),
        (
            lambda: bayesian_optimization(
                lambda x: 0.0, np.ones((2, 1)), trials=3, length_scale=1,
                rng=np.random.default_rng(0), initial=1,
            ),
            r"`trials` \(=3\) must be from `initial` \(=1\) to the number of candidates, 2",
        ),
        (
            lambda: bayesian_optimization(
                lambda x: 0.0, np.ones((2, 1)), trials=2, length_scale=1,
                rng=np.random.default_rng(0), initial=0,
            ),
            r"`initial` \(=0\) must be at least 1",
        ),
    ],
)  # fmt: skip
def test_errors_name_argument_and_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

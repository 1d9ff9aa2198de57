"""Ridge and lasso equal scikit-learn's, and the soft threshold is what it minimizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso, Ridge

from largemodels.scratch.regularization import lasso, ridge, soft_threshold

seeds = st.integers(0, 2**32 - 1)
penalties = st.sampled_from([0.01, 0.1, 1.0])


def data(seed: int, n: int = 30, features: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, features))
    return x, x @ rng.standard_normal(features) + 0.3 * rng.standard_normal(n)


@given(seed=seeds, l2=st.sampled_from([0.0, 0.1, 10.0]))
@settings(deadline=None, max_examples=25)
def test_ridge_equals_scikit_learn(seed: int, l2: float) -> None:
    x, y = data(seed)
    expected = Ridge(alpha=l2 * len(x), fit_intercept=False).fit(x, y).coef_
    np.testing.assert_allclose(ridge(x, y, l2), expected, rtol=1e-8, atol=1e-10)


@given(seed=seeds, l1=penalties)
@settings(deadline=None, max_examples=25)
def test_lasso_equals_scikit_learn(seed: int, l1: float) -> None:
    x, y = data(seed)
    expected = Lasso(alpha=l1, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x, y).coef_
    weights = lasso(x, y, l1)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    assert ((weights == 0) == (expected == 0)).all()


def test_from_a_penalty_on_all_weights_of_the_lasso_are_zero() -> None:
    x, y = data(0)
    largest = np.abs(x.T @ y).max() / len(x)
    assert not lasso(x, y, 1.0001 * largest).any()
    assert lasso(x, y, 0.9 * largest).any()
    assert not lasso(np.zeros((3, 2)), np.ones(3), 0.1).any()


@given(x=st.floats(-5, 5), threshold=st.floats(0, 3))
def test_the_soft_threshold_is_the_minimum_of_its_formula(x: float, threshold: float) -> None:
    def cost(w: np.ndarray) -> np.ndarray:
        return (w - x) ** 2 / 2 + threshold * np.abs(w)

    best = soft_threshold(np.array([x]), threshold)
    assert cost(best)[0] <= cost(np.linspace(-6, 6, 1201)).min() + 1e-12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: soft_threshold(np.ones(2), -1), r"`threshold` \(=-1\) must be at least 0"),
        (lambda: ridge(np.ones((3, 2)), np.ones(3), -1), r"`l2` \(=-1\) must be at least 0"),
        (lambda: ridge(np.ones((3, 2)), np.ones((3, 1)), 1), r"`y` must have shape \(3,\), got"),
        (lambda: lasso(np.ones(3), np.ones(3), 1), r"`x` must have shape \(N, features\)"),
        (lambda: lasso(np.ones((3, 2)), np.ones(3), -1), r"`l1` \(=-1\) must be at least 0"),
        (lambda: lasso(np.ones((3, 2)), np.ones(3), 1, steps=0), r"`steps` \(=0\) must be at"),
    ],
)
def test_errors_name_argument_and_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

"""The local explanation finds the slope of a plane, and equals a weighted ridge regression."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from largemodels.scratch.local_explanation import explain_locally


@given(seed=st.integers(0, 2**32 - 1), features=st.integers(1, 4))
@settings(deadline=None, max_examples=25)
def test_a_plane_is_explained_exactly(seed: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    slope, x, scale = (rng.uniform(0.5, 2, features) for _ in range(3))
    weights, r2 = explain_locally(lambda z: z @ slope + 7, x, scale, rng, samples=200)
    np.testing.assert_allclose(weights, slope * scale, rtol=1e-3)
    assert r2 == pytest.approx(1)


def test_it_equals_a_weighted_ridge_regression_of_scikit_learn() -> None:
    x, scale = np.array([0.3, -1.0]), np.array([0.5, 2.0])
    asked = []

    def predict(z: np.ndarray) -> np.ndarray:
        asked.append(z)
        return np.sin(3 * z[:, 0]) * z[:, 1]

    weights, r2 = explain_locally(
        predict, x, scale, np.random.default_rng(0), samples=500, kernel_width=0.6, l2=0.01
    )
    steps, answers = (asked[0] - x) / scale, np.sin(3 * asked[0][:, 0]) * asked[0][:, 1]
    weight = np.exp(-(steps**2).mean(axis=1) / 0.6**2)
    weight /= weight.sum()
    model = Ridge(alpha=0.01).fit(steps, answers, sample_weight=weight)
    np.testing.assert_allclose(weights, model.coef_, rtol=1e-8)
    assert r2 == pytest.approx(model.score(steps, answers, sample_weight=weight))
    assert r2 < 0.95


def test_near_a_curve_the_explanation_is_its_tangent_and_far_from_it_not() -> None:
    def predict(z: np.ndarray) -> np.ndarray:
        return z[:, 0] ** 2

    x, rng = np.array([3.0]), np.random.default_rng(0)
    near, good = explain_locally(predict, x, np.array([0.1]), rng)
    assert near[0] / 0.1 == pytest.approx(6, rel=0.05)
    _, poor = explain_locally(predict, np.array([0.0]), np.array([1.0]), rng)
    assert good > 0.99
    assert poor < 0.1
    assert explain_locally(lambda z: np.zeros(len(z)), x, np.ones(1), rng)[1] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((2, 2))}, r"`x` must have shape \(D,\), D at least 1, got \(2, 2\)"),
        ({"scale": np.ones(3)}, r"`scale` must have shape \(2,\), got \(3,\)"),
        ({"samples": 2}, r"`samples` \(=2\) must be above the number of features, 2"),
        ({"kernel_width": 0}, r"`kernel_width` \(=0\) must be above 0"),
        ({"l2": -1}, r"`l2` \(=-1\) must be at least 0"),
        ({"predict": lambda z: z}, r"`predict's result` must have shape \(1000,\)"),
    ],
)
def test_errors_name_argument_and_value(change: dict, message: str) -> None:
    arguments = {"predict": lambda z: z[:, 0], "x": np.zeros(2), "scale": np.ones(2)} | change
    with pytest.raises(ValueError, match=message):
        explain_locally(**arguments, rng=np.random.default_rng(0))

"""AdaBoost equals scikit-learn's, and keeps the bound of its theorem."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import AdaBoostClassifier

from largemodels.scratch.boosting import AdaBoost, Stump, best_stump

seeds = st.integers(0, 2**32 - 1)


def data(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    return x, np.where(x[:, 0] + x[:, 1] ** 2 + 0.3 * rng.standard_normal(n) > 0.6, 1, -1)


@given(seed=seeds, n=st.integers(1, 8))
@settings(deadline=None, max_examples=60)
def test_no_other_stump_is_better(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, (n, 2)).astype(float)  # Equal values, between which no threshold lies.
    y, weight = rng.choice([-1, 1], n), rng.dirichlet(np.ones(n))
    stump, error = best_stump(x, y, weight)
    assert weight @ (stump.predict(x) != y) == pytest.approx(error, abs=1e-12)
    thresholds = [-np.inf, 0.5, 1.5, 2.5, 3.5]
    for feature, threshold, polarity in itertools.product((0, 1), thresholds, (-1, 1)):
        other = Stump(feature, threshold, polarity)
        assert error <= weight @ (other.predict(x) != y) + 1e-12


class SklearnStump(ClassifierMixin, BaseEstimator):
    """The best stump as scikit-learn's AdaBoost wants it. Its own trees split by Gini's measure."""

    def fit(self, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray) -> "SklearnStump":
        self.classes_ = np.unique(y)
        self.stump_, _ = best_stump(x, y, sample_weight)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.stump_.predict(x)


@pytest.mark.parametrize("seed", range(5))
def test_predictions_equal_scikit_learn(seed: int) -> None:
    x, y = data(seed)
    ours = AdaBoost().fit(x, y, rounds=12)
    theirs = AdaBoostClassifier(SklearnStump(), n_estimators=12).fit(x, y)
    assert [estimator.stump_ for estimator in theirs.estimators_] == ours.stumps
    # scikit-learn's vote is twice ours, which changes no decision.
    np.testing.assert_allclose(theirs.estimator_weights_, 2 * np.array(ours.votes))
    new, _ = data(seed + 100)
    np.testing.assert_array_equal(theirs.predict(new), ours.predict(new))


@given(seed=seeds)
@settings(deadline=None, max_examples=25)
def test_the_training_error_keeps_the_bound(seed: int) -> None:
    x, y = data(seed)
    model, weight, bound = AdaBoost().fit(x, y, rounds=10), np.full(len(x), 1 / len(x)), 1.0
    for stump, vote in zip(model.stumps, model.votes, strict=True):
        error = weight @ (stump.predict(x) != y)
        bound *= 2 * np.sqrt(error * (1 - error))
        weight = weight * np.exp(-vote * y * stump.predict(x))
        weight /= weight.sum()
    assert (model.predict(x) != y).mean() <= bound + 1e-9


def test_many_stumps_beat_one_on_new_data() -> None:
    (x, y), (x_new, y_new) = data(0, 400), data(1, 400)
    one, many = (AdaBoost().fit(x, y, rounds=rounds).predict(x_new) for rounds in (1, 40))
    assert (many == y_new).mean() > (one == y_new).mean() + 0.05


def test_it_ends_at_a_stump_without_a_mistake() -> None:
    model = AdaBoost().fit(np.array([[0.0], [1.0]]), np.array([-1, 1]), rounds=9)
    assert len(model.stumps) == 1
    assert np.isfinite(model.votes).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, r"`x` must have shape \(N, features\)"),
        ({"y": np.zeros(3)}, r"`y` must have shape \(2,\), got \(3,\)"),
        ({"y": np.array([0, 1])}, "`y` must be -1 or 1 everywhere, got 0"),
        ({"rounds": 0}, r"`rounds` \(=0\) must be at least 1"),
    ],
)
def test_errors_name_argument_and_value(change: dict, message: str) -> None:
    arguments = {"x": np.zeros((2, 2)), "y": np.array([-1, 1]), "rounds": 1} | change
    with pytest.raises(ValueError, match=message):
        AdaBoost().fit(**arguments)

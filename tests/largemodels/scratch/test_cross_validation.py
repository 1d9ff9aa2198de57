"""Folds equal scikit-learn's, and no example is predicted by a model that has seen it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict

from largemodels.scratch.cross_validation import k_fold, out_of_fold_predictions


@given(n=st.integers(2, 30), data=st.data())
@settings(deadline=None, max_examples=40)
def test_folds_equal_scikit_learn(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(2, n))
    expected = KFold(k).split(np.zeros(n))
    for (train, validation), (their_train, their_validation) in zip(
        k_fold(n, k), expected, strict=True
    ):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(validation, their_validation)


@given(n=st.integers(2, 30), seed=st.integers(0, 2**32 - 1), data=st.data())
@settings(deadline=None, max_examples=40)
def test_shuffled_folds_hold_every_example_once(n: int, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(2, n))
    folds = k_fold(n, k, np.random.default_rng(seed))
    assert sorted(np.concatenate([validation for _, validation in folds])) == list(range(n))
    for train, validation in folds:
        assert sorted([*train, *validation]) == list(range(n))


def test_predictions_equal_scikit_learn_in_any_order() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((23, 3))
    y = x @ [1.0, -2.0, 0.5] + rng.standard_normal(23)

    def fit_predict(x: np.ndarray, y: np.ndarray, x_new: np.ndarray) -> np.ndarray:
        return LinearRegression().fit(x, y).predict(x_new)

    expected = cross_val_predict(LinearRegression(), x, y, cv=KFold(5))
    np.testing.assert_allclose(out_of_fold_predictions(fit_predict, x, y, 5), expected)

    def memory(x: np.ndarray, y: np.ndarray, x_new: np.ndarray) -> np.ndarray:
        known = dict(zip(map(tuple, x), y, strict=True))  # Right on all that it has seen.
        return np.array([known.get(tuple(row), np.nan) for row in x_new])

    blind = out_of_fold_predictions(memory, x, y, 5, np.random.default_rng(1))
    assert np.isnan(blind).all()


@pytest.mark.parametrize("k", [1, 5])
def test_errors_name_argument_and_value(k: int) -> None:
    with pytest.raises(ValueError, match=rf"`k` \(={k}\) must be from 2 to the number of examples"):
        k_fold(4, k)
    with pytest.raises(ValueError, match="`x` and `y` must have the same length, got 3 and 4"):
        out_of_fold_predictions(lambda x, y, z: z, np.zeros(3), np.zeros(4), 2)

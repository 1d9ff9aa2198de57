"""The perceptron finds a separating plane where there is one, within the bound of the theorem."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Perceptron as SklearnPerceptron

from largemodels.scratch.perceptron import Perceptron

seeds = st.integers(0, 2**32 - 1)


def separable(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    plane = rng.standard_normal(3)
    x = rng.standard_normal((40, 2))
    score = x @ plane[:2] + plane[2]
    apart = np.abs(score) > 0.3 * np.linalg.norm(plane)
    return x[apart], np.where(score[apart] > 0, 1, -1)


@given(seed=seeds)
@settings(deadline=None, max_examples=40)
def test_it_takes_the_steps_of_scikit_learn(seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((30, 2))
    y = np.where(x[:, 0] + x[:, 1] ** 2 > 0.4, 1, -1)  # No plane separates these.
    y[:2] = [1, -1]  # Both classes are there.
    ours = Perceptron().fit(x, y, epochs=7)
    theirs = SklearnPerceptron(max_iter=7, tol=None, shuffle=False).fit(x, y)
    np.testing.assert_allclose(ours.weight, theirs.coef_[0], atol=1e-10)
    assert ours.bias == theirs.intercept_[0]


@given(seed=seeds)
@settings(deadline=None, max_examples=40)
def test_separable_classes_are_learnt_within_the_bound_of_novikoff(seed: int) -> None:
    x, y = separable(seed)
    model = Perceptron().fit(x, y, epochs=10_000)
    assert model.mistakes[-1] == 0
    np.testing.assert_array_equal(model.predict(x), y)
    # With the bias as a weight of a constant 1: (R / γ)², for the margin of any separating plane.
    extended = np.column_stack([x, np.ones(len(x))])
    found = np.append(model.weight, model.bias)
    margin = (y * (extended @ found)).min() / np.linalg.norm(found)
    assert sum(model.mistakes) <= (np.linalg.norm(extended, axis=1).max() / margin) ** 2


def test_xor_is_never_learnt() -> None:
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    model = Perceptron().fit(x, np.array([-1, 1, 1, -1]), epochs=200)
    assert len(model.mistakes) == 200
    assert min(model.mistakes) > 0


@pytest.mark.parametrize(
    ("x", "y", "epochs", "message"),
    [
        (np.zeros(3), np.ones(3), 1, r"`x` must have shape \(N, features\)"),
        (np.zeros((3, 2)), np.ones(2), 1, r"`y` must have shape \(3,\), got \(2,\)"),
        (np.zeros((2, 2)), np.array([0, 1]), 1, "`y` must be -1 or 1 everywhere, got 0"),
        (np.zeros((2, 2)), np.array([-1, 1]), 0, r"`epochs` \(=0\) must be at least 1"),
    ],
)
def test_errors_name_argument_and_value(
    x: np.ndarray, y: np.ndarray, epochs: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Perceptron().fit(x, y, epochs=epochs)

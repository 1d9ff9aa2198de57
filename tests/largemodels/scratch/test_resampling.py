"""Resampling balances the classes, and SMOTE stays between neighbours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch.resampling import oversample, smote, undersample

seeds = st.integers(0, 2**32 - 1)


@given(y=st.lists(st.integers(0, 3), min_size=1, max_size=30).map(np.array), seed=seeds)
@settings(deadline=None, max_examples=40)
def test_classes_are_balanced_and_no_example_is_lost(y: np.ndarray, seed: int) -> None:
    counts = np.bincount(y)
    more = oversample(y, np.random.default_rng(seed))
    less = undersample(y, np.random.default_rng(seed))
    assert set(np.bincount(y[more])) <= {0, counts.max()}
    assert set(more.tolist()) == set(range(len(y)))
    assert set(np.bincount(y[less])) <= {0, counts[counts > 0].min()}
    assert len(set(less.tolist())) == len(less)


@given(seed=seeds, n=st.integers(3, 12), data=st.data())
@settings(deadline=None, max_examples=40)
def test_new_examples_lie_between_an_example_and_a_near_one(
    seed: int, n: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, n - 1))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2))
    for new in smote(x, 20, rng, neighbours=k):
        distances = np.linalg.norm(x[:, None] - x, axis=-1)
        on_a_line = [
            (i, j)
            for i in range(n)
            for j in range(n)
            # The two ways together are as long as the straight line.
            if i != j
            and np.linalg.norm(new - x[i]) + np.linalg.norm(new - x[j])
            == pytest.approx(distances[i, j], abs=1e-9)
        ]
        assert any(distances[i, j] <= np.sort(distances[i])[k] + 1e-12 for i, j in on_a_line)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: oversample(np.zeros(0), rng), "`y` is empty"),
        (lambda rng: undersample(np.zeros((2, 2)), rng), r"`y` must have shape \(4,\), got"),
        (lambda rng: smote(np.zeros((1, 2)), 3, rng), r"`x` must have shape \(N, features\), N at"),
        (lambda rng: smote(np.zeros((9, 2)), -1, rng), r"`count` \(=-1\) must be at least 0"),
        (lambda rng: smote(np.zeros((5, 2)), 1, rng), r"`neighbours` \(=5\) must be from 1 to 4"),
    ],
)
def test_errors_name_argument_and_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0))

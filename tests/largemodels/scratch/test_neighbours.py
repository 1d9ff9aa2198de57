"""Neighbours: cosines equal scikit-learn's, predictions equal the formula taken literally."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity as sklearn_cosine

from largemodels.scratch.neighbours import cosine_similarity, predict_from_neighbours

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, n=st.integers(1, 6), features=st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_cosines_equal_scikit_learn(seed: int, n: int, features: int) -> None:
    x = np.random.default_rng(seed).standard_normal((n, features))
    x[0] = 0
    np.testing.assert_allclose(cosine_similarity(x), sklearn_cosine(x), atol=1e-12)


def literally(ratings: np.ndarray, u: int, i: int, k: int) -> float:
    """Return the prediction for one user and item, word by word as the formula has it."""
    overall = np.nanmean(ratings)
    means = np.array([overall if np.isnan(row).all() else np.nanmean(row) for row in ratings])
    centred = np.nan_to_num(ratings - means[:, None])
    near = []
    for v in range(len(ratings)):
        size = np.linalg.norm(centred[u]) * np.linalg.norm(centred[v])
        if v != u and not np.isnan(ratings[v, i]) and size > 0:
            near.append((float(centred[u] @ centred[v] / size), v))
    near = [(s, v) for s, v in sorted(near, reverse=True)[:k] if s > 0]
    if not near:
        return means[u]
    return means[u] + sum(s * centred[v, i] for s, v in near) / sum(s for s, _ in near)


@given(seed=seeds, k=st.integers(1, 4), share=st.sampled_from([0.4, 0.9]))
@settings(deadline=None, max_examples=30)
def test_predictions_equal_the_formula_by_user_and_by_item(seed: int, k: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    ratings = np.where(rng.random((6, 5)) < share, rng.uniform(1, 5, (6, 5)), np.nan)
    ratings[0, 0] = 3
    by_user = predict_from_neighbours(ratings, by="user", neighbours=k)
    by_item = predict_from_neighbours(ratings, by="item", neighbours=k)
    for u in range(6):
        for i in range(5):
            assert by_user[u, i] == pytest.approx(literally(ratings, u, i, k))
            assert by_item[u, i] == pytest.approx(literally(ratings.T, i, u, k))


def test_neighbours_beat_the_means_on_planted_tastes() -> None:
    rng = np.random.default_rng(0)
    taste = rng.choice([-1.0, 1.0], 60)  # Two kinds of users, two kinds of items.
    kind = rng.choice([-1.0, 1.0], 50)
    ratings = 3 + 1.5 * taste[:, None] * kind + 0.3 * rng.standard_normal((60, 50))
    hidden = rng.random(ratings.shape) < 0.3
    known = np.where(hidden, np.nan, ratings)
    means = np.broadcast_to(np.nanmean(known, axis=1, keepdims=True), ratings.shape)
    base = np.sqrt(((means - ratings)[hidden] ** 2).mean())
    for by in ("user", "item"):
        predictions = predict_from_neighbours(known, by=by, neighbours=10)
        assert np.sqrt(((predictions - ratings)[hidden] ** 2).mean()) < base / 3
    assert np.isnan(known[hidden]).all()  # The input is as it was.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratings": np.zeros(3)}, r"`ratings` must have shape \(users, items\), got \(3,\)"),
        ({"ratings": np.full((2, 2), np.nan)}, "`ratings` must hold at least one rating"),
        ({"by": "film"}, r"`by` \(='film'\) must be 'user' or 'item'"),
        ({"neighbours": 0}, r"`neighbours` \(=0\) must be at least 1"),
    ],
)
def test_errors_name_argument_and_value(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict_from_neighbours(
            **({"ratings": np.ones((2, 2)), "by": "user", "neighbours": 1} | change)
        )

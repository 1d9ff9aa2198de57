"""Negative sampling equals PyTorch, and puts words that share their neighbours side by side."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from largemodels.scratch import Adam, BCEWithLogitsLoss
from largemodels.scratch.negative_sampling import SkipGram, draw_negatives, skip_gram_pairs
from largemodels.scratch.neighbours import cosine_similarity


@given(
    n=st.integers(1, 5), k=st.integers(1, 4), size=st.integers(1, 6), seed=st.integers(0, 2**32 - 1)
)
@settings(deadline=None, max_examples=30)
def test_loss_and_gradients_equal_the_papers_in_pytorch(
    n: int, k: int, size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    model = SkipGram(6, 7, size, rng=rng, dtype=np.float64)
    model.candidate.weight.data[...] = rng.standard_normal((7, size))
    rows = np.column_stack([rng.integers(0, 6, n), rng.integers(0, 7, (n, 1 + k))])
    loss, target = BCEWithLogitsLoss(), np.zeros((n, 1 + k))
    target[:, 0] = 1
    value = loss(model(rows), target)
    model.backward(loss.backward())

    v, u = (
        torch.from_numpy(table.weight.data).clone().requires_grad_()
        for table in (model.centre, model.candidate)
    )
    centre, positive, negative = v[rows[:, 0]], u[rows[:, 1]], u[rows[:, 2:]]
    right = functional.logsigmoid((centre * positive).sum(-1))
    wrong = functional.logsigmoid(-(centre[:, None] * negative).sum(-1)).sum(-1)
    expected = -(right + wrong).mean() / (k + 1)
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-10)
    np.testing.assert_allclose(model.centre.weight.grad, v.grad, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(model.candidate.weight.grad, u.grad, rtol=1e-10, atol=1e-10)


@given(
    tokens=st.lists(st.integers(0, 9), max_size=9).map(lambda tokens: np.array(tokens, dtype=int)),
    window=st.integers(1, 4),
)
@settings(deadline=None, max_examples=40)
def test_pairs_are_all_neighbours(tokens: np.ndarray, window: int) -> None:
    expected = [
        (int(tokens[t]), int(tokens[s]))
        for t in range(len(tokens))
        for s in range(len(tokens))
        if 0 < abs(t - s) <= window
    ]
    pairs = skip_gram_pairs(tokens, window)
    assert pairs.shape == (len(expected), 2)
    assert sorted(map(tuple, pairs.tolist())) == sorted(expected)


@pytest.mark.parametrize("power", [0, 0.75, 1])
def test_negatives_are_drawn_by_the_power_of_their_counts(power: float) -> None:
    counts = np.array([1, 0, 100, 10])
    drawn = draw_negatives(counts, (300, 1000), np.random.default_rng(0), power=power)
    assert drawn.shape == (300, 1000)
    weights = np.where(counts > 0, counts.astype(float) ** power, 0)
    shares = np.bincount(drawn.ravel(), minlength=4) / drawn.size
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.003)


def test_words_with_the_same_neighbours_get_similar_vectors() -> None:
    rng = np.random.default_rng(0)
    # 0 and 1 stand before 2, 3 and 4 before 5: the pairs never meet, their neighbours are the same.
    text = np.concatenate([[rng.choice([0, 1]), 2, rng.choice([3, 4]), 5] for _ in range(500)])
    pairs = skip_gram_pairs(text, 1)
    model = SkipGram(6, 6, 8, rng=rng)
    optimizer, loss = Adam(model.parameters(), lr=0.02), BCEWithLogitsLoss()
    counts = np.bincount(text)
    for _ in range(300):
        batch = pairs[rng.integers(len(pairs), size=64)]
        rows = np.column_stack([batch, draw_negatives(counts, (64, 4), rng)])
        target = np.zeros((64, 5), np.float32)
        target[:, 0] = 1
        loss(model(rows), target)
        model.backward(loss.backward())
        optimizer.step()
    similarity = cosine_similarity(model.centre.weight.data)
    assert min(similarity[0, 1], similarity[3, 4]) > 0.9
    assert max(similarity[0, 2], similarity[3, 5]) < 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SkipGram(0, 3, 2), r"`num_centres` \(=0\) must be at least 1"),
        (lambda: SkipGram(3, 0, 2), r"`num_candidates` \(=0\) must be at least 1"),
        (lambda: SkipGram(3, 3, 2)(np.zeros((4, 1), int)), r"`rows` must have shape \(N, 1 \+ J\)"),
        (lambda: skip_gram_pairs(np.zeros((2, 2), int), 1), r"`tokens` must have shape \(T,\)"),
        (lambda: skip_gram_pairs(np.zeros(2, int), 0), r"`window` \(=0\) must be at least 1"),
        (
            lambda: draw_negatives(np.zeros(3), (2,), np.random.default_rng(0)),
            r"`counts` \(=\[0\. 0\. 0\.\]\) must be at least 0, and one of them above 0",
        ),
    ],
)
def test_errors_name_argument_and_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

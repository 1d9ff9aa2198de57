"""The measures equal scikit-learn's where it has them, and a plain count where it does not."""

import math
import re
from collections import Counter

import numpy as np
import pytest
import sacrebleu
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.training.metrics import (
    bleu,
    expected_calibration_error,
    hit_rate_at_k,
    ndcg_at_k,
    perplexity,
    root_mean_squared_error,
)

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def calibration_error_in_words(probabilities, targets, bins):
    total = 0.0
    for number in range(1, bins + 1):
        inside = [
            (row.max(), row.argmax() == target)
            for row, target in zip(probabilities, targets, strict=True)
            if (number - 1) / bins < row.max() <= number / bins
        ]
        if inside:
            confidence, right = np.mean(inside, axis=0)
            total += len(inside) / len(targets) * abs(right - confidence)
    return total


@settings(deadline=None)
@given(rng=seeds, count=st.integers(1, 60), classes=st.integers(2, 6), bins=st.integers(1, 20))
def test_calibration_error_equals_its_definition(rng, count, classes, bins):
    probabilities = rng.dirichlet(np.full(classes, 0.5), size=count)
    targets = rng.integers(classes, size=count)
    expected = calibration_error_in_words(probabilities, targets, bins)
    assert expected_calibration_error(probabilities, targets, bins) == pytest.approx(expected)


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin():
    # In the bins (0.5, 0.75] and (0.75, 1]: in one bin the two errors would cancel in part.
    probabilities = [[0.75, 0.25], [1.0, 0.0]]
    assert expected_calibration_error(probabilities, [0, 1], bins=4) == (0.25 + 1) / 2
    assert expected_calibration_error(probabilities, [0, 1], bins=1) == (1.75 - 1) / 2


def test_calibration_error_at_its_ends():
    assert expected_calibration_error(np.eye(3), [0, 1, 2]) == 0
    assert expected_calibration_error(np.eye(3), [1, 2, 0]) == 1
    assert expected_calibration_error([[0.75, 0.25]] * 4, [0, 0, 0, 1]) == 0


def test_perplexity_is_that_of_the_mean_cross_entropy():
    rng = np.random.default_rng(0)
    logits, targets = torch.tensor(rng.normal(size=(7, 5))), torch.tensor(rng.integers(5, size=7))
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    expected = torch.exp(torch.nn.functional.cross_entropy(logits, targets)).item()
    assert perplexity(losses) == pytest.approx(expected, rel=1e-12)
    assert perplexity(losses.mean().item()) == pytest.approx(expected, rel=1e-12)
    assert perplexity(np.full((2, 3), np.log(65))) == pytest.approx(65)


@settings(deadline=None)
@given(rng=seeds, count=st.integers(1, 50))
def test_root_mean_squared_error_equals_scikit_learn(rng, count):
    ratings = rng.integers(1, 6, size=count)
    predictions = rng.normal(3, 2, size=count)
    expected = sklearn.metrics.root_mean_squared_error(ratings, predictions)
    assert root_mean_squared_error(predictions, ratings) == pytest.approx(expected, rel=1e-12)
    expected = sklearn.metrics.root_mean_squared_error(ratings, np.clip(predictions, 1, 5))
    actual = root_mean_squared_error(predictions, ratings, low=1, high=5)
    assert actual == pytest.approx(expected, rel=1e-12)


@settings(deadline=None)
@given(rng=seeds, rows=st.integers(1, 8), items=st.integers(2, 9), data=st.data())
def test_ndcg_equals_scikit_learn_and_its_definition(rng, rows, items, data):
    k = data.draw(st.integers(1, items))
    scores = rng.normal(size=(rows, items))
    relevance = rng.integers(0, 4, size=(rows, items))
    relevance[0, 0] = 1
    kept = relevance.any(axis=1)
    gains = []
    for score, gain in zip(scores[kept], relevance[kept], strict=True):
        discount = 1 / np.log2(np.arange(2, k + 2))
        best = np.sort(gain)[::-1][:k] @ discount
        gains.append(gain[np.argsort(-score)][:k] @ discount / best)
    actual = ndcg_at_k(scores, relevance, k)
    assert actual == pytest.approx(np.mean(gains))
    assert actual == pytest.approx(sklearn.metrics.ndcg_score(relevance[kept], scores[kept], k=k))
    assert ndcg_at_k(relevance, relevance, k) == pytest.approx(1)


def test_ndcg_leaves_out_users_with_nothing_to_find():
    relevance = np.array([[1, 0, 0], [0, 0, 0]])
    assert ndcg_at_k(relevance, relevance, 2) == 1
    assert sklearn.metrics.ndcg_score(relevance, relevance, k=2) == 0.5


@settings(deadline=None)
@given(rng=seeds, rows=st.integers(1, 8), items=st.integers(3, 9), data=st.data())
def test_hit_rate_equals_scikit_learn(rng, rows, items, data):
    k = data.draw(st.integers(1, items - 1))
    scores, targets = rng.normal(size=(rows, items)), rng.integers(items, size=rows)
    expected = sklearn.metrics.top_k_accuracy_score(targets, scores, k=k, labels=range(items))
    assert hit_rate_at_k(scores, targets, k) == pytest.approx(expected)
    assert hit_rate_at_k(scores, targets, items) == 1


def test_equal_scores_are_no_hit():
    assert hit_rate_at_k(np.zeros((3, 4)), [0, 1, 3], 3) == 0
    assert hit_rate_at_k([[0.0, 1.0, 1.0]], [1], 1) == 0
    assert hit_rate_at_k([[0.0, 1.0, 1.0]], [1], 2) == 1


def test_bleu_clips_the_counts():
    # The 3 "the" of the hypothesis count as the 2 of the reference; lengths 8 and 8.
    hypothesis, reference = "the the cat sat on the mat now", "the cat sat on the mat at last"
    expected = 100 * (6 / 8 * 5 / 7 * 4 / 6 * 3 / 5) ** 0.25
    assert bleu([hypothesis], [[reference]], smooth="none") == pytest.approx(expected)
    # Another reference with "the the" gives 7/8, 6/7, 5/6 and 4/5: the best of each n-gram counts.
    second = "the the cat sat by the mat so"
    expected = 100 * (7 / 8 * 6 / 7 * 5 / 6 * 4 / 5) ** 0.25
    assert bleu([hypothesis], [[reference, second]], smooth="none") == pytest.approx(expected)


def test_bleu_punishes_short_translations_only():
    text = "the cat sat on the mat"
    assert bleu([text], [[text]]) == pytest.approx(100)
    assert bleu(["the cat sat on"], [[text]]) == pytest.approx(100 * math.exp(1 - 6 / 4))
    longer = 100 * (6 / 7 * 5 / 6 * 4 / 5 * 3 / 4) ** 0.25
    assert bleu([text + " now"], [[text]]) == pytest.approx(longer)
    # Of the lengths 4 and 9 the first is closest to 5: no penalty.
    references = ["a b c d", "a b c d e f g h i"]
    assert bleu(["a b c d e"], [references]) == pytest.approx(100)


def test_bleu_is_that_of_the_corpus():
    hypotheses, references = ["a b c d", "a b x y z v"], [["a b c d"], ["a b c d e f"]]
    expected = 100 * (6 / 10 * 4 / 8 * 2 / 6 * 1 / 4) ** 0.25  # Each sum over both sentences.
    assert bleu(hypotheses, references) == pytest.approx(expected)
    assert bleu(hypotheses[1:], references[1:], smooth="none") == 0


def test_bleu_smooths_by_halves():
    # No 3-gram and no 4-gram is right: 1/2 of 1/4, and 1/4 of 1/3.
    expected = 100 * (4 / 6 * 2 / 5 * 1 / (2 * 4) * 1 / (4 * 3)) ** 0.25
    assert bleu(["a b x c d y"], [["a b z c d v"]]) == pytest.approx(expected)


def test_bleu_splits_text_as_told():
    assert bleu(["Hello, world of ours!"], [["Hello , world of ours !"]]) == pytest.approx(100)
    assert bleu(["Hello, world of ours!"], [["Hello , world of ours !"]], tokenize="none") < 30
    assert bleu(["我们喜欢学习"], [["我们喜欢学习"]]) == 0  # One token only.
    assert bleu(["我们喜欢学习"], [["我们喜欢学习"]], tokenize="zh") == pytest.approx(100)


def bleu_in_words(hypotheses, references):
    def grams(tokens, n):
        return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

    matches, totals, length, wanted = [0] * 4, [0] * 4, 0, 0
    for hypothesis, row in zip(hypotheses, references, strict=True):
        tokens, others = hypothesis.split(), [text.split() for text in row]
        length += len(tokens)
        wanted += min(map(len, others), key=lambda size: (abs(size - len(tokens)), size))
        for n in range(1, 5):
            allowed = Counter()
            for other in others:
                allowed |= grams(other, n)
            matches[n - 1] += sum((grams(tokens, n) & allowed).values())
            totals[n - 1] += max(len(tokens) - n + 1, 0)
    if not all(matches):
        return 0
    shares = [match / total for match, total in zip(matches, totals, strict=True)]
    return 100 * min(1, math.exp(1 - wanted / length)) * math.prod(shares) ** 0.25


texts = st.lists(st.sampled_from("abc"), min_size=1, max_size=12).map(" ".join)


@settings(deadline=None)
@given(st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_bleu_equals_its_definition_and_sacrebleu(pairs):
    hypotheses, references = map(list, zip(*pairs, strict=True))
    actual = bleu(hypotheses, references, smooth="none")
    assert actual == pytest.approx(bleu_in_words(hypotheses, references))
    streams = [[row[0] for row in references]]
    expected = sacrebleu.corpus_bleu(hypotheses, streams).score
    assert bleu(hypotheses, [row[:1] for row in references]) == expected


HALF = [[0.5, 0.5]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expected_calibration_error(HALF, [0], 0), "`bins` (=0) must be at least 1."),
        (lambda: expected_calibration_error([0.5], [0]), "`probabilities` (of shape (1,)) must"),
        (lambda: expected_calibration_error(np.zeros((0, 2)), []), "(of shape (0, 2)) must"),
        (lambda: expected_calibration_error(HALF, [0, 1]), "`targets` (of shape (2,)) must have"),
        (lambda: expected_calibration_error(HALF, [2]), "`targets` must be from 0 to 1, got 2."),
        (lambda: expected_calibration_error(HALF, [0.5]), "(of type float64) must be integers"),
        (lambda: expected_calibration_error(HALF * 2, [0, -1]), "0 to 1, got -1."),
        (
            lambda: expected_calibration_error([*HALF, [2.0, 1.0]], [0, 1]),
            "`probabilities[1]` (=[2.0, 1.0]) must be numbers from 0 to 1 with the sum 1.",
        ),
        (lambda: expected_calibration_error([[1.5, -0.5]], [0]), "`probabilities[0]`"),
        (lambda: expected_calibration_error([[np.nan, 1.0]], [0]), "`probabilities[0]`"),
        (lambda: perplexity([]), "`losses` is empty."),
        (lambda: perplexity([1.0, -2.0]), "`losses` must be numbers of at least 0, got -2.0."),
        (lambda: perplexity([np.nan]), "got nan."),
        (lambda: bleu([], []), "`hypotheses` is empty."),
        (lambda: bleu(["a", "b"], [["a"]]), "`references` (of length 1) must have a list for each"),
        (lambda: bleu(["a"], ["a"]), "`references[0]` (='a') must be a list with a text."),
        (lambda: bleu(["a", "b"], [["a"], []]), "`references[1]` (=[]) must be a list"),
        (
            lambda: root_mean_squared_error([[1.0], [2.0]], [1.0, 2.0]),
            "`predictions` (of shape (2, 1)) must have the shape of `ratings`, (2,).",
        ),
        (lambda: root_mean_squared_error([], []), "`ratings` is empty."),
        (
            lambda: root_mean_squared_error([1.0], [0.5], low=1, high=5),
            "`ratings` must be from `low` (=1) to `high` (=5), got 0.5.",
        ),
        (lambda: root_mean_squared_error([1.0], [6.0], high=5), "`high` (=5), got 6.0."),
        (lambda: ndcg_at_k([1.0], [1.0], 1), "`scores` (of shape (1,)) and `relevance`"),
        (lambda: ndcg_at_k(HALF, [[1, 0, 0]], 1), "`relevance` (of shape (1, 3))"),
        (lambda: ndcg_at_k(HALF, [[1, 0]], 0), "`k` (=0) must be from 1 to the number of items, 2"),
        (lambda: ndcg_at_k(HALF, [[1, 0]], 3), "`k` (=3) must be from 1"),
        (lambda: ndcg_at_k(HALF, [[1, -1]], 1), "`relevance` must be at least 0, got -1."),
        (lambda: ndcg_at_k(HALF, [[0, 0]], 1), "`relevance` has no row with a relevant item."),
        (lambda: hit_rate_at_k(HALF, [0, 1], 1), "`targets` (of shape (2,)) must have the shapes"),
        (lambda: hit_rate_at_k(HALF, [0], 3), "`k` (=3) must be from 1"),
        (lambda: hit_rate_at_k(HALF, [2], 1), "`targets` must be from 0 to 1, got 2."),
        (lambda: hit_rate_at_k([[np.nan, 1.0]], [0], 1), "`scores` must be numbers, got NaN."),
    ],
)
def test_a_wrong_argument_is_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()

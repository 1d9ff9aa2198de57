"""Successive halving spends about the same on each round, and keeps the better ones."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from largemodels.scratch.successive_halving import successive_halving


@given(n=st.integers(1, 40), factor=st.integers(2, 4), smallest=st.integers(1, 3))
def test_the_best_of_a_steady_ranking_wins_and_rounds_shrink(
    n: int, factor: int, smallest: int
) -> None:
    asked = []

    def evaluate(candidate: int, resources: int) -> float:
        asked.append((candidate, resources))
        return float((candidate * 7) % 41)

    best, rounds = successive_halving(evaluate, range(n), smallest=smallest, factor=factor)
    assert (best * 7) % 41 == min((candidate * 7) % 41 for candidate in range(n))
    sizes = [len(losses) for losses in rounds]
    assert sizes[0] == n
    assert sizes[-1] == 1
    for before, after in pairwise(rounds):
        assert len(after) == math.ceil(len(before) / factor)
        kept = {candidate for candidate, _ in before[: len(after)]}
        assert {candidate for candidate, _ in after} == kept
    spent = [resources for _, resources in asked]
    assert spent == [smallest * factor**i for i, size in enumerate(sizes) for _ in range(size)]


def test_a_training_that_diverged_is_dropped() -> None:
    best, rounds = successive_halving(
        lambda lr, epochs: math.nan if lr > 1 else lr, [2.0, 0.5, 3.0, 0.7], smallest=1
    )
    assert best == 0.5
    assert [candidate for candidate, _ in rounds[1]] == [0.5, 0.7]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": []}, "`candidates` is empty"),
        ({"smallest": 0}, r"`smallest` \(=0\) must be at least 1"),
        ({"factor": 1}, r"`factor` \(=1\) must be at least 2"),
    ],
)
def test_errors_name_argument_and_value(change: dict, message: str) -> None:
    arguments = {"candidates": [1], "smallest": 1, "factor": 2} | change
    with pytest.raises(ValueError, match=message):
        successive_halving(lambda candidate, resources: 0.0, **arguments)

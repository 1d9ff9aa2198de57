"""Beam search finds what an exhaustive search finds, and what its definition says when narrow."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import beam_search, generate_greedy, log_softmax


def history_model(v: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a model whose logits depend on the whole text."""

    def next_logits(tokens: np.ndarray) -> np.ndarray:
        rows = [np.random.default_rng([seed, *row]).standard_normal(v) for row in tokens.tolist()]
        return 2 * np.array(rows)

    return next_logits


def log_probability(model: Callable, prompt: list[int], new: tuple[int, ...]) -> float:
    text, total = list(prompt), 0.0
    for token in new:
        total += log_softmax(model(np.array([text])))[0, token]
        text.append(token)
    return total


def all_texts(v: int, length: int, end_token: int | None) -> set[tuple[int, ...]]:
    """Return every continuation: cut after its first end token, if it has one."""
    texts = set()
    for text in product(range(v), repeat=length):
        cut = text.index(end_token) + 1 if end_token in text else length
        texts.add(text[:cut])
    return texts


@given(
    v=st.integers(2, 3),
    length=st.integers(1, 4),
    ends=st.booleans(),
    length_penalty=st.sampled_from([0.0, 0.7, 1.0]),
    seed=st.integers(0, 10_000),
)
@settings(deadline=None, max_examples=25)
def test_wide_beams_equal_an_exhaustive_search(
    v: int, length: int, ends: bool, length_penalty: float, seed: int
) -> None:
    model, prompt, end_token = history_model(v, seed), [1, 0], (1 if ends else None)
    texts = all_texts(v, length, end_token)
    beams = beam_search(
        model,
        np.array(prompt),
        length,
        num_beams=len(texts),
        end_token=end_token,
        length_penalty=length_penalty,
    )
    expected = {text: log_probability(model, prompt, text) for text in texts}
    found = {tuple(beam.tokens[2:].tolist()): beam for beam in beams}
    assert found.keys() == expected.keys()
    assert len(beams) == len(texts)
    for text, beam in found.items():
        assert beam.tokens[:2].tolist() == prompt
        assert beam.log_probability == pytest.approx(expected[text], rel=1e-10)
        assert beam.score == pytest.approx(expected[text] / len(text) ** length_penalty, rel=1e-10)
    scores = [beam.score for beam in beams]
    assert scores == sorted(scores, reverse=True)
    if end_token is not None:
        total = sum(np.exp(beam.log_probability) for beam in beams)
        assert total == pytest.approx(1, rel=1e-10)


@pytest.mark.parametrize("seed", range(10))
def test_one_beam_is_greedy(seed: int) -> None:
    model, prompt = history_model(4, seed), np.array([2])
    (beam,) = beam_search(model, prompt, 6, num_beams=1, end_token=3)
    greedy = generate_greedy(model, prompt[None], 6, end_token=3)[0]
    np.testing.assert_array_equal(beam.tokens, greedy)


@pytest.mark.parametrize("seed", range(10))
def test_narrow_beams_keep_the_best_of_each_step(seed: int) -> None:
    model, prompt, width = history_model(4, seed), [2], 3
    beams = beam_search(model, np.array(prompt), 5, num_beams=width)
    texts: list[tuple[int, ...]] = [()]
    for _ in range(5):
        longer = [(*text, token) for text in texts for token in range(4)]
        texts = sorted(longer, key=lambda text: -log_probability(model, prompt, text))[:width]
    assert [tuple(beam.tokens[1:].tolist()) for beam in beams] == texts


# Token 2 ends a text. Greedy takes 0, 0, 0; to end at once is worse, to end after 1 is best.
TRANSITIONS = np.array([[0.4, 0.3, 0.3], [0.04, 0.01, 0.95], [1.0, 0.0, 0.0]])


def chain(tokens: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(TRANSITIONS)[tokens[:, -1]]


def test_a_short_text_keeps_its_place_and_the_length_penalty_moves_it() -> None:
    sums = beam_search(chain, np.array([0]), 3, num_beams=4, end_token=2)
    means = beam_search(chain, np.array([0]), 3, num_beams=4, end_token=2, length_penalty=1.0)
    assert [beam.tokens.tolist() for beam in sums[:2]] == [[0, 2], [0, 1, 2]]
    assert sums[0].log_probability == pytest.approx(np.log(0.3))
    assert sums[1].log_probability == pytest.approx(np.log(0.3 * 0.95))
    assert means[0].tokens.tolist() == [0, 1, 2]
    assert means[0].score == pytest.approx(np.log(0.3 * 0.95) / 2)


def test_a_forbidden_token_makes_no_beam() -> None:
    beams = beam_search(chain, np.array([2]), 1, num_beams=3)
    assert [beam.tokens.tolist() for beam in beams] == [[2, 0]]


def test_the_prompt_stays_untouched_and_may_end_with_the_end_token() -> None:
    prompt = np.array([2])
    prompt.flags.writeable = False
    best, _ = beam_search(chain, prompt, 2, num_beams=2, end_token=2)
    assert best.tokens.tolist() == [2, 0, 0]


def test_texts_that_have_ended_count_as_beams() -> None:
    beams = beam_search(chain, np.array([0]), 4, num_beams=3, end_token=2)
    assert len(beams) == 3


def test_errors_name_argument_and_value() -> None:
    prompt = np.array([0])
    with pytest.raises(ValueError, match=r"`num_beams` \(=0\) must be at least 1"):
        beam_search(chain, prompt, 3, num_beams=0)
    with pytest.raises(ValueError, match=r"`length_penalty` \(=-1\) must be at least 0"):
        beam_search(chain, prompt, 3, num_beams=2, length_penalty=-1)
    with pytest.raises(ValueError, match=r"`max_new_tokens` \(=0\) must be at least 1"):
        beam_search(chain, prompt, 0, num_beams=2)
    with pytest.raises(ValueError, match=r"shape \(T,\), got int64 in \(1, 1\)"):
        beam_search(chain, prompt[None], 3, num_beams=2)
    with pytest.raises(ValueError, match="`logits` must be finite or −∞"):
        beam_search(lambda tokens: np.full((len(tokens), 3), np.nan), prompt, 3, num_beams=2)

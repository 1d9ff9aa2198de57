"""Generation: exact distributions, the limits of the temperature, and the right to refuse."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import (
    generate,
    generate_greedy,
    next_token_probabilities,
    softmax,
    top_k_filter,
    top_p_filter,
)

P = np.array([0.1, 0.4, 0.05, 0.25, 0.2])


def markov(transitions: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a model that looks at the last token only."""
    with np.errstate(divide="ignore"):
        logits = np.log(transitions)
    return lambda tokens: logits[tokens[:, -1]]


def kept(*tokens: int) -> np.ndarray:
    """Return P on some tokens only, made to sum to 1."""
    probabilities = np.zeros_like(P)
    probabilities[list(tokens)] = P[list(tokens)]
    return probabilities / probabilities.sum()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, P),
        ({"top_k": 1}, kept(1)),
        ({"top_k": 2}, kept(1, 3)),
        ({"top_k": 4}, kept(0, 1, 3, 4)),
        ({"top_k": 5}, P),
        ({"top_p": 1e-9}, kept(1)),
        ({"top_p": 0.39}, kept(1)),
        ({"top_p": 0.41}, kept(1, 3)),
        ({"top_p": 0.64}, kept(1, 3)),
        ({"top_p": 0.66}, kept(1, 3, 4)),
        ({"top_p": 0.94}, kept(0, 1, 3, 4)),
        ({"top_p": 0.96}, P),
        ({"top_p": 1}, P),
        ({"temperature": 0.5}, P**2 / (P**2).sum()),
        ({"temperature": 2}, P**0.5 / (P**0.5).sum()),
        # The temperature comes first, then top-k, then top-p of what is left: 0.4 / 0.65 < 0.63.
        ({"top_k": 2, "top_p": 0.61}, kept(1)),
        ({"top_k": 2, "top_p": 0.63}, kept(1, 3)),
        # P² is about 0.59, 0.23, 0.15, 0.04, 0.01.
        ({"temperature": 0.5, "top_p": 0.58}, kept(1)),
        ({"temperature": 0.5, "top_k": 2}, kept(1, 3) ** 2 / (kept(1, 3) ** 2).sum()),
    ],
    ids=str,
)
def test_the_distribution_is_exact(options: dict[str, float], expected: np.ndarray) -> None:
    logits = np.log(P) + 3  # A common shift of all logits changes nothing.
    result = next_token_probabilities(logits, **options)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=0)


def test_equal_logits_stay_in_the_order_of_their_tokens() -> None:
    assert np.isfinite(top_k_filter(np.zeros(4), 2)).tolist() == [True, True, False, False]
    assert np.isfinite(top_p_filter(np.zeros(4), 0.6)).tolist() == [True, True, True, False]


def test_certainty_of_everything_keeps_the_tiniest_probability() -> None:
    logits = np.array([0.0, -50.0, -60.0])
    assert (next_token_probabilities(logits, top_p=1.0) > 0).all()


@given(seed=st.integers(0, 2**32 - 1), v=st.integers(1, 9), k=st.integers(1, 9))
@settings(deadline=None)
def test_filters_work_row_by_row(seed: int, v: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    logits, k, p = rng.standard_normal((2, 3, v)), min(k, v), rng.uniform(0.01, 1)
    by_k, by_p = top_k_filter(logits, k), top_p_filter(logits, p)
    for index in np.ndindex(2, 3):
        np.testing.assert_array_equal(by_k[index], top_k_filter(logits[index], k))
        np.testing.assert_array_equal(by_p[index], top_p_filter(logits[index], p))
    # What stays is unchanged; k tokens stay, and no fewer would have the probability p.
    for filtered in (by_k, by_p):
        stays = np.isfinite(filtered)
        np.testing.assert_array_equal(filtered[stays], logits[stays])
    assert (np.isfinite(by_k).sum(axis=-1) == k).all()
    probabilities = np.where(np.isfinite(by_p), softmax(logits), 0)
    smallest = np.where(probabilities > 0, probabilities, 1).min(axis=-1)
    assert (probabilities.sum(axis=-1) >= p - 1e-12).all()
    assert (probabilities.sum(axis=-1) - smallest < p).all()


@pytest.mark.parametrize("temperature", [1e-3, 1e-9, 1e-320])
def test_the_limit_of_a_low_temperature_is_greedy(temperature: float) -> None:
    rng = np.random.default_rng(0)
    model = markov(softmax(rng.standard_normal((20, 20))))
    prompt = np.array([[3], [7]])
    with np.errstate(all="raise", under="ignore"):
        drawn = generate(model, prompt, 30, temperature=temperature, rng=rng)
    np.testing.assert_array_equal(drawn, generate_greedy(model, prompt, 30))


def test_the_limit_of_a_high_temperature_is_uniform() -> None:
    np.testing.assert_allclose(next_token_probabilities(np.log(P), temperature=1e12), 0.2)


def test_a_forbidden_token_stays_forbidden_at_any_temperature() -> None:
    logits = np.array([0.0, -np.inf, 1.0])
    with np.errstate(all="raise", under="ignore"):
        for temperature in (1e-320, 1.0, 1e300):
            assert next_token_probabilities(logits, temperature=temperature)[1] == 0


def test_draws_follow_the_distribution() -> None:
    model = markov(np.tile(P, (5, 1)))
    tokens = generate(model, np.zeros((4000, 1), int), 5, top_k=4, rng=np.random.default_rng(0))
    share = np.bincount(tokens[:, 1:].ravel(), minlength=5) / 20_000
    np.testing.assert_allclose(share, kept(0, 1, 3, 4), atol=0.012)  # About 4 standard errors.
    assert share[2] == 0


def test_a_seed_repeats_a_text_and_rows_are_independent() -> None:
    model = markov(np.tile(P, (5, 1)))
    prompt = np.zeros((2, 1), int)
    first, again, other = (
        generate(model, prompt, 40, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first[0] != first[1]).any()


def test_greedy_reads_the_whole_text() -> None:
    def next_logits(tokens: np.ndarray) -> np.ndarray:  # The sum of all tokens, modulo 7.
        return np.eye(7)[tokens.sum(axis=1) % 7]

    prompt = np.array([[1, 2], [3, 3]])
    prompt.flags.writeable = False
    result = generate_greedy(next_logits, prompt, 3)
    assert result.tolist() == [[1, 2, 3, 6, 5], [3, 3, 6, 5, 3]]


def test_a_text_that_has_ended_is_filled_up_and_stops_the_rest() -> None:
    model = markov(np.eye(5)[[1, 2, 3, 4, 0]])  # Each token is followed by the next one.
    prompt = np.array([[1], [0], [3]])
    result = generate_greedy(model, prompt, 10, end_token=3)
    # The last text begins with the end token, and goes on until it comes again.
    assert result[:2, :5].tolist() == [[1, 2, 3, 3, 3], [0, 1, 2, 3, 3]]
    assert result[2].tolist() == [3, 4, 0, 1, 2, 3]
    np.testing.assert_array_equal(
        result, generate(model, prompt, 10, end_token=3, rng=np.random.default_rng(0))
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, r"`temperature` \(=0\) must be positive and finite"),
        ({"temperature": -1.0}, r"`temperature` \(=-1.0\) must be positive"),
        ({"temperature": np.nan}, r"`temperature` \(=nan\) must be positive"),
        ({"temperature": np.inf}, r"`temperature` \(=inf\) must be positive and finite"),
        ({"top_k": 0}, r"`top_k` \(=0\) must be from 1 to the number of tokens, 5"),
        ({"top_k": 6}, r"`top_k` \(=6\) must be from 1 to the number of tokens, 5"),
        ({"top_p": 0}, r"`top_p` \(=0\) must be above 0 and at most 1"),
        ({"top_p": 1.5}, r"`top_p` \(=1.5\) must be above 0 and at most 1"),
        ({"top_p": np.nan}, r"`top_p` \(=nan\) must be above 0"),
        ({"max_new_tokens": 0}, r"`max_new_tokens` \(=0\) must be at least 1"),
    ],
    ids=str,
)
def test_errors_name_argument_and_value(options: dict[str, float], message: str) -> None:
    model = markov(np.tile(P, (5, 1)))
    with pytest.raises(ValueError, match=message):
        generate(model, np.zeros((1, 1), int), **({"max_new_tokens": 3} | options))


@pytest.mark.parametrize("write", [generate, generate_greedy])
def test_a_wrong_prompt_and_a_wrong_model_are_errors(write: Callable) -> None:
    prompt, model = np.zeros((2, 1), int), markov(np.tile(P, (5, 1)))
    with pytest.raises(ValueError, match=r"shape \(N, T\), got int64 in \(2,\)"):
        write(model, np.zeros(2, int), 3)
    with pytest.raises(ValueError, match=r"must hold integers .* got float64"):
        write(model, np.zeros((2, 1)), 3)
    with pytest.raises(ValueError, match=r"`next_logits` must return shape \(2, V\) .*\(2, 1, 5\)"):
        write(lambda tokens: np.zeros((2, 1, 5)), prompt, 3)
    with pytest.raises(
        ValueError, match=r"`next_logits` must return shape \(2, V\) .*got \(1, 5\)"
    ):
        write(lambda tokens: np.zeros((1, 5)), prompt, 3)
    for bad in ([np.nan, 0], [np.inf, 0], [-np.inf, -np.inf]):
        with pytest.raises(ValueError, match="`logits` must be finite or −∞"):
            write(lambda tokens, bad=bad: np.array([[0, 0], bad]), prompt, 3)

"""Text generation: from the probabilities of the next token to a text.

A model answers one question: which token comes next? Everything here asks it again and again. The
model is any function `next_logits` from tokens of shape (N, T) to logits of shape (N, V), for
example `lambda tokens: model(tokens)[:, -1]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from largemodels.scratch.activations import softmax

__all__ = [
    "generate",
    "generate_greedy",
    "next_token_probabilities",
    "top_k_filter",
    "top_p_filter",
]

NextLogits = Callable[[np.ndarray], np.ndarray]


def check_logits(logits: np.ndarray) -> None:
    """Raise a `ValueError` unless each row of logits has a softmax."""
    if not np.isfinite(logits.max(axis=-1)).all():
        raise ValueError("`logits` must be finite or −∞, and not all −∞ in one row.")


def check_prompt(tokens: np.ndarray, ndim: int, max_new_tokens: int) -> None:
    """Raise a `ValueError` unless `tokens` can be continued."""
    if tokens.ndim != ndim or not np.issubdtype(tokens.dtype, np.integer):
        shape = ("(T,)", "(N, T)")[ndim - 1]
        raise ValueError(
            f"`tokens` must hold integers in shape {shape}, got {tokens.dtype} in {tokens.shape}."
        )
    if max_new_tokens < 1:
        raise ValueError(f"`max_new_tokens` (={max_new_tokens}) must be at least 1.")


def ask(next_logits: NextLogits, tokens: np.ndarray) -> np.ndarray:
    """Return the model's logits of the next token, (N, T) -> (N, V), after a look at them."""
    logits = next_logits(tokens)
    if logits.ndim != 2 or len(logits) != len(tokens):
        raise ValueError(
            f"`next_logits` must return shape ({len(tokens)}, V) for {len(tokens)} texts, "
            f"got {logits.shape}."
        )
    check_logits(logits)
    return logits


def top_k_filter(logits: np.ndarray, top_k: int) -> np.ndarray:
    """Keep the k largest logits, and set the others to −∞, the logit of probability 0.

    Of equal logits, the one of the smaller token stays first.

    Args:
        logits: the logits of the next token, shape (..., V).
        top_k: the number k of tokens to keep, from 1 to V.

    Raises:
        ValueError: if `top_k` is out of its range.

    Source:
        Fan, Lewis and Dauphin, "Hierarchical neural story generation", ACL 2018, section 5.

    Example:
        >>> top_k_filter(np.array([1.0, 3.0, 2.0]), top_k=2)
        array([-inf,   3.,   2.])

    Taught in: book/algorithms/attention_and_transformers.md
    """
    vocabulary = logits.shape[-1]
    if not 1 <= top_k <= vocabulary:
        raise ValueError(
            f"`top_k` (={top_k}) must be from 1 to the number of tokens, {vocabulary}."
        )
    order = np.argsort(-logits, axis=-1, kind="stable")
    filtered = logits.copy()
    np.put_along_axis(filtered, order[..., top_k:], -np.inf, axis=-1)
    return filtered


def top_p_filter(logits: np.ndarray, top_p: float) -> np.ndarray:
    """Keep the smallest set of tokens whose probabilities sum to at least p, set others to −∞.

    With the tokens from the most to the least probable, token j stays if P₁ + … + Pⱼ₋₁ < p.
    Where the model is sure, few tokens stay; where it is not, many do.

    Args:
        logits: the logits of the next token, shape (..., V).
        top_p: the probability p to keep, above 0 and up to 1.

    Raises:
        ValueError: if `top_p` is out of its range.

    Source:
        Holtzman et al., "The curious case of neural text degeneration", ICLR 2020, equation 2.

    Example:
        >>> logits = np.log([0.1, 0.6, 0.3])
        >>> softmax(top_p_filter(logits, top_p=0.8)).round(3)
        array([0.   , 0.667, 0.333])

    Taught in: book/algorithms/attention_and_transformers.md
    """
    if not 0 < top_p <= 1:
        raise ValueError(f"`top_p` (={top_p}) must be above 0 and at most 1.")
    if top_p == 1:  # Rounding could bring the sum to 1 before the last tokens.
        return logits.copy()
    order = np.argsort(-logits, axis=-1, kind="stable")
    probabilities = np.take_along_axis(softmax(logits.astype(np.float64)), order, axis=-1)
    before = probabilities.cumsum(axis=-1) - probabilities
    kept = np.where(before < top_p, np.take_along_axis(logits, order, axis=-1), -np.inf)
    filtered = np.empty_like(logits)
    np.put_along_axis(filtered, order, kept, axis=-1)
    return filtered


def next_token_probabilities(
    logits: np.ndarray,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> np.ndarray:
    """Turn logits into the probabilities to draw the next token from.

    P = softmax(top_p_filter(top_k_filter(logits / τ)))

    A temperature τ below 1 makes the probable more probable: τ → 0 leaves the largest logit only.
    A temperature above 1 makes all tokens more alike.

    Args:
        logits: the logits of the next token, shape (..., V); −∞ forbids a token.
        temperature: τ, above 0.
        top_k: how many tokens to keep; `None` keeps all.
        top_p: the probability to keep, after `top_k`; `None` keeps all.

    Raises:
        ValueError: if an argument is out of its range, or the logits are NaN, +∞ or all −∞.

    Source:
        Holtzman et al., "The curious case of neural text degeneration", ICLR 2020, section 3.

    Example:
        >>> logits = np.log([0.5, 0.25, 0.25])
        >>> next_token_probabilities(logits, temperature=0.5).round(3)
        array([0.667, 0.167, 0.167])
        >>> next_token_probabilities(logits, top_k=2).round(3)
        array([0.667, 0.333, 0.   ])

    Taught in: book/algorithms/attention_and_transformers.md
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"`temperature` (={temperature}) must be positive and finite.")
    check_logits(logits)
    # The shift cancels in softmax. After it, a tiny temperature can overflow to −∞ only, which is
    # the right limit.
    with np.errstate(over="ignore"):
        logits = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        logits /= temperature
    if top_k is not None:
        logits = top_k_filter(logits, top_k)
    if top_p is not None:
        logits = top_p_filter(logits, top_p)
    return softmax(logits)


def generate(
    next_logits: NextLogits,
    tokens: np.ndarray,
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    end_token: int | None = None,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Continue texts by drawing one token after the other.

    tokenₜ₊₁ ~ P(· | token₁ … tokenₜ), with P from `next_token_probabilities`

    Args:
        next_logits: the model, from tokens (N, T) to the logits (N, V) of the next token.
        tokens: the beginnings of the texts, integers of shape (N, T).
        max_new_tokens: how many tokens to add.
        temperature: τ, above 0.
        top_k: how many tokens to keep at each draw; `None` keeps all.
        top_p: the probability to keep at each draw; `None` keeps all.
        end_token: the token that ends a text. A text that has ended is filled up with it, and
            generation stops when all have ended.
        rng: the random generator of the draws; `None` takes a new one.

    Returns:
        The beginnings and their continuations, shape (N, T + new tokens).

    Raises:
        ValueError: if an argument is out of its range or of a wrong shape.

    Example:
        >>> def next_logits(tokens):  # After token v comes v + 1 or v + 2, modulo 10.
        ...     logits = np.full((len(tokens), 10), -np.inf)
        ...     for step in (1, 2):
        ...         logits[np.arange(len(tokens)), (tokens[:, -1] + step) % 10] = 0
        ...     return logits
        >>> text = generate(next_logits, np.array([[0]]), 10, rng=np.random.default_rng(0))
        >>> text.shape
        (1, 11)
        >>> bool(np.isin(np.diff(text) % 10, [1, 2]).all())
        True

    Taught in: book/algorithms/attention_and_transformers.md
    """
    rng = np.random.default_rng(rng)

    def draw(logits: np.ndarray) -> np.ndarray:
        p = next_token_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
        return rng.multinomial(1, p).argmax(axis=-1)  # one draw of each row, (N, V) -> (N,)

    return _extend(next_logits, tokens, max_new_tokens, draw, end_token)


def generate_greedy(
    next_logits: NextLogits,
    tokens: np.ndarray,
    max_new_tokens: int,
    *,
    end_token: int | None = None,
) -> np.ndarray:
    """Continue texts with the most probable token, one after the other.

    tokenₜ₊₁ = argmax P(· | token₁ … tokenₜ)

    The text as a whole need not be the most probable one: see `beam_search`.

    Args:
        next_logits: the model, from tokens (N, T) to the logits (N, V) of the next token.
        tokens: the beginnings of the texts, integers of shape (N, T).
        max_new_tokens: how many tokens to add.
        end_token: the token that ends a text. A text that has ended is filled up with it, and
            generation stops when all have ended.

    Returns:
        The beginnings and their continuations, shape (N, T + new tokens).

    Raises:
        ValueError: if an argument is out of its range or of a wrong shape.

    Example:
        >>> transitions = np.log([[0.1, 0.6, 0.3], [0.1, 0.1, 0.8], [0.7, 0.2, 0.1]])
        >>> generate_greedy(lambda tokens: transitions[tokens[:, -1]], np.array([[0]]), 5)
        array([[0, 1, 2, 0, 1, 2]])

    Taught in: book/algorithms/attention_and_transformers.md
    """
    return _extend(
        next_logits, tokens, max_new_tokens, lambda logits: logits.argmax(axis=-1), end_token
    )


def _extend(
    next_logits: NextLogits,
    tokens: np.ndarray,
    max_new_tokens: int,
    choose: Callable[[np.ndarray], np.ndarray],
    end_token: int | None,
) -> np.ndarray:
    """Add tokens one by one; `choose` picks them from the logits, (N, V) -> (N,)."""
    check_prompt(tokens, 2, max_new_tokens)
    ended = np.zeros(len(tokens), dtype=bool)
    for _ in range(max_new_tokens):
        chosen = choose(ask(next_logits, tokens))
        if end_token is not None:
            chosen = np.where(ended, end_token, chosen)
            ended |= chosen == end_token
        tokens = np.concatenate([tokens, chosen[:, None]], axis=1)  # (N, T) -> (N, T + 1)
        if ended.all():
            break
    return tokens

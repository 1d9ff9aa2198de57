"""Beam search: look for the most probable text, not for the most probable next token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from largemodels.scratch.activations import log_softmax
from largemodels.scratch.generation import NextLogits, ask, check_prompt

__all__ = ["Beam", "beam_search"]


@dataclass(frozen=True)
class Beam:
    """A text that a beam search has found.

    Attributes:
        tokens: the beginning and the continuation, up to the end token if there is one.
        log_probability: the sum of the new tokens' log-probabilities.
        score: what the search compares, `log_probability` divided by (new tokens)^length_penalty.

    Example:
        >>> def next_logits(tokens):  # Always the same: token 1 is twice as likely as token 0.
        ...     return np.tile(np.log([1.0, 2.0]), (len(tokens), 1))
        >>> (best,) = beam_search(next_logits, np.array([0]), 2, num_beams=1)
        >>> best.tokens, round(best.log_probability, 4)  # 2 log (2/3)
        (array([0, 1, 1]), -0.8109)

    Taught in: book/algorithms/attention_and_transformers.md
    """

    tokens: np.ndarray
    log_probability: float
    score: float


def beam_search(
    next_logits: NextLogits,
    tokens: np.ndarray,
    max_new_tokens: int,
    *,
    num_beams: int,
    end_token: int | None = None,
    length_penalty: float = 0.0,
) -> list[Beam]:
    """Look for the most probable continuation: keep the best few texts at each step.

    score = Σₜ log P(tokenₜ | token₁ … tokenₜ₋₁) / Lᵅ,  L the number of new tokens

    Every text of the last step is extended by every token; the `num_beams` best of all live on. One
    beam is the greedy choice. As many beams as there are texts are an exhaustive search.

    Args:
        next_logits: the model, from tokens (N, T) to the logits (N, V) of the next token.
        tokens: the beginning of the text, integers of shape (T,).
        max_new_tokens: how many tokens to add.
        num_beams: how many texts to keep.
        end_token: the token that ends a text; a text that has ended keeps its place among the
            beams until better ones take it.
        length_penalty: α, at least 0. Each token makes a sum of logarithms smaller, so α = 0
            prefers short texts; α = 1 compares the mean.

    Returns:
        The texts found, at most `num_beams`, the best first.

    Raises:
        ValueError: if an argument is out of its range or of a wrong shape.

    Source:
        Graves, "Sequence transduction with recurrent neural networks", 2012, section 2.5; the
        length penalty: Wu et al., "Google's neural machine translation system", 2016, section 7,
        in the simple form that the transformers library uses.

    Example:
        >>> transitions = np.log([[0.1, 0.6, 0.3], [0.4, 0.3, 0.3], [0.9, 0.05, 0.05]])
        >>> beams = beam_search(lambda t: transitions[t[:, -1]], np.array([0]), 2, num_beams=2)
        >>> for beam in beams:  # Greedy would take 0, 1, 0.
        ...     print(beam.tokens, round(float(np.exp(beam.log_probability)), 2))
        [0 2 0] 0.27
        [0 1 0] 0.24

    Taught in: book/algorithms/attention_and_transformers.md
    """
    check_prompt(tokens, 1, max_new_tokens)
    if num_beams < 1:
        raise ValueError(f"`num_beams` (={num_beams}) must be at least 1.")
    if not length_penalty >= 0:
        raise ValueError(f"`length_penalty` (={length_penalty}) must be at least 0.")

    def has_ended(beam: Beam) -> bool:
        return end_token is not None and beam.tokens[-1] == end_token

    running = [Beam(tokens, 0.0, 0.0)]
    ended: list[Beam] = []
    for length in range(1, max_new_tokens + 1):
        prefixes = np.stack([beam.tokens for beam in running])  # (beams, T)
        logits = ask(next_logits, prefixes).astype(np.float64)  # (beams, V)
        before = np.array([[beam.log_probability] for beam in running])  # (beams, 1)
        total = before + log_softmax(logits)  # (beams, V)
        # All of these texts have the same length, so the order of the sums is that of the scores,
        # and the best `num_beams` of them are enough.
        best = np.argsort(-total, axis=None, kind="stable")[:num_beams]
        extended = []
        for row, token in zip(*np.unravel_index(best, total.shape), strict=True):
            log_probability = float(total[row, token])
            if log_probability > -np.inf:
                score = log_probability / length**length_penalty
                extended.append(Beam(np.append(prefixes[row], token), log_probability, score))
        beams = sorted(ended + extended, key=lambda beam: -beam.score)[:num_beams]
        ended = [beam for beam in beams if has_ended(beam)]
        running = [beam for beam in beams if not has_ended(beam)]
        if not running:
            break
    return beams

"""The choice of the next token in PyTorch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["next_token_probabilities"]


def next_token_probabilities(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """Turn logits into the probabilities to draw the next token from.

    P = softmax(top_p(top_k(logits / τ))): top-k keeps the k largest logits, top-p then the fewest
    tokens whose probabilities sum to at least p; the others get probability 0.

    Equal to `largemodels.scratch.next_token_probabilities`.

    Args:
        logits: the logits of the next token, shape (..., V).
        temperature: τ, above 0.
        top_k: how many tokens to keep; `None` keeps all.
        top_p: the probability to keep; `None` keeps all.

    Raises:
        ValueError: if an argument is out of its range.

    Source:
        Fan, Lewis and Dauphin, "Hierarchical neural story generation", ACL 2018, section 5 (top-k);
        Holtzman et al., "The curious case of neural text degeneration", ICLR 2020, equation 2
        (top-p).

    Example:
        >>> logits = torch.tensor([0.5, 0.25, 0.25]).log()
        >>> next_token_probabilities(logits, temperature=0.5)
        tensor([0.6667, 0.1667, 0.1667])
        >>> next_token_probabilities(logits, top_k=2)
        tensor([0.6667, 0.3333, 0.0000])

    Taught in: book/algorithms/attention_and_transformers.md
    """
    vocabulary = logits.shape[-1]
    if not 0 < temperature < math.inf:
        raise ValueError(f"`temperature` (={temperature}) must be positive and finite.")
    if top_k is not None and not 1 <= top_k <= vocabulary:
        raise ValueError(
            f"`top_k` (={top_k}) must be from 1 to the number of tokens, {vocabulary}."
        )
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"`top_p` (={top_p}) must be above 0 and at most 1.")
    # The shift cancels in softmax; after it, a tiny temperature can overflow to −∞ only.
    shifted = (logits - logits.amax(dim=-1, keepdim=True)) / temperature
    # Of equal logits, the one of the smaller token stays first.
    largest, order = shifted.sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        largest[..., top_k:] = -math.inf
    p = largest.softmax(dim=-1)
    if top_p is not None and top_p < 1:  # Rounding could bring the sum to 1 before the last token.
        p = p.where(p.cumsum(dim=-1) - p < top_p, 0)
        p = p / p.sum(dim=-1, keepdim=True)
    return torch.empty_like(p).scatter(-1, order, p)

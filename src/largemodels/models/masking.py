"""Masks for training on text without labels: hide some tokens, and predict them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["IGNORED", "mask_tokens"]

# The target of a token that is not to be predicted: the default `ignore_index` of PyTorch's
# `CrossEntropyLoss`, and to be given as `ignore_class` to Keras's `SparseCategoricalCrossentropy`.
IGNORED = -100


def mask_tokens(
    tokens: np.ndarray,
    mask_token: int,
    num_embeddings: int,
    *,
    special_tokens: Sequence[int] = (),
    share: float = 0.15,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Hide some tokens of each text, as BERT's masked language modelling does.

    Each token is chosen with probability `share`. Of the chosen ones, 80 % become the mask token,
    10 % a random token, and 10 % stay as they are; all chosen ones are to be predicted.

    In use, there are no mask tokens. The 20 % without one teach the model to say something about
    every token, not only about masks.

    The paper chooses 15 % of the positions; here each position is chosen by its own draw, so their
    number varies from text to text. Draw anew in each epoch.

    Args:
        tokens: the texts, integers of any shape.
        mask_token: the token that hides others.
        num_embeddings: the number of different tokens.
        special_tokens: tokens that are never chosen and never drawn, for example padding; the mask
            token is one of them in any case.
        share: the probability to be chosen, above 0 and up to 1.
        rng: the random generator; `None` takes a new one.

    Returns:
        The texts to read, and the targets: the token where it was chosen, `IGNORED` elsewhere.

    Raises:
        ValueError: if an argument is out of its range, or all tokens are special.

    Source:
        Devlin, Chang, Lee and Toutanova, "BERT: Pre-training of deep bidirectional transformers for
        language understanding", NAACL 2019, section 3.1, task 1.

    Example:
        >>> tokens = np.array([[5, 6, 7, 8, 0, 0]])  # 0 fills up, 1 is the mask.
        >>> inputs, targets = mask_tokens(
        ...     tokens, 1, 9, special_tokens=[0], share=0.5, rng=np.random.default_rng(2)
        ... )
        >>> inputs
        array([[1, 1, 7, 1, 0, 0]])
        >>> targets
        array([[   5,    6, -100,    8, -100, -100]])

    Taught in: book/case_studies/bert.md
    """
    if not 0 < share <= 1:
        raise ValueError(f"`share` (={share}) must be above 0 and at most 1.")
    if not 0 <= mask_token < num_embeddings:
        raise ValueError(
            f"`mask_token` (={mask_token}) must be from 0 to `num_embeddings` − 1 "
            f"(={num_embeddings - 1})."
        )
    special = [*special_tokens, mask_token]
    ordinary = np.setdiff1d(np.arange(num_embeddings), special)
    if len(ordinary) == 0:
        raise ValueError(f"`special_tokens` (={special_tokens}) must leave some tokens to predict.")
    rng = np.random.default_rng(rng)
    chosen = (rng.random(tokens.shape) < share) & ~np.isin(tokens, special)
    action = rng.random(tokens.shape)
    inputs = np.where(chosen & (action < 0.8), mask_token, tokens)
    drawn = rng.choice(ordinary, tokens.shape)
    inputs = np.where(chosen & (action >= 0.8) & (action < 0.9), drawn, inputs)
    return inputs, np.where(chosen, tokens, IGNORED)

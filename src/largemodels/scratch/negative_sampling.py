"""Negative sampling: learn vectors of words, or of users and items, from what occurs together."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.embedding import Embedding
from largemodels.scratch.layer import Layer, check_shape

__all__ = ["SkipGram", "draw_negatives", "skip_gram_pairs"]


class SkipGram(Layer):
    """Score how well candidates fit to a centre: a true neighbour and a few random words.

    forward:   zₙⱼ = u[candidateₙⱼ] · v[centreₙ]
    backward:  ∂L/∂v[c] = Σ ∂L/∂zₙⱼ u[candidateₙⱼ] over all n with centreₙ = c
               ∂L/∂u[w] = Σ ∂L/∂zₙⱼ v[centreₙ] over all n and j with candidateₙⱼ = w

    With the neighbour in the first place and k random words after it, `BCEWithLogitsLoss` with the
    target (1, 0, …, 0) is the paper's −log σ(u · v) − Σ log σ(−u · v), divided by k + 1. A softmax
    over the whole vocabulary would need all V scores for each step; this needs k + 1.

    The centre may as well be a user and the candidates items: one that the user chose, and others.

    Args:
        num_centres: the number of different centres.
        num_candidates: the number of different candidates; for words the same.
        embedding_dim: the size D of a vector.
        rng: the random generator of the initial vectors v; the u start at zero. `None` takes a new
            one.
        dtype: the type of the parameters.

    Attributes:
        centre: the rows v, an `Embedding` of shape (num_centres, D).
        candidate: the rows u, an `Embedding` of shape (num_candidates, D).

    Shape:
        (N, 1 + J), integers: a centre, then its J candidates -> (N, J), logits

    Raises:
        ValueError: if a size is below 1, the input is not of integers in range, or a shape is
            wrong.

    Source:
        Mikolov, Sutskever, Chen, Corrado and Dean, "Distributed representations of words and
        phrases and their compositionality", NeurIPS 2013, equation 4.

    Example:
        >>> from largemodels.scratch import BCEWithLogitsLoss
        >>> model = SkipGram(3, 3, 2)
        >>> model.centre.weight.data[...] = [[1, 0], [0, 1], [1, 1]]
        >>> model.candidate.weight.data[...] = [[2, 0], [0, -3], [0, 0]]
        >>> logits = model(np.array([[0, 0, 1], [2, 0, 1]]))
        >>> logits
        array([[ 2.,  0.],
               [ 2., -3.]], dtype=float32)
        >>> loss = BCEWithLogitsLoss()
        >>> round(loss(logits, np.array([[1.0, 0.0], [1.0, 0.0]])), 4)
        0.2489
        >>> model.backward(loss.backward())

    Taught in: book/algorithms/embeddings_and_factorization.md
    """

    def __init__(
        self,
        num_centres: int,
        num_candidates: int,
        embedding_dim: int,
        *,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        sizes = {"num_centres": num_centres, "num_candidates": num_candidates}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"`{name}` (={size}) must be at least 1.")
        rng = np.random.default_rng(rng)
        self.centre = Embedding(num_centres, embedding_dim, rng=rng, dtype=dtype)
        self.candidate = Embedding(num_candidates, embedding_dim, rng=rng, dtype=dtype)
        # As in word2vec: small vectors, and scores of 0 at the start.
        self.centre.weight.data /= embedding_dim
        self.candidate.weight.data[...] = 0

    def forward(self, rows: np.ndarray) -> np.ndarray:
        """Return the scores z of the candidates of each row, (N, 1 + J) -> (N, J)."""
        if rows.ndim != 2 or rows.shape[1] < 2:
            raise ValueError(f"`rows` must have shape (N, 1 + J), J at least 1, got {rows.shape}.")
        v = self.centre(rows[:, 0])  # (N,) -> (N, D)
        u = self.candidate(rows[:, 1:])  # (N, J) -> (N, J, D)
        self.saved = v, u
        return np.einsum("nd,njd->nj", v, u)

    def backward(self, grad_output: np.ndarray) -> None:
        """Set all gradients from `grad_output` = ∂L/∂z; centres and candidates have none."""
        v, u = self.saved
        check_shape("grad_output", grad_output, u.shape[:2])
        self.centre.backward(np.einsum("nj,njd->nd", grad_output, u))
        self.candidate.backward(grad_output[..., None] * v[:, None, :])  # (N, J, D)


def skip_gram_pairs(tokens: np.ndarray, window: int) -> np.ndarray:
    """Return each token with each of its neighbours in a text.

    (tokenₜ, tokenₛ) for all t and s with 0 < |t − s| ≤ window

    Args:
        tokens: the text, integers, shape (T,).
        window: how many tokens to each side are neighbours.

    Shape:
        (T,) -> (pairs, 2)

    Raises:
        ValueError: if `tokens` has not one axis, or `window` is below 1.

    Source:
        Mikolov, Sutskever, Chen, Corrado and Dean, "Distributed representations of words and
        phrases and their compositionality", NeurIPS 2013, equation 1.

    Example:
        >>> skip_gram_pairs(np.array([7, 8, 9]), window=1).tolist()
        [[7, 8], [8, 9], [8, 7], [9, 8]]

    Taught in: book/algorithms/embeddings_and_factorization.md
    """
    if tokens.ndim != 1:
        raise ValueError(f"`tokens` must have shape (T,), got {tokens.shape}.")
    if window < 1:
        raise ValueError(f"`window` (={window}) must be at least 1.")
    forward = [
        np.stack([tokens[:-distance], tokens[distance:]], axis=1)
        for distance in range(1, min(window, len(tokens) - 1) + 1)
    ]
    if not forward:
        return np.zeros((0, 2), tokens.dtype)
    pairs = np.concatenate(forward)
    return np.concatenate([pairs, pairs[:, ::-1]])


def draw_negatives(
    counts: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator, *, power: float = 0.75
) -> np.ndarray:
    """Draw random tokens, frequent ones more often, but less so than they occur.

    P(token) = count^α / Σ count^α

    A true neighbour may be among them, as in word2vec: with a large vocabulary that is rare.

    Args:
        counts: how often each token occurs, shape (V,).
        shape: how many tokens to draw, such as (N, k).
        rng: the random generator.
        power: α: 1 draws as in the text, 0 each token equally often.

    Raises:
        ValueError: if a count is negative, or all are 0.

    Source:
        Mikolov, Sutskever, Chen, Corrado and Dean, "Distributed representations of words and
        phrases and their compositionality", NeurIPS 2013, section 2.2.

    Example:
        >>> counts = np.array([81, 0, 1])  # 27 : 0 : 1
        >>> np.bincount(draw_negatives(counts, (28_000,), np.random.default_rng(0))).round(-3)
        array([27000,     0,  1000])

    Taught in: book/algorithms/embeddings_and_factorization.md
    """
    if counts.ndim != 1 or not (counts >= 0).all() or not counts.any():
        raise ValueError(f"`counts` (={counts}) must be at least 0, and one of them above 0.")
    # 0⁰ is 1, but what never occurs is never drawn.
    weights = np.where(counts > 0, counts.astype(np.float64) ** power, 0)
    return rng.choice(len(counts), size=shape, p=weights / weights.sum())

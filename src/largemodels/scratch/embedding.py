"""The embedding: a table with one learned row for each token."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.layer import Layer, Parameter, check_shape

__all__ = ["Embedding"]


class Embedding(Layer):
    """Look up the row of each token.

    forward:   yₙ = W[tokenₙ]
    backward:  ∂L/∂W[v] = Σ ∂L/∂yₙ over all n with tokenₙ = v

    A product of one-hot rows with W gives the same numbers, and multiplies mostly zeros.

    Args:
        num_embeddings: the number V of different tokens.
        embedding_dim: the size D of a row.
        padding_idx: a token that only fills up: its row starts at zero and its gradient is zero.
        rng: the random generator of the initial weight, N(0, 1); `None` takes a new one.
        dtype: the type of the weight.

    Attributes:
        weight: W, shape (V, D).

    Shape:
        (...), integers from 0 to V − 1 -> (..., D)

    Raises:
        ValueError: if a size is below 1, `padding_idx` is no token, the tokens are no integers
            from 0 to V − 1, or a gradient has a wrong shape.

    Example:
        >>> layer = Embedding(3, 2)
        >>> layer.weight.data[...] = [[1, 2], [3, 4], [5, 6]]
        >>> layer(np.array([[2, 0, 2]]))
        array([[[5., 6.],
                [1., 2.],
                [5., 6.]]], dtype=float32)
        >>> layer.backward(np.array([[[1, 0], [0, 1], [10, 0]]], dtype=np.float32))
        >>> layer.weight.grad  # Token 2 occurs twice: its gradients add up.
        array([[ 0.,  1.],
               [ 0.,  0.],
               [11.,  0.]], dtype=float32)

    Taught in: book/algorithms/embeddings_and_factorization.md
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        padding_idx: int | None = None,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if num_embeddings < 1:
            raise ValueError(f"`num_embeddings` (={num_embeddings}) must be at least 1.")
        if embedding_dim < 1:
            raise ValueError(f"`embedding_dim` (={embedding_dim}) must be at least 1.")
        if padding_idx is not None and not 0 <= padding_idx < num_embeddings:
            raise ValueError(
                f"`padding_idx` (={padding_idx}) must be from 0 to {num_embeddings - 1}."
            )
        rng = np.random.default_rng(rng)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.weight = Parameter(rng.standard_normal((num_embeddings, embedding_dim)).astype(dtype))
        if padding_idx is not None:
            self.weight.data[padding_idx] = 0

    def forward(self, tokens: np.ndarray) -> np.ndarray:
        """Return the rows of `tokens`, integers of any shape: (...) -> (..., D)."""
        if not np.issubdtype(tokens.dtype, np.integer):
            raise ValueError(f"`tokens` must hold integers, got {tokens.dtype}.")
        # NumPy would count a negative token from the end of the table.
        if tokens.size > 0 and not (tokens.min() >= 0 and tokens.max() < self.num_embeddings):
            raise ValueError(
                f"`tokens` must be from 0 to {self.num_embeddings - 1}, "
                f"got {tokens.min()} to {tokens.max()}."
            )
        self.saved = tokens
        return self.weight.data[tokens]  # (V, D), (...) -> (..., D)

    def backward(self, grad_output: np.ndarray) -> None:
        """Set the gradient of W from `grad_output` = ∂L/∂y; tokens have no gradient."""
        tokens = self.saved
        check_shape("grad_output", grad_output, (*tokens.shape, self.embedding_dim))
        grad = np.zeros_like(self.weight.data)
        if tokens.size > 0:
            # np.add.at(grad, tokens, grad_output) says the same and takes up to ten times as long.
            # Here equal tokens come to stand side by side, and each run of them is summed up.
            order = np.argsort(tokens, axis=None, kind="stable")
            found, starts = np.unique(tokens.ravel()[order], return_index=True)
            rows = grad_output.reshape(-1, self.embedding_dim)[order]  # (..., D) -> (N, D)
            grad[found] = np.add.reduceat(rows, starts, axis=0)
        if self.padding_idx is not None:
            grad[self.padding_idx] = 0
        self.weight.grad = grad

    def extra_repr(self) -> str:
        """Return the sizes, as PyTorch prints them."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"

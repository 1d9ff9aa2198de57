"""Networks that read a text: one predicts the next character, one names its class."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.embedding import Embedding
from largemodels.scratch.layer import Layer, check_shape
from largemodels.scratch.linear import Linear
from largemodels.scratch.lstm import LSTM
from largemodels.scratch.recurrent import RecurrentLayer

__all__ = ["CharRNN", "LSTMClassifier"]

State = np.ndarray | tuple[np.ndarray, np.ndarray]


class CharRNN(Layer):
    """A character model: from each prefix of a text, predict the next character.

    eₜ = E[tokenₜ],  hₜ = recurrent(eₜ, hₜ₋₁),  logitsₜ = W hₜ + b

    Args:
        num_embeddings: the number V of different characters.
        embedding_dim: the size D of a character's row in the table E.
        hidden_size: the size H of the recurrent state.
        recurrent: the class of the recurrent layer: `RNN`, `LSTM` or `GRU`.
        rng: the random generator of the initial parameters; `None` takes a new one.
        dtype: the type of the parameters.

    Attributes:
        state: the state after the last step of the last forward pass; `None` before the first. To
            read on where that pass ended, give it to the next one: the gradient does not go back
            further than this (truncated back-propagation through time).

    Shape:
        (N, T), integers from 0 to V − 1 -> (N, T, V), logits

    Raises:
        ValueError: if a size is below 1, or an input, a state or a gradient has a wrong shape.

    Source:
        Karpathy, Johnson and Fei-Fei, "Visualizing and understanding recurrent networks",
        ICLR workshop 2016, section 3.

    Example:
        >>> from largemodels.scratch import CrossEntropyLoss
        >>> text = np.array([[0, 1, 2, 0, 1, 2, 0]])
        >>> model = CharRNN(3, 4, 8, rng=np.random.default_rng(0))
        >>> loss = CrossEntropyLoss(class_axis=-1)
        >>> logits = model(text[:, :-1])
        >>> logits.shape
        (1, 6, 3)
        >>> value = loss(logits, text[:, 1:])
        >>> model.backward(loss.backward())

    Taught in: book/algorithms/recurrent_networks.md
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        hidden_size: int,
        *,
        recurrent: type[RecurrentLayer] = LSTM,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.embedding = Embedding(num_embeddings, embedding_dim, rng=rng, dtype=dtype)
        self.recurrent = recurrent(embedding_dim, hidden_size, rng=rng, dtype=dtype)
        self.linear = Linear(
            hidden_size, num_embeddings, rng=rng, initializer="xavier_normal", dtype=dtype
        )
        self.state: State | None = None

    def forward(self, tokens: np.ndarray, state: State | None = None) -> np.ndarray:
        """Return the logits of each next character.

        Args:
            tokens: the characters as integers, shape (N, T).
            state: the state before the first character, as `recurrent` takes it; `None` is zeros.

        Returns:
            For each step, the logits of the character after it, shape (N, T, V).
        """
        _check_tokens(tokens)
        h, self.state = self.recurrent(self.embedding(tokens), state)
        logits = self.linear(h.reshape(-1, h.shape[-1]))  # (N, T, H) -> (N T, H) -> (N T, V)
        logits = logits.reshape(*tokens.shape, -1)  # (N T, V) -> (N, T, V)
        self.saved = logits.shape
        return logits

    def backward(self, grad_output: np.ndarray) -> None:
        """Set all gradients from `grad_output` = ∂L/∂logits; characters have no gradient."""
        n, steps, v = self.saved
        check_shape("grad_output", grad_output, (n, steps, v))
        grad_h = self.linear.backward(grad_output.reshape(n * steps, v))  # (N, T, V) -> (N T, H)
        grad_embedded, _ = self.recurrent.backward(grad_h.reshape(n, steps, -1))
        self.embedding.backward(grad_embedded)


class LSTMClassifier(Layer):
    """A text classifier: read the whole text, then decide from the last state.

    eₜ = E[tokenₜ],  hₜ = LSTM(eₜ, hₜ₋₁),  logits = W h_T + b,  T the last step that is no padding

    A batch holds texts of different lengths, filled up at the end with `padding_idx`. Each text has
    its own last step, so padding changes nothing.

    Args:
        num_embeddings: the number V of different tokens.
        embedding_dim: the size D of a token's row in the table E.
        hidden_size: the size H of the state.
        num_classes: the number C of classes.
        padding_idx: the token that fills up short texts; `None` if all texts are equally long.
        rng: the random generator of the initial parameters; `None` takes a new one.
        dtype: the type of the parameters.

    Shape:
        (N, T), integers from 0 to V − 1 -> (N, C), logits

    Raises:
        ValueError: if a size is below 1, an input or a gradient has a wrong shape, or a text is
            nothing but padding.

    Example:
        >>> model = LSTMClassifier(100, 8, 16, num_classes=2, padding_idx=0)
        >>> logits = model(np.array([[7, 42, 9, 0, 0], [7, 42, 9, 13, 2]]))
        >>> logits.shape
        (2, 2)
        >>> np.allclose(logits[:1], model(np.array([[7, 42, 9]])))  # Padding changes nothing.
        True

    Taught in: book/algorithms/recurrent_networks.md
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        hidden_size: int,
        num_classes: int,
        *,
        padding_idx: int | None = None,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.embedding = Embedding(
            num_embeddings, embedding_dim, padding_idx=padding_idx, rng=rng, dtype=dtype
        )
        self.recurrent = LSTM(embedding_dim, hidden_size, rng=rng, dtype=dtype)
        self.linear = Linear(
            hidden_size, num_classes, rng=rng, initializer="xavier_normal", dtype=dtype
        )

    def forward(self, tokens: np.ndarray) -> np.ndarray:
        """Return the logits of the classes, (N, T) -> (N, C)."""
        _check_tokens(tokens)
        last = self._last_steps(tokens)
        h, _ = self.recurrent(self.embedding(tokens))
        self.saved = h.shape, last
        return self.linear(h[np.arange(len(h)), last])  # (N, T, H) -> (N, H) -> (N, C)

    def backward(self, grad_output: np.ndarray) -> None:
        """Set all gradients from `grad_output` = ∂L/∂logits; tokens have no gradient."""
        shape, last = self.saved
        grad_last = self.linear.backward(grad_output)  # (N, C) -> (N, H)
        grad_h = np.zeros(shape, grad_last.dtype)
        grad_h[np.arange(len(last)), last] = grad_last  # (N, H) -> (N, T, H)
        grad_embedded, _ = self.recurrent.backward(grad_h)
        self.embedding.backward(grad_embedded)

    def _last_steps(self, tokens: np.ndarray) -> np.ndarray:
        """Return the index of each row's last token that is no padding, (N, T) -> (N,)."""
        n, steps = tokens.shape
        if self.embedding.padding_idx is None:
            return np.full(n, steps - 1)
        is_text = tokens != self.embedding.padding_idx
        empty = np.flatnonzero(~is_text.any(axis=1))
        if len(empty) > 0:
            raise ValueError(f"`tokens` holds nothing but padding in row {empty[0]}.")
        return steps - 1 - is_text[:, ::-1].argmax(axis=1)


def _check_tokens(tokens: np.ndarray) -> None:
    if tokens.ndim != 2 or tokens.shape[1] == 0:
        raise ValueError(f"`tokens` must have shape (N, T) with T at least 1, got {tokens.shape}.")

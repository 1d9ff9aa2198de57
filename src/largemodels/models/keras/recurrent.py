"""Recurrent networks in Keras: one names the class of a text, one turns a text into another."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

__all__ = ["LSTMClassifier", "Seq2Seq"]

POOLINGS = ("last", "mean")


@keras.saving.register_keras_serializable(package="largemodels")
class LSTMClassifier(keras.Model):
    """A text classifier: read the whole text, then decide from the states of the LSTM.

    eₜ = E[tokenₜ],  hₜ = LSTM(eₜ, hₜ₋₁),  logits = p W + b,  p = h_T or p = Σₜ hₜ / T,
    T the last step that is no padding

    A batch holds texts of different lengths, filled up at the end with `padding_idx`. A state knows
    only the tokens up to its step, and p takes no state of the padding: padding changes nothing.
    Keras's own way, `mask_zero=True`, gives the same numbers for padding with 0.

    Keras does not look at the numbers while it builds a graph, so a text that is nothing but
    padding is no error: it counts as one token of padding.

    Args:
        num_embeddings: the number V of different tokens.
        embedding_dim: the size D of a token's row in the table E.
        hidden_size: the size H of the state.
        num_classes: the number C of classes.
        padding_idx: the token that fills up short texts; `None` if all texts are equally long.
        pooling: p, the "last" state or the "mean" of all states. The mean of a long text learns
            faster: its gradient reaches each step without passing all later ones.
        dropout: the probability with which each number of e and of p is set to zero in training.
        name: the name of the model.

    Shape:
        (N, T), integers -> (N, C), logits

    Raises:
        ValueError: if a size is below 1, or `pooling` is unknown.

    Source:
        Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.

    Example:
        >>> model = LSTMClassifier(100, 8, 16, num_classes=2, padding_idx=0)
        >>> tuple(model(ops.array([[7, 42, 9, 0, 0], [7, 42, 9, 13, 2]])).shape)
        (2, 2)
        >>> model.count_params()  # 64 fewer than in PyTorch, whose LSTM has two biases.
        2434

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
        pooling: str = "last",
        dropout: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        sizes = {
            "num_embeddings": num_embeddings,
            "embedding_dim": embedding_dim,
            "hidden_size": hidden_size,
            "num_classes": num_classes,
        }
        _check_sizes(**sizes)
        if pooling not in POOLINGS:
            raise ValueError(f"`pooling` (={pooling!r}) must be one of: {', '.join(POOLINGS)}.")
        self.settings: dict[str, Any] = {
            **sizes,
            "padding_idx": padding_idx,
            "pooling": pooling,
            "dropout": dropout,
        }
        self.embedding = _embedding(num_embeddings, embedding_dim)
        self.recurrent = layers.LSTM(
            hidden_size,
            return_sequences=True,
            unit_forget_bias=False,
            # One bias with the variance of PyTorch's two together.
            bias_initializer=_uniform(math.sqrt(2 / hidden_size)),
            **_recurrent_initializers(hidden_size),
        )
        self.linear = _dense(num_classes)
        self.dropout = layers.Dropout(dropout)
        self.build((None, None))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of all layers."""
        self.embedding.build(input_shape)
        self.recurrent.build((None, None, self.settings["embedding_dim"]))
        self.linear.build((None, self.settings["hidden_size"]))

    def call(self, tokens: Any, training: bool | None = None) -> Any:
        """Return the logits of the classes, (N, T) -> (N, C)."""
        lengths = _lengths(tokens, self.settings["padding_idx"])
        embedded = self.dropout(self.embedding(tokens), training=training)
        h = self.recurrent(embedded, training=training)  # (N, T, H)
        pooled = _last(h, lengths) if self.settings["pooling"] == "last" else _mean(h, lengths)
        return self.linear(self.dropout(pooled, training=training))  # (N, H) -> (N, C)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the model, so that Keras can save it."""
        return {**self.settings, "name": self.name}


@keras.saving.register_keras_serializable(package="largemodels")
class Seq2Seq(keras.Model):
    """An encoder and a decoder: read one text, then write another and look back while writing.

    encoder:    hₛ = GRU(E_source[sourceₛ], hₛ₋₁)
    decoder:    dₜ = GRU(E_target[targetₜ], dₜ₋₁),  d₀ = the encoder's last state
    attention:  aₜₛ = exp(dₜ · hₛ) / Σₖ exp(dₜ · hₖ),  cₜ = Σₛ aₜₛ hₛ
    output:     logitsₜ = tanh([cₜ; dₜ] W_c + b_c) W + b,  of the token after targetₜ

    Without attention, d₀ alone would have to hold the whole source. In training, the decoder reads
    the right target, not its own guesses (teacher forcing): all steps at once. `generate` writes
    token by token.

    Sources of different lengths are filled up at the end with `padding_idx`. No state and no
    attention weight of the padding counts, so padding changes nothing. Filling up targets is safe
    too, since the decoder does not look ahead; the loss must leave those steps out:
    `keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=padding_idx)`.

    Keras does not look at the numbers while it builds a graph, so a source that is nothing but
    padding is no error: it counts as one token of padding.

    Args:
        source_tokens: the number of different tokens of the source.
        target_tokens: the number V of different tokens of the target.
        embedding_dim: the size D of a token's row in the tables E.
        hidden_size: the size H of both states.
        padding_idx: the token that fills up short sources and targets.
        name: the name of the model.

    Shape:
        source (N, S), target (N, T), integers -> logits (N, T, V), attention weights (N, T, S)

    Raises:
        ValueError: if a size is below 1, or `padding_idx` is no token.

    Source:
        Sutskever, Vinyals and Le, "Sequence to sequence learning with neural networks", NeurIPS
        2014; Luong, Pham and Manning, "Effective approaches to attention-based neural machine
        translation", EMNLP 2015, equations 5 to 8 with the score "dot". The first attention, with
        another score: Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to
        align and translate", ICLR 2015.

    Example:
        >>> model = Seq2Seq(10, 12, 8, 16)
        >>> source, target = ops.array([[3, 4, 5], [6, 7, 0]]), ops.array([[1, 5], [1, 7]])
        >>> logits, attention_weights = model([source, target])
        >>> tuple(logits.shape), tuple(attention_weights.shape)
        ((2, 2, 12), (2, 2, 3))
        >>> ops.convert_to_numpy(attention_weights)[1, :, 2]  # No weight on the padding.
        array([0., 0.], dtype=float32)
        >>> tokens, _ = model.generate(source, start_token=1, max_new_tokens=4)
        >>> tuple(tokens.shape)
        (2, 4)

    Taught in: book/algorithms/recurrent_networks.md
    """

    def __init__(
        self,
        source_tokens: int,
        target_tokens: int,
        embedding_dim: int,
        hidden_size: int,
        *,
        padding_idx: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        sizes = {
            "source_tokens": source_tokens,
            "target_tokens": target_tokens,
            "embedding_dim": embedding_dim,
            "hidden_size": hidden_size,
        }
        _check_sizes(**sizes)
        if not 0 <= padding_idx < min(source_tokens, target_tokens):
            raise ValueError(
                f"`padding_idx` (={padding_idx}) must be a token of source and target, from 0 to "
                f"{min(source_tokens, target_tokens) - 1}."
            )
        self.settings: dict[str, Any] = {**sizes, "padding_idx": padding_idx}
        self.padding_idx = padding_idx
        self.source_embedding = _embedding(source_tokens, embedding_dim)
        self.encoder = _gru(hidden_size)
        self.target_embedding = _embedding(target_tokens, embedding_dim)
        self.decoder = _gru(hidden_size)
        self.combine = _dense(hidden_size)
        self.linear = _dense(target_tokens)
        self.build([(None, None), (None, None)])

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Make the weights of all layers."""
        source_shape, target_shape = input_shape
        embedding_dim, hidden_size = self.settings["embedding_dim"], self.settings["hidden_size"]
        self.source_embedding.build(source_shape)
        self.encoder.build((*source_shape, embedding_dim))
        self.target_embedding.build(target_shape)
        self.decoder.build((*target_shape, embedding_dim))
        self.combine.build((None, None, 2 * hidden_size))
        self.linear.build((None, None, hidden_size))

    def call(self, inputs: list[Any]) -> tuple[Any, Any]:
        """Return the logits of each next token, and where the decoder looked.

        Args:
            inputs: the texts to read, shape (N, S), and the texts to write, each from the start
                token to the last token but one, shape (N, T).

        Returns:
            For each token of the target, the logits of the token after it, shape (N, T, V), and the
            attention weights, shape (N, T, S).
        """
        source, target = inputs
        h, is_text, state = self._encode(source)
        logits, weights, _ = self._decode(target, state, h, is_text)
        return logits, weights

    def generate(
        self,
        source: Any,
        *,
        start_token: int,
        max_new_tokens: int,
        end_token: int | None = None,
    ) -> tuple[Any, Any]:
        """Write a text for each source, always with the most probable next token.

        Args:
            source: the texts to read, shape (N, S).
            start_token: the token that each target starts with; it is not in the result.
            max_new_tokens: how many tokens to write at most, M.
            end_token: the token that ends a text. What follows it is padding, and the writing stops
                when all texts have ended. `None` always writes M tokens.

        Returns:
            The tokens, shape (N, L) with L at most M, and the attention weights, (N, L, S).

        Raises:
            ValueError: if `max_new_tokens` is below 1.
        """
        _check_sizes(max_new_tokens=max_new_tokens)
        source = ops.convert_to_tensor(source)
        h, is_text, state = self._encode(source)
        token = ops.full_like(source[:, :1], start_token)  # (N, 1)
        has_ended = ops.zeros_like(token, dtype="bool")
        tokens, weights = [], []
        for _ in range(max_new_tokens):
            logits, step_weights, state = self._decode(token, state, h, is_text)
            token = ops.cast(ops.argmax(logits, axis=-1), source.dtype)  # (N, 1, V) -> (N, 1)
            token = ops.where(has_ended, ops.full_like(token, self.padding_idx), token)
            tokens.append(token)
            weights.append(step_weights)
            if end_token is not None:
                has_ended = ops.logical_or(has_ended, token == end_token)
                if ops.all(has_ended):
                    break
        # L × (N, 1, …) -> (N, L, …)
        return ops.concatenate(tokens, axis=1), ops.concatenate(weights, axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the model, so that Keras can save it."""
        return {**self.settings, "name": self.name}

    def _encode(self, source: Any) -> tuple[Any, Any, Any]:
        """Return the encoder's states (N, S, H), where they count (N, S), and the last (N, H)."""
        lengths = _lengths(source, self.padding_idx)
        h, _ = self.encoder(self.source_embedding(source))
        return h, _is_text(h, lengths), _last(h, lengths)

    def _decode(self, target: Any, state: Any, h: Any, is_text: Any) -> tuple[Any, Any, Any]:
        """Return logits (N, T, V), attention weights (N, T, S) and the decoder's state (N, H)."""
        d, last = self.decoder(self.target_embedding(target), initial_state=state)
        scores = ops.einsum("nth,nsh->nts", d, h)
        weights = ops.softmax(ops.where(is_text[:, None], scores, -math.inf), axis=-1)
        context = ops.matmul(weights, h)  # (N, T, S) @ (N, S, H) -> (N, T, H)
        both = ops.concatenate([context, d], axis=-1)  # (N, T, 2 H)
        return self.linear(ops.tanh(self.combine(both))), weights, last


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`{name}` (={size}) must be at least 1.")


def _uniform(limit: float) -> keras.initializers.Initializer:
    # One initializer draws the same numbers each time, so every array takes its own.
    return keras.initializers.RandomUniform(-limit, limit)


def _recurrent_initializers(hidden_size: int) -> dict[str, keras.initializers.Initializer]:
    """Return PyTorch's initial distribution of the weights of a recurrent layer."""
    limit = 1 / math.sqrt(hidden_size)
    return {"kernel_initializer": _uniform(limit), "recurrent_initializer": _uniform(limit)}


def _gru(hidden_size: int) -> keras.layers.Layer:
    """Return a GRU that gives all states and the last one, as PyTorch's does."""
    return layers.GRU(
        hidden_size,
        return_sequences=True,
        return_state=True,
        bias_initializer=_uniform(1 / math.sqrt(hidden_size)),
        **_recurrent_initializers(hidden_size),
    )


def _embedding(rows: int, features: int) -> keras.layers.Layer:
    """Return a table that starts as PyTorch's."""
    normal = keras.initializers.RandomNormal(stddev=1.0)
    return layers.Embedding(rows, features, embeddings_initializer=normal)


def _dense(units: int) -> keras.layers.Layer:
    """Return a linear layer that starts as in scratch: variance 2 / (fan_in + fan_out)."""
    # GlorotNormal draws from a truncated distribution; this one does not.
    xavier = keras.initializers.VarianceScaling(1.0, "fan_avg", "untruncated_normal")
    return layers.Dense(units, kernel_initializer=xavier)


def _lengths(tokens: Any, padding_idx: int | None) -> Any:
    """Return how long each text is without the padding at its end, (N, T) -> (N,)."""
    steps = ops.ones_like(tokens, dtype="int32")
    if padding_idx is not None:
        ends = ops.cumsum(steps, axis=1) * ops.cast(tokens != padding_idx, "int32")
        return ops.maximum(ops.max(ends, axis=1), 1)  # (N, T) -> (N,)
    return ops.sum(steps, axis=1)


def _last(h: Any, lengths: Any) -> Any:
    """Return each text's last state that is no padding, (N, T, H) -> (N, H)."""
    last = ops.take_along_axis(h, (lengths - 1)[:, None, None], axis=1)  # (N, 1, H)
    return ops.squeeze(last, axis=1)


def _mean(h: Any, lengths: Any) -> Any:
    """Return the mean of each text's states without the padding, (N, T, H) -> (N, H)."""
    is_text = ops.cast(_is_text(h, lengths), h.dtype)[:, None]  # (N, T) -> (N, 1, T)
    total = ops.squeeze(ops.matmul(is_text, h), axis=1)  # (N, 1, T) @ (N, T, H) -> (N, H)
    return total / ops.cast(lengths, h.dtype)[:, None]


def _is_text(h: Any, lengths: Any) -> Any:
    """Return where a text has a token that is no padding, boolean, (N, T)."""
    return ops.arange(ops.shape(h)[1]) < lengths[:, None]

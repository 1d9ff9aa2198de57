"""BERT in Keras: understand each token from all tokens around it."""

from __future__ import annotations

from typing import Any, Self

import keras
from keras import layers, ops

from largemodels.models.keras.transformer import TransformerEncoderLayer, layer_norm, normal

__all__ = ["BERT", "BERTForMaskedLM", "BERTForSequenceClassification"]


@keras.saving.register_keras_serializable(package="largemodels")
class BERT(keras.Model):
    """A transformer encoder of texts: one vector of features for each token, from both sides.

    x₀[n, t] = norm(E[tokenₙₜ] + P[t] + S[segmentₙₜ]),  xᵢ = blockᵢ(xᵢ₋₁),  y = x_k

    The blocks are post-norm with GELU. Weights start as N(0, 0.02²), biases at zero.

    Args:
        num_embeddings: the number V of different tokens.
        context_length: the largest number of tokens that the model reads.
        d_model: the number D of features.
        nhead: the number of heads; it divides D.
        num_layers: the number k of blocks.
        dim_feedforward: the features inside the feed-forward networks; `None` is 4 D.
        dropout: the probability of a zero in training: in x₀ and in the blocks.
        num_segments: the number of different segments, for example question and answer.
        padding_idx: the token that fills short texts up: no token looks at it.
        name: the name of the model.

    Shape:
        (N, T) -> (N, T, D)

    Raises:
        ValueError: if a size is out of its range, or the tokens have a wrong shape.

    Source:
        Devlin, Chang, Lee and Toutanova, "BERT: Pre-training of deep bidirectional transformers for
        language understanding", NAACL 2019, section 3 and figure 2.

    Example:
        >>> model = BERT(30, 16, d_model=8, nhead=2, num_layers=2)
        >>> tokens = ops.array([[7, 8, 9], [7, 8, 0]])
        >>> features = model(tokens)
        >>> tuple(features.shape)
        (2, 3, 8)
        >>> alone = model(tokens[1:, :2])  # 0 only fills up.
        >>> bool(ops.max(ops.abs(features[1, :2] - alone[0])) < 1e-5)
        True

    Taught in: book/case_studies/bert.md
    """

    def __init__(
        self,
        num_embeddings: int,
        context_length: int,
        d_model: int,
        nhead: int,
        num_layers: int,
        *,
        dim_feedforward: int | None = None,
        dropout: float = 0.1,
        num_segments: int = 2,
        padding_idx: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        sizes = {
            "num_embeddings": num_embeddings,
            "context_length": context_length,
            "d_model": d_model,
            "nhead": nhead,
            "num_layers": num_layers,
            "num_segments": num_segments,
        }
        _check_sizes(**sizes)
        dim_feedforward = 4 * d_model if dim_feedforward is None else dim_feedforward
        self.settings = {
            **sizes,
            "dim_feedforward": dim_feedforward,
            "dropout": dropout,
            "padding_idx": padding_idx,
        }
        self.token_embedding = layers.Embedding(num_embeddings, d_model, normal())
        self.position_embedding = layers.Embedding(context_length, d_model, normal())
        self.segment_embedding = layers.Embedding(num_segments, d_model, normal())
        self.norm = layer_norm()
        self.dropout = layers.Dropout(dropout)
        self.blocks = [
            TransformerEncoderLayer(d_model, nhead, dim_feedforward, dropout)
            for _ in range(num_layers)
        ]
        self.build((None, None))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of all layers."""
        for table in (self.token_embedding, self.position_embedding, self.segment_embedding):
            table.build(input_shape)
        for layer in [self.norm, *self.blocks]:
            layer.build((*input_shape, self.settings["d_model"]))

    def call(
        self, tokens: Any, segments: Any = None, is_causal: bool = False, training: Any = None
    ) -> Any:
        """Return the features of each token.

        Args:
            tokens: the texts, shape (N, T).
            segments: to which part of its text each token belongs, shape (N, T); `None` is 0.
            is_causal: whether a token may look at earlier ones only. BERT looks at all; this is to
                see what it gains from that.
            training: whether dropout acts.
        """
        context_length = self.settings["context_length"]
        steps = tokens.shape[1] if len(tokens.shape) == 2 else 0
        # Keras may ask with an unknown number of tokens.
        if steps is not None and not 1 <= steps <= context_length:
            raise ValueError(
                f"`tokens` must have shape (N, T) with T from 1 to {context_length}, "
                f"got {tuple(tokens.shape)}."
            )
        if segments is None:
            segments = ops.zeros_like(tokens)
        positions = self.position_embedding(ops.arange(ops.shape(tokens)[1]))
        # (N, T, D) + (T, D) + (N, T, D) -> (N, T, D)
        x = self.token_embedding(tokens) + positions + self.segment_embedding(segments)
        x = self.dropout(self.norm(x), training=training)
        padding = ops.equal(tokens, self.settings["padding_idx"])
        for block in self.blocks:
            x = block(x, padding, is_causal=is_causal, training=training)
        return x

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the model, so that Keras can save it."""
        return {**self.settings, "name": self.name}


class _WithBERT(keras.Model):
    """A model on top of a BERT, that Keras saves with the arguments of the BERT."""

    bert: BERT
    settings: dict[str, Any]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the model, so that Keras can save it."""
        return {**self.settings, "bert": self.bert.get_config(), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Return the model of a saved configuration."""
        return cls(**{**config, "bert": BERT(**config["bert"])})


@keras.saving.register_keras_serializable(package="largemodels")
class BERTForMaskedLM(_WithBERT):
    """BERT that predicts hidden tokens, see `largemodels.models.masking.mask_tokens`.

    logits = norm(gelu(y W + b)) Eᵀ + bias,  y: the features of each token, E: its own embedding

    Args:
        bert: the encoder.
        name: the name of the model.

    Shape:
        (N, T) -> (N, T, V)

    Source:
        Devlin et al., see `BERT`, section 3.1, task 1.

    Example:
        >>> model = BERTForMaskedLM(BERT(30, 16, d_model=8, nhead=2, num_layers=2))
        >>> tuple(model(ops.array([[7, 8, 9], [7, 8, 0]])).shape)
        (2, 3, 30)

    Taught in: book/case_studies/bert.md
    """

    def __init__(self, bert: BERT, name: str | None = None) -> None:
        super().__init__(name=name)
        self.settings = {}
        self.bert = bert
        d_model = bert.settings["d_model"]
        self.dense = layers.Dense(d_model, "gelu", kernel_initializer=normal())
        self.norm = layer_norm()
        self.build((None, None))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of all layers."""
        features = (*input_shape, self.bert.settings["d_model"])
        self.dense.build(features)
        self.norm.build(features)
        self.bias = self.add_weight(
            shape=(self.bert.settings["num_embeddings"],), initializer="zeros", name="bias"
        )

    def call(
        self, tokens: Any, segments: Any = None, is_causal: bool = False, training: Any = None
    ) -> Any:
        """Return the logits of each token, (N, T) -> (N, T, V); the arguments are BERT's."""
        features = self.bert(tokens, segments, is_causal=is_causal, training=training)
        hidden = self.norm(self.dense(features))
        # (N, T, D) @ (D, V) -> (N, T, V)
        return ops.matmul(hidden, ops.transpose(self.bert.token_embedding.embeddings)) + self.bias


@keras.saving.register_keras_serializable(package="largemodels")
class BERTForSequenceClassification(_WithBERT):
    """BERT that names the class of a text, from the features of its first token.

    logits = dropout(tanh(y₀ W₁ + b₁)) W₂ + b₂

    In BERT every text starts with a token of its own, [CLS], so that position 0 is free for this.

    Args:
        bert: the encoder, best one that has learned to predict hidden tokens.
        num_classes: the number C of classes.
        dropout: the probability of a zero in training, before the last layer.
        name: the name of the model.

    Shape:
        (N, T) -> (N, C), logits

    Source:
        Devlin et al., see `BERT`, section 3.2 and appendix A.3.

    Example:
        >>> bert = BERT(30, 16, d_model=8, nhead=2, num_layers=2)
        >>> model = BERTForSequenceClassification(bert, 3)
        >>> tuple(model(ops.array([[7, 8, 9], [7, 8, 0]])).shape)
        (2, 3)

    Taught in: book/case_studies/bert.md
    """

    def __init__(
        self, bert: BERT, num_classes: int, dropout: float = 0.1, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        _check_sizes(num_classes=num_classes)
        self.settings = {"num_classes": num_classes, "dropout": dropout}
        self.bert = bert
        d_model = bert.settings["d_model"]
        self.pooler = layers.Dense(d_model, "tanh", kernel_initializer=normal())
        self.dropout = layers.Dropout(dropout)
        self.classifier = layers.Dense(num_classes, kernel_initializer=normal())
        self.build((None, None))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of all layers."""
        features = (None, self.bert.settings["d_model"])
        self.pooler.build(features)
        self.classifier.build(features)

    def call(self, tokens: Any, segments: Any = None, training: Any = None) -> Any:
        """Return the logits of each text, (N, T) -> (N, C); the arguments are BERT's."""
        first = self.bert(tokens, segments, training=training)[:, 0]  # (N, T, D) -> (N, D)
        return self.classifier(self.dropout(self.pooler(first), training=training))


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`{name}` (={size}) must be at least 1.")

"""The transformer block in Keras, as GPT and BERT stack it."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

__all__ = ["TransformerEncoderLayer", "layer_norm", "normal"]


def normal(std: float = 0.02) -> keras.initializers.Initializer:
    """Return a new initializer N(0, std²): one draws the same numbers each time.

    Args:
        std: the standard deviation.

    Example:
        >>> abs(float(ops.std(normal()((100, 100)))) - 0.02) < 0.001
        True

    Taught in: book/algorithms/attention_and_transformers.md
    """
    return keras.initializers.RandomNormal(stddev=std)


def layer_norm() -> keras.layers.LayerNormalization:
    """Return a layer normalization with PyTorch's ε.

    Example:
        >>> layer_norm().epsilon
        1e-05

    Taught in: book/algorithms/attention_and_transformers.md
    """
    return layers.LayerNormalization(epsilon=1e-5)


@keras.saving.register_keras_serializable(package="largemodels")
class TransformerEncoderLayer(layers.Layer):
    """An encoder block, the twin of `torch.nn.TransformerEncoderLayer` with GELU.

    post-norm: h = norm₁(x + A(x)),  y = norm₂(h + F(h))
    pre-norm: h = x + A(norm₁(x)),  y = h + F(norm₂(h))
    A: multi-head self-attention;  F(h) = W₂ gelu(W₁ h + b₁) + b₂

    Args:
        d_model: the number D of features.
        nhead: the number of heads; it divides D.
        dim_feedforward: the features inside the feed-forward network.
        dropout: the probability of a zero in training: among the attention weights, after GELU,
            and after each of the two sublayers.
        norm_first: whether to normalize before each sublayer (pre-norm) or after it (post-norm).
        std: the standard deviation of the initial weights that end a sublayer; 0.02 for the others.
        **options: the name and the like, as every Keras layer takes them.

    Shape:
        (N, T, D) -> (N, T, D)

    Raises:
        ValueError: if a size is below 1, or `d_model` is not divisible by `nhead`.

    Source:
        Vaswani et al., "Attention is all you need", NeurIPS 2017, sections 3.1 and 3.3 (post-norm);
        Radford et al., "Language models are unsupervised multitask learners", 2019, section 2.3
        (pre-norm).

    Example:
        >>> layer = TransformerEncoderLayer(4, 2, dim_feedforward=8)
        >>> tuple(layer(ops.ones((1, 3, 4)), is_causal=True).shape)
        (1, 3, 4)
        >>> layer.count_params()
        172

    Taught in: book/algorithms/attention_and_transformers.md
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float = 0.1,
        *,
        norm_first: bool = False,
        std: float = 0.02,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        for name, size in {
            "d_model": d_model,
            "nhead": nhead,
            "dim_feedforward": dim_feedforward,
        }.items():
            if size < 1:
                raise ValueError(f"`{name}` (={size}) must be at least 1.")
        if d_model % nhead:
            raise ValueError(f"`d_model` (={d_model}) must be divisible by `nhead` (={nhead}).")
        self.settings = {
            "d_model": d_model,
            "nhead": nhead,
            "dim_feedforward": dim_feedforward,
            "dropout": dropout,
            "norm_first": norm_first,
            "std": std,
        }
        self.norm_first = norm_first
        self.self_attn = layers.MultiHeadAttention(
            nhead, d_model // nhead, dropout=dropout, kernel_initializer=normal()
        )
        self.linear1 = layers.Dense(dim_feedforward, "gelu", kernel_initializer=normal())
        self.linear2 = layers.Dense(d_model, kernel_initializer=normal(std))
        self.norm1, self.norm2 = layer_norm(), layer_norm()
        self.dropout = layers.Dropout(dropout)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of all layers."""
        self.self_attn.build(input_shape, input_shape)
        # Keras has one initializer for all four projections; the last one ends a sublayer.
        kernel = self.self_attn.output_dense.kernel
        kernel.assign(normal(self.settings["std"])(kernel.shape))
        self.linear1.build(input_shape)
        self.linear2.build((*input_shape[:-1], self.settings["dim_feedforward"]))
        self.norm1.build(input_shape)
        self.norm2.build(input_shape)

    def call(
        self,
        src: Any,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Return the transformed sequences.

        Args:
            src: x, shape (N, T, D).
            src_key_padding_mask: which positions only fill up, boolean, shape (N, T).
            is_causal: whether position t may only look at the positions 0 … t.
            training: whether dropout acts.
        """
        allowed = None  # Keras's mask says where to look, not where not to.
        if src_key_padding_mask is not None:
            allowed = ops.logical_not(src_key_padding_mask)[:, None]  # (N, T) -> (N, 1, T)

        def attend(x: Any) -> Any:
            y = self.self_attn(
                x, x, attention_mask=allowed, use_causal_mask=is_causal, training=training
            )
            return self.dropout(y, training=training)

        def feed_forward(x: Any) -> Any:
            hidden = self.dropout(self.linear1(x), training=training)
            return self.dropout(self.linear2(hidden), training=training)

        if self.norm_first:
            h = src + attend(self.norm1(src))
            return h + feed_forward(self.norm2(h))
        h = self.norm1(src + attend(src))
        return self.norm2(h + feed_forward(h))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer, so that Keras can save it."""
        return {**super().get_config(), **self.settings}

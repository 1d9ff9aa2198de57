"""GPT in Keras: predict the next token from all tokens before it."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

from largemodels.models.keras.transformer import TransformerEncoderLayer, layer_norm, normal

__all__ = ["GPT"]


@keras.saving.register_keras_serializable(package="largemodels")
class GPT(keras.Model):
    """A language model, the twin of `largemodels.scratch.GPT`.

    x₀[n, t] = E[tokenₙₜ] + P[t],  xᵢ = blockᵢ(xᵢ₋₁),  logits = norm(x_k) W_headᵀ

    The blocks are pre-norm and causal. With tied weights, W_head is E. All weights start as
    N(0, 0.02²), those that end a sublayer as N(0, 0.02² / 2k), all biases at zero.

    Args:
        num_embeddings: the number V of different tokens.
        context_length: the largest number of tokens that the model reads.
        d_model: the number D of features.
        nhead: the number of heads; it divides D.
        num_layers: the number k of blocks.
        dim_feedforward: the features inside the feed-forward networks; `None` is 4 D.
        dropout: the probability of a zero in training: in x₀ and in the blocks.
        tie_weights: whether W_head is E; otherwise it is a layer of its own, `head`.
        name: the name of the model.

    Shape:
        (N, T) -> (N, T, V)

    Raises:
        ValueError: if a size is out of its range, or the tokens have a wrong shape.

    Source:
        Radford, Wu, Child, Luan, Amodei and Sutskever, "Language models are unsupervised multitask
        learners", 2019, section 2.3. Tied weights: Press and Wolf, "Using the output embedding to
        improve language models", EACL 2017.

    Example:
        >>> import numpy as np
        >>> from largemodels.scratch import generate
        >>> model = GPT(5, 8, d_model=16, nhead=2, num_layers=2)
        >>> text = np.array([[0, 1, 2, 3, 4, 0]])
        >>> tuple(model(text).shape)
        (1, 6, 5)
        >>> generate(lambda tokens: model(tokens[:, -8:])[:, -1].numpy(), text, 20).shape
        (1, 26)

    Taught in: book/algorithms/attention_and_transformers.md
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
        tie_weights: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        sizes = {
            "num_embeddings": num_embeddings,
            "context_length": context_length,
            "d_model": d_model,
            "nhead": nhead,
            "num_layers": num_layers,
        }
        for size_name, size in sizes.items():
            if size < 1:
                raise ValueError(f"`{size_name}` (={size}) must be at least 1.")
        dim_feedforward = 4 * d_model if dim_feedforward is None else dim_feedforward
        self.settings = {
            **sizes,
            "dim_feedforward": dim_feedforward,
            "dropout": dropout,
            "tie_weights": tie_weights,
        }
        self.token_embedding = layers.Embedding(num_embeddings, d_model, normal())
        self.position_embedding = layers.Embedding(context_length, d_model, normal())
        self.dropout = layers.Dropout(dropout)
        std = 0.02 / math.sqrt(2 * num_layers)
        self.blocks = [
            TransformerEncoderLayer(
                d_model, nhead, dim_feedforward, dropout, norm_first=True, std=std
            )
            for _ in range(num_layers)
        ]
        self.norm = layer_norm()
        self.head = (
            None
            if tie_weights
            else layers.Dense(num_embeddings, use_bias=False, kernel_initializer=normal())
        )
        self.build((None, None))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights of all layers."""
        features = (*input_shape, self.settings["d_model"])
        self.token_embedding.build(input_shape)
        self.position_embedding.build(input_shape)
        for layer in [*self.blocks, self.norm]:
            layer.build(features)
        if self.head is not None:
            self.head.build(features)

    def call(self, tokens: Any, training: bool | None = None) -> Any:
        """Return the logits of each next token, (N, T) -> (N, T, V)."""
        context_length = self.settings["context_length"]
        steps = tokens.shape[1] if len(tokens.shape) == 2 else 0
        # Keras may ask with an unknown number of tokens.
        if steps is not None and not 1 <= steps <= context_length:
            raise ValueError(
                f"`tokens` must have shape (N, T) with T from 1 to {context_length}, "
                f"got {tuple(tokens.shape)}."
            )
        positions = self.position_embedding(ops.arange(ops.shape(tokens)[1]))
        # (N, T, D) + (T, D) -> (N, T, D)
        x = self.dropout(self.token_embedding(tokens) + positions, training=training)
        for block in self.blocks:
            x = block(x, is_causal=True, training=training)
        x = self.norm(x)
        if self.head is not None:
            return self.head(x)
        # (N, T, D) @ (D, V) -> (N, T, V)
        return ops.matmul(x, ops.transpose(self.token_embedding.embeddings))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the model, so that Keras can save it."""
        return {**self.settings, "name": self.name}

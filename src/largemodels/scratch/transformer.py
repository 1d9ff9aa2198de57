"""Transformer blocks, and the network that predicts the next token with them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.activations import ReLU
from largemodels.scratch.attention import MultiHeadAttention
from largemodels.scratch.dropout import Dropout
from largemodels.scratch.embedding import Embedding
from largemodels.scratch.gelu import GELU
from largemodels.scratch.layer import Layer, check_shape
from largemodels.scratch.linear import Linear
from largemodels.scratch.network import Sequential
from largemodels.scratch.normalization import LayerNorm

__all__ = ["GPT", "TransformerDecoderLayer", "TransformerEncoderLayer"]

Function = Callable[[np.ndarray], np.ndarray]


class _TransformerLayer(Layer):
    """What encoder and decoder blocks have in common: sublayers with a way around them.

    post-norm: y = norm(x + dropout(F(x))),  pre-norm: y = x + dropout(F(norm(x)))
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Callable[[], Layer] = ReLU,
        layer_norm_eps: float = 1e-5,
        *,
        norm_first: bool = False,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if dim_feedforward < 1:
            raise ValueError(f"`dim_feedforward` (={dim_feedforward}) must be at least 1.")
        rng = np.random.default_rng(rng)
        self.norm_first = norm_first
        self.self_attn = MultiHeadAttention(d_model, nhead, dropout, bias, rng=rng, dtype=dtype)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, rng=rng, dtype=dtype)
        self.activation = activation()
        self.dropout = Dropout(dropout, rng=rng)
        self.linear2 = Linear(
            dim_feedforward,
            d_model,
            bias=bias,
            rng=rng,
            initializer="xavier_normal",
            dtype=dtype,
        )
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1 = Dropout(dropout, rng=rng)
        self.dropout2 = Dropout(dropout, rng=rng)

    def _around(self, x: np.ndarray, norm: Layer, dropout: Layer, sublayer: Function) -> np.ndarray:
        """Return a sublayer's output with the way around it."""
        if self.norm_first:
            return x + dropout(sublayer(norm(x)))
        return norm(x + dropout(sublayer(x)))

    def _around_backward(
        self, grad: np.ndarray, norm: Layer, dropout: Layer, sublayer_backward: Function
    ) -> np.ndarray:
        """Return the gradient of `_around`: the one of the sublayer and the one around it."""
        if self.norm_first:
            return grad + norm.backward(sublayer_backward(dropout.backward(grad)))
        grad = norm.backward(grad)
        return grad + sublayer_backward(dropout.backward(grad))

    def _self_attention_backward(self, grad: np.ndarray) -> np.ndarray:
        # One array served as query, key and value.
        grad_query, grad_key, grad_value = self.self_attn.backward(grad)
        return grad_query + grad_key + grad_value

    def _feed_forward(self, x: np.ndarray) -> np.ndarray:
        """Return W₂ dropout(φ(W₁ x + b₁)) + b₂, for each position alone."""
        rows = x.reshape(-1, x.shape[-1])  # (N, T, D) -> (N T, D)
        hidden = self.dropout(self.activation(self.linear1(rows)))  # (N T, D) -> (N T, F)
        return self.linear2(hidden).reshape(x.shape)  # (N T, F) -> (N T, D) -> (N, T, D)

    def _feed_forward_backward(self, grad: np.ndarray) -> np.ndarray:
        rows = grad.reshape(-1, grad.shape[-1])  # (N, T, D) -> (N T, D)
        grad_hidden = self.dropout.backward(self.linear2.backward(rows))  # (N T, D) -> (N T, F)
        grad_rows = self.linear1.backward(self.activation.backward(grad_hidden))
        return grad_rows.reshape(grad.shape)  # (N T, D) -> (N, T, D)

    def _check(self, name: str, x: np.ndarray) -> None:
        d_model = self.linear1.in_features
        if x.ndim != 3 or x.shape[2] != d_model:
            raise ValueError(f"`{name}` must have shape (N, T, {d_model}), got {x.shape}.")


class TransformerEncoderLayer(_TransformerLayer):
    """An encoder block: let the positions look at each other, then transform each one alone.

    forward:   post-norm: h = norm₁(x + A(x)),  y = norm₂(h + F(h))
               pre-norm: h = x + A(norm₁(x)),  y = h + F(norm₂(h))
               A: multi-head self-attention;  F(h) = W₂ φ(W₁ h + b₁) + b₂
    backward:  each + hands the gradient on twice: around the sublayer, and through it

    Pre-norm leaves a way through the network on which nothing scales the gradient: deep networks
    learn more easily with it.

    With `is_causal`, no position sees a later one: a stack of such blocks is a decoder without an
    encoder, see `GPT`. Equal to `torch.nn.TransformerEncoderLayer` with `batch_first=True`, with
    the same names.

    Args:
        d_model: the number D of features.
        nhead: the number of heads; it divides D.
        dim_feedforward: the number F of features inside the feed-forward network.
        dropout: the probability of a zero in training: among the attention weights, after φ, and
            after each of the two sublayers.
        activation: makes φ.
        layer_norm_eps: ε of the normalizations.
        norm_first: whether to normalize before each sublayer (pre-norm) or after it (post-norm).
        bias: whether there are biases, those of the normalizations included.
        rng: the random generator of the initial weights and of dropout; `None` takes a new one.
        dtype: the type of the parameters.

    Attributes:
        self_attn: A, with the last `attention_weights`.
        linear1: W₁ and b₁.
        linear2: W₂ and b₂.
        norm1: the normalization of the first sublayer.
        norm2: the normalization of the second one.

    Shape:
        (N, T, D) -> (N, T, D)

    Raises:
        ValueError: if a size is below 1, `d_model` is not divisible by `nhead`, or an input, a
            mask or a gradient has a wrong shape.

    Source:
        Vaswani et al., "Attention is all you need", NeurIPS 2017, sections 3.1 and 3.3 (post-norm);
        Radford et al., "Language models are unsupervised multitask learners", 2019, section 2.3
        (pre-norm).

    Example:
        >>> layer = TransformerEncoderLayer(4, 2, dim_feedforward=8, dropout=0.0, norm_first=True)
        >>> x = np.random.default_rng(0).standard_normal((1, 3, 4)).astype(np.float32)
        >>> layer(x, is_causal=True).shape
        (1, 3, 4)
        >>> layer.self_attn.attention_weights.shape
        (1, 2, 3, 3)
        >>> layer.self_attn.out_proj.weight.data[...] = layer.linear2.weight.data[...] = 0
        >>> bool((layer(x) == x).all())  # Both sublayers add nothing: x goes around them.
        True
        >>> bool((layer.backward(x) == x).all())
        True

    Taught in: book/algorithms/attention_and_transformers.md
    """

    def forward(
        self,
        src: np.ndarray,
        src_mask: np.ndarray | None = None,
        src_key_padding_mask: np.ndarray | None = None,
        is_causal: bool = False,
    ) -> np.ndarray:
        """Return the transformed sequences.

        Args:
            src: x, shape (N, T, D).
            src_mask: where a position must not look at another one, boolean, shape (T, T).
            src_key_padding_mask: which positions only fill up, boolean, shape (N, T).
            is_causal: whether position t may only look at the positions 0 … t.
        """
        self._check("src", src)

        def attend(x: np.ndarray) -> np.ndarray:
            return self.self_attn(x, x, x, src_key_padding_mask, src_mask, is_causal=is_causal)

        h = self._around(src, self.norm1, self.dropout1, attend)
        return self._around(h, self.norm2, self.dropout2, self._feed_forward)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Set the gradients of all parameters, and return ∂L/∂x from `grad_output` = ∂L/∂y."""
        grad_h = self._around_backward(
            grad_output, self.norm2, self.dropout2, self._feed_forward_backward
        )
        return self._around_backward(
            grad_h, self.norm1, self.dropout1, self._self_attention_backward
        )


class TransformerDecoderLayer(_TransformerLayer):
    """A decoder block: look at the own sequence, then at the encoder's, then think alone.

    forward:   post-norm: h = norm₁(x + A(x)),  g = norm₂(h + C(h, memory)),  y = norm₃(g + F(g))
               pre-norm: h = x + A(norm₁(x)),  g = h + C(norm₂(h), memory),  y = g + F(norm₃(g))
               A: multi-head self-attention;  C: multi-head attention with the queries from the
               decoder, keys and values from `memory`, the encoder's output;
               F(g) = W₂ φ(W₁ g + b₁) + b₂
    backward:  each + hands the gradient on twice: around the sublayer, and through it

    Equal to `torch.nn.TransformerDecoderLayer` with `batch_first=True`, with the same names.

    Args:
        d_model: the number D of features.
        nhead: the number of heads; it divides D.
        dim_feedforward: the number F of features inside the feed-forward network.
        dropout: the probability of a zero in training: among the attention weights, after φ, and
            after each of the three sublayers.
        activation: makes φ.
        layer_norm_eps: ε of the normalizations.
        norm_first: whether to normalize before each sublayer (pre-norm) or after it (post-norm).
        bias: whether there are biases, those of the normalizations included.
        rng: the random generator of the initial weights and of dropout; `None` takes a new one.
        dtype: the type of the parameters.

    Attributes:
        self_attn: A, with the last `attention_weights`.
        multihead_attn: C, with the last `attention_weights`: which word of the source each word of
            the target looks at.
        linear1: W₁ and b₁.
        linear2: W₂ and b₂.
        norm1: the normalization of the first sublayer.
        norm2: the normalization of the second one.
        norm3: the normalization of the third one.

    Shape:
        tgt (N, T, D), memory (N, S, D) -> (N, T, D)

    Raises:
        ValueError: if a size is below 1, `d_model` is not divisible by `nhead`, or an input, a
            mask or a gradient has a wrong shape.

    Source:
        Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.1.

    Example:
        >>> layer = TransformerDecoderLayer(4, 2, dim_feedforward=8, dropout=0.0)
        >>> rng = np.random.default_rng(0)
        >>> tgt, memory = rng.standard_normal((1, 3, 4)), rng.standard_normal((1, 5, 4))
        >>> y = layer(tgt, memory, tgt_is_causal=True)
        >>> layer.multihead_attn.attention_weights.shape
        (1, 2, 3, 5)
        >>> grad_tgt, grad_memory = layer.backward(y)
        >>> grad_tgt.shape, grad_memory.shape
        ((1, 3, 4), (1, 5, 4))

    Taught in: book/algorithms/attention_and_transformers.md
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Callable[[], Layer] = ReLU,
        layer_norm_eps: float = 1e-5,
        *,
        norm_first: bool = False,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        rng = np.random.default_rng(rng)
        super().__init__(
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            norm_first=norm_first,
            bias=bias,
            rng=rng,
            dtype=dtype,
        )
        self.multihead_attn = MultiHeadAttention(
            d_model, nhead, dropout, bias, rng=rng, dtype=dtype
        )
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout3 = Dropout(dropout, rng=rng)

    def forward(
        self,
        tgt: np.ndarray,
        memory: np.ndarray,
        tgt_mask: np.ndarray | None = None,
        memory_mask: np.ndarray | None = None,
        tgt_key_padding_mask: np.ndarray | None = None,
        memory_key_padding_mask: np.ndarray | None = None,
        tgt_is_causal: bool = False,
    ) -> np.ndarray:
        """Return the transformed sequences.

        Args:
            tgt: x, shape (N, T, D).
            memory: the encoder's output, shape (N, S, D).
            tgt_mask: where a position must not look at another one, boolean, shape (T, T).
            memory_mask: where a position must not look at the memory, boolean, shape (T, S).
            tgt_key_padding_mask: which positions only fill up, boolean, shape (N, T).
            memory_key_padding_mask: which ones of the memory only fill up, boolean, shape (N, S).
            tgt_is_causal: whether position t may only look at the positions 0 … t.
        """
        self._check("tgt", tgt)
        self._check("memory", memory)

        def attend(x: np.ndarray) -> np.ndarray:
            return self.self_attn(x, x, x, tgt_key_padding_mask, tgt_mask, is_causal=tgt_is_causal)

        def attend_to_memory(x: np.ndarray) -> np.ndarray:
            return self.multihead_attn(x, memory, memory, memory_key_padding_mask, memory_mask)

        h = self._around(tgt, self.norm1, self.dropout1, attend)
        g = self._around(h, self.norm2, self.dropout2, attend_to_memory)
        return self._around(g, self.norm3, self.dropout3, self._feed_forward)

    def backward(self, grad_output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Set the gradients of all parameters, and return ∂L/∂x and ∂L/∂memory."""
        grad_memories = []

        def memory_backward(grad: np.ndarray) -> np.ndarray:
            grad_query, grad_key, grad_value = self.multihead_attn.backward(grad)
            grad_memories.append(grad_key + grad_value)  # The memory served as key and as value.
            return grad_query

        grad_g = self._around_backward(
            grad_output, self.norm3, self.dropout3, self._feed_forward_backward
        )
        grad_h = self._around_backward(grad_g, self.norm2, self.dropout2, memory_backward)
        grad_tgt = self._around_backward(
            grad_h, self.norm1, self.dropout1, self._self_attention_backward
        )
        return grad_tgt, grad_memories[0]


class GPT(Layer):
    """A language model: from each prefix of a text, predict the next token.

    x₀[n, t] = E[tokenₙₜ] + P[t],  xᵢ = blockᵢ(xᵢ₋₁),  logits = norm(x_k) W_headᵀ

    The blocks are pre-norm and causal: the logits at t depend on the tokens 0 … t only, so one pass
    learns from all prefixes of a text. With tied weights, W_head is the table E itself: the row
    that a token is read with is the row that it is predicted with, and its gradient is the sum of
    both.

    All weights start as N(0, 0.02²), those that end a sublayer as N(0, 0.02² / 2k): each of the 2k
    sublayers adds to x, and the sum is to start no larger than one of them. Biases start at zero.

    Args:
        num_embeddings: the number V of different tokens.
        context_length: the largest number of tokens that the model reads.
        d_model: the number D of features.
        nhead: the number of heads; it divides D.
        num_layers: the number k of blocks.
        dim_feedforward: the features inside the feed-forward networks; `None` is 4 D.
        dropout: the probability of a zero in training: in x₀ and in the blocks.
        activation: makes the activation of the feed-forward networks.
        tie_weights: whether W_head is E; otherwise it is a parameter of its own, `head`.
        rng: the random generator of the initial weights and of dropout; `None` takes a new one.
        dtype: the type of the parameters.

    Attributes:
        token_embedding: E, an `Embedding`.
        position_embedding: P, an `Embedding`.
        blocks: a `Sequential` of `TransformerEncoderLayer`s; `blocks.layers[i].self_attn` has the
            `attention_weights` of block i.
        norm: the last normalization.
        head: W_head, a `Linear`, or `None` if it is tied.

    Shape:
        (N, T) -> (N, T, V)

    Raises:
        ValueError: if a size is out of its range, or an input or a gradient has a wrong shape.

    Source:
        Radford, Wu, Child, Luan, Amodei and Sutskever, "Language models are unsupervised multitask
        learners", 2019, section 2.3. Tied weights: Press and Wolf, "Using the output embedding to
        improve language models", EACL 2017.

    Example:
        >>> from largemodels.scratch import CrossEntropyLoss, generate_greedy
        >>> rng = np.random.default_rng(0)
        >>> model = GPT(5, 8, d_model=16, nhead=2, num_layers=2, dropout=0.0, rng=rng)
        >>> text, loss = np.array([[0, 1, 2, 3, 4, 0, 1]]), CrossEntropyLoss(class_axis=-1)
        >>> logits = model(text[:, :-1])
        >>> logits.shape
        (1, 6, 5)
        >>> round(loss(logits, text[:, 1:]), 1)  # log 5: a guess.
        1.6
        >>> model.backward(loss.backward())
        >>> generate_greedy(lambda tokens: model(tokens[:, -8:])[:, -1], text, 20).shape
        (1, 27)

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
        activation: Callable[[], Layer] = GELU,
        tie_weights: bool = True,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        for name, size in {"context_length": context_length, "num_layers": num_layers}.items():
            if size < 1:
                raise ValueError(f"`{name}` (={size}) must be at least 1.")
        rng = np.random.default_rng(rng)
        self.token_embedding = Embedding(num_embeddings, d_model, rng=rng, dtype=dtype)
        self.position_embedding = Embedding(context_length, d_model, rng=rng, dtype=dtype)
        self.dropout = Dropout(dropout, rng=rng)
        self.blocks = Sequential(
            *(
                TransformerEncoderLayer(
                    d_model,
                    nhead,
                    4 * d_model if dim_feedforward is None else dim_feedforward,
                    dropout,
                    activation,
                    norm_first=True,
                    rng=rng,
                    dtype=dtype,
                )
                for _ in range(num_layers)
            )
        )
        self.norm = LayerNorm(d_model, dtype=dtype)
        self.head = (
            None if tie_weights else Linear(d_model, num_embeddings, bias=False, dtype=dtype)
        )
        for name, parameter in self.named_parameters():
            if parameter.data.ndim == 2:  # A matrix; biases and normalizations stay.
                ends_sublayer = name.endswith(("out_proj.weight", "linear2.weight"))
                std = 0.02 / math.sqrt(2 * num_layers) if ends_sublayer else 0.02
                parameter.data[...] = std * rng.standard_normal(parameter.data.shape)

    def forward(self, tokens: np.ndarray) -> np.ndarray:
        """Return the logits of each next token, (N, T) -> (N, T, V)."""
        context_length = self.position_embedding.num_embeddings
        if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= context_length:
            raise ValueError(
                f"`tokens` must have shape (N, T) with T from 1 to {context_length}, "
                f"got {tokens.shape}."
            )
        n, steps = tokens.shape
        positions = self.position_embedding(np.arange(steps))  # (T,) -> (T, D)
        x = self.dropout(self.token_embedding(tokens) + positions)  # (N, T, D) + (T, D)
        for block in self.blocks.layers:
            x = block(x, is_causal=True)
        rows = self.norm(x).reshape(n * steps, x.shape[2])  # (N, T, D) -> (N T, D)
        shape = (n, steps, self.token_embedding.num_embeddings)
        self.saved = rows, shape
        # (N T, D) @ (D, V) -> (N T, V)
        logits = rows @ self.token_embedding.weight.data.T if self.head is None else self.head(rows)
        return logits.reshape(shape)  # (N T, V) -> (N, T, V)

    def backward(self, grad_output: np.ndarray) -> None:
        """Set all gradients from `grad_output` = ∂L/∂logits; tokens have no gradient."""
        rows, shape = self.saved
        check_shape("grad_output", grad_output, shape)
        n, steps, v = shape
        grad_logits = grad_output.reshape(n * steps, v)  # (N, T, V) -> (N T, V)
        table = self.token_embedding.weight
        if self.head is None:
            grad_rows = grad_logits @ table.data  # (N T, V) @ (V, D) -> (N T, D)
        else:
            grad_rows = self.head.backward(grad_logits)
        # (N T, D) -> (N, T, D)
        grad_x = self.norm.backward(grad_rows.reshape(n, steps, rows.shape[1]))
        grad_x = self.dropout.backward(self.blocks.backward(grad_x))
        self.position_embedding.backward(grad_x.sum(axis=0))  # (N, T, D) -> (T, D)
        self.token_embedding.backward(grad_x)
        if self.head is None and table.grad is not None:
            table.grad += grad_logits.T @ rows  # (V, N T) @ (N T, D) -> (V, D)

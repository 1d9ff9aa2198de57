"""Attention: each position looks at all others, and takes from each what it needs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.dropout import Dropout
from largemodels.scratch.initializers import INITIALIZERS
from largemodels.scratch.layer import Layer, Parameter, check_shape
from largemodels.scratch.linear import Linear

__all__ = ["MultiHeadAttention", "ScaledDotProductAttention", "scaled_dot_product_attention"]


class ScaledDotProductAttention(Layer):
    """Compare each query with all keys, and mix the values by how well their keys fit.

    forward:   Y = P V,  P = softmax(S) over the keys,  S = Q Kᵀ / √E;  Sᵢⱼ = −∞ where query i must
               not look at key j
    backward:  ∂L/∂V = Pᵀ ∂L/∂Y,  ∂L/∂P = ∂L/∂Y Vᵀ,
               ∂L/∂Sᵢⱼ = Pᵢⱼ (∂L/∂Pᵢⱼ − Σₖ ∂L/∂Pᵢₖ Pᵢₖ),
               ∂L/∂Q = ∂L/∂S K / √E,  ∂L/∂K = (∂L/∂S)ᵀ Q / √E

    A product of E independent terms of variance 1 has variance E. The division brings it back to 1:
    larger scores would push the softmax to where its gradient vanishes.

    A query that must not look at any key gets zeros, as in PyTorch, and has no gradient.

    Args:
        dropout: the probability with which each number of P is set to zero in training.
        rng: the random generator of the zeros; `None` takes a new one.

    Attributes:
        attention_weights: P of the last forward pass, shape (..., L, S); before dropout.

    Shape:
        query (..., L, E), key (..., S, E), value (..., S, D) -> (..., L, D)

    Raises:
        ValueError: if an input, a mask or a gradient has a wrong shape, or a mask is not boolean.

    Source:
        Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 1.

    Example:
        >>> layer = ScaledDotProductAttention()
        >>> query = np.array([[2.0]])
        >>> key, value = np.array([[np.log(3)], [np.log(5)]]), np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> layer(query, key, value)  # 3² : 5² = 9 : 25
        array([[0.26470588, 0.73529412]])
        >>> layer.attention_weights
        array([[0.26470588, 0.73529412]])
        >>> grad_query, grad_key, grad_value = layer.backward(np.array([[1.0, 0.0]]))
        >>> grad_value
        array([[0.26470588, 0.        ],
               [0.73529412, 0.        ]])

    Taught in: book/algorithms/attention_and_transformers.md
    """

    def __init__(self, dropout: float = 0.0, *, rng: np.random.Generator | None = None) -> None:
        self.dropout = Dropout(dropout, rng=rng)

    @property
    def attention_weights(self) -> np.ndarray:
        """P of the last forward pass, before dropout."""
        _, _, _, weights, _ = self.saved
        return weights

    def forward(
        self,
        query: np.ndarray,
        key: np.ndarray,
        value: np.ndarray,
        attn_mask: np.ndarray | None = None,
        is_causal: bool = False,
    ) -> np.ndarray:
        """Return P V.

        Args:
            query: Q, shape (..., L, E).
            key: K, shape (..., S, E).
            value: V, shape (..., S, D).
            attn_mask: where a query may look at a key, boolean, of a shape that broadcasts to
                (..., L, S); `None` is everywhere.
            is_causal: whether query i may only look at the keys 0 … i.
        """
        _check_inputs(query, key, value)
        scores_shape = (*query.shape[:-1], key.shape[-2])
        allowed = _allowed(attn_mask, is_causal, scores_shape)
        scale = 1 / math.sqrt(query.shape[-1])
        # (..., L, E) @ (..., E, S) -> (..., L, S)
        scores = (query * scale) @ key.swapaxes(-1, -2)
        if allowed is not None:
            scores = np.where(allowed, scores, -np.inf)  # Before softmax: then each row sums to 1.
        weights = _softmax_of_keys(scores)
        dropped = self.dropout(weights)
        self.saved = query, key, value, weights, dropped
        return dropped @ value  # (..., L, S) @ (..., S, D) -> (..., L, D)

    def backward(self, grad_output: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ∂L/∂Q, ∂L/∂K and ∂L/∂V from `grad_output` = ∂L/∂Y."""
        query, key, value, weights, dropped = self.saved
        check_shape("grad_output", grad_output, (*query.shape[:-1], value.shape[-1]))
        grad_value = dropped.swapaxes(-1, -2) @ grad_output  # (..., S, L) @ (..., L, D)
        # (..., L, D) @ (..., D, S) -> (..., L, S)
        grad_weights = self.dropout.backward(grad_output @ value.swapaxes(-1, -2))
        grad_scores = grad_weights * weights
        grad_scores -= weights * grad_scores.sum(axis=-1, keepdims=True)
        grad_scores *= 1 / math.sqrt(query.shape[-1])
        grad_query = grad_scores @ key  # (..., L, S) @ (..., S, E) -> (..., L, E)
        grad_key = grad_scores.swapaxes(-1, -2) @ query  # (..., S, L) @ (..., L, E)
        return grad_query, grad_key, grad_value


def scaled_dot_product_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    attn_mask: np.ndarray | None = None,
    is_causal: bool = False,
) -> np.ndarray:
    """Compare each query with all keys, and mix the values by how well their keys fit.

    Y = softmax(Q Kᵀ / √E) V,  the softmax over the keys that a query may look at

    The function of `ScaledDotProductAttention`, which has the backward pass and the weights. Equal
    to `torch.nn.functional.scaled_dot_product_attention` with a boolean mask.

    Args:
        query: Q, shape (..., L, E).
        key: K, shape (..., S, E).
        value: V, shape (..., S, D).
        attn_mask: where a query may look at a key, boolean, of a shape that broadcasts to
            (..., L, S); `None` is everywhere.
        is_causal: whether query i may only look at the keys 0 … i.

    Shape:
        query (..., L, E), key (..., S, E), value (..., S, D) -> (..., L, D)

    Raises:
        ValueError: if an input or a mask has a wrong shape, or a mask is not boolean.

    Source:
        Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 1.

    Example:
        >>> query, value = np.zeros((3, 2)), np.array([[0.0], [6.0], [12.0]])
        >>> scaled_dot_product_attention(query, query, value)  # All keys fit alike: the mean.
        array([[6.],
               [6.],
               [6.]])
        >>> scaled_dot_product_attention(query, query, value, is_causal=True)
        array([[0.],
               [3.],
               [6.]])

    Taught in: book/algorithms/attention_and_transformers.md
    """
    return ScaledDotProductAttention()(query, key, value, attn_mask, is_causal)


class MultiHeadAttention(Layer):
    """Several attentions side by side; each looks with its own projections of the inputs.

    forward:   Q = query W_qᵀ + b_q,  K = key W_kᵀ + b_k,  V = value W_vᵀ + b_v
               headₕ = attention(Qₕ, Kₕ, Vₕ),  Qₕ: the features h E/H … (h + 1) E/H − 1 of Q
               y = [head₀, …] W_oᵀ + b_o
    backward:  through the same steps in reverse; ∂L/∂W_q = (∂L/∂Q)ᵀ query,  ∂L/∂b_q = Σ ∂L/∂Q,
               ∂L/∂query = ∂L/∂Q W_q, and likewise for key and value

    For self-attention, all three inputs are the same array, and its gradient is the sum of three.

    Equal to `torch.nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)`, with the same
    names. As there, the masks of this layer say what to leave out, while the one of
    `scaled_dot_product_attention` says what to look at.

    Args:
        embed_dim: the number E of features of inputs and output.
        num_heads: the number H of heads; it divides E.
        dropout: the probability with which each attention weight is set to zero in training.
        bias: whether to add the four b; they start at zero.
        rng: the random generator of the initial weights and of dropout; `None` takes a new one.
        dtype: the type of the parameters.

    Attributes:
        in_proj_weight: W_q, W_k and W_v on top of each other, shape (3 E, E).
        in_proj_bias: b_q, b_k and b_v one after the other, shape (3 E,), or `None`.
        out_proj: W_o and b_o, a `Linear`.
        attention_weights: the weights of the last forward pass, shape (N, H, L, S); before dropout.

    Shape:
        query (N, L, E), key (N, S, E), value (N, S, E) -> (N, L, E)

    Raises:
        ValueError: if a size is below 1, `embed_dim` is not divisible by `num_heads`, or an input,
            a mask or a gradient has a wrong shape.

    Source:
        Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2.2.

    Example:
        >>> layer = MultiHeadAttention(6, 2, rng=np.random.default_rng(0), dtype=np.float64)
        >>> x = np.random.default_rng(1).standard_normal((1, 4, 6))
        >>> y = layer(x, x, x, is_causal=True)
        >>> y.shape
        (1, 4, 6)
        >>> layer.attention_weights.shape
        (1, 2, 4, 4)
        >>> layer.attention_weights[0, 0].round(2)  # No weight on the future; each row sums to 1.
        array([[1.  , 0.  , 0.  , 0.  ],
               [0.46, 0.54, 0.  , 0.  ],
               [0.25, 0.35, 0.4 , 0.  ],
               [0.38, 0.24, 0.16, 0.21]])
        >>> grad_x = sum(layer.backward(np.ones((1, 4, 6))))
        >>> grad_x.shape
        (1, 4, 6)

    Taught in: book/algorithms/attention_and_transformers.md
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        for name, size in {"embed_dim": embed_dim, "num_heads": num_heads}.items():
            if size < 1:
                raise ValueError(f"`{name}` (={size}) must be at least 1.")
        if embed_dim % num_heads:
            raise ValueError(
                f"`embed_dim` (={embed_dim}) must be divisible by `num_heads` (={num_heads})."
            )
        rng = np.random.default_rng(rng)
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        xavier_uniform = INITIALIZERS["xavier_uniform"]
        self.in_proj_weight = Parameter(xavier_uniform((3 * embed_dim, embed_dim), rng, dtype))
        self.in_proj_bias = Parameter(np.zeros(3 * embed_dim, dtype)) if bias else None
        self.out_proj = Linear(
            embed_dim, embed_dim, bias=bias, rng=rng, initializer="xavier_uniform", dtype=dtype
        )
        self.attention = ScaledDotProductAttention(dropout, rng=rng)

    @property
    def attention_weights(self) -> np.ndarray:
        """The weights of the last forward pass, before dropout."""
        return self.attention.attention_weights

    def forward(
        self,
        query: np.ndarray,
        key: np.ndarray,
        value: np.ndarray,
        key_padding_mask: np.ndarray | None = None,
        attn_mask: np.ndarray | None = None,
        *,
        is_causal: bool = False,
    ) -> np.ndarray:
        """Return what each query position takes from the values.

        Args:
            query: shape (N, L, E).
            key: shape (N, S, E).
            value: shape (N, S, E).
            key_padding_mask: which keys only fill up, boolean, shape (N, S); no query looks there.
            attn_mask: where a query must not look at a key, boolean, shape (L, S).
            is_causal: whether query i may only look at the keys 0 … i.
        """
        inputs = {"query": query, "key": key, "value": value}
        for name, x in inputs.items():
            if x.ndim != 3 or x.shape[2] != self.embed_dim:
                raise ValueError(
                    f"`{name}` must have shape (N, length, {self.embed_dim}), got {x.shape}."
                )
        n, queries, keys = len(query), query.shape[1], key.shape[1]
        forbidden = np.zeros((1, 1, 1, 1), dtype=bool)
        if attn_mask is not None:
            _check_mask("attn_mask", attn_mask)
            check_shape("attn_mask", attn_mask, (queries, keys))
            forbidden = forbidden | attn_mask  # (1, 1, 1, 1) | (L, S) -> (1, 1, L, S)
        if key_padding_mask is not None:
            _check_mask("key_padding_mask", key_padding_mask)
            check_shape("key_padding_mask", key_padding_mask, (n, keys))
            # (1, 1, L, S) | (N, 1, 1, S) -> (N, 1, L, S)
            forbidden = forbidden | key_padding_mask[:, None, None, :]

        weights, biases = self._in_projections()
        heads = [
            self._split_heads(x @ weight.T + bias)  # (N, T, E) @ (E, E) + (E,) -> (N, H, T, E/H)
            for x, weight, bias in zip(inputs.values(), weights, biases, strict=True)
        ]
        allowed = None if not forbidden.any() else ~forbidden
        mixed = self._merge_heads(self.attention(*heads, allowed, is_causal))  # (N, L, E)
        self.saved = query, key, value
        y = self.out_proj(mixed.reshape(n * queries, self.embed_dim))  # (N, L, E) -> (N L, E)
        return y.reshape(query.shape)  # (N L, E) -> (N, L, E)

    def backward(self, grad_output: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Set the gradients of all parameters, and return those of query, key and value."""
        inputs = self.saved
        query = inputs[0]
        check_shape("grad_output", grad_output, query.shape)
        rows = grad_output.reshape(-1, self.embed_dim)  # (N, L, E) -> (N L, E)
        grad_mixed = self.out_proj.backward(rows).reshape(query.shape)  # (N L, E) -> (N, L, E)
        grad_heads = self.attention.backward(self._split_heads(grad_mixed))
        # Three times (N, H, T, E/H) -> (N, T, E) -> (N T, E).
        grads = [self._merge_heads(g).reshape(-1, self.embed_dim) for g in grad_heads]
        self.in_proj_weight.grad = np.concatenate(
            # (E, N T) @ (N T, E) -> (E, E), and the three on top of each other -> (3 E, E)
            [g.T @ x.reshape(g.shape) for g, x in zip(grads, inputs, strict=True)]
        )
        if self.in_proj_bias is not None:
            self.in_proj_bias.grad = np.concatenate([g.sum(axis=0) for g in grads])  # (3 E,)
        weights, _ = self._in_projections()
        grad_query, grad_key, grad_value = (
            (g @ weight).reshape(x.shape)  # (N T, E) @ (E, E) -> (N T, E) -> (N, T, E)
            for g, weight, x in zip(grads, weights, inputs, strict=True)
        )
        return grad_query, grad_key, grad_value

    def _in_projections(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return W_q, W_k, W_v and b_q, b_k, b_v; zeros where there are none."""
        weight = self.in_proj_weight.data
        bias = np.zeros(len(weight), weight.dtype)
        if self.in_proj_bias is not None:
            bias = self.in_proj_bias.data
        return np.split(weight, 3), np.split(bias, 3)

    def _split_heads(self, x: np.ndarray) -> np.ndarray:
        """Return one matrix for each head, (N, T, E) -> (N, T, H, E/H) -> (N, H, T, E/H)."""
        n, length, features = x.shape
        heads = x.reshape(n, length, self.num_heads, features // self.num_heads)
        return heads.swapaxes(1, 2)

    def _merge_heads(self, heads: np.ndarray) -> np.ndarray:
        """Put the heads side by side, (N, H, T, E/H) -> (N, T, H, E/H) -> (N, T, E)."""
        n, _, length, _ = heads.shape
        return heads.swapaxes(1, 2).reshape(n, length, self.embed_dim)


def _check_inputs(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> None:
    for name, array in {"query": query, "key": key, "value": value}.items():
        if array.ndim < 2:
            raise ValueError(f"`{name}` must have at least 2 axes, got shape {array.shape}.")
    check_shape("key", key, (*query.shape[:-2], key.shape[-2], query.shape[-1]))
    check_shape("value", value, (*key.shape[:-1], value.shape[-1]))


def _check_mask(name: str, mask: np.ndarray) -> None:
    if mask.dtype != np.bool_:
        raise ValueError(f"`{name}` must be boolean, got {mask.dtype}.")


def _allowed(
    attn_mask: np.ndarray | None, is_causal: bool, shape: tuple[int, ...]
) -> np.ndarray | None:
    """Return where queries may look, of a shape that broadcasts to `shape`; `None`: everywhere."""
    allowed = None
    if attn_mask is not None:
        _check_mask("attn_mask", attn_mask)
        pairs = zip(reversed(attn_mask.shape), reversed(shape), strict=False)
        if attn_mask.ndim > len(shape) or any(m not in (1, size) for m, size in pairs):
            raise ValueError(
                f"`attn_mask` must have a shape that broadcasts to {shape}, got {attn_mask.shape}."
            )
        allowed = attn_mask
    if is_causal:
        past = np.tri(*shape[-2:], dtype=np.bool_)  # (L, S): true where the key does not lie ahead.
        allowed = past if allowed is None else allowed & past
    return allowed


def _softmax_of_keys(scores: np.ndarray) -> np.ndarray:
    """Return softmax over the last axis; zeros where all scores are −∞."""
    largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    weights = np.exp(scores - np.where(np.isneginf(largest), 0, largest))
    total = weights.sum(axis=-1, keepdims=True)
    weights /= np.where(total == 0, 1, total)
    return weights

"""Where a transformer looks, and a test whether it matters where.

Attention weights say how much of each value went into a mix. They are not by themselves the reason
for a prediction: other weights often give the same one (Jain and Wallace, "Attention is not
explanation", NAACL 2019; Wiegreffe and Pinter, "Attention is not not explanation", EMNLP 2019).
Take a map as a guess, and test it: `permuted_attention` shows what the model says when it looks
elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from largemodels.scratch.attention import MultiHeadAttention
from largemodels.scratch.layer import Layer
from largemodels.trust._models import device_and_dtype, evaluation_mode

__all__ = ["attention_rollout", "attention_weights", "permuted_attention"]


def attention_weights(model: nn.Module | Layer, *inputs: ArrayLike) -> list[np.ndarray]:
    """Return the attention weights of a forward pass, one array for each attention in the model.

    P = softmax(Q Kᵀ / √E) over the keys

    It works for every PyTorch model that uses `nn.MultiheadAttention` or
    `functional.scaled_dot_product_attention`, as PyTorch's and our transformers do, and for the
    layers of `largemodels.scratch`. The model is put into evaluation mode, and back afterwards.

    Args:
        model: the network, or a single attention layer.
        inputs: what to call it with, such as tokens of shape (N, T).

    Returns:
        The weights of each attention, in the order of the computation (scratch: of the layers),
        shapes (N, heads, queries, keys). Each row sums to 1.

    Raises:
        ValueError: if the model has no attention.

    Example:
        >>> layer = nn.MultiheadAttention(4, 2, batch_first=True)
        >>> _ = nn.init.zeros_(layer.in_proj_weight)  # All keys fit alike.
        >>> x = np.ones((1, 2, 4))
        >>> (weights,) = attention_weights(layer, x, x, x)
        >>> weights.tolist()
        [[[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]]]

    Taught in: book/training/interpretability.md
    """
    if isinstance(model, Layer):
        weights = _scratch_weights(model, *map(np.asarray, inputs))
    else:
        device, dtype = device_and_dtype(model)
        tensors = [torch.as_tensor(np.asarray(x), device=device) for x in inputs]
        recorded: list[Tensor] = []

        def record(weights: Tensor) -> Tensor:
            recorded.append(weights)
            return weights

        with evaluation_mode(model), torch.no_grad(), _Attention(record):
            model(*(x.to(dtype) if x.is_floating_point() else x for x in tensors))
        weights = [array.cpu().numpy() for array in recorded]
    if not weights:
        raise ValueError(f"`model` (a {type(model).__name__}) has no attention.")
    return weights


def permuted_attention(seed: int) -> AbstractContextManager[object]:
    """Let all attention inside a `with` block look elsewhere: the weights of each row, shuffled.

    P'ᵢ = a random permutation of Pᵢ, for each query i on its own

    Weights of exactly 0 stay where they are, so nothing that a mask hides comes to light. If the
    prediction hardly changes, the attention map does not explain it. This is for PyTorch.

    Args:
        seed: the number from which the permutations are drawn.

    Source:
        Jain and Wallace, "Attention is not explanation", NAACL 2019, section 4.2.1.

    Example:
        >>> layer = nn.MultiheadAttention(4, 2, batch_first=True)
        >>> one, two = torch.ones(1, 1, 4), torch.ones(1, 2, 4)
        >>> with permuted_attention(seed=0):  # One key, or equal values: nothing to confuse.
        ...     again_one, again_two = layer(one, one, one)[0], layer(one, two, two)[0]
        >>> torch.allclose(again_one, layer(one, one, one)[0])
        True
        >>> torch.allclose(again_two, layer(one, two, two)[0])
        True

    Taught in: book/training/interpretability.md
    """
    generator = torch.Generator().manual_seed(seed)

    def permute(weights: Tensor) -> Tensor:
        draw = torch.rand(weights.shape, generator=generator).to(weights.device)
        place = torch.linspace(0, 1, weights.shape[-1], device=weights.device)
        hidden = 2.0 * (weights == 0)  # Behind all others in both orders.
        sources = torch.argsort(draw + hidden, dim=-1)  # Those to see, in a random order.
        goals = torch.argsort(place + hidden, dim=-1)  # The same ones, in their own order.
        return torch.zeros_like(weights).scatter(-1, goals, weights.gather(-1, sources))

    return _Attention(permute)


def attention_rollout(weights: Sequence[ArrayLike]) -> np.ndarray:
    """Return how much of each input token reaches each output position, through all layers.

    Aₗ = ½ (mean of Pₗ over the heads) + ½ I,  rollout = A_k ⋯ A₂ A₁

    Half of each position comes over the residual connection, half by attention. The values and the
    feed-forward networks do not count, so this is a map of the ways, not of what goes along them.

    Args:
        weights: the attention weights of the self-attention layers, from the first to the last, one
            array of shape (N, heads, T, T) each, as `attention_weights` returns them.

    Returns:
        Shares, one row for each output position, shape (N, T, T). Each row sums to 1.

    Raises:
        ValueError: if there is no layer, or a shape does not fit.

    Source:
        Abnar and Zuidema, "Quantifying attention flow in transformers", ACL 2020, section 3.

    Example:
        >>> swap = [[[[0.0, 1.0], [1.0, 0.0]]]]  # One text, one head: each looks at the other.
        >>> attention_rollout([swap])
        array([[[0.5, 0.5],
                [0.5, 0.5]]])

    Taught in: book/training/interpretability.md
    """
    layers = [np.asarray(layer) for layer in weights]
    if not layers:
        raise ValueError("`weights` is empty.")
    for index, layer in enumerate(layers):
        if layer.ndim != 4 or layer.shape[2] != layer.shape[3]:
            raise ValueError(
                f"`weights[{index}]` (of shape {layer.shape}) must have shape (N, heads, T, T)."
            )
        if (len(layer), layer.shape[2]) != (len(layers[0]), layers[0].shape[2]):
            raise ValueError(
                f"`weights[{index}]` (of shape {layer.shape}) must have the N and the T of "
                f"`weights[0]`, {layers[0].shape}."
            )
    identity = np.eye(layers[0].shape[2])
    rollout = identity
    for layer in layers:
        mixed = 0.5 * layer.mean(axis=1) + 0.5 * identity  # (N, heads, T, T) -> (N, T, T)
        rollout = mixed @ rollout  # (N, T, T) @ (N, T, T) -> (N, T, T)
    return rollout


class _Attention(TorchFunctionMode):
    """Computes all attention by hand, and lets a function see and change the weights."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return self.attend(*args, **kwargs)[0]
        if func is not functional.multi_head_attention_forward:
            return func(*args, **kwargs)
        # Without `need_weights`, this function has its attention done by the one above.
        weights: list[Tensor] = []

        def attend(*inputs: Any, **options: Any) -> Tensor:
            y, used = self.attend(*inputs, **options)
            weights.append(used)
            return y

        with patch.object(functional, "scaled_dot_product_attention", attend):
            y, _ = func(*args, **{**kwargs, "need_weights": False})
        if not kwargs.get("need_weights", True):
            return y, None
        if kwargs.get("average_attn_weights", True):
            return y, weights[0].mean(dim=1)  # (N, H, L, S) -> (N, L, S)
        return y, weights[0]

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Do what `scaled_dot_product_attention` does, and return the weights, too."""
        scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = query @ key.transpose(-2, -1) * scale  # (..., L, E) @ (..., E, S) -> (..., L, S)
        if is_causal:
            attn_mask = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = self.change(scores.softmax(dim=-1))
        # (..., L, S) @ (..., S, D) -> (..., L, D)
        return functional.dropout(weights, dropout_p) @ value, weights


def _scratch_weights(model: Layer, *inputs: np.ndarray) -> list[np.ndarray]:
    layers = [model]
    for layer in layers:  # The list grows while it is read: all layers, from the outside inwards.
        layers += [child for _, child in layer.named_children()]
    modes = [layer.training for layer in layers]
    model.eval()
    model(*inputs)
    for layer, mode in zip(layers, modes, strict=True):
        layer.training = mode
    return [layer.attention_weights for layer in layers if isinstance(layer, MultiHeadAttention)]

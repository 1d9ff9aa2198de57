"""Fine-tuning with few parameters: low-rank adapters (LoRA)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["LowRankLinear", "add_low_rank_adapters", "merge_low_rank_adapters"]


class LowRankLinear(nn.Module):
    """A linear layer that stays as it is, plus a learned change of low rank.

    y = x Wᵀ + b + (α / r) x Aᵀ Bᵀ,  W (out, in) frozen, A (r, in) and B (out, r) learned

    r · (in + out) numbers are learned instead of in · out. B starts at zero, so that the layer
    starts as the one it replaces. Merged, W + (α / r) B A, it costs nothing when serving.

    Args:
        linear: the layer to adapt; its parameters are frozen.
        rank: r.
        alpha: α; `None` takes r, so that the factor is 1.

    Attributes:
        lora_a: A, shape (r, in).
        lora_b: B, shape (out, r).

    Shape:
        (..., in) -> (..., out)

    Raises:
        ValueError: if `rank` is not from 1 to the smaller side of W.

    Source:
        Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022, equation 3.

    Example:
        >>> layer = LowRankLinear(nn.Linear(512, 512), rank=4)
        >>> sum(parameter.numel() for parameter in layer.parameters() if parameter.requires_grad)
        4096
        >>> sum(parameter.numel() for parameter in layer.linear.parameters())
        262656

    Taught in: book/training/transfer_learning.md
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float | None = None) -> None:
        super().__init__()
        smaller = min(linear.weight.shape)
        if not 1 <= rank <= smaller:
            raise ValueError(
                f"`rank` (={rank}) must be from 1 to the smaller side of the weight, {smaller}."
            )
        self.linear = linear.requires_grad_(False)
        self.scale = 1.0 if alpha is None else alpha / rank
        self.lora_a = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.lora_b = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """Return the frozen layer's output and the learned change."""
        change = functional.linear(functional.linear(x, self.lora_a), self.lora_b)
        return self.linear(x) + self.scale * change

    def merged(self) -> nn.Linear:
        """Return one linear layer that computes the same."""
        linear = self.linear
        merged = nn.Linear(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            device=linear.weight.device,
            dtype=linear.weight.dtype,
        )
        with torch.no_grad():
            merged.weight.copy_(linear.weight + self.scale * self.lora_b @ self.lora_a)
            if linear.bias is not None:
                merged.bias.copy_(linear.bias)
        return merged


def add_low_rank_adapters(
    model: nn.Module, rank: int, *, alpha: float | None = None, among: tuple[str, ...] = ()
) -> list[str]:
    """Freeze a model, and put adapters on its linear layers.

    Args:
        model: the network; it is changed.
        rank: r of each adapter.
        alpha: α of each adapter; `None` takes r.
        among: adapt only layers whose name ends in one of these; `()` adapts all. A layer that its
            owner does not call but reads, as attention reads `out_proj`, must not be among them.

    Returns:
        The names of the layers that have an adapter now.

    Raises:
        ValueError: if no linear layer has such a name, or `rank` does not fit one.

    Source:
        Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022, section 4.2.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> add_low_rank_adapters(model, rank=2)
        ['0', '2']
        >>> [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        ['0.lora_a', '0.lora_b', '2.lora_a', '2.lora_b']

    Taught in: book/training/transfer_learning.md
    """
    names = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and (not among or name.endswith(among))
    ]
    if not names:
        raise ValueError(f"`model` has no linear layer whose name ends in `among` (={among}).")
    adapters = {name: LowRankLinear(_linear(model, name), rank, alpha) for name in names}
    model.requires_grad_(False)
    for name, adapter in adapters.items():
        _replace(model, name, adapter)
    return names


def merge_low_rank_adapters(model: nn.Module) -> None:
    """Turn every adapter of a model into one linear layer, to serve it or to train on.

    W ← W + (α / r) B A

    Args:
        model: the network; it is changed, and all its parameters learn again.

    Source:
        Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022, section 4.1.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 3))
        >>> _ = add_low_rank_adapters(model, rank=2)
        >>> merge_low_rank_adapters(model)
        >>> model
        Sequential(
          (0): Linear(in_features=8, out_features=3, bias=True)
        )

    Taught in: book/training/transfer_learning.md
    """
    found = [(n, layer) for n, layer in model.named_modules() if isinstance(layer, LowRankLinear)]
    for name, adapter in found:
        _replace(model, name, adapter.merged())
    model.requires_grad_(True)


def _linear(model: nn.Module, name: str) -> nn.Linear:
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    if not name:
        raise ValueError("`model` is a linear layer itself: take `LowRankLinear(model, rank)`.")
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)

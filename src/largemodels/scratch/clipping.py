"""Gradient clipping: a step may be wrong in its length, but not wildly."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from largemodels.scratch.layer import Parameter

__all__ = ["clip_grad_norm"]


def clip_grad_norm(parameters: Iterable[Parameter], max_norm: float) -> float:
    """Shorten all gradients together, so that their common length is at most `max_norm`.

    g ← g · min(1, max_norm / (‖g‖ + 10⁻⁶)),  ‖g‖ = √(Σ gᵢ²) over all numbers of all gradients

    The direction stays. Call it between `backward` and `optimizer.step`; gradients that are `None`
    count for nothing. Equal to `torch.nn.utils.clip_grad_norm_`, but for the error.

    Args:
        parameters: the parameters whose gradients to clip, as `layer.parameters()` returns them.
        max_norm: the largest length allowed.

    Returns:
        The length ‖g‖ before clipping.

    Raises:
        ValueError: if `max_norm` is not positive.
        FloatingPointError: if ‖g‖ is NaN or infinite. No factor mends such a gradient.

    Source:
        Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
        ICML 2013, algorithm 1.

    Example:
        >>> weight = Parameter(np.zeros(2))
        >>> weight.grad = np.array([30.0, 40.0])
        >>> clip_grad_norm([weight], max_norm=1.0)
        50.0
        >>> weight.grad.round(3)
        array([0.6, 0.8])

    Taught in: book/algorithms/recurrent_networks.md
    """
    if not max_norm > 0:
        raise ValueError(f"`max_norm` (={max_norm}) must be positive.")
    parameters = list(parameters)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = math.hypot(*(float(np.linalg.norm(grad)) for grad in gradients))
    if not math.isfinite(norm):
        raise FloatingPointError(f"The norm of the gradients is {norm}; it cannot be clipped.")
    factor = float(max_norm) / (norm + 1e-6)
    if factor < 1:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = parameter.grad * factor
    return norm

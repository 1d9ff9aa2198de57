"""What all explanations and attacks need: a model in evaluation mode, and arrays as tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

__all__ = ["device_and_dtype", "evaluation_mode", "to_targets", "to_tensor"]


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Turn dropout and the statistics of the batch off, and put each module back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def device_and_dtype(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return where a model computes and in which type; those of PyTorch without parameters."""
    parameter = next(model.parameters(), None)
    if parameter is None:
        return torch.device("cpu"), torch.get_default_dtype()
    return parameter.device, parameter.dtype


def to_tensor(model: nn.Module, name: str, x: ArrayLike) -> Tensor:
    """Return inputs as a tensor that fits a model; a `ValueError` if there is no example."""
    array = np.asarray(x)
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"`{name}` (of shape {array.shape}) must have shape (N, ...), N above 0.")
    device, dtype = device_and_dtype(model)
    return torch.tensor(array, device=device, dtype=dtype)


def to_targets(model: nn.Module, name: str, y: ArrayLike, count: int) -> Tensor:
    """Return classes as a tensor; a `ValueError` unless there is one integer for each example."""
    array = np.asarray(y)
    if array.shape != (count,):
        raise ValueError(f"`{name}` (of shape {array.shape}) must have shape ({count},).")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"`{name}` (of type {array.dtype}) must be integers.")
    return torch.tensor(array, device=device_and_dtype(model)[0], dtype=torch.long)

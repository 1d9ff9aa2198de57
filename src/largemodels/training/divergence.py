"""What stops a training that learns nothing any more, and says why."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

__all__ = ["check_loss", "check_parameters", "divergence"]


def check_loss(
    value: float, model: nn.Module, optimizer: torch.optim.Optimizer, *, epoch: int, step: int
) -> None:
    """Stop a training whose loss is NaN or infinite, before anything is changed by it.

    Args:
        value: the loss of a minibatch.
        model: the network.
        optimizer: its optimizer.
        epoch: the number of the epoch, from 0.
        step: how many steps of it are done.

    Raises:
        FloatingPointError: if the loss is not finite. The message names the step, the learning rate
            and the largest gradient.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> check_loss(math.nan, model, optimizer, epoch=0, step=0)
        Traceback (most recent call last):
        FloatingPointError: Training stopped before the first step: the loss is nan. The ...

    Taught in: book/training/training_loop.md
    """
    if not math.isfinite(value):
        raise divergence(f"the loss is {value}", model, optimizer, epoch=epoch, step=step)


def check_parameters(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, epoch: int, step: int
) -> None:
    """Stop a training after whose last update, which no loss has seen, a parameter is not finite.

    Args:
        model: the network.
        optimizer: its optimizer.
        epoch: the number of the epoch, from 0.
        step: how many steps of it are done.

    Raises:
        FloatingPointError: if a parameter is not finite. The message names the step, the learning
            rate and the largest gradient.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> check_parameters(model, torch.optim.SGD(model.parameters(), 0.1), epoch=0, step=0)

    Taught in: book/training/training_loop.md
    """
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            what = f"the parameter `{name}` is not finite"
            raise divergence(what, model, optimizer, epoch=epoch, step=step)


def divergence(
    what: str, model: nn.Module, optimizer: torch.optim.Optimizer, *, epoch: int, step: int
) -> FloatingPointError:
    """Return the error that stops a training.

    Args:
        what: what is not finite, such as "the loss is nan".
        model: the network, with the gradients of its last step.
        optimizer: its optimizer.
        epoch: the number of the epoch, from 0.
        step: how many steps of it are done.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> model.weight.grad, model.bias.grad = torch.tensor([[-2e9]]), torch.tensor([1.0])
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=30)
        >>> print(divergence("the loss is inf", model, optimizer, epoch=0, step=7))
        Training diverged after step 7 of epoch 1: the loss is inf. The learning rate is 30, the ...

    Taught in: book/training/training_loop.md
    """
    rates = ", ".join(f"{group['lr']:g}" for group in optimizer.param_groups)
    gradients = {
        name: parameter.grad.abs().max().item()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    if not gradients:
        return FloatingPointError(
            f"Training stopped before the first step: {what}. The learning rate is {rates}, there "
            "is no gradient yet. Look for NaN or huge numbers in the data and the initial weights."
        )
    # A NaN counts as the largest of all.
    largest = max(gradients, key=lambda name: np.nan_to_num(gradients[name], nan=math.inf))
    return FloatingPointError(
        f"Training diverged after step {step} of epoch {epoch + 1}: {what}. The learning rate is "
        f"{rates}, the largest gradient of the last step is {gradients[largest]:.3g}, in "
        f"`{largest}`. A smaller learning rate is the first thing to try."
    )

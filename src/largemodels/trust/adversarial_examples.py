"""Adversarial examples: inputs changed so little that nobody notices, and the model is wrong.

Training on them makes a model robust against such changes. It explains nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from largemodels.scratch.training import History
from largemodels.training.divergence import check_loss, check_parameters
from largemodels.trust._models import device_and_dtype, evaluation_mode

__all__ = ["accuracy_under_attack", "adversarial_fit", "fgsm", "pgd"]

# An attack takes a model, inputs and right classes, and returns changed inputs.
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]


def fgsm(model: nn.Module, x: Tensor, y: Tensor, *, epsilon: float) -> Tensor:
    """Return inputs moved one step of size ε against the model: the fast gradient sign method.

    x' = clip(x + ε sign(∂L/∂x), 0, 1),  L: the cross-entropy

    Among all changes of at most ε in each input, this one raises a linear loss most.

    Args:
        model: the network, (N, ...) -> logits (N, classes).
        x: the inputs, from 0 to 1, shape (N, ...).
        y: the right classes, shape (N,).
        epsilon: ε, the largest change of each input.

    Returns:
        The changed inputs, from 0 to 1, of the shape of `x`.

    Raises:
        ValueError: if `epsilon` is negative, or `x` is not from 0 to 1.

    Source:
        Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015,
        section 3.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> model.weight.data = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]])
        >>> fgsm(model, torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([0]), epsilon=0.25)
        tensor([[0.2500, 0.7500, 0.0000]])

    Taught in: book/training/adversarial_examples.md
    """
    _check("epsilon", epsilon)
    _check_inputs(x)
    return (x + epsilon * _gradient(model, x, y).sign()).clamp(0, 1)


def pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float,
    steps: int = 10,
    step_size: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return inputs moved in many small steps against the model: projected gradient descent.

    x₀ = x + uniform noise in [−ε, ε],  xₜ₊₁ = clip(xₜ + α sign(∂L/∂xₜ), x − ε, x + ε), clipped to
    0 … 1

    Args:
        model: the network, (N, ...) -> logits (N, classes).
        x: the inputs, from 0 to 1, shape (N, ...).
        y: the right classes, shape (N,).
        epsilon: ε, the largest change of each input.
        steps: the number of steps.
        step_size: α; by default 2.5 ε / `steps`, enough to go from one side to the other.
        generator: the random generator of the start, on the device of `x`.

    Returns:
        The changed inputs, from 0 to 1, of the shape of `x`.

    Raises:
        ValueError: if `epsilon` or `step_size` is negative, `steps` is below 1, or `x` is not from
            0 to 1.

    Source:
        Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards deep learning models resistant to
        adversarial attacks", ICLR 2018, section 2.1.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> model.weight.data = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]])
        >>> x = torch.tensor([[0.5, 0.5, 0.0]])
        >>> pgd(model, x, torch.tensor([0]), epsilon=0.25)  # As far as it may, in each input.
        tensor([[0.2500, 0.7500, 0.0000]])

    Taught in: book/training/adversarial_examples.md
    """
    _check("epsilon", epsilon)
    _check_inputs(x)
    if steps < 1:
        raise ValueError(f"`steps` (={steps}) must be at least 1.")
    if step_size is None:
        step_size = 2.5 * epsilon / steps
    _check("step_size", step_size)
    noise = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    low, high = (x - epsilon).clamp(0, 1), (x + epsilon).clamp(0, 1)
    moved = (x + epsilon * (2 * noise - 1)).clamp(low, high)
    for _ in range(steps):
        moved = (moved + step_size * _gradient(model, moved, y).sign()).clamp(low, high)
    return moved


def accuracy_under_attack(
    model: nn.Module, attack: Attack, x: Tensor, y: Tensor, *, batch_size: int = 1000
) -> float:
    """Return the share of examples that a model still gets right when they are attacked.

    Args:
        model: the network, (N, ...) -> logits (N, classes).
        attack: changes inputs, such as `functools.partial(fgsm, epsilon=0.1)`.
        x: the inputs, from 0 to 1, shape (N, ...).
        y: the right classes, shape (N,).
        batch_size: how many examples to compute at once.

    Returns:
        A share from 0 to 1.

    Raises:
        ValueError: if there is no example.

    Example:
        >>> from functools import partial
        >>> model = nn.Linear(1, 2)
        >>> model.weight.data, model.bias.data = torch.tensor([[1.0], [0.0]]), torch.zeros(2)
        >>> model.bias.data[1] = 0.5  # Class 0 above 0.5.
        >>> x, y = torch.tensor([[0.6], [0.9], [0.1]]), torch.tensor([0, 0, 1])
        >>> accuracy_under_attack(model, partial(fgsm, epsilon=0.2), x, y)
        0.666...

    Taught in: book/training/adversarial_examples.md
    """
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(f"`x` and `y` must have one length above 0, got {len(x)} and {len(y)}.")
    right = 0
    for inputs, classes in zip(x.split(batch_size), y.split(batch_size), strict=True):
        moved = attack(model, inputs, classes)
        with evaluation_mode(model), torch.no_grad():
            right += int((model(moved).argmax(dim=1) == classes).sum())
    return right / len(x)


def adversarial_fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Dataset,
    attack: Attack,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    progress: bool = True,
) -> History:
    """Train a model on adversarial examples, made anew against the model of each step.

    min_w E max_{‖x' − x‖∞ ≤ ε} L(x', y; w),  the maximum found by the attack

    It costs one pass of the model more for each step of the attack, and some accuracy without one.

    Args:
        model: the network, (N, ...) -> logits (N, classes).
        optimizer: the optimizer of the network's parameters.
        train: the examples, pairs of input from 0 to 1 and class.
        attack: changes inputs, such as `functools.partial(pgd, epsilon=0.1)`.
        epochs: how many times to go through the data, in a new random order each time.
        batch_size: how many examples go into one step.
        seed: the number from which the order and all else in the training is drawn.
        progress: whether to show a progress bar.

    Returns:
        The losses and accuracies on the adversarial examples of each epoch.

    Raises:
        FloatingPointError: if the training diverges: the loss or a parameter is not finite.
        ValueError: if `epochs` or `batch_size` is below 1.

    Source:
        Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards deep learning models resistant to
        adversarial attacks", ICLR 2018, equation 2.1; with `fgsm`: Goodfellow, Shlens and Szegedy,
        "Explaining and harnessing adversarial examples", ICLR 2015, section 6.

    Example:
        >>> from functools import partial
        >>> from torch.utils.data import TensorDataset
        >>> x = torch.tensor([[0.0], [0.3], [0.7], [1.0]])
        >>> model = nn.Linear(1, 2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        >>> history = adversarial_fit(
        ...     model, optimizer, TensorDataset(x, torch.tensor([0, 0, 1, 1])),
        ...     partial(fgsm, epsilon=0.1), epochs=100, batch_size=4, seed=0, progress=False)
        >>> history.accuracy[-1]
        1.0

    Taught in: book/training/adversarial_examples.md
    """
    for name, number in {"epochs": epochs, "batch_size": batch_size}.items():
        if number < 1:
            raise ValueError(f"`{name}` (={number}) must be at least 1.")
    torch.manual_seed(seed)  # Dropout, and the starts of the attack.
    device, _ = device_and_dtype(model)
    generator = torch.Generator().manual_seed(seed)
    batches = DataLoader(train, batch_size=batch_size, shuffle=True, generator=generator)
    history, started = History(), time.perf_counter()
    with tqdm(total=epochs * len(batches), disable=not progress, unit="step") as bar:
        for epoch in range(epochs):
            sums = np.zeros(3)  # Loss, right answers, examples.
            for step, (inputs, classes) in enumerate(batches):
                x, y = inputs.to(device), classes.to(device)
                moved = attack(model, x, y)
                model.train()
                logits = model(moved)
                loss = functional.cross_entropy(logits, y)
                check_loss(loss.item(), model, optimizer, epoch=epoch, step=step)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                right = (logits.argmax(dim=1) == y).sum().item()
                sums += [loss.item() * len(x), right, len(x)]
                bar.update()
            check_parameters(model, optimizer, epoch=epoch, step=len(batches))
            history.loss.append(float(sums[0] / sums[2]))
            history.accuracy.append(float(sums[1] / sums[2]))
            bar.set_postfix(loss=f"{history.loss[-1]:.4f}")
    history.seconds = time.perf_counter() - started
    return history


def _gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return ∂L/∂x of each example, with the model as it is used: without dropout."""
    x = x.detach().requires_grad_()
    with evaluation_mode(model), torch.enable_grad():
        # The sum, not the mean: an example's gradient must not depend on the size of the batch.
        loss = functional.cross_entropy(model(x), y, reduction="sum")
    return torch.autograd.grad(loss, x)[0]


def _check(name: str, value: float) -> None:
    if not value >= 0:
        raise ValueError(f"`{name}` (={value}) must be at least 0.")


def _check_inputs(x: Tensor) -> None:
    if not ((x >= 0) & (x <= 1)).all():
        raise ValueError(f"`x` must be from 0 to 1, got {x.min():g} to {x.max():g}.")

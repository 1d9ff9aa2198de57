"""The training loop."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import tqdm

from largemodels.scratch.layer import Layer
from largemodels.scratch.losses import Loss
from largemodels.scratch.optimizers import Optimizer

__all__ = ["History", "evaluate", "fit"]


@dataclass
class History:
    """What happened during a training, one number for each epoch.

    Attributes:
        loss: the mean training loss, measured while the parameters changed.
        accuracy: the share of right classes, measured the same way; NaN for a regression.
        validation_loss: the loss on the validation data after the epoch; empty without such data.
        validation_accuracy: the share of right classes there; empty without such data.
        seconds: the duration of the whole training.

    Example:
        >>> history = History(validation_loss=[0.9, 0.5, 0.6])
        >>> int(np.argmin(history.validation_loss))  # The best epoch, counted from 0.
        1

    Taught in: book/algorithms/backpropagation.md
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    seconds: float = 0.0


def evaluate(
    model: Layer, loss: Loss, x: np.ndarray, y: np.ndarray, batch_size: int = 1000
) -> tuple[float, float]:
    """Return the loss and the accuracy of a model, without learning anything.

    Args:
        model: the network.
        loss: the loss.
        x: the inputs, shape (N, ...).
        y: the targets, shape (N, ...).
        batch_size: how many rows to compute at once.

    Returns:
        The mean loss, and the share of right classes (NaN for a regression).

    Raises:
        ValueError: if `x` is empty, or `x` and `y` differ in length.

    Example:
        >>> from largemodels.scratch import CrossEntropyLoss, Identity
        >>> logits = np.array([[9.0, 0.0], [9.0, 0.0]])
        >>> loss, accuracy = evaluate(Identity(), CrossEntropyLoss(), logits, np.array([0, 1]))
        >>> accuracy
        0.5

    Taught in: book/algorithms/backpropagation.md
    """
    _check_data(x, y, batch_size)
    was_training = model.training
    model.eval()
    loss_sum = correct = 0.0
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        prediction = model(x[rows])
        loss_sum += loss(prediction, y[rows]) * len(prediction)
        correct += _accuracy(loss, prediction, y[rows]) * len(prediction)
    model.train(was_training)
    return loss_sum / len(x), correct / len(x)


def fit(
    model: Layer,
    loss: Loss,
    optimizer: Optimizer,
    x: np.ndarray,
    y: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    rng: np.random.Generator,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    progress: bool = True,
) -> History:
    """Train a model: forward, loss, backward, step, for one minibatch after the other.

    θ ← update(θ, ∂L/∂θ),  L the loss of a minibatch

    Args:
        model: the network.
        loss: the loss.
        optimizer: the optimizer of the network's parameters.
        x: the inputs, shape (N, ...).
        y: the targets, shape (N, ...).
        epochs: how many times to go through the data, in a new random order each time.
        batch_size: how many rows go into one step; the last step of an epoch may have fewer.
        rng: the random generator of the order.
        validation: inputs and targets to evaluate after each epoch.
        progress: whether to show a progress bar.

    Returns:
        The losses and accuracies of all epochs.

    Raises:
        FloatingPointError: if the training diverges: the loss or a parameter becomes NaN or
            infinite. The message names the step, the learning rate and the largest gradient.
        ValueError: if the data is empty, inputs and targets differ in length, or the inputs are
            of another floating-point type than the parameters.

    Example:
        >>> from largemodels.scratch import Adam, CrossEntropyLoss, MLP
        >>> rng = np.random.default_rng(0)
        >>> x = rng.standard_normal((200, 2), dtype=np.float32)
        >>> y = (x[:, 0] * x[:, 1] > 0).astype(int)  # The same sign: no straight line decides.
        >>> model = MLP([2, 16, 2], rng=rng)
        >>> optimizer = Adam(model.parameters(), lr=0.02)
        >>> history = fit(model, CrossEntropyLoss(), optimizer, x, y,
        ...               epochs=20, batch_size=20, rng=rng, progress=False)
        >>> history.accuracy[-1] > 0.95
        True

    Taught in: book/algorithms/backpropagation.md
    """
    _check_data(x, y, batch_size)
    check_dtype(model, x)
    history = History()
    started = time.perf_counter()
    steps = epochs * math.ceil(len(x) / batch_size)
    bar = tqdm(total=steps, disable=not progress, unit="step")
    step = 0
    model.train()
    # A diverging training overflows first. The error that stops it says more than a warning.
    with bar, np.errstate(over="ignore", invalid="ignore"):
        for _ in range(epochs):
            order = rng.permutation(len(x))
            loss_sum = correct = 0.0
            for start in range(0, len(x), batch_size):
                rows = order[start : start + batch_size]
                prediction = model(x[rows])
                value = loss(prediction, y[rows])
                if not math.isfinite(value):
                    raise _divergence(f"the loss is {value}", step, model, optimizer)
                model.backward(loss.backward())
                optimizer.step()
                loss_sum += value * len(rows)
                correct += _accuracy(loss, prediction, y[rows]) * len(rows)
                step += 1
                bar.update()
            history.loss.append(loss_sum / len(x))
            history.accuracy.append(correct / len(x))
            # No loss has seen the last update yet.
            if not all(np.isfinite(parameter.data).all() for parameter in model.parameters()):
                raise _divergence("a parameter is not finite", step, model, optimizer)
            if validation is not None:
                validation_loss, validation_accuracy = evaluate(model, loss, *validation)
                history.validation_loss.append(validation_loss)
                history.validation_accuracy.append(validation_accuracy)
            bar.set_postfix(loss=f"{history.loss[-1]:.4f}")
    history.seconds = time.perf_counter() - started
    return history


def _accuracy(loss: Loss, prediction: np.ndarray, target: np.ndarray) -> float:
    classes = loss.classes(prediction)
    if classes is None:
        return math.nan
    # Where the target holds probabilities, the most probable class is the right one.
    right = loss.classes(target) if target.ndim > classes.ndim else target
    return float((classes == right).mean())


def _check_data(x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
    if len(x) == 0:
        raise ValueError("`x` is empty.")
    if len(x) != len(y):
        raise ValueError(f"`x` and `y` must have the same length, got {len(x)} and {len(y)}.")
    if batch_size < 1:
        raise ValueError(f"`batch_size` (={batch_size}) must be at least 1.")


def check_dtype(model: Layer, x: np.ndarray) -> None:
    """Raise a `ValueError` that names both types, unless data and parameters have the same one."""
    # NumPy would compute in the larger type, silently and at half the speed.
    for name, parameter in model.named_parameters():
        if np.issubdtype(x.dtype, np.floating) and x.dtype != parameter.data.dtype:
            raise ValueError(
                f"`x` is {x.dtype} and `{name}` is {parameter.data.dtype}. "
                f"Convert the data once: x.astype(np.{parameter.data.dtype})."
            )


def largest_gradient(model: Layer) -> str:
    """Return the size and the name of the largest gradient; one that is NaN counts as larger.

    Example:
        >>> from largemodels.scratch import Linear
        >>> layer = Linear(1, 1)
        >>> layer.weight.grad, layer.bias.grad = np.array([[-2000.0]]), np.array([1.0])
        >>> largest_gradient(layer)
        '2e+03, in `weight`'
    """
    gradients = {
        name: float(np.abs(parameter.grad).max())
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    if not gradients:
        return "not computed yet"
    largest = max(gradients, key=lambda name: np.nan_to_num(gradients[name], nan=np.inf))
    return f"{gradients[largest]:.3g}, in `{largest}`"


def _divergence(what: str, step: int, model: Layer, optimizer: Optimizer) -> FloatingPointError:
    if step == 0:
        return FloatingPointError(
            f"Training stopped before the first step: {what}. Look for NaN or huge numbers in "
            "the data and the initial weights."
        )
    return FloatingPointError(
        f"Training diverged after step {step}: {what}. The learning rate is {optimizer.lr}, the "
        f"largest gradient of that step is {largest_gradient(model)}. "
        "A smaller learning rate is the first thing to try."
    )

"""The training loop for PyTorch: what a practitioner adds to forward, loss, backward, step."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Mapping, Sized
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils.data import Dataset, TensorDataset, default_collate
from tqdm.auto import tqdm

import largemodels
from largemodels.scratch.training import History
from largemodels.training.checkpoint import (
    load_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
)
from largemodels.training.divergence import check_loss, check_parameters, divergence

__all__ = ["evaluate", "fit"]

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class _Position:
    """Where a training is: all that the loop itself has to remember, ready for a checkpoint."""

    order: Tensor  # State of the generator of the order, at the start of the epoch.
    epoch: int = 0
    step: int = 0  # Steps done in this epoch.
    loss_sum: float = 0.0
    correct: float = 0.0
    history: History = field(default_factory=History)
    best_loss: float = math.inf
    best_weights: dict[str, Tensor] | None = None
    epochs_without_improvement: int = 0

    @property
    def place(self) -> dict[str, int]:
        return {"epoch": self.epoch, "step": self.step}


def evaluate(
    model: nn.Module,
    loss: nn.Module,
    data: Dataset,
    *,
    batch_size: int = 1000,
    precision: Precision = "float32",
) -> tuple[float, float]:
    """Return the loss and the accuracy of a model, without learning anything.

    Args:
        model: the network, on the device where it shall compute.
        loss: the loss, with its mean over the batch.
        data: the examples, pairs of input and target.
        batch_size: how many examples to compute at once.
        precision: the floating-point type of the forward pass.

    Returns:
        The mean loss, and the share of right classes (NaN if the loss has no classes, see `fit`).

    Raises:
        ValueError: if `data` is empty, or an argument is out of range.

    Example:
        >>> logits = torch.tensor([[9.0, 0.0], [9.0, 0.0]])
        >>> data = TensorDataset(logits, torch.tensor([0, 1]))
        >>> loss, accuracy = evaluate(nn.Identity(), nn.CrossEntropyLoss(), data)
        >>> accuracy
        0.5

    Taught in: book/training/training_loop.md
    """
    length = _length("data", data)
    _check_choices(batch_size, precision)
    device = _device_of(model)
    was_training = model.training
    model.eval()
    loss_sum = correct = 0.0
    with torch.no_grad():
        for rows in torch.arange(length).split(batch_size):
            x, y = _batch(data, rows, device)
            with _autocast(device, precision):
                prediction = model(x)
                value = loss(prediction, y)
            loss_sum += value.item() * len(rows)
            correct += _accuracy(loss, prediction, y) * len(rows)
    model.train(was_training)
    return loss_sum / length, correct / length


def fit(
    model: nn.Module,
    loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Dataset,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    validation: Dataset | None = None,
    patience: int | None = None,
    max_norm: float | None = None,
    schedule: LRScheduler | None = None,
    schedule_each: Literal["step", "epoch"] = "step",
    precision: Precision = "float32",
    device: torch.device | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_steps: int | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train a model: forward, loss, backward, step, for one minibatch after the other.

    An interrupted training that is started again with `resume=True` gives the numbers of an
    uninterrupted one, bit for bit. For the same on a GPU, whose sums may change their order from
    run to run, call `torch.use_deterministic_algorithms(True)` first.

    The history counts right classes for `nn.CrossEntropyLoss`, `nn.NLLLoss` (the largest number
    along axis 1) and `nn.BCEWithLogitsLoss` (a positive logit); its accuracy is NaN for any other
    loss.

    Args:
        model: the network; it is moved to `device`.
        loss: the loss, with its mean over the batch.
        optimizer: the optimizer of the network's parameters.
        train: the examples, pairs of input and target, for instance a `TensorDataset`.
        epochs: how many times to go through the data, in a new random order each time.
        batch_size: how many examples go into one step; the last step of an epoch may have fewer.
        seed: the number from which the order is drawn, and with which the global generators of
            PyTorch, NumPy and Python start (dropout, data augmentation).
        validation: examples to evaluate the model on after each epoch.
        patience: stop after that many epochs in a row without a new lowest validation loss. With
            it, the model ends with the weights of its best epoch.
        max_norm: the largest length of the gradient of all parameters together; a longer one is
            shortened to it.
        schedule: the schedule of the optimizer's learning rate.
        schedule_each: whether the schedule moves on after each step or each epoch. A
            `ReduceLROnPlateau` looks at the validation loss, so it needs "epoch".
        precision: the floating-point type of the forward pass. "bfloat16" and "float16" are mixed
            precision (`torch.autocast`); "float16" also scales the loss, so that small gradients
            do not become 0.
        device: where to compute; by default `largemodels.device()`, the GPU when there is one.
        checkpoint: the file in which to save the training after each epoch.
        checkpoint_steps: save the training after each that many steps of an epoch, too.
        resume: go on from the file `checkpoint`, if it is there. All other arguments must be those
            of the first start; only `epochs` and `patience` may change.
        progress: whether to show a progress bar.

    Returns:
        The losses and accuracies of all epochs, those before a resume included.

    Raises:
        FileExistsError: if `checkpoint` exists and `resume` is False.
        FloatingPointError: if the training diverges: a loss or a parameter becomes NaN or infinite.
            The message names the step, the learning rate and the largest gradient.
        ValueError: if an argument is out of range or does not fit another one, or `checkpoint`
            belongs to another training or is no checkpoint.

    Source:
        Prechelt, "Early stopping — but when?", 1998 (patience); Pascanu, Mikolov and Bengio, "On
        the difficulty of training recurrent neural networks", ICML 2013, algorithm 1 (clipping);
        Micikevicius et al., "Mixed precision training", ICLR 2018, section 3 (loss scaling).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(200, 2)
        >>> y = (x[:, 0] * x[:, 1] > 0).long()  # The same sign: no straight line decides.
        >>> model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
        >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        >>> history = fit(model, nn.CrossEntropyLoss(), optimizer, TensorDataset(x, y),
        ...               epochs=20, batch_size=20, seed=0, progress=False)
        >>> history.accuracy[-1] > 0.95
        True

    Taught in: book/training/training_loop.md
    """
    length = _length("train", train)
    _check_choices(batch_size, precision)
    _check_numbers(epochs=epochs, patience=patience, checkpoint_steps=checkpoint_steps)
    if max_norm is not None and not max_norm > 0:
        raise ValueError(f"`max_norm` (={max_norm}) must be positive.")
    if patience is not None and validation is None:
        raise ValueError(f"`patience` (={patience}) needs `validation` (=None).")
    _check_schedule(schedule, schedule_each, validation)
    path = _checkpoint_path(checkpoint, checkpoint_steps, resume)

    device = device or largemodels.device()
    model.to(device)
    loss.to(device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
    _seed_global_generators(seed)
    generator = torch.Generator().manual_seed(seed)
    position = _Position(order=generator.get_state())
    # Another value of these would make another training.
    setup = {
        "batch_size": batch_size,
        "seed": seed,
        "max_norm": max_norm,
        "schedule_each": schedule_each,
        "precision": precision,
        "len(train)": length,
    }
    stateful: dict[str, Any] = {"model": model, "optimizer": optimizer, "scaler": scaler}
    if schedule is not None:
        stateful["schedule"] = schedule

    def save() -> None:
        if path is not None:
            check_parameters(model, optimizer, **position.place)  # Keep the last good checkpoint.
            position.history.seconds = seconds_before + time.perf_counter() - started
            states = {name: part.state_dict() for name, part in stateful.items()}
            content = {"states": states, "position": _to_dict(position), "setup": setup}
            save_checkpoint(path, {**content, "random": random_state()})

    if path is not None and path.exists():
        position = _restore(path, stateful, setup)
        generator.set_state(position.order)
    history = position.history
    seconds_before, started = history.seconds, time.perf_counter()
    steps = math.ceil(length / batch_size)
    bar = tqdm(
        total=epochs * steps,
        initial=position.epoch * steps + position.step,
        disable=not progress,
        unit="step",
    )
    model.train()
    with bar:
        while position.epoch < epochs and not _is_over(position, patience):
            batches = torch.randperm(length, generator=generator).split(batch_size)
            for rows in batches[position.step :]:
                x, y = _batch(train, rows, device)
                with _autocast(device, precision):
                    prediction = model(x)
                    batch_loss = loss(prediction, y)
                value = batch_loss.item()
                check_loss(value, model, optimizer, **position.place)
                optimizer.zero_grad()
                scaler.scale(batch_loss).backward()
                scaler.unscale_(optimizer)
                if max_norm is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
                scale = scaler.get_scale()
                scaler.step(optimizer)
                scaler.update()
                # A smaller scale says: the scaled gradients overflowed and there was no step.
                if schedule is not None and schedule_each == "step" and scaler.get_scale() >= scale:
                    schedule.step()
                position.loss_sum += value * len(rows)
                position.correct += _accuracy(loss, prediction, y) * len(rows)
                position.step += 1
                bar.update()
                if checkpoint_steps and position.step % checkpoint_steps == 0:
                    save()
            check_parameters(
                model, optimizer, **position.place
            )  # No loss has seen the last update yet.
            history.loss.append(position.loss_sum / length)
            history.accuracy.append(position.correct / length)
            if validation is not None:
                validation_loss, validation_accuracy = evaluate(
                    model, loss, validation, precision=precision
                )
                if not math.isfinite(validation_loss):
                    what = f"the validation loss is {validation_loss}"
                    raise divergence(what, model, optimizer, **position.place)
                history.validation_loss.append(validation_loss)
                history.validation_accuracy.append(validation_accuracy)
                if patience is not None:
                    _compare(position, model, validation_loss)
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(history.validation_loss[-1])
            elif schedule is not None and schedule_each == "epoch":
                schedule.step()
            position.epoch += 1
            position.step, position.loss_sum, position.correct = 0, 0.0, 0.0
            position.order = generator.get_state()
            save()
            bar.set_postfix(loss=f"{history.loss[-1]:.4f}")
    if patience is not None and position.best_weights is not None:
        model.load_state_dict(position.best_weights)
    history.seconds = seconds_before + time.perf_counter() - started
    return history


def _is_over(position: _Position, patience: int | None) -> bool:
    return patience is not None and position.epochs_without_improvement >= patience


def _compare(position: _Position, model: nn.Module, validation_loss: float) -> None:
    if validation_loss < position.best_loss:
        position.best_loss = validation_loss
        position.best_weights = {
            name: value.detach().cpu().clone() for name, value in model.state_dict().items()
        }
        position.epochs_without_improvement = 0
    else:
        position.epochs_without_improvement += 1


def _to_dict(position: _Position) -> dict[str, Any]:
    return {**vars(position), "history": asdict(position.history)}


def _restore(path: Path, stateful: Mapping[str, Any], setup: Mapping[str, Any]) -> _Position:
    content = load_checkpoint(path)
    if not {"states", "position", "setup", "random"} <= set(content):
        raise ValueError(
            f"`checkpoint` (={str(path)!r}) was not saved by `fit`: it holds {sorted(content)}."
        )
    for name, value in setup.items():
        saved = content["setup"][name]
        if saved != value:
            raise ValueError(
                f"`{name}` (={value!r}) was {saved!r} when `checkpoint` (={str(path)!r}) was "
                "saved. With another value the training cannot continue exactly."
            )
    if set(content["states"]) != set(stateful):
        raise ValueError(
            f"`checkpoint` (={str(path)!r}) holds the states of {sorted(content['states'])}, this "
            f"training has {sorted(stateful)}."
        )
    for name, part in stateful.items():
        try:
            part.load_state_dict(content["states"][name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(
                f"`checkpoint` (={str(path)!r}) belongs to another `{name}`: {error}"
            ) from error
    set_random_state(content["random"])
    position = content["position"]
    return _Position(**{**position, "history": History(**position["history"])})


def _seed_global_generators(seed: int) -> None:
    torch.manual_seed(seed)  # The CPU's and all GPUs'.
    np.random.seed(seed)  # noqa: NPY002  (augmentation written by others uses the global one)
    random.seed(seed)


def _batch(data: Dataset, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    if isinstance(data, TensorDataset):  # One indexing instead of one for each example.
        x, y = data[rows]
    else:
        x, y = default_collate([data[row] for row in rows.tolist()])
    return x.to(device), y.to(device)


def _autocast(device: torch.device, precision: Precision) -> torch.autocast:
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "float32")


def _device_of(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _accuracy(loss: nn.Module, prediction: Tensor, target: Tensor) -> float:
    if isinstance(loss, nn.BCEWithLogitsLoss):
        return ((prediction > 0) == (target > 0.5)).float().mean().item()
    if not isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss):
        return math.nan
    classes = prediction.argmax(dim=1)
    if target.ndim == prediction.ndim:  # Probabilities: the most probable class is the right one.
        target = target.argmax(dim=1)
    counted = target != loss.ignore_index
    return (classes == target)[counted].float().mean().item()


def _length(name: str, data: Dataset) -> int:
    if not isinstance(data, Sized):
        raise ValueError(f"`{name}` (={data!r}) must have a length and an order to draw from.")
    if len(data) == 0:
        raise ValueError(f"`{name}` (={data!r}) is empty.")
    return len(data)


def _check_choices(batch_size: int, precision: str) -> None:
    if batch_size < 1:
        raise ValueError(f"`batch_size` (={batch_size}) must be at least 1.")
    if precision not in DTYPES:
        raise ValueError(f"`precision` (={precision!r}) must be one of {list(DTYPES)}.")


def _check_numbers(**numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1.")


def _check_schedule(
    schedule: LRScheduler | None, schedule_each: str, validation: Dataset | None
) -> None:
    if schedule_each not in {"step", "epoch"}:
        raise ValueError(f"`schedule_each` (={schedule_each!r}) must be 'step' or 'epoch'.")
    if isinstance(schedule, ReduceLROnPlateau):
        if validation is None:
            raise ValueError("`schedule` (a ReduceLROnPlateau) needs `validation` (=None).")
        if schedule_each != "epoch":
            raise ValueError(
                f"`schedule_each` (={schedule_each!r}) must be 'epoch' for a ReduceLROnPlateau."
            )


def _checkpoint_path(
    checkpoint: str | os.PathLike[str] | None, checkpoint_steps: int | None, resume: bool
) -> Path | None:
    if checkpoint is None:
        if resume or checkpoint_steps is not None:
            name = "resume" if resume else "checkpoint_steps"
            raise ValueError(f"`{name}` needs the file `checkpoint` (=None).")
        return None
    path = Path(checkpoint)
    if path.exists() and not resume:
        raise FileExistsError(
            f"`checkpoint` (={str(path)!r}) exists. Pass `resume=True` to go on from it, or "
            "delete it to start anew."
        )
    return path

"""The schedule that waits: shrink the learning rate when nothing improves any more."""

from __future__ import annotations

import math

from largemodels.scratch.optimizers import Optimizer, check_not_negative

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau:
    """Shrink the learning rate when a measure has stopped improving.

    η ← max(γ η, η_min), after more than `patience` calls in a row without a new best value

    A value is a new best if it is better than the old one by the share `threshold` of that.

    Args:
        optimizer: the optimizer whose learning rate to shrink.
        mode: "min" for a loss, "max" for an accuracy.
        factor: γ, below 1.
        patience: the number of calls without improvement that are still fine.
        threshold: the share by which a value must be better; less is no improvement.
        cooldown: the number of calls after a cut that do not count.
        min_lr: η_min.
        eps: a cut by no more than this is not made.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> from largemodels.scratch import MLP, SGD
        >>> optimizer = SGD(MLP([1, 1]).parameters(), lr=1.0)
        >>> schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        >>> rates = []
        >>> for validation_loss in [0.9, 0.7, 0.8, 0.8, 0.6]:
        ...     schedule.step(validation_loss)
        ...     rates.append(optimizer.lr)
        >>> rates
        [1.0, 1.0, 1.0, 0.5, 0.5]

    Taught in: book/algorithms/optimizers.md
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f'`mode` (={mode!r}) must be "min" or "max".')
        if not 0 <= factor < 1:
            raise ValueError(f"`factor` (={factor}) must be at least 0 and below 1.")
        for name, value in [
            ("patience", patience),
            ("threshold", threshold),
            ("cooldown", cooldown),
            ("min_lr", min_lr),
            ("eps", eps),
        ]:
            check_not_negative(name, value)
        self.optimizer = optimizer
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_epochs = 0
        self.cooldown_left = 0

    def step(self, metric: float) -> None:
        """Compare the measure of this epoch with the best one so far."""
        metric = float(metric)
        if self._is_better(metric):
            self.best = metric
            self.bad_epochs = 0
        else:
            self.bad_epochs += 1
        if self.cooldown_left > 0:
            self.cooldown_left -= 1
            self.bad_epochs = 0
        if self.bad_epochs > self.patience:
            new_lr = max(self.optimizer.lr * self.factor, self.min_lr)
            if self.optimizer.lr - new_lr > self.eps:
                self.optimizer.lr = new_lr
            self.cooldown_left = self.cooldown
            self.bad_epochs = 0

    def _is_better(self, metric: float) -> bool:
        if self.mode == "min":
            return metric < self.best * (1 - self.threshold)
        return metric > self.best * (1 + self.threshold)

"""Learning-rate schedules: large steps first, small ones at the end.

Every schedule takes over the learning rate of an optimizer. Call `step` after the optimizer's
steps: once an epoch or once a minibatch, as the schedule's settings count. All of these follow
the clock; the one that follows a measure is in `plateau`.
"""

from __future__ import annotations

import math

from largemodels.scratch.optimizers import Optimizer, check_not_negative

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LinearLR",
    "OneCycleLR",
    "Schedule",
    "StepLR",
]


class Schedule:
    """The base of every schedule that is a function of time.

    η(t) = f(η₀, t),  t the number of calls of `step`, η₀ the learning rate that the optimizer had

    A new schedule defines `lr_at`. It calls the base's `__init__` last, because that already sets
    the learning rate of t = 0.

    Args:
        optimizer: the optimizer whose learning rate to set.

    Attributes:
        base_lr: η₀.
        last_epoch: t. The name is PyTorch's; it counts whatever you call `step` after.

    Example:
        >>> import numpy as np
        >>> from largemodels.scratch import SGD, Parameter
        >>> class Halved(Schedule):
        ...     def lr_at(self, t):
        ...         return self.base_lr / 2**t
        >>> optimizer = SGD([Parameter(np.zeros(1))], lr=0.8)
        >>> schedule = Halved(optimizer)
        >>> schedule.step()
        >>> optimizer.lr
        0.4

    Taught in: book/algorithms/optimizers.md
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lr = optimizer.lr
        self.last_epoch = 0
        optimizer.lr = self.lr_at(0)

    def lr_at(self, t: int) -> float:
        """Return η(t)."""
        raise NotImplementedError(f"{type(self).__name__} has no `lr_at`.")

    def step(self) -> None:
        """Count one, and set the optimizer's learning rate."""
        self.optimizer.lr = self.lr_at(self.last_epoch + 1)
        self.last_epoch += 1


class StepLR(Schedule):
    """Shrink the learning rate every few epochs.

    η(t) = η₀ γ^⌊t / step_size⌋

    Args:
        optimizer: the optimizer.
        step_size: the number of calls of `step` from one cut to the next.
        gamma: γ, the factor of each cut.

    Raises:
        ValueError: if `step_size` is below 1, or `gamma` is negative.

    Example:
        >>> from largemodels.scratch import MLP, SGD
        >>> optimizer = SGD(MLP([1, 1]).parameters(), lr=1.0)
        >>> schedule = StepLR(optimizer, step_size=2, gamma=0.5)
        >>> rates = []
        >>> for epoch in range(5):
        ...     rates.append(optimizer.lr)
        ...     schedule.step()
        >>> rates
        [1.0, 1.0, 0.5, 0.5, 0.25]

    Taught in: book/algorithms/optimizers.md
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        _check_at_least_1("step_size", step_size)
        check_not_negative("gamma", gamma)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer)

    def lr_at(self, t: int) -> float:
        """Return η(t)."""
        return self.base_lr * self.gamma ** (t // self.step_size)


class ExponentialLR(Schedule):
    """Shrink the learning rate by the same factor each time.

    η(t) = η₀ γᵗ

    Args:
        optimizer: the optimizer.
        gamma: γ.

    Raises:
        ValueError: if `gamma` is negative.

    Example:
        >>> from largemodels.scratch import MLP, SGD
        >>> optimizer = SGD(MLP([1, 1]).parameters(), lr=1.0)
        >>> schedule = ExponentialLR(optimizer, gamma=0.5)
        >>> rates = []
        >>> for epoch in range(4):
        ...     rates.append(optimizer.lr)
        ...     schedule.step()
        >>> rates
        [1.0, 0.5, 0.25, 0.125]

    Taught in: book/algorithms/optimizers.md
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        check_not_negative("gamma", gamma)
        self.gamma = gamma
        super().__init__(optimizer)

    def lr_at(self, t: int) -> float:
        """Return η(t)."""
        return self.base_lr * self.gamma**t


class CosineAnnealingLR(Schedule):
    """Lower the learning rate along half a wave of the cosine.

    η(t) = η_min + ½ (η₀ − η_min) (1 + cos(π t / T))

    After T calls it rises again, along the other half of the wave.

    Args:
        optimizer: the optimizer.
        T_max: T, the number of calls of `step` to the lowest learning rate.
        eta_min: η_min, the lowest learning rate.

    Raises:
        ValueError: if `T_max` is below 1, or `eta_min` is negative.

    Source:
        Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
        equation 5, without the restarts.

    Example:
        >>> from largemodels.scratch import MLP, SGD
        >>> optimizer = SGD(MLP([1, 1]).parameters(), lr=1.0)
        >>> schedule = CosineAnnealingLR(optimizer, T_max=4)
        >>> rates = []
        >>> for epoch in range(5):
        ...     rates.append(round(optimizer.lr, 4))
        ...     schedule.step()
        >>> rates
        [1.0, 0.8536, 0.5, 0.1464, 0.0]

    Taught in: book/algorithms/optimizers.md
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        _check_at_least_1("T_max", T_max)
        check_not_negative("eta_min", eta_min)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer)

    def lr_at(self, t: int) -> float:
        """Return η(t)."""
        return _cosine(self.base_lr, self.eta_min, t / self.T_max)


class LinearLR(Schedule):
    """Raise the learning rate from a small one to the full one: a linear warm-up.

    η(t) = η₀ (a + (b − a) min(t / T, 1)),  from a η₀ at the start to b η₀ after T calls

    The first gradients of Adam and of transformers are a poor guide; small steps follow it less.

    Args:
        optimizer: the optimizer.
        start_factor: a, above 0 and at most 1.
        end_factor: b, from 0 to 1.
        total_iters: T, the number of calls of `step` until η stays.

    Raises:
        ValueError: if an argument is out of its range.

    Source:
        Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017,
        section 2.2.

    Example:
        >>> from largemodels.scratch import MLP, SGD
        >>> optimizer = SGD(MLP([1, 1]).parameters(), lr=1.0)
        >>> schedule = LinearLR(optimizer, start_factor=0.25, total_iters=3)
        >>> rates = []
        >>> for step in range(5):
        ...     rates.append(optimizer.lr)
        ...     schedule.step()
        >>> rates
        [0.25, 0.5, 0.75, 1.0, 1.0]

    Taught in: book/algorithms/optimizers.md
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"`start_factor` (={start_factor}) must be above 0 and at most 1.")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"`end_factor` (={end_factor}) must be from 0 to 1.")
        _check_at_least_1("total_iters", total_iters)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def lr_at(self, t: int) -> float:
        """Return η(t)."""
        share = min(t / self.total_iters, 1)
        return self.base_lr * (self.start_factor + (self.end_factor - self.start_factor) * share)


class OneCycleLR(Schedule):
    """Raise the learning rate to a high one and lower it to nearly nothing, both along a cosine.

    from η_max / div_factor up to η_max, in the first `pct_start` of the steps,
    then down to η_max / (div_factor · final_div_factor), in the rest of them

    Equal to PyTorch's with `cycle_momentum=False`: the momentum stays as it is. The optimizer's
    own learning rate does not count.

    Args:
        optimizer: the optimizer.
        max_lr: η_max.
        total_steps: the number of steps of the whole training; call `step` after each of them.
        pct_start: the share of the rise, above 0 and below 1.
        div_factor: how much smaller than η_max the first learning rate is.
        final_div_factor: how much smaller than the first learning rate the last one is.

    Raises:
        ValueError: if an argument is out of its range, the rise has no step, or `step` is called
            more than `total_steps` times.

    Source:
        Smith and Topin, "Super-convergence: very fast training of neural networks using large
        learning rates", 2018; with the cosine, as in PyTorch.

    Example:
        >>> from largemodels.scratch import MLP, SGD
        >>> optimizer = SGD(MLP([1, 1]).parameters(), lr=1.0)
        >>> schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=6, pct_start=0.5)
        >>> rates = []
        >>> for step in range(6):
        ...     rates.append(round(optimizer.lr, 4))
        ...     schedule.step()
        >>> rates
        [0.04, 0.52, 1.0, 0.75, 0.25, 0.0]

    Taught in: book/algorithms/optimizers.md
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        for name, value in [
            ("max_lr", max_lr),
            ("div_factor", div_factor),
            ("final_div_factor", final_div_factor),
        ]:
            if not value > 0:
                raise ValueError(f"`{name}` (={value}) must be above 0.")
        if not (0 < pct_start < 1 and pct_start * total_steps > 1):
            raise ValueError(
                f"`pct_start` (={pct_start}) must be between 0 and 1, and more than one of the "
                f"`total_steps` (={total_steps})."
            )
        self.max_lr = max_lr
        self.total_steps = total_steps
        self.first_lr = max_lr / div_factor
        self.final_lr = self.first_lr / final_div_factor
        self.peak = pct_start * total_steps - 1
        super().__init__(optimizer)

    def lr_at(self, t: int) -> float:
        """Return η(t)."""
        if t > self.total_steps:
            raise ValueError(f"`step` was called {t} times; `total_steps` is {self.total_steps}.")
        if t <= self.peak:
            return _cosine(self.first_lr, self.max_lr, t / self.peak)
        share = (t - self.peak) / (self.total_steps - 1 - self.peak)
        return _cosine(self.max_lr, self.final_lr, share)


def _cosine(start: float, end: float, share: float) -> float:
    """Return the number that lies `share` of the way from `start` to `end`, along a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _check_at_least_1(name: str, value: int) -> None:
    if not value >= 1:
        raise ValueError(f"`{name}` (={value}) must be at least 1.")

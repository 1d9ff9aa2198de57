"""Optimizers: how a gradient changes a parameter.

Taught in: book/algorithms/backpropagation.md
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from largemodels.scratch.layer import Parameter

__all__ = ["SGD", "Adam", "Optimizer"]


class Optimizer:
    """The base of every optimizer: walk over the parameters and update each one.

    A new optimizer defines `initial_state` and `update`.

    Args:
        parameters: the parameters to learn, as `layer.parameters()` returns them.
        lr: the learning rate.

    Attributes:
        lr: the learning rate; you may change it between two steps.
        state: for each parameter, what the optimizer remembers about it.

    Raises:
        ValueError: if there is no parameter, one appears twice, or `lr` is negative.
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("`parameters` is empty; pass the `parameters()` of a layer.")
        if len({id(parameter) for parameter in self.parameters}) < len(self.parameters):
            raise ValueError("`parameters` holds one parameter twice.")
        if not lr >= 0:
            raise ValueError(f"`lr` (={lr}) must be at least 0.")
        self.lr = lr
        self.state = [self.initial_state(parameter) for parameter in self.parameters]

    def initial_state(self, parameter: Parameter) -> dict[str, Any]:
        """Return what to remember about a parameter before the first step."""
        return {}

    def update(self, parameter: Parameter, grad: np.ndarray, state: dict[str, Any]) -> None:
        """Change one parameter's values in place, according to its gradient."""
        raise NotImplementedError(f"{type(self).__name__} has no update rule.")

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for parameter, state in zip(self.parameters, self.state, strict=True):
            if parameter.grad is not None:
                self.update(parameter, parameter.grad, state)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None


class SGD(Optimizer):
    """Stochastic gradient descent, with or without momentum.

    v ← μ v + g,  θ ← θ − η v

    Args:
        parameters: the parameters to learn.
        lr: the learning rate η.
        momentum: the share μ of the old velocity v that stays, from 0 up to but without 1.

    Raises:
        ValueError: if an argument is out of its range.

    Source:
        Sutskever et al., "On the importance of initialization and momentum in deep learning",
        ICML 2013; written as in PyTorch, with η outside v.

    Example:
        >>> weight = Parameter(np.array([1.0]))
        >>> optimizer = SGD([weight], lr=0.1, momentum=0.5)
        >>> for grad in [1.0, 1.0]:
        ...     weight.grad = np.array([grad])
        ...     optimizer.step()
        >>> weight.data  # 1 − 0.1 · 1 − 0.1 · (0.5 · 1 + 1)
        array([0.75])
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float, momentum: float = 0.0) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` (={momentum}) must be at least 0 and below 1.")
        self.momentum = momentum
        super().__init__(parameters, lr)

    def initial_state(self, parameter: Parameter) -> dict[str, Any]:
        """Return the velocity v = 0."""
        return {"velocity": np.zeros_like(parameter.data)}

    def update(self, parameter: Parameter, grad: np.ndarray, state: dict[str, Any]) -> None:
        """Add the gradient to the velocity, and move along it."""
        velocity = state["velocity"]
        velocity *= self.momentum
        velocity += grad
        parameter.data -= self.lr * velocity


class Adam(Optimizer):
    """Adam: momentum, with a step size of its own for every number.

    m ← β₁ m + (1 − β₁) g,    m̂ = m / (1 − β₁ᵗ)
    v ← β₂ v + (1 − β₂) g²,   v̂ = v / (1 − β₂ᵗ)
    θ ← θ − η m̂ / (√v̂ + ε)

    Args:
        parameters: the parameters to learn.
        lr: the learning rate η.
        betas: β₁ and β₂, how slowly the two averages forget, each from 0 up to but without 1.
        eps: ε, which keeps the division finite.

    Raises:
        ValueError: if an argument is out of its range.

    Source:
        Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

    Example:
        >>> weight = Parameter(np.array([1.0, 1.0]))
        >>> optimizer = Adam([weight], lr=0.1)
        >>> weight.grad = np.array([0.001, 1000.0])
        >>> optimizer.step()
        >>> weight.data.round(4)  # The first step is lr long, whatever the size of the gradient.
        array([0.9, 0.9])
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"`betas` (={betas}) must be at least 0 and below 1.")
        if not eps >= 0:
            raise ValueError(f"`eps` (={eps}) must be at least 0.")
        self.betas = betas
        self.eps = eps
        super().__init__(parameters, lr)

    def initial_state(self, parameter: Parameter) -> dict[str, Any]:
        """Return the step t = 0 and the averages m = 0 and v = 0."""
        zeros = np.zeros_like(parameter.data)
        return {"step": 0, "m": zeros, "v": zeros.copy()}

    def update(self, parameter: Parameter, grad: np.ndarray, state: dict[str, Any]) -> None:
        """Update the averages, correct their bias towards 0, and move."""
        beta1, beta2 = self.betas
        m, v = state["m"], state["v"]
        state["step"] += 1
        m *= beta1
        m += (1 - beta1) * grad
        v *= beta2
        v += (1 - beta2) * grad**2
        # The bias corrections are plain numbers: as factors of the step and of the root they
        # cost nothing, while m̂ and v̂ would be two more arrays.
        step_size = self.lr / (1 - beta1 ** state["step"])
        root = np.sqrt(v) / math.sqrt(1 - beta2 ** state["step"])
        parameter.data -= step_size * m / (root + self.eps)

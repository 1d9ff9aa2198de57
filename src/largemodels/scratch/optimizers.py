"""Optimizers: how a gradient changes a parameter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from largemodels.scratch.layer import Parameter

__all__ = ["SGD", "Adam", "Optimizer"]


class Optimizer:
    """The base of every optimizer: walk over the parameters and update each one.

    θ ← update(θ, ∂L/∂θ),  for each parameter θ that has a gradient

    A new optimizer names in `remembers` the arrays that it keeps for each parameter, and defines
    `update`, which receives these arrays as arguments.

    Args:
        parameters: the parameters to learn, as `layer.parameters()` returns them.
        lr: the learning rate; you may change the attribute between two steps.

    Raises:
        ValueError: if there is no parameter, one appears twice, or `lr` is negative.

    Example:
        >>> class Signs(Optimizer):  # Steps of one length, whatever the gradient.
        ...     def update(self, data, grad, step):
        ...         data -= self.lr * np.sign(grad)
        >>> weight = Parameter(np.array([1.0, 1.0]))
        >>> weight.grad = np.array([0.001, -1000.0])
        >>> Signs([weight], lr=0.5).step()
        >>> weight.data
        array([0.5, 1.5])

    Taught in: book/math/gradient_descent_to_adam.md
    """

    remembers: tuple[str, ...] = ()

    def __init__(self, parameters: Iterable[Parameter], lr: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("`parameters` is empty; pass the `parameters()` of a layer.")
        if len({id(parameter) for parameter in self.parameters}) < len(self.parameters):
            raise ValueError("`parameters` holds one parameter twice.")
        check_not_negative("lr", lr)
        self.lr = lr
        self.steps = [0 for _ in self.parameters]
        self.memory = [
            {name: np.zeros_like(parameter.data) for name in self.remembers}
            for parameter in self.parameters
        ]

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for i, (parameter, memory) in enumerate(zip(self.parameters, self.memory, strict=True)):
            if parameter.grad is None:
                continue
            self.steps[i] += 1
            # A large array does not fit into the processor's cache, and an update goes over it
            # ten times and more. So it goes over a few rows ten times, then over the next rows.
            for rows in row_blocks(parameter.data):
                self.update(
                    parameter.data[rows],
                    parameter.grad[rows],
                    self.steps[i],
                    **{name: array[rows] for name, array in memory.items()},
                )

    def update(
        self, data: np.ndarray, grad: np.ndarray, step: int, *args: Any, **kwargs: Any
    ) -> None:
        """Change `data` in place, according to its gradient and to what is remembered.

        Args:
            data: values of a parameter.
            grad: their gradient.
            step: the number of this step, from 1.
            *args: the arrays named in `remembers`, zero before the first step, to change in place.
            **kwargs: the same by name.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update rule.")

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None


def check_not_negative(name: str, value: float) -> None:
    """Raise a `ValueError` that names the argument, unless `value` is at least 0.

    Example:
        >>> check_not_negative("lr", -1)
        Traceback (most recent call last):
        ValueError: `lr` (=-1) must be at least 0.
    """
    if not value >= 0:
        raise ValueError(f"`{name}` (={value}) must be at least 0.")


def row_blocks(array: np.ndarray, size: int = 32_768) -> list[Any]:
    """Return indices that cut an array into blocks of rows with about `size` numbers.

    Example:
        >>> row_blocks(np.zeros((3, 10)), size=20)
        [slice(0, 2, None), slice(2, 4, None)]
    """
    if array.ndim == 0 or array.size <= size:
        return [...]
    rows = max(1, size * len(array) // array.size)
    return [slice(start, start + rows) for start in range(0, len(array), rows)]


class SGD(Optimizer):
    """Stochastic gradient descent, with or without momentum.

    g ← g + λ θ,  v ← μ v + g,  θ ← θ − η v
    Nesterov's momentum looks one step ahead:  θ ← θ − η (g + μ v)

    Args:
        parameters: the parameters to learn.
        lr: the learning rate η.
        momentum: the share μ of the old velocity v that stays, from 0 up to but without 1.
        nesterov: whether to take Nesterov's momentum.
        weight_decay: λ, the pull of every parameter towards 0; the gradient of λ/2 ‖θ‖².

    Raises:
        ValueError: if an argument is out of its range, or `nesterov` has no momentum.

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

    Taught in: book/math/gradient_descent_to_adam.md
    """

    remembers = ("velocity",)

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        momentum: float = 0.0,
        *,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` (={momentum}) must be at least 0 and below 1.")
        if nesterov and momentum == 0:
            raise ValueError(f"`momentum` (={momentum}) must be above 0 with `nesterov`.")
        check_not_negative("weight_decay", weight_decay)
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay

    def update(self, data: np.ndarray, grad: np.ndarray, step: int, velocity: np.ndarray) -> None:
        """Add the gradient to the velocity, and move along it."""
        if self.weight_decay:
            grad = grad + self.weight_decay * data
        velocity *= self.momentum
        velocity += grad
        direction = grad + self.momentum * velocity if self.nesterov else velocity
        data -= self.lr * direction


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

    Taught in: book/math/gradient_descent_to_adam.md
    """

    remembers = ("m", "v")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"`betas` (={betas}) must be at least 0 and below 1.")
        check_not_negative("eps", eps)
        self.betas = betas
        self.eps = eps

    def update(
        self, data: np.ndarray, grad: np.ndarray, step: int, m: np.ndarray, v: np.ndarray
    ) -> None:
        """Update the two averages, correct their bias towards 0, and move."""
        beta1, beta2 = self.betas
        m *= beta1
        m += (1 - beta1) * grad
        v *= beta2
        v += (1 - beta2) * grad**2
        m_hat = m / (1 - beta1**step)
        v_hat = v / (1 - beta2**step)
        data -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)

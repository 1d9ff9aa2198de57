"""Optimizers with a step size of its own for every number: Adagrad, RMSprop and AdamW.

Adam, which AdamW extends, is in `optimizers`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from largemodels.scratch.layer import Parameter
from largemodels.scratch.optimizers import Adam, Optimizer, check_not_negative

__all__ = ["Adagrad", "AdamW", "RMSprop"]


class Adagrad(Optimizer):
    """Adagrad: the more a number has moved, the smaller its steps become.

    s ← s + g²,  θ ← θ − η g / (√s + ε)

    Args:
        parameters: the parameters to learn.
        lr: the learning rate η.
        eps: ε, which keeps the division finite.

    Raises:
        ValueError: if an argument is out of its range.

    Source:
        Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
        optimization", JMLR 12, 2011; the diagonal form, written as in PyTorch.

    Example:
        >>> weight = Parameter(np.array([0.0]))
        >>> optimizer = Adagrad([weight], lr=1.0)
        >>> for grad in [3.0, 4.0]:
        ...     weight.grad = np.array([grad])
        ...     optimizer.step()
        >>> weight.data  # −3 / 3 − 4 / √(3² + 4²)
        array([-1.8])

    Taught in: book/math/gradient_descent_to_adam.md
    """

    remembers = ("squares",)

    def __init__(
        self, parameters: Iterable[Parameter], lr: float = 1e-2, eps: float = 1e-10
    ) -> None:
        super().__init__(parameters, lr)
        check_not_negative("eps", eps)
        self.eps = eps

    def update(self, data: np.ndarray, grad: np.ndarray, step: int, squares: np.ndarray) -> None:
        """Add to the sum of the squares, and divide by its root."""
        squares += grad**2
        data -= self.lr * grad / (np.sqrt(squares) + self.eps)


class RMSprop(Optimizer):
    """RMSprop: Adagrad that forgets, so that its steps do not die out.

    v ← α v + (1 − α) g²,  θ ← θ − η g / (√v + ε)

    Args:
        parameters: the parameters to learn.
        lr: the learning rate η.
        alpha: α, how slowly the average of the squares forgets, from 0 up to but without 1.
        eps: ε, which keeps the division finite.

    Raises:
        ValueError: if an argument is out of its range.

    Source:
        Hinton, "Neural networks for machine learning", Coursera 2012, lecture 6e; written as in
        PyTorch, with ε outside the root.

    Example:
        >>> weight = Parameter(np.array([1.0]))
        >>> optimizer = RMSprop([weight], lr=0.1, alpha=0.75)
        >>> weight.grad = np.array([1000.0])
        >>> optimizer.step()
        >>> weight.data.round(4)  # 1 − 0.1 · g / √(0.25 g²)
        array([0.8])

    Taught in: book/math/gradient_descent_to_adam.md
    """

    remembers = ("v",)

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr)
        if not 0 <= alpha < 1:
            raise ValueError(f"`alpha` (={alpha}) must be at least 0 and below 1.")
        check_not_negative("eps", eps)
        self.alpha = alpha
        self.eps = eps

    def update(self, data: np.ndarray, grad: np.ndarray, step: int, v: np.ndarray) -> None:
        """Update the average of the squares, and divide by its root."""
        v *= self.alpha
        v += (1 - self.alpha) * grad**2
        data -= self.lr * grad / (np.sqrt(v) + self.eps)


class AdamW(Adam):
    """AdamW: Adam, with a weight decay that does not pass through its averages.

    θ ← θ − η λ θ, then the step of Adam

    A decay inside the gradient, as `SGD` has it, would be divided by √v̂: the numbers with the
    largest gradients would decay least.

    Args:
        parameters: the parameters to learn.
        lr: the learning rate η.
        betas: β₁ and β₂, how slowly the two averages forget, each from 0 up to but without 1.
        eps: ε, which keeps the division finite.
        weight_decay: λ, the pull of every parameter towards 0.

    Raises:
        ValueError: if an argument is out of its range.

    Source:
        Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2;
        written as in PyTorch, with η in the decay.

    Example:
        >>> weight = Parameter(np.array([1.0, 1.0]))
        >>> optimizer = AdamW([weight], lr=0.1, weight_decay=0.5)
        >>> weight.grad = np.array([0.0, 1000.0])
        >>> optimizer.step()
        >>> weight.data.round(4)  # 1 − 0.1 · 0.5 · 1, and the second one a step of Adam further.
        array([0.95, 0.85])

    Taught in: book/math/gradient_descent_to_adam.md
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps)
        check_not_negative("weight_decay", weight_decay)
        self.weight_decay = weight_decay

    def update(
        self, data: np.ndarray, grad: np.ndarray, step: int, m: np.ndarray, v: np.ndarray
    ) -> None:
        """Shrink the parameter, and update it as Adam does."""
        data *= 1 - self.lr * self.weight_decay
        super().update(data, grad, step, m, v)

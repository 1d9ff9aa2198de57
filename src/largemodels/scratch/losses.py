"""Losses: one number that says how wrong a batch of predictions is.

Taught in: book/algorithms/backpropagation.md
"""

from __future__ import annotations

import numpy as np

from largemodels.scratch.activations import log_softmax, sigmoid
from largemodels.scratch.layer import Differentiable, check_shape

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "Loss", "MSELoss"]


class Loss(Differentiable):
    """The base of every loss.

    forward:   L = loss(prediction, target), one number
    backward:  return ∂L/∂prediction
    """

    def classes(self, prediction: np.ndarray) -> np.ndarray | None:
        """Return the predicted classes, or `None` where the loss knows no classes."""
        return None


class MSELoss(Loss):
    """The mean squared error, for numbers.

    L = 1/M Σᵢ (pᵢ − tᵢ)²,  ∂L/∂pᵢ = 2/M (pᵢ − tᵢ),  over all M numbers of the batch

    Raises:
        ValueError: if prediction and target differ in shape or are empty.

    Example:
        >>> loss = MSELoss()
        >>> loss(np.array([[1.0], [4.0]]), np.array([[0.0], [2.0]]))
        2.5
        >>> loss.backward()
        array([[1.],
               [2.]])
    """

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        """Return L for `prediction` and `target` of the same shape."""
        _check_not_empty(prediction)
        check_shape("target", target, prediction.shape)
        difference = prediction - target
        self.saved = difference
        return float((difference**2).mean())

    def backward(self) -> np.ndarray:
        """Return ∂L/∂prediction."""
        difference = self.saved
        return difference * (2 / difference.size)


class CrossEntropyLoss(Loss):
    """The cross-entropy of logits, for one class out of many.

    L = −1/N Σₙ log softmax(pₙ)[tₙ],  ∂L/∂p = (softmax(p) − onehot(t)) / N

    Raises:
        ValueError: if `prediction` is not of shape (N, C), or `target` is not of shape (N,)
            with integers from 0 to C − 1.

    Example:
        >>> loss = CrossEntropyLoss()
        >>> round(loss(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([0, 1])), 4)
        0.41
        >>> loss.backward().round(4)
        array([[-0.0596,  0.0596],
               [ 0.25  , -0.25  ]])
    """

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        """Return L for logits `prediction` (N, C) and integer classes `target` (N,)."""
        if prediction.ndim != 2:
            raise ValueError(f"`prediction` must have shape (N, C), got {prediction.shape}.")
        _check_not_empty(prediction)
        n, c = prediction.shape
        check_shape("target", target, (n,))
        if not np.issubdtype(target.dtype, np.integer):
            raise ValueError(f"`target` must hold integer classes, got {target.dtype}.")
        _check_range(target, c - 1)
        log_probabilities = log_softmax(prediction)  # (N, C)
        self.saved = log_probabilities, target
        return float(-log_probabilities[np.arange(n), target].mean())

    def backward(self) -> np.ndarray:
        """Return ∂L/∂prediction, shape (N, C)."""
        log_probabilities, target = self.saved
        n = len(target)
        grad = np.exp(log_probabilities)  # softmax(p)
        grad[np.arange(n), target] -= 1  # softmax(p) − onehot(t)
        return grad / n

    def classes(self, prediction: np.ndarray) -> np.ndarray:
        """Return the class with the largest logit, (N, C) -> (N,)."""
        return prediction.argmax(axis=1)


class BCEWithLogitsLoss(Loss):
    """The binary cross-entropy of logits, for yes or no.

    L = −1/M Σᵢ [tᵢ log σ(pᵢ) + (1 − tᵢ) log(1 − σ(pᵢ))],  ∂L/∂pᵢ = (σ(pᵢ) − tᵢ) / M

    Raises:
        ValueError: if prediction and target differ in shape or are empty, or if a target is not
            from 0 to 1.

    Example:
        >>> loss = BCEWithLogitsLoss()
        >>> round(loss(np.array([0.0, 1000.0]), np.array([1.0, 1.0])), 4)
        0.3466
        >>> loss.backward()
        array([-0.25,  0.  ])
    """

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        """Return L for logits `prediction` and `target` from 0 to 1, of the same shape."""
        _check_not_empty(prediction)
        check_shape("target", target, prediction.shape)
        _check_range(target, 1)
        self.saved = prediction, target
        # −log σ(p) = log(1 + exp(−p)) and −log(1 − σ(p)) = log(1 + exp(p)), which differ by p.
        # So the sum is log(1 + exp(p)) − t p, and logaddexp computes it without an overflow.
        return float((np.logaddexp(0, prediction) - target * prediction).mean())

    def backward(self) -> np.ndarray:
        """Return ∂L/∂prediction."""
        prediction, target = self.saved
        return (sigmoid(prediction) - target) / prediction.size

    def classes(self, prediction: np.ndarray) -> np.ndarray:
        """Return True where σ(p) is above one half."""
        return prediction > 0


def _check_not_empty(prediction: np.ndarray) -> None:
    if prediction.size == 0:
        raise ValueError(f"`prediction` must not be empty, got shape {prediction.shape}.")


def _check_range(target: np.ndarray, largest: int) -> None:
    if not (target.min() >= 0 and target.max() <= largest):
        raise ValueError(
            f"`target` must be from 0 to {largest}, got {target.min()} to {target.max()}."
        )

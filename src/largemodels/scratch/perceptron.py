"""The perceptron: the first machine that learned to classify, and its limit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from largemodels.scratch.layer import check_shape

__all__ = ["Perceptron"]


@dataclass
class Perceptron:
    """A neuron with a threshold that changes its weights only after a mistake.

    ŷ = +1 where w · x + b > 0, otherwise −1
    after a mistake, y (w · x + b) ≤ 0:  w ← w + y x,  b ← b + y

    If a plane separates the classes, the mistakes end: with all ‖x‖ ≤ R and a margin γ there are
    at most (R / γ)² of them. If none does, as for XOR, they never end.

    Attributes:
        weight: w, shape (features,); empty before `fit`.
        bias: b.
        mistakes: how many there were in each pass over the data.

    Shape:
        x (N, features), y and ŷ (N,) of −1 and +1

    Raises:
        ValueError: if `x` is empty or not of shape (N, features), a label is neither −1 nor 1, or
            `epochs` is below 1.

    Source:
        Rosenblatt, "The perceptron: a probabilistic model for information storage and organization
        in the brain", Psychological Review 65(6), 1958; the bound: Novikoff, "On convergence proofs
        on perceptrons", 1962.

    Example:
        >>> x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> model = Perceptron()
        >>> model.fit(x, np.array([-1, -1, -1, 1]), epochs=10).mistakes[-1]  # AND is learned.
        0
        >>> Perceptron().fit(x, np.array([-1, 1, 1, -1]), epochs=1000).mistakes[-1]  # XOR is not.
        4

    Taught in: book/math/neurons_and_activations.md
    """

    weight: np.ndarray = field(default_factory=lambda: np.zeros(0))
    bias: float = 0.0
    mistakes: list[int] = field(default_factory=list)

    def fit(self, x: np.ndarray, y: np.ndarray, *, epochs: int) -> Perceptron:
        """Learn from zero weights, one example after the other, until a pass has no mistake.

        Args:
            x: the inputs, shape (N, features).
            y: the labels, −1 or 1, shape (N,).
            epochs: how many passes over the data at most.

        Returns:
            The perceptron itself.
        """
        if x.ndim != 2 or len(x) == 0:
            raise ValueError(f"`x` must have shape (N, features), N at least 1, got {x.shape}.")
        check_shape("y", y, x.shape[:1])
        wrong = y[(y != -1) & (y != 1)]
        if wrong.size:
            raise ValueError(f"`y` must be -1 or 1 everywhere, got {wrong[0]}.")
        if epochs < 1:
            raise ValueError(f"`epochs` (={epochs}) must be at least 1.")
        self.weight, self.bias, self.mistakes = np.zeros(x.shape[1]), 0.0, []
        for _ in range(epochs):
            self.mistakes.append(0)
            # One after the other: each mistake moves the plane that judges the next example.
            for row, label in zip(x, y, strict=True):
                if label * (row @ self.weight + self.bias) <= 0:
                    self.weight = self.weight + label * row
                    self.bias += float(label)
                    self.mistakes[-1] += 1
            if self.mistakes[-1] == 0:
                break
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return ŷ of each row, (..., features) -> (...)."""
        return np.where(x @ self.weight + self.bias > 0, 1, -1)

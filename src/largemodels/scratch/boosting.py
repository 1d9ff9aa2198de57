"""AdaBoost: many weak rules, each one for what the rules before got wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from largemodels.scratch.layer import check_shape

__all__ = ["AdaBoost", "Stump", "best_stump"]


@dataclass(frozen=True)
class Stump:
    """A decision by one feature: +1 on one side of a threshold, −1 on the other.

    ŷ = polarity where x[feature] > threshold, otherwise −polarity

    Attributes:
        feature: the number of the feature.
        threshold: where the decision changes.
        polarity: +1 or −1.

    Example:
        >>> Stump(feature=1, threshold=0.5, polarity=-1).predict(np.array([[9.0, 0.0], [9.0, 1.0]]))
        array([ 1, -1])

    Taught in: book/training/ensembles.md
    """

    feature: int
    threshold: float
    polarity: int

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return ŷ of each row, (N, features) -> (N,)."""
        return np.where(x[:, self.feature] > self.threshold, self.polarity, -self.polarity)


def best_stump(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[Stump, float]:
    """Return the stump with the smallest weighted error, and that error.

    error = Σ wₙ [ŷₙ ≠ yₙ]

    Sorted by a feature, the error of a threshold between two examples is a running sum, so all
    thresholds of all features are tried at once.

    Args:
        x: the inputs, shape (N, features).
        y: the labels, −1 or 1, shape (N,).
        weight: w, shape (N,), with the sum 1.

    Returns:
        The stump, and its error, at most 1/2.

    Raises:
        ValueError: if `x` is empty, a shape is wrong, or a label is neither −1 nor 1.

    Example:
        >>> x, y = np.array([[1.0], [2.0], [3.0]]), np.array([1, 1, -1])
        >>> best_stump(x, y, np.full(3, 1 / 3))
        (Stump(feature=0, threshold=2.5, polarity=-1), 0.0)

    Taught in: book/training/ensembles.md
    """
    if x.ndim != 2 or x.size == 0:
        raise ValueError(f"`x` must have shape (N, features), both at least 1, got {x.shape}.")
    check_shape("y", y, x.shape[:1])
    check_shape("weight", weight, x.shape[:1])
    wrong = y[(y != -1) & (y != 1)]
    if wrong.size:
        raise ValueError(f"`y` must be -1 or 1 everywhere, got {wrong[0]}.")
    order = np.argsort(x, axis=0, kind="stable")  # (N, features)
    values = np.take_along_axis(x, order, axis=0)
    signed = (weight * y)[order]  # (N,) -> (N, features)
    # +1 above the threshold: wrong are the positives below it and the negatives above it.
    below = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(signed, axis=0)])
    error = below + weight[y == -1].sum()  # (N + 1, features), threshold k lies below row k.
    # A threshold below the smallest value is a constant; between equal values there is none.
    possible = np.ones_like(error, dtype=bool)
    possible[1:-1] = values[1:] > values[:-1]
    possible[-1] = False
    both = np.where(possible, np.stack([error, weight.sum() - error]), np.inf)
    side, row, feature = np.unravel_index(both.argmin(), both.shape)
    column = values[:, feature]
    threshold = -np.inf if row == 0 else (column[row - 1] + column[row]) / 2
    stump = Stump(int(feature), float(threshold), 1 if side == 0 else -1)
    return stump, float(max(both[side, row, feature], 0))


@dataclass
class AdaBoost:
    """A vote of stumps, each one trained where its predecessors failed.

    for each round:  h = the stump with the smallest error ε = Σ wₙ [h(xₙ) ≠ yₙ]
                     α = ½ log((1 − ε) / ε),  wₙ ← wₙ exp(−α yₙ h(xₙ)) / sum
    ŷ = sign(Σ α h(x))

    The training error is at most Π 2 √(ε (1 − ε)): it falls exponentially while each stump is a
    little better than a coin.

    Attributes:
        stumps: the rules h.
        votes: their weights α.

    Raises:
        ValueError: if `x` is empty, a shape is wrong, a label is neither −1 nor 1, or `rounds` is
            below 1.

    Source:
        Freund and Schapire, "A decision-theoretic generalization of on-line learning and an
        application to boosting", Journal of Computer and System Sciences 55(1), 1997, figure 2 and
        theorem 6.

    Example:
        >>> x = np.arange(6.0)[:, None]
        >>> y = np.array([1, 1, -1, -1, 1, 1])  # No single threshold is right.
        >>> for rounds in (1, 3):
        ...     print(AdaBoost().fit(x, y, rounds=rounds).predict(x))
        [ 1  1 -1 -1 -1 -1]
        [ 1  1 -1 -1  1  1]

    Taught in: book/training/ensembles.md
    """

    stumps: list[Stump] = field(default_factory=list)
    votes: list[float] = field(default_factory=list)

    def fit(self, x: np.ndarray, y: np.ndarray, *, rounds: int) -> AdaBoost:
        """Train the stumps; it ends early at a stump that is never wrong, or no better than a coin.

        Args:
            x: the inputs, shape (N, features).
            y: the labels, −1 or 1, shape (N,).
            rounds: the number of stumps.

        Returns:
            The ensemble itself.
        """
        if rounds < 1:
            raise ValueError(f"`rounds` (={rounds}) must be at least 1.")
        self.stumps, self.votes = [], []
        weight = np.full(len(x), 1 / max(1, len(x)))
        for _ in range(rounds):
            stump, error = best_stump(x, y, weight)
            if error >= 0.5 - 1e-12 and self.stumps:
                break
            # A stump without any mistake would get an infinite vote.
            vote = 0.5 * float(np.log((1 - error) / max(error, 1e-16)))
            self.stumps.append(stump)
            self.votes.append(vote)
            if error < 1e-12:
                break
            weight = weight * np.exp(-vote * y * stump.predict(x))
            weight /= weight.sum()
        return self

    def decision(self, x: np.ndarray) -> np.ndarray:
        """Return Σ α h(x), the margin of the vote, (N, features) -> (N,)."""
        votes = np.array(self.votes)
        return votes @ np.array([stump.predict(x) for stump in self.stumps])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return ŷ of each row, −1 or 1, (N, features) -> (N,)."""
        return np.where(self.decision(x) > 0, 1, -1)

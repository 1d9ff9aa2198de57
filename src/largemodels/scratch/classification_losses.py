"""Losses for classes that are hard to separate or rare: hinge and focal loss."""

from __future__ import annotations

import numpy as np

from largemodels.scratch.activations import sigmoid
from largemodels.scratch.layer import check_shape
from largemodels.scratch.losses import Loss

__all__ = ["FocalLoss", "HingeLoss"]


class HingeLoss(Loss):
    """The hinge loss of scores, for a yes or no with a margin: the loss of a linear SVM.

    L = 1/M Σᵢ max(0, 1 − tᵢ pᵢ),  ∂L/∂pᵢ = −tᵢ / M where tᵢ pᵢ < 1, otherwise 0

    The labels are −1 and +1. With 0 and 1, every negative would cost 1, whatever its score.

    Shape:
        prediction and target of one shape

    Raises:
        ValueError: if prediction and target differ in shape or are empty, or if a target is
            neither −1 nor 1.

    Source:
        Cortes and Vapnik, "Support-vector networks", Machine Learning 20, 1995, section 3: what
        violates the soft margin.

    Example:
        >>> loss = HingeLoss()
        >>> loss(np.array([2.0, 0.5, 0.5]), np.array([1.0, 1.0, -1.0]))  # (0 + 0.5 + 1.5) / 3
        0.6666666666666666
        >>> loss.backward().round(4)
        array([ 0.    , -0.3333,  0.3333])

    Taught in: book/math/losses.md
    """

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        """Return L for scores `prediction` and `target` −1 or 1, of the same shape."""
        _check_labels(prediction, target, -1)
        target = target.astype(prediction.dtype)
        slack = 1 - target * prediction
        self.saved = slack, target
        return float(np.maximum(slack, 0).mean())

    def backward(self) -> np.ndarray:
        """Return ∂L/∂prediction."""
        slack, target = self.saved
        return np.where(slack > 0, -target, 0) / slack.size

    def classes(self, prediction: np.ndarray) -> np.ndarray:
        """Return 1 where the score is above 0, otherwise −1."""
        return np.where(prediction > 0, 1, -1)


class FocalLoss(Loss):
    """The focal loss of logits, for yes or no where nearly everything is an easy no.

    q is the probability that the model gives to the right answer:
    q = σ(p) and a = α where t = 1,  q = 1 − σ(p) and a = 1 − α where t = 0
    L = −1/M Σᵢ aᵢ (1 − qᵢ)^γ log qᵢ
    ∂L/∂pᵢ = ±aᵢ (1 − qᵢ)^γ (γ qᵢ log qᵢ + qᵢ − 1) / M,  + where t = 1, − where t = 0

    An answer that is right already, q near 1, costs next to nothing, so that the many easy ones do
    not drown the few hard ones. γ = 0 without α is the `BCEWithLogitsLoss`.

    The paper divides the sum by the number of positives. Here it is the mean, as everywhere else.

    Args:
        gamma: γ, how much less the easy ones count.
        alpha: α, the weight of the positives, from 0 to 1; `None` leaves the weights out, a = 1.

    Shape:
        prediction and target of one shape

    Raises:
        ValueError: if prediction and target differ in shape or are empty, if a target is neither
            0 nor 1, or if an argument is out of its range.

    Source:
        Lin, Goyal, Girshick, He and Dollár, "Focal loss for dense object detection", ICCV 2017,
        equation 5; the gradient: appendix B.

    Example:
        >>> loss = FocalLoss(gamma=2.0, alpha=None)
        >>> easy, hard = np.array([3.0]), np.array([-3.0])
        >>> round(loss(easy, np.array([1.0])), 6)  # The cross-entropy is 0.048587.
        0.000109
        >>> round(loss(hard, np.array([1.0])), 6)  # The cross-entropy is 3.048587.
        2.76628
        >>> loss.backward().round(4)
        array([-1.1267])

    Taught in: book/math/losses.md
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = 0.25) -> None:
        if not gamma >= 0:
            raise ValueError(f"`gamma` (={gamma}) must be at least 0.")
        if alpha is not None and not 0 <= alpha <= 1:
            raise ValueError(f"`alpha` (={alpha}) must be from 0 to 1.")
        self.gamma = gamma
        self.alpha = alpha

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        """Return L for logits `prediction` and `target` 0 or 1, of the same shape."""
        _check_labels(prediction, target, 0)
        target = target.astype(prediction.dtype)
        sign = 2 * target - 1
        # The logit of the right answer: q = σ(z), 1 − q = σ(−z), −log q = log(1 + exp(−z)).
        z = sign * prediction
        scale = sigmoid(-z) ** self.gamma
        if self.alpha is not None:
            scale = scale * (self.alpha * target + (1 - self.alpha) * (1 - target))
        self.saved = z, sign, scale
        return float((scale * np.logaddexp(0, -z)).mean())

    def backward(self) -> np.ndarray:
        """Return ∂L/∂prediction."""
        z, sign, scale = self.saved
        slope = -self.gamma * sigmoid(z) * np.logaddexp(0, -z) - sigmoid(-z)
        return sign * scale * slope / z.size

    def classes(self, prediction: np.ndarray) -> np.ndarray:
        """Return True where σ(p) is above one half."""
        return prediction > 0


def _check_labels(prediction: np.ndarray, target: np.ndarray, negative: int) -> None:
    if prediction.size == 0:
        raise ValueError(f"`prediction` must not be empty, got shape {prediction.shape}.")
    check_shape("target", target, prediction.shape)
    wrong = target[(target != negative) & (target != 1)]
    if wrong.size:
        raise ValueError(f"`target` must be {negative} or 1 everywhere, got {wrong[0]}.")

"""Losses: one number that says how wrong a batch of predictions is."""

from __future__ import annotations

import numpy as np

from largemodels.scratch.activations import log_softmax, sigmoid
from largemodels.scratch.layer import Differentiable, check_shape

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "Loss", "MSELoss"]


class Loss(Differentiable):
    """The base of every loss.

    forward:   L = loss(prediction, target), one number
    backward:  return ∂L/∂prediction

    Shape:
        prediction and target as the loss says -> one number

    Example:
        >>> class Asymmetric(Loss):  # Too little costs three times as much as too much.
        ...     def forward(self, prediction, target):
        ...         self.saved = np.where(prediction < target, -3.0, 1.0) / prediction.size
        ...         return float((self.saved * (prediction - target)).sum())
        ...     def backward(self):
        ...         return self.saved
        >>> loss = Asymmetric()
        >>> loss(np.array([1.0, 5.0]), np.array([2.0, 3.0]))  # (3 · 1 + 1 · 2) / 2
        2.5
        >>> loss.backward()
        array([-1.5,  0.5])

    Taught in: book/math/losses.md
    """

    def classes(self, prediction: np.ndarray) -> np.ndarray | None:
        """Return the predicted classes, or `None` where the loss knows no classes."""
        return None


class MSELoss(Loss):
    """The mean squared error, for numbers.

    L = 1/M Σᵢ (pᵢ − tᵢ)²,  ∂L/∂pᵢ = 2/M (pᵢ − tᵢ),  over all M numbers of the batch

    Shape:
        prediction and target of one shape

    Raises:
        ValueError: if prediction and target differ in shape or are empty.

    Example:
        >>> loss = MSELoss()
        >>> loss(np.array([[1.0], [4.0]]), np.array([[0.0], [2.0]]))
        2.5
        >>> loss.backward()
        array([[1.],
               [2.]])

    Taught in: book/math/losses.md
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

    A target may also give a probability to each class, for example a one-hot or a smoothed one:

    L = −1/N Σₙ Σₖ tₙₖ log softmax(pₙ)ₖ,  ∂L/∂p = (softmax(p) − t) / N

    With class weights, each log softmax(p)ₖ counts wₖ times. As in PyTorch, classes are then
    averaged by their weights, with Σₙ w[tₙ] in place of N; probabilities still with N.

    Where one example asks for many decisions, such as one for each pixel or for each step of a
    text, n counts all decisions of the batch.

    Args:
        weight: the weights w of the classes, shape (C,), each at least 0; `None` takes ones.
        class_axis: the axis of the logits that holds the classes: 1, as always in PyTorch, or −1,
            as language models have it.

    Shape:
        class_axis 1: prediction (N, C, ...), target (N, ...) or (N, C, ...)
        class_axis −1: prediction (N, ..., C), target (N, ...) or (N, ..., C)

    Raises:
        ValueError: if `prediction` has fewer than 2 axes, or `target` holds neither integers from
            0 to C − 1 in the shape of `prediction` without its classes, nor probabilities in its
            very shape, or if the weights are negative, not of shape (C,) or 0 for all classes of
            the batch.

    Example:
        >>> loss = CrossEntropyLoss()
        >>> round(loss(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([0, 1])), 4)
        0.41
        >>> loss.backward().round(4)
        array([[-0.0596,  0.0596],
               [ 0.25  , -0.25  ]])
        >>> round(loss(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])), 4)
        0.41
        >>> loss = CrossEntropyLoss(weight=np.array([1.0, 3.0]))  # The second one counts thrice.
        >>> round(loss(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([0, 1])), 4)
        0.5516
        >>> loss = CrossEntropyLoss(class_axis=-1)  # One text of three steps, two characters.
        >>> round(loss(np.array([[[2.0, 0.0], [0.0, 0.0], [0.0, 2.0]]]), np.array([[0, 1, 1]])), 4)
        0.3157

    Taught in: book/math/losses.md
    """

    def __init__(self, weight: np.ndarray | None = None, *, class_axis: int = 1) -> None:
        if weight is not None:
            weight = np.array(weight)
            if weight.ndim != 1 or not (weight >= 0).all():
                raise ValueError(
                    f"`weight` (={weight}) must have shape (C,) and be at least 0 everywhere."
                )
        if class_axis not in (1, -1):
            raise ValueError(f"`class_axis` (={class_axis}) must be 1 or -1.")
        self.weight = weight
        self.class_axis = class_axis

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        """Return L for logits `prediction` and classes or probabilities `target`."""
        if prediction.ndim < 2:
            raise ValueError(
                f"`prediction` must have at least 2 axes, (N, C), got {prediction.shape}."
            )
        _check_not_empty(prediction)
        axis = self.class_axis
        if target.ndim == prediction.ndim and np.issubdtype(target.dtype, np.floating):
            _check_probabilities(target, prediction.shape, axis)
            target = self._weigh(target.astype(prediction.dtype))
            count = target.size // target.shape[axis]
        else:
            _check_classes(target, prediction.shape, axis)
            one_hot = np.zeros_like(prediction)  # (N, C, ...)
            np.put_along_axis(one_hot, np.expand_dims(target, axis), 1, axis)
            target = self._weigh(one_hot)
            count = target.sum()
            if count == 0:
                raise ValueError(f"`weight` (={self.weight}) is 0 for all classes of the batch.")
        log_probabilities = log_softmax(prediction, axis)  # (N, C, ...)
        self.saved = log_probabilities, target, count
        # A class that does not count may be impossible: 0 · log 0 is 0 here, and not NaN.
        counted = np.where(target == 0, 0, log_probabilities)
        return float(-(target * counted).sum() / count)

    def backward(self) -> np.ndarray:
        """Return ∂L/∂prediction, in the shape of the prediction."""
        log_probabilities, target, count = self.saved
        grad = np.exp(log_probabilities)  # softmax(p)
        grad *= target.sum(axis=self.class_axis, keepdims=True)  # 1, if there are no class weights.
        grad -= target  # softmax(p) − t
        return grad / count

    def _weigh(self, target: np.ndarray) -> np.ndarray:
        if self.weight is None:
            return target
        axis = self.class_axis % target.ndim
        check_shape("weight", self.weight, target.shape[axis : axis + 1])
        weight = self.weight.astype(target.dtype)
        return target * weight.reshape(-1, *[1] * (target.ndim - 1 - axis))  # (C,) -> (C, 1, ...)

    def classes(self, prediction: np.ndarray) -> np.ndarray:
        """Return the class with the largest logit, (N, C, ...) -> (N, ...)."""
        return prediction.argmax(axis=self.class_axis)


class BCEWithLogitsLoss(Loss):
    """The binary cross-entropy of logits, for yes or no.

    L = −1/M Σᵢ [tᵢ log σ(pᵢ) + (1 − tᵢ) log(1 − σ(pᵢ))],  ∂L/∂pᵢ = (σ(pᵢ) − tᵢ) / M

    With a weight w of the positives, w tᵢ takes the place of the first tᵢ in L:
    ∂L/∂pᵢ = ((1 − tᵢ + w tᵢ) σ(pᵢ) − w tᵢ) / M

    Args:
        pos_weight: w, how many times a positive counts; above 1 where positives are rare.

    Shape:
        prediction and target of one shape

    Raises:
        ValueError: if prediction and target differ in shape or are empty, if a target is not
            from 0 to 1, or if `pos_weight` is negative.

    Example:
        >>> loss = BCEWithLogitsLoss()
        >>> round(loss(np.array([0.0, 1000.0]), np.array([1.0, 1.0])), 4)
        0.3466
        >>> loss.backward()
        array([-0.25,  0.  ])

    Taught in: book/math/losses.md
    """

    def __init__(self, pos_weight: float = 1.0) -> None:
        if not pos_weight >= 0:
            raise ValueError(f"`pos_weight` (={pos_weight}) must be at least 0.")
        self.pos_weight = pos_weight

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        """Return L for logits `prediction` and `target` from 0 to 1, of the same shape."""
        _check_not_empty(prediction)
        check_shape("target", target, prediction.shape)
        _check_range(target, 1)
        positive = self.pos_weight * target
        total = 1 - target + positive  # 1, if positives and negatives count the same.
        self.saved = prediction, positive, total
        # −log σ(p) = log(1 + exp(−p)) and −log(1 − σ(p)) = log(1 + exp(p)), which differ by p.
        # So the sum is log(1 + exp(p)) − t p, and logaddexp computes it without an overflow.
        return float((total * np.logaddexp(0, prediction) - positive * prediction).mean())

    def backward(self) -> np.ndarray:
        """Return ∂L/∂prediction."""
        prediction, positive, total = self.saved
        return (total * sigmoid(prediction) - positive) / prediction.size

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


def _check_classes(target: np.ndarray, shape: tuple[int, ...], axis: int) -> None:
    axis %= len(shape)
    check_shape("target", target, shape[:axis] + shape[axis + 1 :])
    if not np.issubdtype(target.dtype, np.integer):
        raise ValueError(f"`target` must hold integer classes, got {target.dtype}.")
    _check_range(target, shape[axis] - 1)


def _check_probabilities(target: np.ndarray, shape: tuple[int, ...], axis: int) -> None:
    check_shape("target", target, shape)
    _check_range(target, 1)
    sums = target.sum(axis=axis)
    wrong = np.argwhere(np.abs(sums - 1) > 1e-3)  # float16 probabilities must pass, too.
    if len(wrong) > 0:
        first = tuple(wrong[0].tolist())
        raise ValueError(
            f"`target` must sum to 1 over the classes, got {sums[first]} in row {first}."
        )

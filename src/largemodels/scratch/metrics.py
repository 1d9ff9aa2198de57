"""Measures of a classifier, from the confusion matrix up.

In a project take `sklearn.metrics`, which these equal. They are here to be read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from largemodels.scratch.layer import check_shape

__all__ = ["ClassMetrics", "area_under_curve", "class_metrics", "confusion_matrix", "roc_curve"]


def confusion_matrix(target: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Count which class was taken for which.

    C[i, j] = the number of examples of class i that were taken for class j

    Args:
        target: the right classes, integers, shape (N,).
        prediction: the predicted classes, integers, shape (N,).
        num_classes: the number of classes.

    Shape:
        (N,), (N,) -> (num_classes, num_classes)

    Raises:
        ValueError: if the shapes differ, or a class is not from 0 to `num_classes` − 1.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0]), 2)
        array([[1, 1],
               [1, 2]])

    Taught in: book/training/evaluation.md
    """
    check_shape("prediction", prediction, target.shape)
    for name, classes in {"target": target, "prediction": prediction}.items():
        if classes.size and not (classes.min() >= 0 and classes.max() < num_classes):
            raise ValueError(
                f"`{name}` must be from 0 to {num_classes - 1}, got {classes.min()} to "
                f"{classes.max()}."
            )
    cells = np.bincount(target * num_classes + prediction, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


@dataclass(frozen=True)
class ClassMetrics:
    """Precision, recall and F1 of each class, and their means; a ratio 0/0 counts as 0.

    precision = TP / (TP + FP),  recall = TP / (TP + FN),  F1 = 2 TP / (2 TP + FP + FN)

    F1 is the harmonic mean of precision and recall, which is near the smaller one.

    Attributes:
        precision: of what was taken for the class, the share that belongs to it, shape (classes,).
        recall: of what belongs to the class, the share that was found, shape (classes,).
        f1: shape (classes,).
        accuracy: the share of right answers; it is also the micro mean of all three.

    Example:
        >>> metrics = class_metrics(np.array([[98, 0], [2, 0]]))  # All are taken for class 0.
        >>> metrics.accuracy, metrics.recall, round(metrics.macro_f1, 3)
        (0.98, array([1., 0.]), 0.495)

    Taught in: book/training/evaluation.md
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    accuracy: float

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes: a rare class counts as much as a frequent one."""
        return float(self.f1.mean())


def class_metrics(confusion: np.ndarray) -> ClassMetrics:
    """Return precision, recall and F1 of each class from a confusion matrix.

    For class i:  TP = C[i, i],  TP + FP = Σ C[:, i],  TP + FN = Σ C[i, :]

    Args:
        confusion: C, shape (classes, classes), the right classes in the rows.

    Raises:
        ValueError: if the matrix is not square, or counts nothing.

    Source:
        van Rijsbergen, "Information retrieval", 2nd edition, Butterworths 1979, chapter 7.

    Example:
        >>> class_metrics(np.array([[1, 1], [1, 2]])).f1.round(3)
        array([0.5  , 0.667])

    Taught in: book/training/evaluation.md
    """
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1] or confusion.sum() == 0:
        raise ValueError(
            f"`confusion` must be a square matrix that counts something, got shape "
            f"{confusion.shape} with the sum {confusion.sum()}."
        )
    right, taken, real = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)

    def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)

    return ClassMetrics(
        precision=ratio(right, taken),
        recall=ratio(right, real),
        f1=ratio(2 * right, taken + real),
        accuracy=float(right.sum() / confusion.sum()),
    )


def roc_curve(target: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many positives a threshold finds, and how many false alarms it costs.

    for each threshold τ:  FPR = share of negatives with score ≥ τ,  TPR = of positives

    Args:
        target: 0 or 1, shape (N,).
        score: larger for what looks positive, shape (N,).

    Returns:
        FPR and TPR from (0, 0) to (1, 1), one point for each different score.

    Raises:
        ValueError: if the shapes differ, or there is no positive or no negative.

    Example:
        >>> fpr, tpr = roc_curve(np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.4, 0.8]))
        >>> fpr, tpr
        (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]))

    Taught in: book/training/evaluation.md
    """
    check_shape("score", score, target.shape)
    positive = target == 1
    if not (positive | (target == 0)).all() or positive.all() or not positive.any():
        raise ValueError("`target` must hold 0 and 1, at least one of each, and nothing else.")
    order = np.argsort(-score, kind="stable")
    # Equal scores pass a threshold together: only the last of them is a point.
    last = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    hits, alarms = np.cumsum(positive[order])[last], np.cumsum(~positive[order])[last]
    return np.append(0, alarms / alarms[-1]), np.append(0, hits / hits[-1])


def area_under_curve(x: np.ndarray, y: np.ndarray) -> float:
    """Return the area under a curve of straight pieces, by the trapezoidal rule.

    area = Σ (xᵢ₊₁ − xᵢ) (yᵢ + yᵢ₊₁) / 2

    Of a ROC curve it is the probability that a positive has a larger score than a negative.

    Args:
        x: the coordinates, in ascending order, shape (N,).
        y: the heights, shape (N,).

    Raises:
        ValueError: if the shapes differ, there are fewer than 2 points, or `x` descends.

    Source:
        Hanley and McNeil, "The meaning and use of the area under a receiver operating
        characteristic (ROC) curve", Radiology 143(1), 1982.

    Example:
        >>> area_under_curve(np.array([0.0, 0.0, 0.5, 1.0]), np.array([0.0, 0.5, 1.0, 1.0]))
        0.875

    Taught in: book/training/evaluation.md
    """
    check_shape("y", y, x.shape)
    if x.ndim != 1 or len(x) < 2 or (np.diff(x) < 0).any():
        raise ValueError("`x` must be at least 2 numbers in ascending order.")
    return float((np.diff(x) * (y[1:] + y[:-1])).sum() / 2)

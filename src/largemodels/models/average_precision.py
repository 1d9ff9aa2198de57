"""The measure of object detection: mean average precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from largemodels.models.boxes import Detections, box_iou

__all__ = ["average_precision", "mean_average_precision"]

Truth = tuple[np.ndarray, np.ndarray]  # The boxes of an image, (N, 4), and their classes, (N,).


def average_precision(hits: np.ndarray, scores: np.ndarray, objects: int) -> float:
    """Return the area under the curve of precision over recall, for one class.

    AP = Σₖ (Rₖ − Rₖ₋₁) max_{j ≥ k} Pⱼ

    Pₖ is the share of right boxes among the k surest, Rₖ the share of the objects that they find.

    Args:
        hits: whether each box found an object that no surer one has found, shape (N,).
        scores: how sure the detector is of each box, shape (N,).
        objects: the number of objects that there are.

    Returns:
        A number from 0 to 1.

    Raises:
        ValueError: if the shapes differ, or there is no object or are fewer than hits.

    Source:
        Everingham et al., "The PASCAL Visual Object Classes challenge: a retrospective", IJCV 2015
        (all points of the curve, as the challenge does since 2010).

    Example:
        >>> hits, scores = np.array([True, False, True]), np.array([0.9, 0.8, 0.7])
        >>> average_precision(hits, scores, objects=2)  # 1/2 · 1 + 1/2 · 2/3.
        0.8333333333333333

    Taught in: book/case_studies/object_detection.md
    """
    hits, scores = np.asarray(hits, dtype=bool), np.asarray(scores)
    if scores.shape != hits.shape:
        raise ValueError(f"`scores` must have shape {hits.shape}, got {scores.shape}.")
    if objects < max(1, hits.sum()):
        raise ValueError(f"`objects` (={objects}) must be at least 1, and at least the hits.")
    hits = hits[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[hits].sum() / objects)  # Each hit adds 1 / objects to the recall.


def mean_average_precision(
    detections: Sequence[Detections], truths: Sequence[Truth], iou_threshold: float = 0.5
) -> float:
    """Return the mean of the average precisions of all classes that occur.

    A box is right if it overlaps enough with an object of its class in its image, and no surer box
    has found that object: two boxes on one object are one hit and one error. Low scores do not
    harm, so detect with a low score threshold first.

    Args:
        detections: what was found in each image.
        truths: the boxes that there are in each image, (N, 4), and their classes, (N,).
        iou_threshold: the least overlap of a right box.

    Returns:
        A number from 0 to 1, mAP@0.5 with the default threshold.

    Raises:
        ValueError: if the numbers of images differ, or there is no object at all.

    Source:
        Everingham, Van Gool, Williams, Winn and Zisserman, "The PASCAL Visual Object Classes (VOC)
        challenge", IJCV 2010, section 4.2.

    Example:
        >>> truth = np.array([[0, 0, 4, 4], [8, 8, 12, 12]]), np.array([0, 1])
        >>> found = Detections(truth[0][:1], np.array([0.9]), np.array([0]))
        >>> mean_average_precision([found], [truth])  # 1 for class 0, 0 for class 1.
        0.5

    Taught in: book/case_studies/object_detection.md
    """
    if len(detections) != len(truths):
        raise ValueError(
            f"`detections` (of {len(detections)} images) must have one for each of the "
            f"{len(truths)} of `truths`."
        )
    present = np.unique([c for _, classes in truths for c in classes])
    if len(present) == 0:
        raise ValueError("`truths` must have at least one object.")
    precisions = []
    for c in present:
        hits, scores = [], []
        for found, (boxes, classes) in zip(detections, truths, strict=True):
            mine = found.classes == c
            own = boxes[classes == c]
            hits.append(_hits(found.boxes[mine], found.scores[mine], own, iou_threshold))
            scores.append(found.scores[mine])
        objects = sum(int((classes == c).sum()) for _, classes in truths)
        precisions.append(average_precision(np.concatenate(hits), np.concatenate(scores), objects))
    return float(np.mean(precisions))


def _hits(
    found: np.ndarray, scores: np.ndarray, boxes: np.ndarray, iou_threshold: float
) -> np.ndarray:
    """Return which found boxes are right, for one class in one image."""
    hits = np.zeros(len(found), dtype=bool)
    if len(boxes) == 0:
        return hits
    overlap = box_iou(found, boxes)  # (N, 4), (M, 4) -> (N, M)
    free = np.ones(len(boxes), dtype=bool)
    for i in np.argsort(-scores, kind="stable"):
        nearest = overlap[i].argmax()
        hits[i] = free[nearest] and overlap[i, nearest] >= iou_threshold
        free[nearest] &= not hits[i]
    return hits

"""Boxes around objects: how much two overlap, how a grid holds them, and which of them to keep.

A box is (x₁, y₁, x₂, y₂) in pixels: its left, upper, right and lower edge. A detector divides the
image into cells of `stride` × `stride` pixels and gives 5 + K numbers for each:

| number      | meaning                                                                   |
|-------------|---------------------------------------------------------------------------|
| o           | logit of "the centre of an object lies in this cell"                      |
| tx, ty      | the way from the centre of the cell to that of the box, in cells          |
| tw, th      | logarithms of width and height of the box, in cells                       |
| c₁ … c_K    | logits of the classes                                                     |
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Detections", "box_iou", "detect", "encode_boxes", "non_maximum_suppression"]


class Detections(NamedTuple):
    """What a detector finds in one image, the surest first.

    Attributes:
        boxes: in pixels, shape (N, 4).
        scores: the probabilities that there is an object of that class, shape (N,).
        classes: counted from 0, shape (N,).

    Example:
        >>> found = Detections(np.array([[0, 0, 4, 4]]), np.array([0.9]), np.array([2]))
        >>> found.scores, found.classes
        (array([0.9]), array([2]))

    Taught in: book/case_studies/object_detection.md
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


def box_iou(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return how much each box of `a` overlaps with each box of `b`: intersection over union.

    IoU = |A ∩ B| / |A ∪ B|

    Args:
        a: boxes, shape (N, 4).
        b: boxes, shape (M, 4).

    Returns:
        Numbers from 0 (apart) to 1 (equal), shape (N, M).

    Raises:
        ValueError: if an array is not of boxes, or a box has its right edge left of its left one
            or its lower edge above its upper one.

    Source:
        Everingham, Van Gool, Williams, Winn and Zisserman, "The PASCAL Visual Object Classes (VOC)
        challenge", IJCV 2010, section 4.2.

    Example:
        >>> box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [5, 5, 6, 6]]).round(3)  # 2 / 6 pixels.
        array([[0.333, 0.   ]])

    Taught in: book/case_studies/object_detection.md
    """
    a, b = _check_boxes("a", a), _check_boxes("b", b)
    corner = np.maximum(a[:, None, :2], b[:, :2])  # (N, 1, 2), (M, 2) -> (N, M, 2)
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - corner
    intersection = np.maximum(sides, 0).prod(axis=-1)  # (N, M, 2) -> (N, M)
    union = _area(a)[:, None] + _area(b) - intersection
    # Two boxes without any area do not overlap.
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def non_maximum_suppression(
    boxes: ArrayLike, scores: ArrayLike, iou_threshold: float = 0.5
) -> np.ndarray:
    """Return which boxes to keep where many lie on the same object.

    Take the box with the highest score, drop all that overlap with it too much, and go on with the
    rest.

    Args:
        boxes: shape (N, 4).
        scores: shape (N,).
        iou_threshold: a box goes if its overlap with a better one is larger.

    Returns:
        The indices of the boxes that stay, the highest score first.

    Raises:
        ValueError: if the shapes do not fit, or the threshold is not from 0 to 1.

    Source:
        Girshick, Donahue, Darrell and Malik, "Rich feature hierarchies for accurate object
        detection and semantic segmentation", CVPR 2014, section 2.2.

    Example:
        >>> boxes = [[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30]]
        >>> non_maximum_suppression(boxes, [0.8, 0.9, 0.7])
        array([1, 2])

    Taught in: book/case_studies/object_detection.md
    """
    boxes, scores = _check_boxes("boxes", boxes), np.asarray(scores)
    if scores.shape != boxes.shape[:1]:
        raise ValueError(f"`scores` must have shape {boxes.shape[:1]}, got {scores.shape}.")
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"`iou_threshold` (={iou_threshold}) must be from 0 to 1.")
    order = np.argsort(-scores, kind="stable")
    too_close = np.triu(box_iou(boxes[order], boxes[order]) > iou_threshold, k=1)
    keep = np.ones(len(order), dtype=bool)
    for i in range(len(order)):
        if keep[i]:
            keep &= ~too_close[i]
    return order[keep]


def encode_boxes(
    boxes: ArrayLike, classes: ArrayLike, grid: tuple[int, int], stride: int
) -> np.ndarray:
    """Return what a detector should say about an image: the numbers of each cell of the grid.

    tx = x / stride − column − ½,  ty = y / stride − row − ½
    tw = ln(width / stride),  th = ln(height / stride)

    (x, y) is the centre of a box; the cell in which it lies is responsible for the box. A cell
    holds one box: of two with their centres in it, the later one stays.

    Args:
        boxes: the boxes of one image, in pixels, shape (N, 4).
        classes: their classes, counted from 0, shape (N,).
        grid: the numbers of rows and columns of cells.
        stride: the height and width of a cell in pixels.

    Returns:
        For each cell (object, tx, ty, tw, th, class), shape (rows, columns, 6), float32; `object`
        is 1 in the cell of a box. All numbers of the other cells are 0.

    Raises:
        ValueError: if the shapes do not fit, a box has no area, or a centre is out of the grid.

    Source:
        The responsible cell: Redmon, Divvala, Girshick and Farhadi, "You only look once: unified,
        real-time object detection", CVPR 2016, section 2. The logarithms: Girshick et al., "Rich
        feature hierarchies", arXiv:1311.2524, appendix C.

    Example:
        >>> cells = encode_boxes([[8, 0, 24, 8]], [2], grid=(2, 3), stride=8)
        >>> cells[0, 2].round(3)  # The centre is (16, 4).
        array([ 1.   , -0.5  ,  0.   ,  0.693,  0.   ,  2.   ], dtype=float32)
        >>> int(cells[..., 0].sum())
        1

    Taught in: book/case_studies/object_detection.md
    """
    boxes, classes = _check_boxes("boxes", boxes), np.asarray(classes)
    if classes.shape != boxes.shape[:1]:
        raise ValueError(f"`classes` must have shape {boxes.shape[:1]}, got {classes.shape}.")
    sizes = (boxes[:, 2:] - boxes[:, :2]) / stride  # In cells.
    if (sizes <= 0).any():
        raise ValueError("`boxes` must have an area: the logarithm of 0 is infinite.")
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2 / stride
    columns, rows = np.floor(centres).astype(int).T
    outside = (rows < 0) | (rows >= grid[0]) | (columns < 0) | (columns >= grid[1])
    if outside.any():
        raise ValueError(
            f"`boxes` must have their centres in the {grid[0]} × {grid[1]} cells of {stride} "
            f"pixels, got {boxes[outside][0].tolist()}."
        )
    cells = np.zeros((*grid, 6), dtype=np.float32)
    cells[rows, columns, 0] = 1
    cells[rows, columns, 1:3] = centres - np.floor(centres) - 0.5
    cells[rows, columns, 3:5] = np.log(sizes)
    cells[rows, columns, 5] = classes
    return cells


def detect(
    outputs: ArrayLike, stride: int, *, score_threshold: float = 0.5, iou_threshold: float = 0.5
) -> Detections:
    """Return the objects that a detector sees in one image.

    score = σ(o) · max_k softmax(c)_k

    Boxes with a low score go, then, for each class, those that overlap with a better one.

    Args:
        outputs: the numbers of the table of this module, shape (rows, columns, 5 + K).
        stride: the height and width of a cell in pixels.
        score_threshold: the lowest score that counts.
        iou_threshold: see `non_maximum_suppression`.

    Raises:
        ValueError: if the shape is wrong, or a threshold is not from 0 to 1.

    Source:
        Redmon, Divvala, Girshick and Farhadi, "You only look once: unified, real-time object
        detection", CVPR 2016, section 2.

    Example:
        >>> outputs = np.full((2, 3, 7), -9.0)
        >>> outputs[0, 2] = [9, -0.5, 0, np.log(2), 0, -9, 9]  # Sure of an object of class 1.
        >>> boxes, scores, classes = detect(outputs, stride=8)
        >>> boxes.round(3), scores.round(3), classes
        (array([[ 8.,  0., 24.,  8.]]), array([1.]), array([1]))

    Taught in: book/case_studies/object_detection.md
    """
    cells = np.asarray(outputs, dtype=np.float64)
    if cells.ndim != 3 or cells.shape[-1] < 6:
        raise ValueError(f"`outputs` must have shape (rows, columns, 5 + K), got {cells.shape}.")
    if not 0 <= score_threshold <= 1:
        raise ValueError(f"`score_threshold` (={score_threshold}) must be from 0 to 1.")
    likelihood = np.exp(cells[..., 5:] - cells[..., 5:].max(axis=-1, keepdims=True))
    # The largest number of the softmax is exp(0) over the sum. σ(o) = (1 + tanh(o / 2)) / 2.
    scores = (1 + np.tanh(cells[..., 0] / 2)) / 2 / likelihood.sum(axis=-1)  # (rows, columns)
    classes = likelihood.argmax(axis=-1)
    rows, columns = np.nonzero(scores >= score_threshold)
    found, scores, classes = cells[rows, columns], scores[rows, columns], classes[rows, columns]
    centres = (np.stack([columns, rows], axis=-1) + 0.5 + found[:, 1:3]) * stride  # (N, 2)
    halves = np.exp(found[:, 3:5]) * stride / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=-1)  # (N, 4)
    keep = np.concatenate(
        [
            np.flatnonzero(classes == c)[
                non_maximum_suppression(boxes[classes == c], scores[classes == c], iou_threshold)
            ]
            for c in range(cells.shape[-1] - 5)
        ]
    )
    keep = keep[np.argsort(-scores[keep], kind="stable")]
    return Detections(boxes[keep], scores[keep], classes[keep])


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1)  # (N, 4) -> (N,)


def _check_boxes(name: str, boxes: ArrayLike) -> np.ndarray:
    """Return boxes as an array of floats of shape (N, 4)."""
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"`{name}` must have shape (N, 4), got {array.shape}.")
    wrong = (array[:, 2:] < array[:, :2]).any(axis=1)
    if wrong.any():
        first = array[wrong][0].tolist()
        raise ValueError(f"`{name}` must be boxes (x1, y1, x2, y2), got {first}.")
    return array

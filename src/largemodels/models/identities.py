"""Batches and pairs of pictures of people, for face recognition."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["identity_batches", "verification_pairs"]


def identity_batches(
    identities: ArrayLike, people: int, pictures: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield batches with some pictures of each of some people, for a triplet loss.

    A batch drawn from all pictures would hardly have two of the same person.

    Args:
        identities: who is on each picture, shape (N,).
        people: how many people go into a batch, P. Each is in at most one batch of an epoch.
        pictures: how many pictures of each, K.
        rng: the random generator.

    Yields:
        The rows of the pictures of a batch, shape (P · K,).

    Raises:
        ValueError: if there are fewer than `people` people, or fewer than `pictures` of one.

    Source:
        Hermans, Beyer and Leibe, "In defense of the triplet loss for person re-identification",
        arXiv:1703.07737, section 2.

    Example:
        >>> identities = np.array([7, 7, 7, 8, 8, 9, 9, 9])
        >>> for rows in identity_batches(identities, 1, 2, np.random.default_rng(0)):
        ...     print(identities[rows])
        [9 9]
        [7 7]
        [8 8]

    Taught in: book/case_studies/face_recognition.md
    """
    names, inverse, counts = np.unique(identities, return_inverse=True, return_counts=True)
    if not 1 <= people <= len(names):
        raise ValueError(f"`people` (={people}) must be from 1 to the {len(names)} that there are.")
    if not 1 <= pictures <= counts.min():
        raise ValueError(
            f"`pictures` (={pictures}) must be from 1 to the {counts.min()} that there are of "
            f"{names[counts.argmin()]}."
        )
    order = rng.permutation(len(names))
    for first in range(0, len(names) - people + 1, people):
        rows = [
            rng.choice(np.flatnonzero(inverse == name), pictures, replace=False)
            for name in order[first : first + people]
        ]
        yield np.concatenate(rows)


def verification_pairs(
    embeddings: ArrayLike, identities: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Return for all pairs of pictures whether they show the same person, and how alike they are.

    similarity = −|f(x) − f(y)|

    A system that accepts a pair from a threshold on has a true accept rate (of pairs of the same
    person) and a false accept rate (of the others). `sklearn.metrics.roc_curve` gives both for all
    thresholds, `roc_auc_score` the area under the curve: the probability that a pair of the same
    person is more alike than a pair of two.

    Args:
        embeddings: what the network gives for each picture, shape (N, D).
        identities: who is on it, shape (N,).

    Returns:
        Whether each pair shows the same person, and its similarity; both have the shape
        (N (N − 1) / 2,), in the order in which `sklearn.metrics` takes them.

    Raises:
        ValueError: if the shapes do not fit.

    Source:
        Schroff, Kalenichenko and Philbin, "FaceNet: a unified embedding for face recognition and
        clustering", CVPR 2015, section 4.

    Example:
        >>> from sklearn.metrics import roc_auc_score
        >>> same, similarity = verification_pairs([[0, 1], [0.6, 0.8], [1, 0]], [7, 7, 8])
        >>> same, similarity.round(2)
        (array([ True, False, False]), array([-0.63, -1.41, -0.89]))
        >>> float(roc_auc_score(same, similarity))
        1.0

    Taught in: book/case_studies/face_recognition.md
    """
    embeddings, identities = np.asarray(embeddings, dtype=np.float64), np.asarray(identities)
    if embeddings.ndim != 2:
        raise ValueError(f"`embeddings` must have shape (N, D), got {embeddings.shape}.")
    if identities.shape != embeddings.shape[:1]:
        raise ValueError(
            f"`identities` must have shape {embeddings.shape[:1]}, got {identities.shape}."
        )
    first, second = np.triu_indices(len(embeddings), k=1)
    difference = embeddings[first] - embeddings[second]  # (pairs, D)
    return identities[first] == identities[second], -np.linalg.norm(difference, axis=1)

"""Face recognition in Keras: an embedding in which the same person lies close together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from largemodels.models.keras.normalization import batch_norm
from largemodels.models.keras.saving import SavedSequential

__all__ = ["FaceEmbedding", "semi_hard_triplet_loss", "triplet_loss"]


@keras.saving.register_keras_serializable(package="largemodels")
class FaceEmbedding(SavedSequential):
    """Map a picture to a point on the unit sphere, close to other pictures of the same person.

    f(x) = z / |z|;  z = mean(features(x)) W + b

    The network has no class for a person. So it can compare people whom it never saw in training:
    two pictures show the same person if their points are closer than a threshold.

    Args:
        embedding_dim: the number D of coordinates.
        in_channels: the number C of channels of the picture.
        channels: the numbers of filters of the convolutions; each is followed by batch norm and
            ReLU, and all but the first have a stride of 2.
        name: the name of the model.

    Shape:
        (N, H, W, C) -> (N, D), of length 1

    Raises:
        ValueError: if `embedding_dim` is below 1.

    Source:
        Schroff, Kalenichenko and Philbin, "FaceNet: a unified embedding for face recognition and
        clustering", CVPR 2015, section 3; with a much smaller network.

    Example:
        >>> model = FaceEmbedding(16, in_channels=1)
        >>> embeddings = model(keras.random.normal((3, 8, 8, 1)))
        >>> tuple(embeddings.shape), ops.convert_to_numpy(ops.norm(embeddings, axis=1)).round(3)
        ((3, 16), array([1., 1., 1.], dtype=float32))
        >>> sum(weight.value.numpy().size for weight in model.trainable_weights)
        24448

    Taught in: book/case_studies/face_recognition.md
    """

    def __init__(
        self,
        embedding_dim: int = 32,
        in_channels: int = 3,
        channels: Sequence[int] = (16, 32, 64),
        name: str | None = None,
    ) -> None:
        if embedding_dim < 1:
            raise ValueError(f"`embedding_dim` (={embedding_dim}) must be at least 1.")
        self.settings = {
            "embedding_dim": embedding_dim,
            "in_channels": in_channels,
            "channels": list(channels),
        }
        super().__init__(name=name)
        self.add(keras.Input((None, None, in_channels)))
        for i, filters in enumerate(channels):
            # `padding="same"` would pad the right and the bottom only, if the stride is 2.
            self.add(layers.ZeroPadding2D(1))
            self.add(
                layers.Conv2D(
                    filters,
                    3,
                    strides=min(i + 1, 2),
                    use_bias=False,
                    kernel_initializer="he_normal",
                )
            )
            self.add(batch_norm())
            self.add(layers.ReLU())
        self.add(layers.GlobalAveragePooling2D())
        self.add(layers.Dense(embedding_dim, kernel_initializer="he_normal"))
        self.add(layers.UnitNormalization())


def triplet_loss(anchor: Any, positive: Any, negative: Any, margin: float = 0.2) -> Any:
    """Return by how much others are not yet further away than pictures of the same person.

    L = (1/N) Σₙ max(0, |aₙ − pₙ| − |aₙ − nₙ| + margin)

    FaceNet squares the two distances; Hermans et al. found that training is more stable without
    the squares.

    Args:
        anchor: embeddings a of N pictures, shape (N, D).
        positive: embeddings p of other pictures of the same people.
        negative: embeddings n of pictures of other people.
        margin: how much further away other people should be.

    Source:
        Schroff, Kalenichenko and Philbin, "FaceNet", CVPR 2015, section 3.1; Hermans, Beyer and
        Leibe, "In defense of the triplet loss for person re-identification", arXiv:1703.07737,
        section 2.

    Example:
        >>> a, p, n = ops.array([[0.0, 1.0]]), ops.array([[0.6, 0.8]]), ops.array([[1.0, 0.0]])
        >>> round(float(triplet_loss(a, p, n, margin=1.0)), 4)  # 0.6325 − 1.4142 + 1
        0.2182

    Taught in: book/case_studies/face_recognition.md
    """
    closer = _length(anchor - positive) - _length(anchor - negative) + margin
    return ops.mean(ops.relu(closer))


def semi_hard_triplet_loss(embeddings: Any, identities: Any, margin: float = 0.2) -> Any:
    """Return the triplet loss of a batch, each pair with a negative that teaches something.

    L = mean over all pairs (a, p) of the same person of max(0, |a − p| − |a − n| + margin)

    n is the nearest picture of another person that lies further from a than p does (semi-hard); if
    there is none, the furthest one of all others. Random negatives are soon too easy to teach
    anything. The nearest of all are too hard at the start: the quickest way to make them less bad
    is to map all pictures to one point, and there the training stays.

    A batch needs some pictures of each of some people, see
    `largemodels.models.identities.identity_batches`. The loss is 0 if no person is on two pictures
    or all are the same.

    Args:
        embeddings: shape (N, D).
        identities: who is on each picture, integers, shape (N,).
        margin: how much further away other people should be.

    Source:
        Schroff, Kalenichenko and Philbin, "FaceNet", CVPR 2015, section 3.2; without the squares,
        see `triplet_loss`.

    Example:
        >>> points = ops.array([[0.0], [3.0], [1.0], [5.0]])
        >>> loss = semi_hard_triplet_loss(points, ops.array([0, 0, 1, 1]), margin=1.0)
        >>> float(loss)  # (3 − 5 + 1 → 0, 3 − 2 + 1, 4 − 2 + 1, 4 − 5 + 1): a mean of 5 / 4.
        1.25

    Taught in: book/case_studies/face_recognition.md
    """
    distances = _length(embeddings[:, None] - embeddings)  # (N, 1, D) − (N, D) -> (N, N)
    same = ops.equal(identities[:, None], identities)
    to_positive, to_negative = distances[:, :, None], distances[:, None, :]  # (a, p, n)
    further = ~same[:, None, :] & (to_negative > to_positive)  # -> (N, N, N)
    nearest = ops.min(ops.where(further, to_negative, float("inf")), axis=2)  # -> (N, N)
    furthest = ops.max(ops.where(same, 0.0, distances), axis=1, keepdims=True)  # -> (N, 1)
    negative = ops.where(ops.any(further, axis=2), nearest, furthest)
    oneself = ops.eye(ops.shape(same)[0], dtype="bool")
    pairs = same & ~oneself & ~ops.all(same, axis=1, keepdims=True)
    losses = ops.where(pairs, ops.relu(distances - negative + margin), 0.0)
    return ops.sum(losses) / ops.maximum(1.0, ops.sum(ops.cast(pairs, losses.dtype)))


def _length(difference: Any) -> Any:
    """Return the lengths of vectors; the gradient of a length of 0 is 0, not NaN."""
    squares = ops.sum(difference**2, axis=-1)
    return ops.sqrt(ops.maximum(squares, 1e-12))

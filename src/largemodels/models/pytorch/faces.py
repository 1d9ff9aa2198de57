"""Face recognition in PyTorch: an embedding in which the same person lies close together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from largemodels.models.pytorch.initialization import he_initialize

__all__ = ["FaceEmbedding", "semi_hard_triplet_loss", "triplet_loss"]


class FaceEmbedding(nn.Module):
    """Map a picture to a point on the unit sphere, close to other pictures of the same person.

    f(x) = z / |z|;  z = W mean(features(x)) + b

    The network has no class for a person. So it can compare people whom it never saw in training:
    two pictures show the same person if their points are closer than a threshold.

    Args:
        embedding_dim: the number D of coordinates.
        in_channels: the number C of channels of the picture.
        channels: the numbers of filters of the convolutions; each is followed by batch norm and
            ReLU, and all but the first have a stride of 2.

    Shape:
        (N, C, H, W) -> (N, D), of length 1

    Raises:
        ValueError: if `embedding_dim` is below 1.

    Source:
        Schroff, Kalenichenko and Philbin, "FaceNet: a unified embedding for face recognition and
        clustering", CVPR 2015, section 3; with a much smaller network.

    Example:
        >>> model = FaceEmbedding(16, in_channels=1)
        >>> embeddings = model(torch.randn(3, 1, 8, 8))
        >>> embeddings.shape, torch.linalg.vector_norm(embeddings, dim=1).allclose(torch.ones(3))
        (torch.Size([3, 16]), True)
        >>> sum(parameter.numel() for parameter in model.parameters())
        24448

    Taught in: book/case_studies/face_recognition.md
    """

    def __init__(
        self, embedding_dim: int = 32, in_channels: int = 3, channels: Sequence[int] = (16, 32, 64)
    ) -> None:
        super().__init__()
        if embedding_dim < 1:
            raise ValueError(f"`embedding_dim` (={embedding_dim}) must be at least 1.")
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(
            zip([in_channels, *channels], channels, strict=False)
        ):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=min(i + 1, 2), padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.output = nn.Linear(channels[-1], embedding_dim)
        self.apply(he_initialize)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of `pictures` of shape (N, C, H, W)."""
        return functional.normalize(self.output(self.features(pictures)), dim=-1)


def triplet_loss(
    anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, margin: float = 0.2
) -> torch.Tensor:
    """Return by how much others are not yet further away than pictures of the same person.

    L = (1/N) Σₙ max(0, |aₙ − pₙ| − |aₙ − nₙ| + margin)

    It is `torch.nn.TripletMarginLoss`. FaceNet squares the two distances; Hermans et al. found that
    training is more stable without the squares.

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
        >>> a, p, n = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.6, 0.8]]), torch.eye(2)[:1]
        >>> round(triplet_loss(a, p, n, margin=1.0).item(), 4)  # 0.6325 − 1.4142 + 1
        0.2182

    Taught in: book/case_studies/face_recognition.md
    """
    closer = _length(anchor - positive) - _length(anchor - negative) + margin
    return functional.relu(closer).mean()


def semi_hard_triplet_loss(
    embeddings: torch.Tensor, identities: torch.Tensor, margin: float = 0.2
) -> torch.Tensor:
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
        >>> points = torch.tensor([[0.0], [3.0], [1.0], [5.0]])
        >>> loss = semi_hard_triplet_loss(points, torch.tensor([0, 0, 1, 1]), margin=1.0)
        >>> loss.item()  # (3 − 5 + 1 → 0, 3 − 2 + 1, 4 − 2 + 1, 4 − 5 + 1): a mean of 5 / 4.
        1.25

    Taught in: book/case_studies/face_recognition.md
    """
    distances = _length(embeddings[:, None] - embeddings)  # (N, 1, D) − (N, D) -> (N, N)
    same = identities[:, None] == identities
    to_positive, to_negative = distances[:, :, None], distances[:, None, :]  # (a, p, n)
    further = ~same[:, None, :] & (to_negative > to_positive)  # -> (N, N, N)
    nearest = to_negative.masked_fill(~further, torch.inf).amin(dim=2)  # -> (N, N)
    furthest = distances.masked_fill(same, 0).amax(dim=1, keepdim=True)  # -> (N, 1)
    negative = torch.where(further.any(dim=2), nearest, furthest)
    oneself = torch.eye(len(same), dtype=torch.bool, device=same.device)
    pairs = same & ~oneself & ~same.all(dim=1, keepdim=True)
    losses = functional.relu(distances - negative + margin)[pairs]
    return losses.sum() / max(1, len(losses))


def _length(difference: torch.Tensor) -> torch.Tensor:
    """Return the lengths of vectors; the gradient of a length of 0 is 0, not NaN."""
    squares = (difference**2).sum(dim=-1)
    return squares.clamp(min=1e-12).sqrt()

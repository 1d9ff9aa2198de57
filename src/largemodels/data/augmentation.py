"""More images from few: mirrored, shifted, with a part hidden. Only the training images.

Each function returns a new array. Augment after the split: a copy of a test image among the
training images is a leak.
"""

from __future__ import annotations

import numpy as np

__all__ = ["random_erase", "random_flip", "random_shift"]


def random_flip(images: np.ndarray, rng: np.random.Generator, p: float = 0.5) -> np.ndarray:
    """Mirror each image with probability p. Not for digits: a mirrored 2 is none.

    Args:
        images: The images; shape (N, H, W) or (N, H, W, C).
        rng: The random generator.
        p: The probability.

    Raises:
        ValueError: The shape is another one, or `p` is no probability.

    Example:
        >>> random_flip(np.array([[[1, 2, 3]]]), np.random.default_rng(0), p=1.0)
        array([[[3, 2, 1]]])
    """
    _check(images)
    if not 0 <= p <= 1:
        raise ValueError(f"`p` (={p}) must be from 0 to 1.")
    flipped = images.copy()
    chosen = rng.random(len(images)) < p
    flipped[chosen] = flipped[chosen, :, ::-1]
    return flipped


def random_shift(images: np.ndarray, rng: np.random.Generator, pixels: int = 2) -> np.ndarray:
    """Shift each image by up to some pixels in both directions; zeros come in at the edge.

    Args:
        images: The images; shape (N, H, W) or (N, H, W, C).
        rng: The random generator.
        pixels: The largest shift.

    Raises:
        ValueError: The shape is another one, or `pixels` is negative.

    Example:
        >>> images = np.array([[[1, 2], [3, 4]]])
        >>> random_shift(images, np.random.default_rng(4), pixels=1)  # One up, one to the left.
        array([[[4, 0],
                [0, 0]]])
    """
    _check(images)
    if pixels < 0:
        raise ValueError(f"`pixels` (={pixels}) must be at least 0.")
    n, height, width = images.shape[:3]
    edges = [(0, 0), (pixels, pixels), (pixels, pixels), *[(0, 0)] * (images.ndim - 3)]
    padded = np.pad(images, edges)
    top, left = rng.integers(0, 2 * pixels + 1, (2, n))
    rows = top[:, None] + np.arange(height)  # (N, H): the rows of the window of each image.
    columns = left[:, None] + np.arange(width)  # (N, W)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def random_erase(images: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """Hide a square at a random place of each image, part of it perhaps outside (cutout).

    Args:
        images: The images; shape (N, H, W) or (N, H, W, C).
        rng: The random generator.
        size: The side of the square in pixels.

    Raises:
        ValueError: The shape is another one, or `size` is negative.

    Source:
        DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout",
        2017, arXiv:1708.04552.

    Example:
        >>> random_erase(np.ones((1, 3, 3), int), np.random.default_rng(0), size=2)
        array([[[1, 1, 1],
                [0, 0, 1],
                [0, 0, 1]]])
    """
    _check(images)
    if size < 0:
        raise ValueError(f"`size` (={size}) must be at least 0.")
    n, height, width = images.shape[:3]
    inside = []
    for side in (height, width):
        start = rng.integers(0, side, size=(n, 1)) - size // 2  # The middle lies in the image.
        places = np.arange(side)
        inside.append((places >= start) & (places < start + size))
    hidden = inside[0][:, :, None] & inside[1][:, None, :]  # (N, H, 1), (N, 1, W) -> (N, H, W)
    erased = images.copy()
    erased[hidden] = 0
    return erased


def _check(images: np.ndarray) -> None:
    if images.ndim not in (3, 4):
        raise ValueError(f"`images` must have shape (N, H, W) or (N, H, W, C), got {images.shape}.")

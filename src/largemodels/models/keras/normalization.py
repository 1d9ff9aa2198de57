"""Batch normalization with one setting for all Keras twins."""

from __future__ import annotations

import keras

__all__ = ["batch_norm"]


def batch_norm() -> keras.layers.BatchNormalization:
    """Return a batch normalization with PyTorch's settings.

    PyTorch's momentum of 0.1 is the share of the new batch, Keras's that of the old ones. And Keras
    keeps the variance divided by n, PyTorch that divided by n − 1.

    Example:
        >>> layer = batch_norm()
        >>> layer.momentum, layer.epsilon
        (0.9, 1e-05)

    Taught in: book/algorithms/convolutional_networks.md
    """
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)

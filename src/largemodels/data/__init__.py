"""Real data sets with one line, and a sample that needs no network.

Example:
    >>> from largemodels import data
    >>> digits = data.load("digits")
    >>> digits.x_train.shape, digits.y_train.dtype
    ((1437, 8, 8), dtype('uint8'))
"""

from largemodels.data.augmentation import random_erase, random_flip, random_shift
from largemodels.data.batches import batches
from largemodels.data.dataset import DataError, Dataset
from largemodels.data.loading import NAMES, describe, fingerprint, load
from largemodels.data.text import Vocabulary, words

__all__ = [
    "NAMES",
    "DataError",
    "Dataset",
    "Vocabulary",
    "batches",
    "describe",
    "fingerprint",
    "load",
    "random_erase",
    "random_flip",
    "random_shift",
    "words",
]

"""Real data sets with one line, and a sample that needs no network.

Example:
    >>> from largemodels import data
    >>> digits = data.load("digits")
    >>> digits.x_train.shape, digits.y_train.dtype
    ((1437, 8, 8), dtype('uint8'))
"""

from largemodels.data.batches import batches
from largemodels.data.dataset import DataError, Dataset
from largemodels.data.loading import NAMES, describe, fingerprint, load

__all__ = ["NAMES", "DataError", "Dataset", "batches", "describe", "fingerprint", "load"]

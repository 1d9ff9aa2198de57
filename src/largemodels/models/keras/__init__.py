"""The reference models in Keras."""

from largemodels.models.keras.cnn import CNN, LeNet
from largemodels.models.keras.mlp import MLP

__all__ = ["CNN", "MLP", "LeNet"]

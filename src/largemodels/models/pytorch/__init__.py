"""The reference models in PyTorch."""

from largemodels.models.pytorch.cnn import CNN, LeNet
from largemodels.models.pytorch.mlp import MLP

__all__ = ["CNN", "MLP", "LeNet"]

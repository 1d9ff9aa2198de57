"""The reference models in PyTorch."""

from largemodels.models.pytorch.mlp import MLP

__all__ = ["MLP"]

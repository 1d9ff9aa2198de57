"""The reference models in Keras."""

from largemodels.models.keras.mlp import MLP

__all__ = ["MLP"]

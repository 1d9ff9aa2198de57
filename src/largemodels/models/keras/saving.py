"""What the Keras twins need so that Keras can save them."""

from __future__ import annotations

from typing import Any, Self

import keras

__all__ = ["SavedSequential"]


class SavedSequential(keras.Sequential):
    """A `Sequential` that Keras saves by the arguments that it was made with.

    A class that derives from it assigns these arguments to `settings`, all but the name, and
    registers itself with `keras.saving.register_keras_serializable`.

    Attributes:
        settings: the arguments of the model, without its name.

    Example:
        >>> class Head(SavedSequential):
        ...     def __init__(self, units, name=None):
        ...         super().__init__([keras.layers.Dense(units)], name=name)
        ...         self.settings = {"units": units}
        >>> Head.from_config(Head(3, name="head").get_config()).settings
        {'units': 3}

    Taught in: book/tools/frameworks_side_by_side.md
    """

    settings: dict[str, Any]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the model, so that Keras can save it."""
        return {**self.settings, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Return the model of a saved configuration."""
        return cls(**config)

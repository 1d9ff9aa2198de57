"""What `load` returns, and the error that it raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class DataError(ValueError):
    """A data set that is damaged, incomplete or impossible to store: nothing was loaded."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set, split into a training and a test part.

    Args:
        name: The name that `load` was asked for.
        x_train: The training examples: an array with one row per example; one `str` for a text.
        y_train: The training labels, shape (N,); `None` for a text.
        x_test: The test examples, as `x_train`.
        y_test: The test labels, as `y_train`.
        source: One short line that says where the data come from.
        is_sample: `True` for the offline sample that stands in for the real data.
        class_names: The name of each class, indexed by label; empty where there are no classes.
        item_titles: The title of each film, indexed by item (`movielens_100k` only).
    """

    name: str
    x_train: Any
    y_train: Any
    x_test: Any
    y_test: Any
    source: str
    is_sample: bool = False
    class_names: tuple[str, ...] = ()
    item_titles: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Say what there is in one line; the arrays themselves would fill a screen."""
        train, test = len(self.x_train), len(self.x_test)
        unit = "characters" if isinstance(self.x_train, str) else "examples"
        return f"<Dataset {self.name}: {train:,} + {test:,} {unit}; {self.source}>"

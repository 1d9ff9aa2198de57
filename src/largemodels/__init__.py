"""Large Models, from Backprop to Business: the reference models of the course.

Importing this package is light. Ask for the room that you need:

* `largemodels.scratch`: the algorithms in NumPy, written to be read.
* `largemodels.models`: the same models in PyTorch and Keras.
* `largemodels.training`, `largemodels.economics`: how to train them, and what they cost.
* `largemodels.data`, `largemodels.plots`, `largemodels.check`: data sets, figures, checks.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["__version__", "device"]

__version__ = version("largemodels")


def device() -> torch.device:
    """Return the device to compute on: the GPU when there is one, otherwise the CPU.

    Returns:
        `torch.device("cuda")` or `torch.device("cpu")`, ready for `model.to(...)`.

    Raises:
        ModuleNotFoundError: if PyTorch is not installed.

    Example:
        >>> device().type in {"cuda", "cpu"}
        True
    """
    # PyTorch takes seconds to import, and most of the course does not need it.
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

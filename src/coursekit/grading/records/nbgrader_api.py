"""nbgrader's grade book without nbgrader's web server."""

import functools
import importlib
import importlib.util
import sys
import warnings
from typing import Any

__all__ = ["nbgrader_api"]


@functools.cache
def nbgrader_api() -> Any:
    """The module `nbgrader.api`.

    The package `nbgrader` imports its extensions of Jupyter's server, which takes a second and is
    of no use for the grade book. So an empty package stands in its place meanwhile; who imports
    `nbgrader` itself later gets all of it, by `from nbgrader import api`: the name `nbgrader.api`
    is not set.

    Raises:
        ModuleNotFoundError: nbgrader is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbgrader's models predate SQLAlchemy 2.
        found = importlib.util.find_spec("nbgrader")
        if found is None or "nbgrader" in sys.modules:
            return importlib.import_module("nbgrader.api")
        sys.modules["nbgrader"] = importlib.util.module_from_spec(found)
        try:
            return importlib.import_module("nbgrader.api")
        finally:
            del sys.modules["nbgrader"]

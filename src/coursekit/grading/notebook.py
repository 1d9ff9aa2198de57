"""Notebooks in memory, as nbformat has them, without nbformat.

To import it takes 0.2 s and 6 MB, mostly for schemas that nobody asks for here; and what a grader
has imported is copied for each submission.
"""

from typing import Any

__all__ = ["NotebookNode", "from_dict"]


class NotebookNode(dict[str, Any]):
    """A dictionary whose keys are attributes too.

    Example:
        >>> NotebookNode(cell_type="code").cell_type
        'code'
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def from_dict(data: Any) -> Any:
    """Copy plain data; each dictionary in it becomes a `NotebookNode`.

    Args:
        data: A notebook, or a part of one.

    Example:
        >>> from_dict({"cells": [{"source": "1 + 1"}]}).cells[0].source
        '1 + 1'
    """
    if isinstance(data, dict):
        return NotebookNode({name: from_dict(value) for name, value in data.items()})
    if isinstance(data, list):
        return [from_dict(one) for one in data]
    return data

"""The generated first cell of every notebook that a reader or a student opens in Colab."""

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

__all__ = ["SETUP_TAG", "setup_cell"]

SETUP_TAG = "setup"

_CELL = """\
# Generated from {source} by `{command}`: edit that file, not this one.
# Set-up: in Colab this cell installs the course; where that is done, it does nothing.
import importlib.util

if importlib.util.find_spec("largemodels") is None:
{body}"""

# The package asks for ranges, and pip adds only what is missing: what Colab brings stays.
_INSTALL = """\
    %pip install --quiet "largemodels @ git+{address}"
    importlib.invalidate_caches()
    if importlib.util.find_spec("largemodels") is None:
        raise ModuleNotFoundError(
            "`largemodels` could not be installed from {address} (pip says why, above): "
            "mend that and run this cell again."
        )"""

_BY_HAND = """\
    print(
        "The package `largemodels` is not installed here: run "
        "`%pip install /path/to/your/clone/of/the/course` in a new cell, then this cell again."
    )"""


def setup_cell(source: str, command: str, address: str) -> NotebookNode:
    """Make the set-up cell of a notebook.

    Args:
        source: The file the notebook is generated from, e.g. `book/algorithms/attention.md`.
        command: The command that generates it, e.g. `course notebooks`.
        address: Public address of the repository; empty while there is none.

    Example:
        >>> cell = setup_cell("book/a.md", "course notebooks", "https://example.org/course")
        >>> print(cell.source)  # doctest: +ELLIPSIS
        # Generated from book/a.md by `course notebooks`: edit that file, not this one.
        # Set-up: in Colab this cell installs the course; where that is done, it does nothing.
        import importlib.util
        ...
    """
    body = _INSTALL.format(address=address) if address else _BY_HAND
    return new_code_cell(
        _CELL.format(source=source, command=command, body=body),
        id=SETUP_TAG,
        metadata={"tags": [SETUP_TAG]},
    )

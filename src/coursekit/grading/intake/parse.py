"""What a student handed in, read with suspicion: only cell types, sources and names are kept."""

import json
from dataclasses import dataclass
from typing import Any

__all__ = ["RefusedError", "SubmittedCell", "parse"]

_TYPES = ("code", "markdown", "raw")
# Far above what anybody writes. A million empty cells fit into a file of 20 MB, and would keep a
# grader busy for an hour.
_CELLS = 10_000


class RefusedError(Exception):
    """Why one file is not taken, as a clause for the report. It never ends the class."""


@dataclass(frozen=True)
class SubmittedCell:
    """One cell of a submission.

    Args:
        kind: `code`, `markdown` or `raw`.
        source: Its text.
        name: Its `grade_id`, else the cell's own id; empty where it has neither.
        known: Whether it claims a `grade_id`.
    """

    kind: str
    source: str
    name: str
    known: bool


def parse(data: bytes) -> list[SubmittedCell]:
    """Read the cells of a notebook.

    Args:
        data: The file: UTF-8, with or without a byte order mark.

    Raises:
        RefusedError: The file is no notebook of format 4.
    """
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RefusedError(f"not UTF-8 (byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        reason = "empty" if not data.strip() else "not JSON; the file is damaged"
        raise RefusedError(reason) from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("nbformat"), int):
        raise RefusedError("not a notebook: it names no `nbformat`")
    if notebook["nbformat"] != 4:
        raise RefusedError(f"notebook format {notebook['nbformat']}; only format 4 is read")
    if not isinstance(notebook.get("cells"), list):
        raise RefusedError("not a notebook: it has no list of cells")
    if len(notebook["cells"]) > _CELLS:
        raise RefusedError(f"{len(notebook['cells'])} cells; at most {_CELLS} are read")
    return [_cell(cell, number) for number, cell in enumerate(notebook["cells"], 1)]


def _cell(cell: Any, number: int) -> SubmittedCell:
    if not isinstance(cell, dict) or cell.get("cell_type") not in _TYPES:
        raise RefusedError(f"cell {number} is not a cell of a notebook")
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise RefusedError(f"cell {number}: its source is no text")
    grade_id = _text(_dict(_dict(cell.get("metadata")).get("nbgrader")).get("grade_id"))
    name = grade_id or _text(cell.get("id"))
    for text, what in ((source, "source"), (name, "name")):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RefusedError(f"cell {number}: its {what} is no Unicode text") from error
    return SubmittedCell(cell["cell_type"], source, name, bool(grade_id))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

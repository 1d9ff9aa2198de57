"""A small release, and submissions of it as files."""

import copy
import json
from typing import Any

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


def _known(kind: str, name: str, source: str, **roles: Any) -> NotebookNode:
    new = new_code_cell if kind == "code" else new_markdown_cell
    plain = {"grade": False, "locked": False, "solution": False, "task": False}
    return new(
        source,
        id=name,
        metadata={"nbgrader": {"schema_version": 3, "grade_id": name, **plain, **roles}},
    )


@pytest.fixture(scope="session")
def release() -> NotebookNode:
    """Imports, two answers with their tests, a locked reader, a question for a person."""
    notebook = new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[
            new_code_cell("import math", id="imports"),
            _known("code", "mean", "raise NotImplementedError()", solution=True),
            _known("code", "test_mean", "assert mean([1]) == 1", grade=True, locked=True, points=6),
            new_markdown_cell("## Next", id="next"),
            _known("code", "centre", "raise NotImplementedError()", solution=True),
            _known("code", "test_centre", "assert centre", grade=True, locked=True, points=4),
            _known("code", "reader", "rows = [1, 2]", locked=True),
            _known("markdown", "why", "YOUR ANSWER HERE", grade=True, solution=True, points=5),
        ],
    )
    return notebook


@pytest.fixture
def work(release: NotebookNode) -> dict[str, Any]:
    """What an honest student hands in, as plain JSON."""
    answers = {"mean": "mean = 1", "centre": "centre = 2", "why": "Because."}
    notebook = json.loads(json.dumps(copy.deepcopy(release)))
    for cell in notebook["cells"]:
        cell["source"] = answers.get(cell["id"], cell["source"])
    return notebook

"""Notebooks without nbformat: the same as with it, and graders go without it."""

import copy
import subprocess
import sys
from typing import Any

import nbformat
import pytest

from coursekit.grading.notebook import NotebookNode, from_dict

DATA: dict[str, Any] = {
    "cells": [{"cell_type": "code", "metadata": {"nbgrader": {"points": 2}}, "source": "1 + 1"}],
    "metadata": {},
    "nbformat": 4,
}


def test_it_is_what_nbformat_makes_of_it() -> None:
    ours, theirs = from_dict(DATA), nbformat.from_dict(DATA)
    assert ours == theirs
    assert ours.cells[0].metadata.nbgrader.points == theirs.cells[0].metadata.nbgrader.points
    assert not hasattr(ours, "missing")
    with pytest.raises(AttributeError, match="missing"):
        ours.cells[0].missing  # noqa: B018  (to look is the test)


def test_it_is_a_copy_and_can_be_copied() -> None:
    notebook = from_dict(DATA)
    again = copy.deepcopy(notebook)
    again.cells[0].source = "changed"
    assert notebook.cells[0]["source"] == DATA["cells"][0]["source"] == "1 + 1"
    assert type(again.cells[0].metadata) is NotebookNode


def test_a_grader_does_not_import_what_it_would_copy_for_each_submission() -> None:
    program = """
import sys
import coursekit.grading.runner.parent, coursekit.grading.runner.grader
import coursekit.grading.split.checker, coursekit.grading.split.agent
print(*{"nbformat", "jsonschema", "nbclient", "nbgrader"} & sys.modules.keys())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""

"""The assignments that are attacked: a small one made for it, and exercises of the course."""

import copy
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from coursekit.exercises import load_exercise
from coursekit.grading.package import Package
from coursekit.notebook_files import read_myst, read_notebook, set_ids
from coursekit.release import release_path, source_notebook
from coursekit.repository import Repository

__all__ = ["Assignment", "load_assignment"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Assignment:
    """One assignment.

    Args:
        name: Name of the assignment.
        topic: Name of its notebook.
        source: The instructor's notebook.
        release: What students get.
        template: The release as plain data; answer cells hold the reference in their metadata.
    """

    name: str
    topic: str
    source: NotebookNode
    release: NotebookNode
    template: dict[str, Any]

    @property
    def points(self) -> dict[str, float]:
        """What each cell is worth that is graded by running it."""
        marks = [cell.metadata.get("nbgrader", {}) for cell in self.source.cells]
        return {
            one["grade_id"]: float(one["points"])
            for one in marks
            if one.get("grade") and not one.get("solution")
        }

    def package(self, secret: str) -> Package:
        """What a slot needs, with this course secret."""
        return Package(self.name, self.topic, self.source, self.release, secret)


@cache
def load_assignment(name: str, canary: str) -> Assignment:
    """Read an assignment.

    Args:
        name: `target`, or an exercise of the course.
        canary: A text that goes into each hidden test.
    """
    if name == "target":
        source = read_myst(HERE / "target.md", "target.md")
        for cell in source.cells:
            cell.source = cell.source.replace("@HIDDEN@", canary)
        set_ids(source)
        topic, release = "target", _release(source)
    else:
        repository = Repository.find(HERE)
        exercise = load_exercise(repository, repository.solutions / name)
        topic, source = exercise.topic, source_notebook(repository, exercise)
        for cell in source.cells:
            begin = r"^( *)### BEGIN HIDDEN TESTS"
            cell.source = re.sub(begin, rf'\g<0>\n\1canary = "{canary}"', cell.source, flags=re.M)
        release = read_notebook(release_path(repository, exercise), name)
    template = copy.deepcopy(release)
    for cell, written in zip(template.cells, source.cells, strict=True):
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution"):
            lines = written.source.splitlines(keepends=True)
            cell.metadata["reference"] = "".join(one for one in lines if " SOLUTION" not in one)
    return Assignment(name, topic, source, release, template)


def _release(source: NotebookNode) -> NotebookNode:
    """Take solutions and hidden tests out, as nbgrader does."""
    from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

    release = copy.deepcopy(source)
    for step in (ClearSolutions, ClearHiddenTests):
        release, _ = step().preprocess(release, {})
    return release

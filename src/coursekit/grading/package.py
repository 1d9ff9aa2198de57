"""One assignment as a worker needs it: plain data that goes over the network."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from coursekit.grading.notebook import NotebookNode, from_dict

__all__ = ["Package"]


@dataclass(frozen=True)
class Package:
    """Everything about one assignment that a worker needs, and nothing of a student.

    Args:
        assignment: Name of the assignment, e.g. `03_cnn`.
        topic: Name of its notebook, e.g. `cnn`.
        source: The instructor's notebook as JSON: hidden tests are in it.
        release: What the students got, as JSON.
        secret: The course secret, which reseeds the hidden tests.
    """

    assignment: str
    topic: str
    source: Mapping[str, Any]
    release: Mapping[str, Any]
    secret: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides a grade here."""
        text = json.dumps(
            [self.assignment, self.topic, self.source, self.release, self.secret],
            sort_keys=True,
            separators=(",", ":"),
        )
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def source_notebook(self) -> NotebookNode:
        """The instructor's notebook, a copy."""
        notebook: NotebookNode = from_dict(self.source)
        return notebook

    @property
    def release_notebook(self) -> NotebookNode:
        """The students' notebook, a copy."""
        notebook: NotebookNode = from_dict(self.release)
        return notebook

    def to_json(self) -> dict[str, Any]:
        """Give the package as plain data."""
        names = ("assignment", "topic", "source", "release", "secret")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Package":
        """Read what `to_json` gave."""
        return cls(**data)

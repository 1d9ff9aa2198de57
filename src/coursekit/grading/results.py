"""What came of a submission: plain data that a journal keeps and a network carries."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

__all__ = ["CellResult", "Outcome", "Result", "Trust", "event"]

Outcome = Literal["graded", "failed", "person"]
# Who could have moved a verdict: nobody but the checker; the student's own process, between
# canaries; or anybody, because there was no sandbox.
Trust = Literal["split", "in-process", "unsandboxed"]


@dataclass(frozen=True)
class CellResult:
    """The verdict on one graded cell.

    Args:
        grade_id: Name of the cell.
        score: Points that it earned.
        points: Points that it is worth.
        message: What the check says is wrong; empty where it passed.
        seconds: Wall time that it took.
        trust: Who could have moved the verdict.
    """

    grade_id: str
    score: float
    points: float
    message: str = ""
    seconds: float = 0.0
    trust: Trust = "split"


@dataclass(frozen=True)
class Result:
    """How one submission ended.

    Args:
        outcome: `graded`; `failed`, which is final; or `person`: somebody must look at it.
        reason: Why it is not graded, in one clause.
        cells: The graded cells in the order of the release.
        outputs: Outputs by id of the cell, in the form of a notebook; bounded.
        notebook: The notebook that was graded, as JSON: the release with the student's answers.
        notes: What a person should know, one sentence each.
        seconds: Wall time that grading took.
    """

    outcome: Outcome
    reason: str = ""
    cells: tuple[CellResult, ...] = ()
    outputs: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    notebook: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def score(self) -> float:
        """All points together."""
        return sum(cell.score for cell in self.cells)

    @property
    def trust(self) -> Trust:
        """The lowest trust of a cell."""
        order: tuple[Trust, ...] = ("split", "in-process", "unsandboxed")
        return max((cell.trust for cell in self.cells), key=order.index, default="split")

    def to_json(self) -> dict[str, Any]:
        """Give the result as plain data; outputs and notebook are those of the result itself."""
        return {
            **{one.name: getattr(self, one.name) for one in fields(self)},
            "cells": [asdict(cell) for cell in self.cells],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Result":
        """Read what `to_json` gave."""
        cells = tuple(CellResult(**cell) for cell in data["cells"])
        return cls(**{**data, "cells": cells, "notes": tuple(data["notes"])})


def event(
    cell: str, outputs: Sequence[Mapping[str, Any]], graded: CellResult | None = None
) -> dict[str, Any]:
    """Tell how one cell of the notebook ended: what a checker reports as soon as it knows."""
    return {"cell": cell, "outputs": list(outputs), "graded": asdict(graded) if graded else None}

"""How fast a class is graded, beside stock nbgrader; what many workers lose; the same grades."""

from typing import TYPE_CHECKING

from grading import agreement, scaling, speed

if TYPE_CHECKING:
    from report import Report

__all__ = ["measure"]


def measure(report: "Report") -> None:
    """Measure everything; it takes about half an hour of a quiet machine."""
    speed.measure(report)
    scaling.measure(report)
    agreement.measure(report)

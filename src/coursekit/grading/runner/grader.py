"""Grades a submission: rebuilds it from the release, runs it, and puts the verdicts together.

What was earned before an end stays earned; the rest scores 0. What a submission did counts; what
was done to it from outside does not: then it is graded again.
"""

import gc
import hashlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import replace

from coursekit.grading.intake.parse import RefusedError
from coursekit.grading.intake.rebuild import rebuild
from coursekit.grading.limits import Limits
from coursekit.grading.notebook import NotebookNode
from coursekit.grading.package import Package
from coursekit.grading.results import CellResult, Result
from coursekit.grading.runner.runners import make_runner
from coursekit.grading.runner.supervisor import Progress
from coursekit.grading.sandbox.warm import BrokenError
from coursekit.grading.split.wire import LostError

__all__ = ["Grader"]

_NOT_INTERRUPTED = f"{LostError.__name__}: took too long"
_UNCHECKED = "The checks ended before this cell."


class Grader:
    """Grades one submission after the other.

    Args:
        package: The assignment.
        limits: What a submission may use.
        trust_submissions: Whether to do without a sandbox.

    Raises:
        CourseError: The sandbox does not work on this computer.
        BrokenError: The sandbox broke at its start.
    """

    def __init__(self, package: Package, limits: Limits, *, trust_submissions: bool) -> None:
        self._limits = limits
        self._secret = package.secret
        self._trusting = trust_submissions
        self._release = package.release_notebook
        self._source = package.source_notebook
        self._tests = {name: cell.source for name, cell in _graded(self._source)}
        self._runner = make_runner(package, limits, sandboxed=not trust_submissions)
        # Else the first collection of each copy would write to, and so copy, all that is shared.
        gc.collect()
        gc.freeze()

    def close(self) -> None:
        """End all processes."""
        self._runner.close()

    def grade(self, submission: bytes) -> Result:
        """Grade a submission.

        Raises:
            BrokenError: Something broke, and once more at the second attempt.
        """
        start = time.monotonic()
        try:
            rebuilt = rebuild(self._release, submission)
        except RefusedError as refused:
            return Result("failed", str(refused), seconds=time.monotonic() - start)
        notebook = rebuilt.notebook
        tested = self._with_tests(notebook)
        secret = self._secret_of(submission)
        try:
            progress = self._runner.run(notebook, tested, secret)
            if progress.crash:
                # Once more, for a fault of the machine does not come twice.
                progress = self._runner.run(notebook, tested, secret)
        except BrokenError:
            self._runner.restart()
            progress = self._runner.run(notebook, tested, secret)
        return self._result(progress, tested, rebuilt.notes, time.monotonic() - start)

    def _secret_of(self, submission: bytes) -> str:
        """Give each submission hidden data of its own.

        A submission can tell its author, through the feedback, which numbers a hidden test passed
        to it. They are of no use, for whatever is handed in next meets others.
        """
        if not self._secret:
            return ""
        digest = hashlib.sha256(submission).hexdigest()
        return hashlib.sha256(f"{self._secret}:{digest}".encode()).hexdigest()

    def _with_tests(self, notebook: NotebookNode) -> NotebookNode:
        """Put the instructor's tests, hidden ones too, in place of the released ones."""
        tests = {cell.id: self._tests[name] for name, cell in _graded(notebook)}
        cells = [
            NotebookNode({**cell, "source": tests.get(cell.id, cell.source)})
            for cell in notebook.cells
        ]
        return NotebookNode({**notebook, "cells": cells})

    def _result(
        self, progress: Progress, notebook: NotebookNode, notes: tuple[str, ...], seconds: float
    ) -> Result:
        """Put the verdicts together; a cell without one scores 0."""
        reason = progress.reason or progress.end
        if any(cell.message == _NOT_INTERRUPTED for cell in progress.graded.values()):
            each = self._limits.cell_seconds
            reason = reason or f"A cell ran for {each:g} seconds and let nothing stop it."
        cells = tuple(
            self._cell(name, cell, progress, reason) for name, cell in _graded(self._source)
        )
        if reason:
            notes = (*notes, reason)
            for output in itertools.chain.from_iterable(progress.outputs.values()):
                if output.get("ename") == LostError.__name__:
                    output |= {"evalue": reason, "traceback": [reason]}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        result = Result("graded", "", cells, progress.outputs, notebook, notes, seconds)
        if progress.error:
            last = progress.error.strip().splitlines()[-1]
            reason = f"the checker itself failed ({last})"
            return replace(result, outcome="person", reason=reason, notes=(*notes, progress.error))
        if progress.person:
            return replace(result, outcome="person", reason=progress.person)
        return result

    def _cell(self, name: str, cell: NotebookNode, progress: Progress, reason: str) -> CellResult:
        points = float(cell.metadata["nbgrader"]["points"])
        found = progress.graded.get(name) or CellResult(name, 0.0, points, _UNCHECKED)
        if reason and found.message.startswith((LostError.__name__, _UNCHECKED)):
            found = replace(found, message=reason)
        return replace(found, trust="unsandboxed") if self._trusting else found


def _graded(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Cells that a machine grades, with their names."""
    for cell in notebook.cells:
        role = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and role.get("grade") and not role.get("solution"):
            yield role["grade_id"], cell

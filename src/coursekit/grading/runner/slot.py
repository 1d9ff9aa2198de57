"""A slot: grades one submission at a time, in processes that stay warm from one to the next."""

import base64
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from coursekit.errors import CourseError
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.results import Result
from coursekit.grading.runner import frames
from coursekit.grading.sandbox import bubblewrap

__all__ = ["Slot", "SlotError"]

_STOP_SECONDS = 10.0
# The first makes each start compile everything again.
_UNWANTED = ("PYTHONDONTWRITEBYTECODE", "PYTHONSTARTUP")


class SlotError(Exception):
    """The slot itself broke, and no verdict came of it; a fresh one may do."""


class Slot:
    """What grades submissions of one assignment, one at a time; a context manager.

    Args:
        package: The assignment.
        limits: What a submission may use.
        trust_submissions: Grade without a sandbox. Every cell is then marked as `unsandboxed`.

    Raises:
        CourseError: The sandbox does not work on this computer.
        SlotError: The slot does not start.
    """

    def __init__(
        self, package: Package, limits: Limits | None = None, *, trust_submissions: bool = False
    ) -> None:
        if not trust_submissions:
            bubblewrap.require()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "coursekit.grading.runner.parent", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **{name: one for name, one in os.environ.items() if name not in _UNWANTED},
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "MKL_NUM_THREADS": "1",
                "MPLBACKEND": "agg",
                "PYTHONHASHSEED": "0",
                "PYTHONSAFEPATH": "1",
            },
        )
        assert self._process.stdin
        assert self._process.stdout
        self._questions, self._answers = self._process.stdin, self._process.stdout
        try:
            self._ask(
                {
                    "package": package.to_json(),
                    "limits": asdict(limits or Limits()),
                    "trust_submissions": trust_submissions,
                }
            )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Slot":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def grade(self, submission: bytes) -> Result:
        """Grade one submission; whatever a student's code does, it gives a result.

        Args:
            submission: The notebook that a student handed in.

        Raises:
            SlotError: The slot broke.
        """
        answer = self._ask({"submission": base64.b64encode(submission).decode()})
        return Result.from_json(answer["result"])

    def close(self) -> None:
        """End all processes of the slot."""
        try:
            self._questions.close()
            self._process.wait(_STOP_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send a message to the parent and wait for its answer."""
        try:
            frames.write(self._questions, question)
            answer = frames.read(self._answers)
        except (OSError, EOFError) as error:
            status = self._process.wait()
            raise SlotError(f"the process that grades ended with status {status}") from error
        if "course" in answer:
            raise CourseError(answer["course"])
        if "broken" in answer:
            raise SlotError(answer["broken"])
        return answer

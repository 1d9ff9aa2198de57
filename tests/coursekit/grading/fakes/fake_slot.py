"""A slot without sandbox and checker: what a student wrote as the first answer says how it ends."""

import atexit
import os
import signal
import time
from pathlib import Path
from typing import Any

from coursekit.errors import CourseError
from coursekit.grading.intake.parse import parse
from coursekit.grading.intake.rebuild import rebuild
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.results import CellResult, Result


class FakeSlot:
    """Grades the `release` of conftest.py; `FAKE_SLOT_LOG` names a file that counts the calls."""

    def __init__(
        self, package: Package, limits: Limits, *, trust_submissions: bool = False
    ) -> None:
        self.package = package
        self.trust = "unsandboxed" if trust_submissions else "split"

    def __enter__(self) -> "FakeSlot":
        return self

    def __exit__(self, *error: object) -> None:
        log("closed")

    def grade(self, submission: bytes) -> Result:
        answer = next(cell.source for cell in parse(submission) if cell.name == "mean")
        log(answer)
        if answer == "kill" or (answer == "kill once" and calls(answer) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if answer == "raise":
            raise RuntimeError("the slot broke")
        while answer == "meet" and calls(answer) < 2:
            time.sleep(0.01)
        if answer == "hang":
            time.sleep(600)
        if answer == "fail":
            return Result("failed", "no answer of this student runs")
        rebuilt = rebuild(self.package.release_notebook, submission)
        trust: Any = self.trust
        cells = (
            CellResult("test_mean", 6 if answer != "wrong" else 0, 6, trust=trust),
            CellResult("test_centre", 4, 4, trust=trust),
        )
        text = {"output_type": "stream", "name": "stdout", "text": f"{answer}\n"}
        return Result("graded", cells=cells, outputs={"mean": [text]}, notebook=rebuilt.notebook)


class NoSlot(FakeSlot):
    """A slot for a machine that cannot have one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        raise CourseError("bubblewrap is not installed; install the package `bubblewrap`.")


class LateSlot(NoSlot):
    """The same, and its process is asked to end when it is at its end already."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        atexit.register(self._end)
        super().__init__()

    def _end(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


class DeadSlot(FakeSlot):
    """A slot that dies before it is there."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        os._exit(7)


def log(line: str) -> None:
    if path := os.environ.get("FAKE_SLOT_LOG"):
        with Path(path).open("a") as file:
            file.write(f"{line}\n")


def calls(answer: str) -> int:
    return Path(os.environ["FAKE_SLOT_LOG"]).read_text().splitlines().count(answer)

"""Fake slots for the cluster: they fail as slots on other machines do."""

import threading
from typing import Any

from fake_slot import FakeSlot, NoSlot, log

from coursekit.grading.results import Result

__all__ = ["FakeSlot", "HangingSlot", "LargeSlot", "NoSlot", "OpenSlot", "WeakSlot"]


class OpenSlot(FakeSlot):
    """A slot that says when it opens."""

    def __enter__(self) -> "OpenSlot":
        log("opened")
        return self

    def __exit__(self, *error: object) -> None:
        log("ended")


class LargeSlot(FakeSlot):
    """A slot whose results are large."""

    def grade(self, submission: bytes) -> Result:
        log("large")
        return Result("graded", notes=("x" * 18 * 2**20,))


class WeakSlot(FakeSlot):
    """A slot that does not start."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        raise RuntimeError("no memory")


class HangingSlot(FakeSlot):
    """A slot that answers only when it is ended."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._ended = threading.Event()

    def grade(self, submission: bytes) -> Result:
        assert self._ended.wait(60), "nobody ended it"
        raise RuntimeError("ended while it hung")

    def __exit__(self, *error: object) -> None:
        self._ended.set()

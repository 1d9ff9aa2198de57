"""What happened to each submission, written down before anything else is done about it.

A journal is a file of JSON lines that only grows:

    {"event": "started", "key": …, "worker": …}         a worker is about to grade it
    {"event": "finished", "key": …, "result": {…}}      it has a result; the last one counts
    {"event": "stopped", "key": …}                      the run was ended in between, in good order
    {"event": "again", "key": …}                        it shall be graded anew

A result is on disk before anybody acts on it. A start is only written: a killed process loses
nothing by that, and the loss of power one count of deaths.

A submission that was started and neither finished nor stopped has killed its grader, or was there
when something else did. The key names the content, the assignment and the environment: one result
serves everybody who handed in the same, and a change of the tests asks for a new one.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from coursekit.errors import CourseError
from coursekit.grading.intake.store import sync_folder
from coursekit.grading.results import Outcome, Result, Trust

__all__ = ["Journal", "Record", "Records", "key_of"]

_EVENTS = ("started", "finished", "stopped", "again")


def key_of(digest: str, package: str, environment: str) -> str:
    """The key of a submission: the same work graded the same way has the same.

    Args:
        digest: SHA-256 of what was handed in.
        package: Fingerprint of the assignment.
        environment: What else decides the grade.
    """
    return hashlib.sha256(f"{digest} {package} {environment}".encode()).hexdigest()


@dataclass(slots=True)
class Record:
    """What the journal knows of a key; the result itself stays in the file.

    Args:
        deaths: How often it was started and then neither finished nor stopped.
        outcome: How it ended; None while it has not.
        reason: Why it is not graded.
        score: Points that it earned.
        trust: Who could have moved the verdict.
        place: Where the line of the result begins, in bytes.
    """

    deaths: int = 0
    outcome: Outcome | None = None
    reason: str = ""
    score: float = 0.0
    trust: Trust = "split"
    place: int = 0


@dataclass
class Records:
    """A journal to read; another process may be writing it.

    Args:
        path: The file. One that is not there yet is empty.
        known: What is known, by key.
        end: Where the last whole line ends, in bytes.
    """

    path: Path
    known: dict[str, Record] = field(default_factory=dict)
    end: int = 0
    _lines: int = 0

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Take in what was written since.

        Raises:
            CourseError: The file is damaged, or cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.end)
                for line in file:
                    if not line.endswith(b"\n"):
                        return  # Half a line: its writer is at it, or was killed.
                    self._lines += 1
                    self._take(line)
                    self.end += len(line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise CourseError(f"{self.path}: cannot be read ({error.strerror}).") from error

    def record(self, key: str) -> Record:
        """What is known of a key."""
        return self.known.get(key) or Record()

    def result(self, key: str) -> Result:
        """Read the result of a key that has one.

        Raises:
            KeyError: It has none.
            CourseError: The journal cannot be read.
        """
        record = self.known[key]
        if record.outcome is None:
            raise KeyError(key)
        try:
            with self.path.open("rb") as file:
                file.seek(record.place)
                return Result.from_json(json.loads(file.readline())["result"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CourseError(
                f"{self.path}: the result at byte {record.place} cannot be read ({error})."
            ) from error

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            name, key = entry["event"], entry["key"]
            if name not in _EVENTS or not isinstance(key, str):
                raise ValueError(f"event {name!r}")
            result = Result.from_json(entry["result"]) if name == "finished" else None
        except (ValueError, KeyError, TypeError) as error:
            raise CourseError(
                f"{self.path}: line {self._lines} is damaged ({_clause(error)}); delete that line, "
                "and what it was about is graded again."
            ) from error
        if result:
            self.known[key] = Record(
                0, result.outcome, result.reason, result.score, result.trust, self.end
            )
        elif name == "again":
            self.known[key] = Record()
        else:
            # A start counts as a death until something tells that it was none.
            record = self.known.setdefault(key, Record())
            record.deaths = max(0, record.deaths + (1 if name == "started" else -1))


class Journal:
    """A journal to write; a context manager. One process at a time may have it open.

    Args:
        path: The file; it is made where it is not there yet.

    Raises:
        CourseError: Another process has it open, it is damaged, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path.with_suffix(".lock"), timeout=0)
        self._file: BinaryIO | None = None
        self.records: Records

    def __enter__(self) -> "Journal":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout as error:
            raise CourseError(
                f"{self.path.parent}: another `course grade` is at work here; wait until it ends."
            ) from error
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            self.records = Records(self.path)
            self._file = self.path.open("ab", buffering=0)
            # Half a line at the end: its writer was killed, and nobody has acted on it.
            self._file.truncate(self.records.end)
            sync_folder(self.path.parent)
        except OSError as error:
            self.__exit__()
            raise self._cannot_write(error) from error
        except CourseError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._file:
            self._file.close()
        self._lock.release()

    def started(self, key: str, worker: str) -> None:
        """Write that a worker is about to grade a submission."""
        self._append([{"event": "started", "key": key, "worker": worker}], durable=False)

    def finished(self, key: str, result: Result) -> None:
        """Write the result of a submission."""
        self._append([{"event": "finished", "key": key, "result": result.to_json()}])

    def stopped(self, keys: Iterable[str]) -> None:
        """Write that these were started, and ended in good order before they were graded."""
        self._append([{"event": "stopped", "key": key} for key in keys])

    def again(self, keys: Iterable[str]) -> None:
        """Write that these shall be graded anew."""
        self._append([{"event": "again", "key": key} for key in keys])

    def _append(self, entries: list[dict[str, Any]], *, durable: bool = True) -> None:
        """Write lines: all of them are there afterwards, or none is."""
        assert self._file, "the journal is open"
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        lines = b"".join(
            json.dumps({**entry, "time": now}, separators=(",", ":")).encode() + b"\n"
            for entry in entries
        )
        try:
            written = self._file.write(lines)
            if written != len(lines):
                raise OSError(None, "the disk is full")
            if durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self.records.end)
            raise self._cannot_write(error) from error
        self.records.refresh()

    def _cannot_write(self, error: OSError) -> CourseError:
        return CourseError(
            f"{self.path}: cannot be written ({error.strerror}); mend that and run it again: what "
            "is graded stays."
        )


def _clause(error: Exception) -> str:
    return " ".join(str(error).split())[:100]

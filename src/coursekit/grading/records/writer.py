"""The one writer: a process that brings journal, grade book and notebooks into line.

It stands beside the graders, so that importing nbgrader, which takes seconds, delays nobody. All it
knows it reads from the journal, and writing the same twice changes nothing: when it dies, another
one does its work again.
"""

import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from coursekit.errors import CourseError
from coursekit.grading.assignment import Classroom
from coursekit.grading.intake.collection import Participant
from coursekit.grading.intake.store import Store
from coursekit.grading.package import Package
from coursekit.grading.records.journal import Records
from coursekit.grading.results import Result
from coursekit.grading.spread.pool import begin, end_with

# What knows notebooks and nbgrader is imported where the writer is at work.
if TYPE_CHECKING:
    from coursekit.grading.records.gradebook import GradeBook

__all__ = ["Entry", "Office", "Writer", "write"]

# Students that go to the writer at once.
_BATCH = 50
# How often in a row it may die.
_DEATHS = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """A student, and the key of the result; an empty key where nothing could be graded."""

    participant: Participant
    key: str = ""


@dataclass(frozen=True)
class Office:
    """Where the writer reads and writes.

    Args:
        classroom: The class.
        package: The assignment.
        database: Address of the grade book.
    """

    classroom: Classroom
    package: Package
    database: str

    @property
    def folder(self) -> Path:
        """Where the engine keeps what it knows of the assignment."""
        return self.classroom.grading(self.package.assignment)

    @property
    def journal(self) -> Path:
        """The journal."""
        return self.folder / "journal.jsonl"

    @property
    def store(self) -> Store:
        """What was handed in."""
        return Store(self.folder / "store")


def write(office: Office, book: "GradeBook", records: Records, entries: Iterable[Entry]) -> None:
    """Bring the grade book and the notebooks of some students up to date.

    Raises:
        CourseError: Something cannot be read or written.
    """
    from coursekit.grading.records.autograded import Desk, Shown
    from coursekit.grading.records.gradebook import row

    desk = Desk(office.classroom, office.package)
    entries = list(entries)
    shown = {entry.participant.student: desk.shown(entry.participant.student) for entry in entries}
    # The grade book first: a notebook that shows new work tells that its row has been flagged.
    book.write(
        [
            row(
                office.package,
                entry.participant.student,
                entry.participant.account,
                _result(records, entry),
                changed=shown[entry.participant.student].submission
                not in ("", entry.participant.digest),
            )
            for entry in entries
        ]
    )
    for entry in entries:
        one = entry.participant
        now = Shown(one.digest, entry.key)
        if entry.key and shown[one.student] != now:
            desk.lay(one.student, office.store.get(one.digest), _result(records, entry), now)


def _result(records: Records, entry: Entry) -> Result:
    if entry.key:
        return records.result(entry.key)
    one = entry.participant
    return Result("person" if one.person else "failed", one.reason)


class Writer:
    """The writer's process; a context manager.

    Args:
        office: Where it reads and writes.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._waiting: deque[Entry] = deque()
        self._given: list[Entry] = []
        self._deaths = 0
        self._process: BaseProcess | None = None
        self._open = False
        self._idle = False
        self.failure = ""

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()

    def put(self, entries: Iterable[Entry]) -> None:
        """Have students written, now or a little later; never waits.

        Raises:
            CourseError: The grade book cannot be opened at all.
        """
        self._waiting.extend(entries)
        # Not before there is something to write: on few cores it would hold up the graders' start.
        if self._waiting or self._process is not None:
            self._turn(wait=False)

    def finish(self) -> None:
        """Wait until all are written.

        Raises:
            CourseError: They cannot be written.
        """
        while (self._waiting or self._given or not self._open) and not self.failure:
            self._turn(wait=True)
        if self.failure:
            raise CourseError(self.failure)

    def _turn(self, *, wait: bool) -> None:
        """Hear what the writer has done, and give it more to do."""
        if self.failure:
            return
        if self._process is None:
            self._start()
        enough = len(self._waiting) >= _BATCH or wait
        if self._idle and self._waiting and enough:
            count = min(_BATCH, len(self._waiting))
            self._given = [self._waiting.popleft() for _ in range(count)]
            self._idle = False
            with suppress(OSError):  # It is dead: it is heard below, or in the next turn.
                self._connection.send(self._given)
        if not wait and not self._connection.poll():
            return
        try:
            message, content = self._connection.recv()
        except (EOFError, OSError):
            self._bury()
            return
        if message == "failed":
            self.failure = content
            if not self._open:
                raise CourseError(content)
            return
        self._open = self._idle = True
        if message == "written":
            self._deaths, self._given = 0, []

    def _bury(self) -> None:
        """The writer is dead: start another one with what it was at."""
        self.__exit__()
        self._deaths += 1
        self._waiting.extendleft(reversed(self._given))
        self._given, self._idle = [], False
        if self._deaths >= _DEATHS:
            self.failure = (
                f"{self._office.database}: the writer of the grade book died {self._deaths} times; "
                "what is graded is kept, run the command again."
            )
            return
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(theirs, os.getpid(), self._office), name="writer", daemon=True
        )
        begin(process)
        self._process = process
        theirs.close()


def _work(connection: Connection, parent: int, office: Office) -> None:
    end_with(parent)
    os.nice(5)  # Graders come first: it has time until the last of them is ready.
    from coursekit.grading.records.gradebook import GradeBook

    try:
        with GradeBook(office.database, office.classroom.course, office.package) as book:
            connection.send(("open", None))
            records = Records(office.journal)
            while True:
                entries = connection.recv()
                records.refresh()
                write(office, book, records, entries)
                connection.send(("written", None))
    except CourseError as error:
        connection.send(("failed", str(error)))
    except (EOFError, BrokenPipeError):
        pass  # The engine is gone.
    except Exception as error:
        connection.send(("failed", f"the grade book was not written: {error!r}"))
        raise

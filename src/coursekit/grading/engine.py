"""From the submissions of a class to its grade book: what ties the parts together.

State is read from the journal alone. So the same command does everything that is still to be done,
whatever the last one was cut off from, and grades nothing twice unless it is asked to.
"""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import FrameType
from typing import NoReturn

from coursekit.errors import CourseError
from coursekit.grading.assignment import Classroom
from coursekit.grading.environment import environment
from coursekit.grading.intake.collection import Collection
from coursekit.grading.intake.submissions import Entry as Stray
from coursekit.grading.intake.submissions import Intake, Platform, collect
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.records.journal import Journal, Records, key_of
from coursekit.grading.records.writer import Entry, Office, Writer
from coursekit.grading.results import Outcome, Trust
from coursekit.grading.spread.pool import Finished, Graders, Job, Started

__all__ = ["Grades", "Progress", "Spread", "Student", "Task", "collect_class", "grade_class"]

# Makes what spreads submissions, for a number of jobs.
Spread = Callable[[Package, Limits, int], Graders]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Student:
    """How one student ended.

    Args:
        name: As the platform writes it.
        outcome: How; None while it waits for a grader.
        reason: Why it is not graded.
        score: Points that the checker gave.
        trust: Who could have moved the verdict.
    """

    name: str
    outcome: Outcome | None
    reason: str = ""
    score: float = 0.0
    trust: Trust = "split"


@dataclass(frozen=True)
class Grades:
    """What came of a run.

    Args:
        students: Everybody who handed something in, by name.
        strays: Refused entries that tell no student; each begins with its archive.
        graded: Submissions that got a result in this run.
    """

    students: Sequence[Student]
    strays: Sequence[Stray] = ()
    graded: int = 0

    @property
    def counts(self) -> Counter[str]:
        """How many students ended in each way."""
        return Counter(student.outcome or "waiting" for student in self.students)

    @property
    def complete(self) -> bool:
        """Whether everybody is graded, and nothing is left over."""
        return not self.strays and all(one.outcome == "graded" for one in self.students)


@dataclass(frozen=True)
class Task:
    """What shall be graded, and how.

    Args:
        classroom: The class.
        package: The assignment.
        database: Address of the grade book.
        limits: What a submission may use.
        trust_submissions: Grade without a sandbox.
        again: Grade everybody anew.
        students: Grade these anew.
    """

    classroom: Classroom
    package: Package
    database: str
    limits: Limits = field(default_factory=Limits)
    trust_submissions: bool = False
    again: bool = False
    students: tuple[str, ...] = ()

    @property
    def office(self) -> Office:
        """Where the writer reads and writes."""
        return Office(self.classroom, self.package, self.database)


def collect_class(
    classroom: Classroom, package: Package, source: Path, platform: Platform | None = None
) -> Intake:
    """Take in a folder or an archive of submissions.

    Args:
        classroom: The class.
        package: The assignment.
        source: The folder or zip file.
        platform: Whose names are read; by default all that are known.

    Raises:
        CourseError: There is nothing to read, or nowhere to write.
    """
    office = Office(classroom, package, "")
    with Journal(office.journal):  # It keeps others away.
        intake, _ = _collect(office, source, platform)
        return intake


def grade_class(
    task: Task,
    spread: Spread,
    source: Path | None = None,
    platform: Platform | None = None,
    *,
    collected: Callable[[Intake], None] = lambda intake: None,
    progress: Progress = lambda done, total: None,
    stopping: Callable[[], None] = lambda: None,
) -> Grades:
    """Grade everybody who has handed in something and has no grade yet.

    Args:
        task: What shall be graded, and how.
        spread: Makes what spreads submissions over workers, given how many there are.
        source: A folder or zip file to collect first.
        platform: Whose names are read in it.
        collected: Told what was collected, before anything is graded.
        progress: Told how many of how many submissions are graded.
        stopping: Told at once that the run was asked to end, which takes some seconds.

    Raises:
        CourseError: The run cannot go on, or was stopped. What is graded stays graded.
    """
    office = task.office
    try:
        with _stoppable(stopping), Journal(office.journal) as journal, ExitStack() as stack:
            early = None
            if source and source.is_dir() and (entries := sum(1 for _ in source.iterdir())):
                # Graders import for a second: meanwhile the submissions are collected.
                early = stack.enter_context(spread(task.package, task.limits, entries))

            def graders(jobs: int) -> Graders:
                return early or stack.enter_context(spread(task.package, task.limits, jobs))

            if source:
                intake, collection = _collect(office, source, platform)
                collected(intake)
                del intake  # It is as large as the collection.
            else:
                collection = _collection(office)
            if not collection.participants and not collection.strays:
                raise CourseError(
                    f"{task.package.assignment}: nothing was collected yet; "
                    "name the folder or the zip file of the submissions."
                )
            named = environment(task.limits, trust_submissions=task.trust_submissions)
            everybody = [
                Entry(
                    one, key_of(one.digest, task.package.fingerprint, named) if one.digest else ""
                )
                for _, one in sorted(collection.participants.items())
            ]
            if anew := _anew(task, collection, everybody):
                journal.again(anew)
            with Writer(office) as writer:
                graded = _grade(task, graders, journal, writer, everybody, progress)
                stack.close()  # Graders are not needed any more.
                writer.finish()
            return Grades(
                [_student(one, journal.records) for one in everybody],
                collection.all_strays(),
                graded,
            )
    except _Stop as stop:
        raise CourseError(
            f"{task.package.assignment}: stopped; what is graded is kept: run the command again to "
            "go on."
        ) from stop


def _collection(office: Office) -> Collection:
    return Collection.open(office.folder / "collection.json")


def _collect(office: Office, source: Path, platform: Platform | None) -> tuple[Intake, Collection]:
    intake = collect(source, office.package.topic, office.store, platform=platform)
    collection = _collection(office)
    intake = collection.add(intake, source.name)
    collection.save()
    return intake, collection


def _anew(task: Task, collection: Collection, everybody: Sequence[Entry]) -> set[str]:
    """Keys of what shall be graded anew."""
    for student in task.students:
        if student not in collection.participants:
            close = get_close_matches(student, collection.participants, n=1, cutoff=0.5)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise CourseError(f"--student (={student!r}) has handed in nothing.{meant}")
    return {
        one.key
        for one in everybody
        if one.key and (task.again or one.participant.student in task.students)
    }


def _grade(
    task: Task,
    graders: Callable[[int], Graders],
    journal: Journal,
    writer: Writer,
    everybody: Sequence[Entry],
    progress: Progress,
) -> int:
    """Grade what has no result; the number of submissions that got one."""
    waiting: dict[str, list[Entry]] = {}
    for one in everybody:
        if one.key and journal.records.record(one.key).outcome is None:
            waiting.setdefault(one.key, []).append(one)
    writer.put(one for one in everybody if one.key not in waiting)
    total = len(waiting)
    progress(0, total)
    if not total:
        return 0
    running: set[str] = set()
    try:
        for event in graders(total).run(_jobs(task.office, journal.records, waiting)):
            if isinstance(event, Started):
                journal.started(event.key, event.worker)
                running.add(event.key)
                continue
            running.discard(event.key)  # A death stays in the journal as a start without end.
            if isinstance(event, Finished):
                journal.finished(event.key, event.result)
                writer.put(waiting.pop(event.key))
                progress(total - len(waiting), total)
    finally:
        with suppress(CourseError):  # What ends the run is the better message.
            journal.stopped(running)
    return total


def _jobs(
    office: Office, records: Records, waiting: Mapping[str, Sequence[Entry]]
) -> Iterator[Job]:
    """The submissions one by one, so that few are in memory."""
    for key in list(waiting):
        digest = waiting[key][0].participant.digest
        yield Job(key, office.store.get(digest), records.record(key).deaths)


def _student(entry: Entry, records: Records) -> Student:
    one = entry.participant
    if not entry.key:
        return Student(one.student, "person" if one.person else "failed", one.reason)
    record = records.record(entry.key)
    return Student(one.student, record.outcome, record.reason, record.score, record.trust)


class _Stop(KeyboardInterrupt):
    """Ctrl-C, or a polite request to end."""


@contextmanager
def _stoppable(stopping: Callable[[], None]) -> Iterator[None]:
    """End in good order on Ctrl-C and SIGTERM; what comes after the first does not disturb it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        for one in signals:
            signal.signal(one, signal.SIG_IGN)
        stopping()
        raise _Stop

    before = {one: signal.signal(one, stop) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)

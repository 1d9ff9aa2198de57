"""Who handed in what: what all collections of one assignment together came to.

The file holds each student once, accepted or not, so that nobody is lost between the archive and
the grade book.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TypeVar

from coursekit.errors import CourseError
from coursekit.grading.intake.store import write_file
from coursekit.grading.intake.submissions import Entry, Intake, Submission

__all__ = ["Collection", "Participant"]

Handed = TypeVar("Handed", Submission, Entry)


@dataclass(frozen=True, slots=True)
class Participant:
    """One student who handed something in.

    Args:
        student: Who, as the platform writes it.
        digest: SHA-256 of the submission that counts; empty where none can be graded.
        attempt: Number of the platform; 1 where it gives none.
        account: Number of the student's account; empty where the platform gives none.
        origin: Entry of the folder or archive that it came from.
        archive: Name of the folder or archive.
        reason: Why there is none that can be graded.
        person: Whether a person must decide.
    """

    student: str
    digest: str = ""
    attempt: int = 1
    account: str = ""
    origin: str = ""
    archive: str = ""
    reason: str = ""
    person: bool = False


@dataclass
class Collection:
    """All students of one assignment; `open` reads the file.

    Args:
        path: The file.
        participants: The students by name.
        strays: Entries that were refused and tell no student, by archive.
    """

    path: Path
    participants: dict[str, Participant] = field(default_factory=dict)
    strays: dict[str, list[Entry]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> "Collection":
        """Read a collection; an empty one where there is no file yet.

        Raises:
            CourseError: It cannot be read.
        """
        try:
            data = json.loads(path.read_bytes())
            return cls(
                path,
                {one["student"]: Participant(**one) for one in data["participants"]},
                {name: [Entry(**one) for one in some] for name, some in data["strays"].items()},
            )
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CourseError(
                f"{path}: cannot be read ({error}); delete it and collect the submissions again."
            ) from error

    def add(self, intake: Intake, archive: str) -> Intake:
        """Take in what was collected; how its entries ended after all.

        A later collection counts, except for a student who has a later attempt already.

        Args:
            intake: What came of the folder or archive.
            archive: Its name.
        """
        intake = self._with_known_names(intake)
        accepted = {one.student: one for one in intake.submissions}
        refused: dict[str, list[Entry]] = {}
        for entry in intake.entries:
            if entry.outcome == "refused":
                refused.setdefault(entry.student, []).append(entry)
        self.strays.pop(archive, None)
        self._forget_archive_in_archive(archive)
        if strays := refused.pop("", None):
            self.strays[archive] = strays
        earlier: dict[str, int] = {}
        for student in sorted({*accepted, *refused}):
            old = self.participants.get(student)
            new = _participant(student, accepted.get(student), refused.get(student, []), archive)
            if old and old.digest and old.attempt > new.attempt:
                earlier[student] = old.attempt
                continue
            if old and old.digest and not new.digest:
                # The older work is not graded in place of a broken file: a person must ask.
                new = replace(new, person=True)
            self.participants[student] = new
        entries = [
            replace(
                entry, outcome="superseded", reason=f"attempt {earlier[entry.student]} is later"
            )
            if entry.student in earlier and entry.outcome in ("accepted", "refused")
            else entry
            for entry in intake.entries
        ]
        submissions = [one for one in intake.submissions if one.student not in earlier]
        return Intake(submissions, entries)

    def all_strays(self) -> list[Entry]:
        """The entries that tell no student; each begins with its archive."""
        return [
            replace(entry, origin=f"{archive}: {entry.origin}")
            for archive, entries in self.strays.items()
            for entry in entries
        ]

    def _with_known_names(self, intake: Intake) -> Intake:
        """Call everybody as before, and a new account with a known name by its number as well."""
        return Intake(
            [self._known(one) for one in intake.submissions],
            [self._known(one) for one in intake.entries],
        )

    def _known(self, one: Handed) -> Handed:
        name = self._name(one)
        return one if name == one.student else replace(one, student=name)

    def _name(self, one: Submission | Entry) -> str:
        if not one.account:
            return one.student
        plain = one.student.removesuffix(f" ({one.account})")
        for name in (plain, f"{plain} ({one.account})"):
            known = self.participants.get(name)
            if known and known.account == one.account:
                return name
        old = self.participants.get(one.student)
        return f"{plain} ({one.account})" if old and old.account else one.student

    def _forget_archive_in_archive(self, archive: str) -> None:
        """An archive that lay in another one was to be collected on its own; now it is."""
        for outer, entries in list(self.strays.items()):
            left = [entry for entry in entries if PurePosixPath(entry.origin).name != archive]
            self.strays[outer] = left
            if not left:
                del self.strays[outer]

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            CourseError: It cannot be written.
        """
        # A line for each student, one by one: a large class is in memory often enough.
        file = BytesIO()
        file.write(b'{"participants": [')
        for number, one in enumerate(self.participants.values()):
            file.write(b",\n" if number else b"\n")
            file.write(json.dumps(asdict(one)).encode())
        strays = {name: [asdict(one) for one in some] for name, some in self.strays.items()}
        file.write(f'],\n"strays": {json.dumps(strays)}}}\n'.encode())
        try:
            write_file(self.path, file.getvalue())
        except OSError as error:
            raise CourseError(
                f"{self.path}: cannot be written ({error.strerror}); mend that and run it again."
            ) from error


def _participant(
    student: str, submission: Submission | None, refused: list[Entry], archive: str
) -> Participant:
    if submission:
        return Participant(
            student,
            submission.digest,
            submission.attempt,
            submission.account,
            submission.origin,
            archive,
        )
    worst = max(refused, key=lambda entry: (entry.attempt, entry.person))
    return Participant(
        student,
        attempt=worst.attempt,
        account=worst.account,
        origin=worst.origin,
        archive=archive,
        reason=worst.reason,
        person=worst.person,
    )

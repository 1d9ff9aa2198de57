"""What is known about a graded assignment: collection, journal and grade book together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from coursekit.grading.assignment import Classroom, load_package
from coursekit.grading.intake.collection import Collection
from coursekit.grading.intake.student_names import safe_name
from coursekit.grading.package import Package
from coursekit.grading.people.class_report import Ended
from coursekit.grading.people.feedback import Template
from coursekit.grading.records.autograded import Desk
from coursekit.grading.records.journal import Records
from coursekit.grading.records.marks import Marks, open_gradebook, read_marks
from coursekit.grading.records.scores import Ending
from coursekit.grading.results import Result

__all__ = ["Standing", "all_standings"]


@dataclass(frozen=True)
class Standing:
    """One assignment of a class.

    Args:
        classroom: The class.
        assignment: Name of the assignment.
        database: Address of the grade book; by default that of the class.
    """

    classroom: Classroom
    assignment: str
    database: str = ""

    @cached_property
    def package(self) -> Package:
        """The assignment, as it is graded."""
        return load_package(self.classroom, self.assignment)

    @cached_property
    def template(self) -> Template:
        """The assignment, as its students know it."""
        package = self.package
        return Template.of(package.assignment, package.topic, package.source, package.release)

    @cached_property
    def marks(self) -> Marks:
        """Points and comments."""
        with open_gradebook(self.database or self.classroom.database) as gradebook:
            return read_marks(gradebook, self.assignment)

    @cached_property
    def ended(self) -> list[Ended]:
        """How the submission of each student that counts now ended."""
        return [
            Ended(name, None) if result is None else Ended.of(self.template, name, result)
            for name, result in self._results()
        ]

    @cached_property
    def endings(self) -> Mapping[str, Ending]:
        """Student → how the last submission ended, and why; nobody looks into the answers."""
        return {name: Ended(name, result).ending for name, result in self._results()}

    @property
    def strays(self) -> list[tuple[str, str]]:
        """Files that tell no student, and why they were refused."""
        return [(entry.origin, entry.reason) for entry in self._collection.all_strays()]

    def _results(self) -> Iterator[tuple[str, Result | None]]:
        """Each student and what came of the submission that counts; None while it is not graded."""
        if not self._collection.participants:
            return  # Graded by nbgrader itself, or not at all.
        desk = Desk(self.classroom, self.package)
        records = Records(self.classroom.grading(self.assignment) / "journal.jsonl")
        for one in self._collection.participants.values():
            name = safe_name(one.student)
            if not one.digest:
                yield name, Result("person" if one.person else "failed", one.reason)
                continue
            shown = desk.shown(one.student)
            if shown.submission == one.digest and records.record(shown.key).outcome:
                yield name, records.result(shown.key)
            else:
                yield name, None

    @cached_property
    def _collection(self) -> Collection:
        return Collection.open(self.classroom.grading(self.assignment) / "collection.json")


def all_standings(
    classroom: Classroom, assignments: Sequence[str] = (), database: str = ""
) -> list[Standing]:
    """Some assignments of the grade book; all of them where none is named.

    Args:
        classroom: The class.
        assignments: Their names.
        database: Address of the grade book; by default that of the class.

    Raises:
        CourseError: The grade book cannot be read.
    """
    names = list(dict.fromkeys(assignments))
    if not names:
        with open_gradebook(database or classroom.database) as gradebook:
            names = [one.name for one in gradebook.assignments]
    return [Standing(classroom, name, database) for name in names]

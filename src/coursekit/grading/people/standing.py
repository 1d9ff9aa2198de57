"""What is known about a graded assignment: collection, journal and grade book together."""

from collections.abc import Mapping, Sequence
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
        if not self._collection.participants:
            return []  # Graded by nbgrader itself, or not at all.
        desk = Desk(self.classroom, self.package)
        records = Records(self.classroom.grading(self.assignment) / "journal.jsonl")
        ended = []
        for one in self._collection.participants.values():
            name = safe_name(one.student)
            if not one.digest:
                result = Result("person" if one.person else "failed", one.reason)
                ended.append(Ended.of(self.template, name, result))
                continue
            shown = desk.shown(one.student)
            if shown.submission == one.digest and records.record(shown.key).outcome:
                ended.append(Ended.of(self.template, name, records.result(shown.key)))
            else:
                ended.append(Ended(name, None))
        return ended

    @property
    def endings(self) -> Mapping[str, Ending]:
        """Student → how the last submission ended, and why."""
        return {one.student: one.ending for one in self.ended}

    @property
    def strays(self) -> list[tuple[str, str]]:
        """Files that tell no student, and why they were refused."""
        strays = self._collection.strays.values()
        return [(entry.origin, entry.reason) for entries in strays for entry in entries]

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

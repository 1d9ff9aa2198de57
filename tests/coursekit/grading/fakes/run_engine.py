"""Grade a class with fake slots, in a process of its own: run_engine.py FOLDER [SUBMISSIONS]."""

import sys
from pathlib import Path

from fake_slot import FakeSlot

from coursekit.errors import CourseError
from coursekit.grading import engine
from coursekit.grading.assignment import Classroom, load_package
from coursekit.grading.engine import Task, grade_class
from coursekit.grading.spread.pool import Pool


def main(folder: str, submissions: str = "") -> int:
    classroom = Classroom.find(Path(folder))
    task = Task(classroom, load_package(classroom, "01_small"), classroom.database)
    try:
        grades = grade_class(
            task,
            lambda package, limits, jobs: Pool(package, limits, workers=2, make_slot=FakeSlot),
            Path(submissions) if submissions else None,
            stopping=lambda: print("stopping"),
        )
    except CourseError as error:
        print(error)
        return 1
    print(dict(grades.counts))
    return 0


# Keys stay the same while somebody works on the engine.
engine.environment = lambda *_, **__: "fake"

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

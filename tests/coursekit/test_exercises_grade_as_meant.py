"""`course check` on every exercise of the course: all its submissions, graded by nbgrader."""

from pathlib import Path

import pytest

from coursekit.check import check_exercise
from coursekit.exercises import Exercise, find_exercises
from coursekit.repository import Repository

REPOSITORY = Repository.find(Path(__file__))
EXERCISES = find_exercises(REPOSITORY)


@pytest.mark.slow
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_every_gate_holds(exercise: Exercise) -> None:
    report = check_exercise(REPOSITORY, exercise)
    problems = [f"{f.gate}: {f.where}: {f.problem}" for f in report.findings]
    assert problems == []
    kinds = [row.variant.kind for row in report.rows]
    assert kinds.count("mutant") >= 12
    assert kinds.count("alternative") >= 2


def test_there_is_an_exercise() -> None:
    assert EXERCISES

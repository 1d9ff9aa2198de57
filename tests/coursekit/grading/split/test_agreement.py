"""Two processes give the points and the messages of one, whose points are those of nbgrader.

A sample of the answers to each exercise, chosen so that every test cell says something. `make bench
FULL=1` does it with every answer there is, in the sandbox.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
import pytest
from two_processes import differences

from coursekit.exercises import Exercise, find_exercises
from coursekit.release import release_path
from coursekit.repository import Repository
from coursekit.variants import Variant, variants

REPOSITORY = Repository.find(Path(__file__).parent)
EXERCISES = find_exercises(REPOSITORY)


def sample(exercise: Exercise) -> list[Variant]:
    """Every right answer, the cheap ones, and one mutant for each test cell that one breaks."""
    everything = list(variants(exercise))
    chosen = [one for one in everything if one.kind in ("reference", "alternative", "untouched")]
    chosen += [
        one for one in everything if one.name in ("reference, noisy", "all none", "all raise")
    ]
    broken: set[str] = set()
    for variant in everything:
        if variant.kind == "mutant" and not broken.issuperset(variant.broken):
            broken.update(variant.broken)
            chosen.append(variant)
    return chosen


@pytest.mark.slow
@pytest.mark.parametrize("exercise", EXERCISES, ids=[one.name for one in EXERCISES])
def test_two_processes_say_what_one_says(exercise: Exercise) -> None:
    release = nbformat.read(release_path(REPOSITORY, exercise), as_version=4)
    # In a new process: a copy of one in which PyTorch computed on several threads may hang.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as new:
        found = new.submit(differences, REPOSITORY, exercise, release, sample(exercise)).result()
    assert not found, "\n".join(found)

"""Release, autograde, feedback with nbgrader: what a student who is right or wrong gets to see."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbformat import NotebookNode

from coursekit.autograde import Course
from coursekit.exercises import Exercise, find_exercises
from coursekit.release import release_notebook, source_notebook
from coursekit.repository import Repository
from coursekit.variants import Variant, submission, variants

REPOSITORY = Repository.find(Path(__file__))


def variant(exercise: Exercise, kind: str) -> Variant:
    return next(variant for variant in variants(exercise) if variant.kind == kind)


def plain(page: str) -> str:
    """The text of a page of feedback, without markup and with single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page)).split())


@pytest.fixture(scope="module", params=find_exercises(REPOSITORY), ids=lambda e: e.name)
def exercise(request: pytest.FixtureRequest) -> Exercise:
    """Each exercise of the course."""
    return request.param


@pytest.fixture(scope="module")
def release(exercise: Exercise) -> NotebookNode:
    """What students get."""
    return release_notebook(source_notebook(REPOSITORY, exercise), exercise)


@pytest.fixture(scope="module")
def grading(exercise: Exercise) -> Iterator[Course]:
    """A grade book for it."""
    with Course(source_notebook(REPOSITORY, exercise), exercise.name, exercise.topic) as course:
        course.release()
        yield course


def test_a_right_answer_scores_full_marks(
    exercise: Exercise, release: NotebookNode, grading: Course
) -> None:
    graded = grading.grade("right", submission(release, variant(exercise, "reference")))
    assert graded.score == 100
    assert graded.scores == graded.maxima
    assert graded.messages == {}
    feedback = plain(grading.feedback("right"))
    assert f"{exercise.topic} (Score: 100.0 /" in feedback
    assert variant(exercise, "mutant").says not in feedback


def test_a_wrong_answer_is_told_what_is_wrong(
    exercise: Exercise, release: NotebookNode, grading: Course
) -> None:
    mutant = variant(exercise, "mutant")
    graded = grading.grade("wrong", submission(release, mutant))
    broken = mutant.broken[0]
    assert graded.scores[broken] < graded.maxima[broken]
    assert 0 < graded.score < 100
    feedback = plain(grading.feedback("wrong"))
    assert mutant.says in feedback, "the feedback does not show the message"
    assert f"(Score: {graded.score:.1f} /" in feedback


def test_a_warning_costs_nothing(tiny: Exercise, course: Repository) -> None:
    noisy = variant(tiny, "noisy")
    source = source_notebook(course, tiny)
    notebook = submission(release_notebook(source, tiny), noisy)
    scores = {}
    for ignore in (True, False):
        with Course(source, tiny.name, tiny.topic, ignore_stderr=ignore) as grading:
            grading.release()
            scores[ignore] = grading.grade("noisy", notebook).score
    # The second score is nbgrader's own: it is why `coursekit.autograde` configures it.
    assert scores == {True: 100, False: 0}

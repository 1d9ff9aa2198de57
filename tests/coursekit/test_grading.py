"""Release, autograde, feedback with nbgrader: what a student who is right or wrong gets to see."""

import html
import re

from coursekit.autograde import Course
from coursekit.exercises import Exercise
from coursekit.release import release_notebook, source_notebook
from coursekit.repository import Repository
from coursekit.variants import Variant, submission, variants


def variant(exercise: Exercise, kind: str) -> Variant:
    return next(variant for variant in variants(exercise) if variant.kind == kind)


def plain(page: str) -> str:
    """The text of a page of feedback, without markup and with single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page)).split())


def test_a_student_gets_score_and_message(tiny: Exercise, course: Repository) -> None:
    source = source_notebook(course, tiny)
    right, wrong = variant(tiny, "reference"), variant(tiny, "mutant")
    with Course(source, tiny.name, tiny.topic) as grading:
        release = grading.release()

        graded = grading.grade("right", submission(release, right))
        assert graded.scores == graded.maxima == {"mean-check": 60, "centre-check": 40}
        assert graded.messages == {}
        feedback = plain(grading.feedback("right"))
        assert "tiny (Score: 100.0 / 110.0)" in feedback
        assert "AssertionError" not in feedback

        graded = grading.grade("wrong", submission(release, wrong))
        assert graded.scores == {"mean-check": 60, "centre-check": 0}
        assert graded.score == 60
        assert graded.messages == {"centre-check": f"AssertionError: {wrong.says}"}
        feedback = plain(grading.feedback("wrong"))
        assert "tiny (Score: 60.0 / 110.0)" in feedback
        assert f"AssertionError: {wrong.says}" in feedback


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

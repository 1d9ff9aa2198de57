"""Every exercise grades as its author means it, on the released notebook.

The same gates as `course check`, and the scores once more, exactly.
"""

import html

import pytest

from coursekit.autograde import Course
from coursekit.check import check_exercise
from coursekit.grading.package import Package
from coursekit.grading.split.plan import in_short, make_plan
from coursekit.release import release_notebook, source_notebook
from coursekit.report_page import stale_page
from coursekit.variants import submission, variants


@pytest.mark.slow
def test_every_submission_scores_what_it_must(exercise, repository):
    # Its experiments run under nbval.
    report = check_exercise(repository, exercise, experiments=False)
    assert not report.findings, "\n".join(
        f"{one.gate}: {one.where}: {one.problem}" for one in report.findings
    )

    assert not list(stale_page(repository, report))

    points = {cell.grade_id: cell.points for cell in exercise.graded_cells}
    assert sum(points.values()) == 100
    kinds = [row.variant.kind for row in report.rows]
    assert kinds.count("reference") == kinds.count("untouched") == 1
    assert kinds.count("alternative") >= 2
    # Right answers in float32 are right as well.
    assert "single_precision" in [row.variant.name for row in report.rows]
    assert kinds.count("mutant") >= 12
    assert kinds.count("cheap") >= 5
    for row in report.rows:
        name, scores = row.variant.name, row.graded.scores
        assert scores.keys() == points.keys() or row.variant.kind == "mutant", name
        if row.variant.kind in {"reference", "alternative", "noisy"}:
            assert scores == points, name
        elif row.variant.kind == "untouched" or name.startswith("all "):
            assert row.graded.score == 0, name
        elif row.variant.kind == "mutant":
            [mutant] = [one for one in exercise.mutants if one.name == name]
            assert all(scores[cell] == 0 for cell in mutant.breaks), name
            heard = " ".join(row.graded.messages[cell] for cell in mutant.breaks)
            assert mutant.says in " ".join(heard.split()), name


@pytest.mark.parametrize("secret", ["", "spring term", "autumn term", *map(str, range(17))])
def test_right_answers_pass_whatever_the_secret(secret, exercise, namespace, run_cell, monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", secret)
    for answers in [{}, *(alternative.sources for alternative in exercise.alternatives)]:
        names = namespace(exercise, answers)
        for cell in exercise.graded_cells:
            error = run_cell(cell.source, names)
            assert error is None, f"{cell.grade_id}: {error!r}"


@pytest.mark.slow
def test_warnings_cost_nothing_and_feedback_says_what_is_wrong(exercise, repository):
    # `ignore_stderr=False` is nbgrader as it comes: one line on stderr, no point.
    source = source_notebook(repository, exercise)
    release = release_notebook(source, exercise)
    plan = make_plan(Package(exercise.name, exercise.topic, source, release))
    chosen = {one.kind: one for one in variants(exercise) if one.kind in {"noisy", "mutant"}}
    handed_in = {kind: in_short(plan, submission(release, one)) for kind, one in chosen.items()}
    with Course(source, exercise.name, exercise.topic, ignore_stderr=False) as course:
        course.release()
        assert course.grade("noisy", handed_in["noisy"]).score == 100
        course.grade("mutant", handed_in["mutant"])
        assert chosen["mutant"].says in " ".join(html.unescape(course.feedback("mutant")).split())

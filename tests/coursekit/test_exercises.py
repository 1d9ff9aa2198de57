"""Exercises are found and validated; what is wrong is said in one sentence."""

from collections.abc import Callable

import pytest

from coursekit.errors import CourseError
from coursekit.exercises import Exercise, find_exercises, load_exercise
from coursekit.repository import Repository
from coursekit.variants import CHEAP_ANSWERS, variants

Change = Callable[[str, str, str], None]
SOURCE = "solutions/01_tiny/tiny.md"
MUTANT = "solutions/01_tiny/mutants/mean_added.yml"
ALTERNATIVE = "solutions/01_tiny/alternatives/loops.py"


@pytest.mark.parametrize("name", ["01_tiny", "01", "tiny", "solutions/01_tiny/"])
def test_an_exercise_is_found_by_name_or_part_of_it(course: Repository, name: str) -> None:
    assert [exercise.name for exercise in find_exercises(course, [name])] == ["01_tiny"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tniy", "tniy: no such exercise in solutions/; did you mean `tiny`?"),
        ("02_conv", "02_conv: no such exercise in solutions/; there are: 01_tiny."),
    ],
)
def test_an_unknown_exercise_is_one_sentence(course: Repository, name: str, sentence: str) -> None:
    with pytest.raises(CourseError) as error:
        find_exercises(course, [name])
    assert str(error.value) == sentence


def test_cells_know_what_they_are(tiny: Exercise) -> None:
    assert [cell.grade_id for cell in tiny.solution_cells] == ["mean", "centre"]
    assert [cell.grade_id for cell in tiny.graded_cells] == ["mean-check", "centre-check"]
    assert [cell.grade_id for cell in tiny.cells.values() if cell.manual] == ["question"]
    mean = tiny.cells["mean"]
    assert [check.grade_id for check in tiny.checks_of(mean)] == ["mean-check"]
    assert "np.sum" in mean.answer
    assert "BEGIN SOLUTION" not in mean.answer
    assert "np.sum" not in mean.visible
    assert "hidden_rows" not in tiny.cells["mean-check"].visible


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        (SOURCE, '"mean-check"', '"mean"', "cell `mean`: this `grade_id` is taken"),
        (SOURCE, '"points": 60, ', "", "cell `mean-check`: `points` (=0) must be a number above 0"),
        (SOURCE, '"locked": true, "points": 60', '"points": 60', "metadata lacks locked; add it"),
        (SOURCE, "### END HIDDEN TESTS\n", "", "needs its `### END HIDDEN TESTS`"),
        (SOURCE, 'print("done")', "### BEGIN SOLUTION\n### END SOLUTION", "belongs in a solution"),
        (SOURCE, ':nbgrader: {"grade": false', ':nbgrader: {"grade"; false', "not readable"),
        (MUTANT, "cell: centre", "cell: middle", "`cell` (='middle') names no solution cell"),
        (
            MUTANT,
            '"x - column_means"',
            '"column_means"',
            "`replace` occurs 2 times in cell `centre`",
        ),
        (MUTANT, '"x - column_means"', '"x * column_means"', "`replace` occurs 0 times"),
        (MUTANT, "[centre-check]", "[check]", "must list graded cells; there are mean-check, cen"),
        (MUTANT, "says:", "say:", "a mutant has exactly the keys breaks, cell, replace, says,"),
        (MUTANT, "breaks: [", "breaks: [[", "not valid YAML"),
        (ALTERNATIVE, "# %% centre", "# %% center", "`# %% center` names no solution cell"),
        (ALTERNATIVE, "# %%", "#", "no cell; begin each with `# %% grade_id`"),
    ],
)
def test_a_malformed_exercise_is_one_sentence(
    course: Repository,
    change: Change,
    file: str,
    old: str,
    new: str,
    sentence: str,
) -> None:
    change(file, old, new)
    with pytest.raises(CourseError) as error:
        list(variants(load_exercise(course, course.solutions / "01_tiny")))
    assert str(error.value).startswith(file)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_source_is_one_sentence(course: Repository) -> None:
    (course.root / SOURCE).unlink()
    with pytest.raises(CourseError, match=r"^solutions/01_tiny/tiny\.md: no such file\.$"):
        find_exercises(course)


def test_cheap_answers_keep_signature_and_docstring(tiny: Exercise) -> None:
    sources = {variant.name: variant.sources for variant in variants(tiny)}
    bodies = {
        answer: sources[f"all {answer}"]["mean"].splitlines()[-1].strip()
        for answer in CHEAP_ANSWERS
    }
    assert bodies == {
        "none": "return None",
        "zeros": "return __import__('numpy').zeros_like(x)",
        "input": "return x",
        "empty": "return {}",
        "raise": "raise RuntimeError('not done')",
    }
    # A method returns its first argument, not the object.
    assert sources["all input"]["centre"].endswith("return x")
    assert '"""Shape `(N, n)` -> `(N, n)`."""' in sources["all input"]["centre"]


def test_a_cheap_answer_stands_alone_where_its_checks_use_other_answers(tiny: Exercise) -> None:
    # The check of `centre` calls `mean`: with both cheap, the wrong one could be refused.
    alone = [v for v in variants(tiny) if v.kind == "cheap" and not v.name.startswith("all")]
    assert [v.name for v in alone] == [f"centre {answer}" for answer in CHEAP_ANSWERS]
    assert all(v.nothing == ("centre-check",) and "np.sum" in v.sources["mean"] for v in alone)

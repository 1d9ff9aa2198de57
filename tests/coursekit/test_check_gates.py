"""Every gate of `course check` holds on a sound exercise and fails on a broken one."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from coursekit.check import Report, check_exercise
from coursekit.exercises import Exercise, load_exercise
from coursekit.notebook_files import to_text, write
from coursekit.release import release_notebook, release_path, source_notebook
from coursekit.repository import Repository

from .conftest import make_course

Change = Callable[[str, str, str], None]
SOURCE = "solutions/01_tiny/tiny.md"


def release(course: Repository) -> Exercise:
    exercise = load_exercise(course, course.solutions / "01_tiny")
    notebook = release_notebook(source_notebook(course, exercise), exercise)
    write({release_path(course, exercise): to_text(notebook)})
    return exercise


def quick(course: Repository) -> list[tuple[str, str]]:
    """Gate and sentence of what the gates that run nothing find."""
    exercise = load_exercise(course, course.solutions / "01_tiny")
    report = check_exercise(course, exercise, quick=True)
    return [(finding.gate, f"{finding.where}: {finding.problem}") for finding in report.findings]


STALE = ("stale", "exercises/01_tiny/tiny.ipynb: missing; run `course release`.")


def test_a_sound_exercise_passes_every_gate(course: Repository) -> None:
    release(course)
    command = [sys.executable, "-m", "coursekit", "check"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], cwd=course.root, capture_output=True, text=True, check=False
        )

    done = run("--update")
    assert done.returncode == 0, done.stderr
    assert "01_tiny: all gates hold, 17 submissions and 14 changes graded" in done.stdout
    assert "Traceback" not in done.stderr

    page = course.book / "instructors" / "reports" / "01_tiny.md"
    text = page.read_text()
    assert "| **Mean added.** " in text
    assert run().returncode == 0
    page.write_text(text.replace("Mean added", "Mean doubled"))
    done = run()
    assert done.returncode == 1
    assert "stale: book/instructors/reports/01_tiny.md: differs from what this run" in done.stderr


def test_a_stale_release_is_found(course: Repository, change: Change) -> None:
    release(course)
    assert quick(course) == []
    change(SOURCE, "Two functions", "Three functions")
    name = "exercises/01_tiny/tiny.ipynb"
    sentence = f"{name}: differs from what {SOURCE} makes; run `course release`."
    assert quick(course) == [("stale", sentence)]
    (course.root / name).unlink()
    assert quick(course) == [STALE]


def test_points_other_than_a_hundred_are_found(course: Repository, change: Change) -> None:
    change(SOURCE, '"points": 60', '"points": 55')
    change(SOURCE, '"points": 10', '"points": 15')
    assert quick(course) == [
        STALE,
        ("points", f"{SOURCE}: graded cells give 95 points, not 100; change `points`."),
        ("points", f"{SOURCE}: a person gives 15 points, more than 10; change `points`."),
    ]


def test_a_graded_cell_without_visible_check_is_found(course: Repository, change: Change) -> None:
    change(
        SOURCE,
        "assert np.shape(y) == (3, 2)",
        "### BEGIN HIDDEN TESTS\nassert np.shape(y) == (3, 2)",
    )
    change(SOURCE, 'f"Centre returned {y}"', 'f"Centre returned {y}"\n### END HIDDEN TESTS')
    sentence = "every check is hidden; show an `assert` or a call of `check`."
    assert quick(course) == [
        STALE,
        ("visible checks", f"{SOURCE}, cell `centre-check`: {sentence}"),
    ]


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("A hint: `total = np.sum(x, axis=0)`.", "the solution of `mean`"),
        (
            "Try hidden_rows   = np.array([[7.0, 1.0, 4.0, 2.0]])",
            "the hidden tests of `mean-check`",
        ),
        ("`sums = [0.0] * x.shape[1]`", "the alternative loops"),
        ("Not `x + column_means`.", "the mutant mean_added"),
    ],
)
def test_a_leaked_line_is_found(course: Repository, change: Change, text: str, origin: str) -> None:
    change(SOURCE, "Two functions and one question", text)
    [stale, (gate, sentence)] = quick(course)
    assert stale == STALE
    assert gate == "leak"
    assert sentence.startswith("release, cell 2 ('# A tiny exercise'): shows a line of " + origin)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What `course check` says about an exercise with one fault for each gate, graded once."""
    course = make_course(tmp_path_factory.mktemp("broken"))
    folder = course.solutions / "01_tiny"

    def change(file: str, old: str, new: str) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))

    # The check of `mean` accepts zeros, and with them one mutant and one stub.
    change("tiny.md", "assert not np.allclose(y, x.sum(axis=0)), ", "assert x is not None, ")
    change("tiny.md", 'assert np.allclose(y, [3.0, 4.0]), f"mean', 'assert np.ndim(y) < 3, f"mean')
    change("tiny.md", "and np.shape(y) == (2,)", "and np.size(y) > 1")
    change(
        "tiny.md",
        "assert np.allclose(mean(hidden_rows), hidden_rows[0])",
        "assert hidden_rows.any()",
    )
    # A mutant that another message answers, an answer that is not right, an unguarded cell.
    change("mutants/mean_added.yml", "the mean is added", "the mean is doubled")
    change("alternatives/loops.py", "np.stack([row - ", "np.stack([2 * row - ")
    change(
        "tiny.md",
        'print("done")',
        'mean(np.ones((2, 2)))\nprint("the mean is doubled: take it away")',
    )
    noticed = "centre: Centre.__call__: return x - column_means: x - column_means → Add"
    (folder / "equivalents.yml").write_text(
        f"nothing changes:\n- '{noticed}'\n- a slip of the pen\n"
    )
    exercise = release(course)
    return check_exercise(course, exercise)


def found(report: Report, gate: str) -> dict[str, str]:
    return {finding.where: finding.problem for finding in report.findings if finding.gate == gate}


def test_an_alternative_that_fails_is_found(broken: Report) -> None:
    problems = found(broken, "alternative")
    assert list(problems) == ["loops, cell centre-check", "loops, noisy, cell centre-check"]
    assert problems["loops, cell centre-check"].startswith(
        "scores 0, not 40; make the check accept it; heard: AssertionError: Centre returned"
    )


def test_a_cheap_answer_that_scores_is_found(broken: Report) -> None:
    problems = found(broken, "cheap answer")
    assert problems["all zeros, cell mean-check"] == "scores 60, not 0; make the check refuse it."
    assert list(problems) == ["all zeros, cell mean-check", "all input, cell mean-check"]


def test_a_mutant_that_survives_is_found(broken: Report) -> None:
    problems = found(broken, "mutant")
    assert problems == {
        "sum_not_mean, cell mean-check": "scores 60, so the mutant survives; sharpen the check."
    }


def test_a_mutant_with_another_message_is_found(broken: Report) -> None:
    problems = found(broken, "message")
    assert problems["mean_added, cell centre-check"] == (
        "no broken cell says 'the mean is doubled: take it away'; "
        "heard: AssertionError: the mean is added: take it away"
    )


def test_a_right_answer_that_is_told_a_slip_is_found(broken: Report) -> None:
    problems = found(broken, "right answer")
    assert "the message of mean_added" in problems["reference"]


def test_a_cell_that_fails_on_empty_stubs_is_found(broken: Report) -> None:
    assert found(broken, "stubs") == {
        "release, cell 11 ('mean(np.ones((2, 2)))')": (
            "fails while the stubs are empty (NotImplementedError); guard it."
        )
    }


def test_an_automatic_change_that_no_check_notices_is_found(broken: Report) -> None:
    problems = found(broken, "automatic mutant")
    change = "mean: mean: return total / len(x): total / len(x) → Mult"
    assert problems[change].startswith("no check notices; sharpen one")
    # The list of harmless changes is honest, too.
    noticed = "centre: Centre.__call__: return x - column_means: x - column_means → Add"
    assert problems[noticed] == (
        "is listed in equivalents.yml, but a check notices it; take it off the list."
    )
    assert problems["a slip of the pen"].endswith("there is no such change; take it off the list.")
    assert "show more of them" in problems[SOURCE]


def test_nothing_else_is_found(broken: Report) -> None:
    gates = {finding.gate for finding in broken.findings}
    assert gates == {
        *("alternative", "cheap answer", "mutant", "automatic mutant"),
        *("message", "right answer", "stubs"),
    }
    passed = {row.variant.name for row in broken.rows if row.passed}
    assert {"untouched", "all none", "all empty", "all raise", "centre zeros"} <= passed


def test_the_command_fails_and_prints_what_to_mend(course: Repository) -> None:
    command = [sys.executable, "-m", "coursekit", "check", "--quick", "tiny"]
    done = subprocess.run(command, cwd=course.root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "stale: exercises/01_tiny/tiny.ipynb: missing; run `course release`." in done.stderr
    assert "01_tiny: 1 thing to mend" in done.stderr

"""Answers that run in copied processes score what nbgrader gives them, and lose nothing."""

from coursekit.autograde import grade_all
from coursekit.exercises import Exercise
from coursekit.mutation import changes
from coursekit.release import release_notebook, source_notebook
from coursekit.repository import Repository
from coursekit.trials import Attempt, Trials, steps_of
from coursekit.variants import submission, variants


def test_every_submission_scores_as_in_nbgrader(tiny: Exercise, course: Repository) -> None:
    source = source_notebook(course, tiny)
    release = release_notebook(source, tiny)
    submissions = {one.name: submission(release, one) for one in variants(tiny)}
    stock = dict(grade_all(source, tiny.name, tiny.topic, submissions))
    solutions = [cell.grade_id for cell in tiny.solution_cells]
    attempts = [
        Attempt(
            name,
            {
                cell.metadata.nbgrader.grade_id: cell.source
                for cell in notebook.cells
                if cell.metadata.get("nbgrader", {}).get("grade_id") in solutions
            },
        )
        for name, notebook in submissions.items()
    ]
    with Trials(tiny) as trials:
        results = {name: graded for _, name, graded in trials.run(attempts)}
    assert results.keys() == stock.keys()
    for name, graded in results.items():
        assert graded.scores == stock[name].scores, name
        assert graded.maxima == stock[name].maxima, name
        assert graded.messages.keys() == stock[name].messages.keys(), name


def attempt(tiny: Exercise, body: str, **options: object) -> object:
    """Grade `mean` with another body."""
    source = f"def mean(x):\n    {body}"
    with Trials(tiny) as trials:
        [(_, _, result)] = trials.run([Attempt("one", {"mean": source}, **options)])
    return result


def test_an_answer_that_kills_its_process_loses_its_points(tiny: Exercise) -> None:
    graded = attempt(tiny, "import os; os.kill(os.getpid(), 9)")
    assert graded.scores == {"mean-check": 0, "centre-check": 0}
    assert "died" in graded.messages["mean-check"]


def test_an_answer_that_never_ends_is_stopped(tiny: Exercise) -> None:
    # The limit is 20 seconds; this answer shortens its own.
    graded = attempt(tiny, "import signal; signal.alarm(1)\n    while True: pass")
    assert graded.scores == {"mean-check": 0, "centre-check": 0}


def test_the_text_of_an_answer_is_to_be_had(tiny: Exercise) -> None:
    body = "import inspect; raise ValueError(inspect.getsource(mean))"
    graded = attempt(tiny, body)
    assert graded.messages["mean-check"] == f"ValueError: def mean(x): {body}"


def test_an_answer_cannot_exit_its_way_out(tiny: Exercise) -> None:
    graded = attempt(tiny, "raise SystemExit(0)")
    assert graded.scores["mean-check"] == 0


def test_it_tells_who_noticed(tiny: Exercise) -> None:
    checks = ("mean-check",)
    wrong = {
        "return x.sum(axis=0)": "visible",
        # Only the hidden test has a single row.
        "return np.array([3.0, 4.0])": "hidden",
        "return np.mean(x, axis=0)": "survives",
    }
    for body, noticed in wrong.items():
        assert attempt(tiny, body, checks=checks, grade=False) == noticed


def test_experiments_are_left_out_and_what_checks_need_is_kept(tiny: Exercise) -> None:
    names = [step.grade_id for step in steps_of(tiny)]
    assert [name for name in names if name] == ["mean", "mean-check", "centre", "centre-check"]
    assert "" in names  # The given cells.


def names_of(source: str) -> list[str]:
    return [change.name for change in changes(source)]


def test_equal_changes_have_names_of_their_own() -> None:
    names = names_of("def f(x):\n    y = x + 1\n    y = x + 1\n    return y")
    assert len(names) == len(set(names))
    assert "f: y = x + 1: x + 1 → Sub (2)" in names


def test_every_kind_of_change_is_made() -> None:
    source = (
        "def f(x, k=2):\n"
        "    for i in range(1, k):\n"
        "        if x[i:, 0] > 0 and not k:\n"
        "            x = -np.sum(a=x.T, axis=1) @ x\n"
        "    return np.maximum(x, True)"
    )
    heard = " | ".join(names_of(source))
    for part in (
        "→ GtE",
        "→ Or",
        "→ no not",
        "→ no minus",
        "→ no axis",
        "→ no .T",
        "→ mean",
        "→ no lower",
        "arguments 1 and 2 swapped",
        "→ False",
        "→ swapped",
        "→ minimum",
        "without return np.maximum(x, True)",
        "if not (x[i:, 0] > 0 and (not k))",
        "0 → 1",
    ):
        assert part in heard, part
    for change in changes(source):
        compile(change.source, change.name, "exec")

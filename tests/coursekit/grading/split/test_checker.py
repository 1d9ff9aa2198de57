"""Verdicts: what passes, what does not, and what nobody can talk a test into."""

import json
import time
from typing import Any

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from two_processes import grade, results

from coursekit.errors import CourseError
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.split import agent, checker

PLAIN = {"grade": False, "locked": False, "solution": False, "task": False, "schema_version": 3}


def given(source: str, name: str = "") -> NotebookNode:
    roles = {**PLAIN, "locked": True, "grade_id": name}
    return new_code_cell(source, metadata={"nbgrader": roles} if name else {})


def answer(source: str, name: str) -> NotebookNode:
    roles = {**PLAIN, "solution": True, "grade_id": name}
    return new_code_cell(source, id=name, metadata={"nbgrader": roles})


def graded(source: str, name: str, **course: str) -> NotebookNode:
    roles = {**PLAIN, "grade": True, "locked": True, "points": 10, "grade_id": name}
    return new_code_cell(source, id=name, metadata={"nbgrader": roles, "course": course})


STUB = "def f(x):\n    raise NotImplementedError()"
IMPORTS = "import numpy as np\nfrom largemodels import check"


class Assignment:
    """An assignment of these cells, and what a student's answers to it score."""

    def __init__(self, *cells: NotebookNode, secret: str = "a secret") -> None:
        release = new_notebook(cells=[given(IMPORTS), *cells])
        for number, cell in enumerate(release.cells):
            cell.id = cell.metadata.get("nbgrader", {}).get("grade_id") or f"plain-{number}"
        self.release = release
        self.prepared = checker.prepare(Package("01_x", "x", release, release, secret))

    def events(
        self, answers: dict[str, str] | None = None, extra: str = "", **limits: Any
    ) -> list[checker.Event]:
        notebook = NotebookNode(json.loads(json.dumps(self.release)))
        notebook.cells = [NotebookNode(cell) for cell in notebook.cells]
        for cell in notebook.cells:
            cell.source = (answers or {}).get(cell.id, cell.source)
        if extra:
            notebook.cells.insert(1, new_code_cell(extra, id="extra-1"))
        return grade(self.prepared, notebook, Limits(**limits))

    def scores(self, *arguments: Any, **options: Any) -> dict[str, float]:
        found = results(self.events(*arguments, **options))
        return {name: cell.score for name, cell in found.items()}

    def messages(self, *arguments: Any, **options: Any) -> dict[str, str]:
        found = results(self.events(*arguments, **options))
        return {name: cell.message for name, cell in found.items()}


@pytest.fixture(scope="session", autouse=True)
def _prepared() -> None:
    agent.prepare(["numpy", "largemodels.check"])


@pytest.fixture(scope="module")
def twice() -> Assignment:
    return Assignment(
        answer(STUB, "f"),
        graded("with check.task('f'):\n    check.close(f(2.0), 4.0, name='f(2)')", "test_f"),
        graded("with check.task('f'):\n    check.close(f(np.ones(3)), 2 * np.ones(3))", "more"),
    )


RIGHT = {"f": "def f(x):\n    return 2 * x"}


def test_a_right_answer_gets_its_points_and_a_wrong_one_the_message(twice: Assignment) -> None:
    assert twice.scores(RIGHT) == {"test_f": 10, "more": 10}
    wrong = twice.messages({"f": "def f(x):\n    return x"})
    assert wrong["test_f"].startswith("Mistake: f(2) is wrong. You computed 2, expected 4. Likely")
    assert twice.scores({}) == {"test_f": 0, "more": 0}
    assert twice.messages({})["test_f"].startswith("Mistake: f is not written yet.")


def test_a_name_that_is_not_there_is_named(twice: Assignment) -> None:
    assert twice.messages({"f": ""})["test_f"].startswith("Mistake: f does not exist yet.")


def test_warnings_and_stderr_cost_nothing(twice: Assignment) -> None:
    noisy = "import sys, warnings\ndef f(x):\n    warnings.warn('w'); sys.stderr.write('e')\n"
    assert twice.scores({"f": noisy + "    return 2 * x"}) == {"test_f": 10, "more": 10}


def test_each_cell_is_told_of_in_the_order_of_the_notebook(twice: Assignment) -> None:
    events = twice.events(RIGHT, extra="print('hello')\n1 + 1")
    assert [event["cell"] for event in events] == ["plain-0", "extra-1", "f", "test_f", "more"]
    assert [bool(event["graded"]) for event in events] == [False, False, False, True, True]
    assert events[1]["outputs"] == [
        {"output_type": "stream", "name": "stdout", "text": "hello\n"},
        {
            "output_type": "execute_result",
            "execution_count": None,
            "data": {"text/plain": "2"},
            "metadata": {},
        },
    ]
    assert events[3]["outputs"][0]["text"] == "✓ f: all checks passed.\n"


def test_an_error_in_one_cell_does_not_stop_the_others(twice: Assignment) -> None:
    events = twice.events(RIGHT, extra="def broken(:\n")
    assert events[1]["outputs"][0]["ename"] == "SyntaxError"
    events = twice.events(RIGHT, extra="1 / 0")
    assert events[1]["outputs"][0]["ename"] == "ZeroDivisionError"
    assert results(events)["more"].score == 10


def test_a_message_shows_the_students_lines_and_no_line_of_a_test(twice: Assignment) -> None:
    events = twice.events({"f": "def f(x):\n    return oops"})
    [error] = events[2]["outputs"]
    text = "\n".join(error["traceback"])
    assert "return oops" in text
    assert "name 'oops' is not defined" in text
    assert "check." not in text


def test_cells_run_as_in_jupyter(twice: Assignment) -> None:
    magic = (
        "%matplotlib agg\n"
        "import asyncio\n"
        "await asyncio.sleep(0)\n"
        "x = !echo shell\n"
        "display('shown')\n"
        "assert get_ipython() is not None\n"
        "assert __name__ == '__main__'\n"
        "def f(x):\n"
        "    display(x)\n"
        "    return 2 * x\n"
        "f(1);"
    )
    events = twice.events({"f": magic})
    assert "error" not in {one["output_type"] for one in events[1]["outputs"]}, events[1]
    assert results(events)["test_f"].score == 10


def test_what_a_students_code_prints_while_a_test_runs_is_dropped(twice: Assignment) -> None:
    events = twice.events(
        {"f": "print('kept')\ndef f(x):\n    print('hidden', x)\n    return 2 * x"}
    )
    assert events[1]["outputs"][0]["text"] == "kept\n"
    assert "hidden" not in json.dumps(events)


# Partial credit.


@pytest.mark.parametrize(
    ("last", "score"),
    [
        ("2.5", 2.5),
        ("0.0", 0),
        ("3", 3),
        ("11.0", 10),
        ("10**400", 10),
        ("-10**400", 0),
        ("float('inf')", 10),
        ("-1.0", 0),
        ("float('nan')", 0),
        ("True", 10),
        ("None", 10),
        ("'2'", 10),
        ("np.float64(2)", 10),
        ("2.5;", 10),
        ("x = 2.5", 10),
    ],
)
def test_a_last_number_is_partial_credit(last: str, score: float) -> None:
    assert Assignment(graded(f"1.0\n{last}", "t")).scores() == {"t": score}


# What a test needs.


def test_given_functions_call_the_students_functions() -> None:
    assignment = Assignment(
        given("def twice(x):\n    return f(f(x))", "given"),
        answer(STUB, "f"),
        graded("assert twice(1) == 4", "test_f"),
    )
    assert assignment.scores(RIGHT) == {"test_f": 10}
    assert assignment.scores({"f": "def f(x):\n    return x"}) == {"test_f": 0}


COLOURS = "import enum\nclass Colour(enum.Enum):\n    RED = 1\n    BLUE = 2"


def test_members_of_a_given_enumeration_are_the_same_on_both_sides() -> None:
    assignment = Assignment(
        given(COLOURS),
        answer(STUB, "f"),
        graded("assert f(Colour.RED) is Colour.BLUE\nassert f(Colour.BLUE) == Colour.RED", "t"),
    )
    right = "def f(x):\n    return Colour.BLUE if x is Colour.RED else Colour.RED"
    assert assignment.scores({"f": right}) == {"t": 10}
    own = "class Colour(enum.Enum):\n    BLUE = RED = 'both'\n"
    assert assignment.scores({"f": own + right}) == {"t": 0}
    other = "class Mine(enum.Enum):\n    RED = 1\ndef f(x):\n    return Mine.RED"
    assert assignment.scores({"f": other}) == {"t": 0}


def test_an_object_of_a_given_class_can_be_an_answer() -> None:
    assignment = Assignment(
        given(
            "import dataclasses\n@dataclasses.dataclass\nclass Fit:\n    loss: float\n    w: list"
        ),
        answer(STUB, "f"),
        graded("fit = f(Fit(0.0, [1]))\nassert fit.loss == 2.5 and fit.w == [1, 2]", "t"),
    )
    right = "def f(x):\n    return Fit(x.loss + 2.5, [*x.w, 2])"
    assert assignment.scores({"f": right}) == {"t": 10}


def test_the_students_version_of_a_given_cell_decides_nothing() -> None:
    assignment = Assignment(
        given("def right(x):\n    return 2 * x\nlimit = 3"),
        answer(STUB, "f"),
        graded("assert limit == 3\nassert f(1) == right(1)", "test_f"),
    )
    cheating = "def right(x):\n    return x\nlimit = 5"
    assert assignment.scores({"plain-1": cheating, "f": "f = right"}) == {"test_f": 0}
    assert assignment.scores({"plain-1": cheating + "\n1/0", **RIGHT}) == {"test_f": 10}
    # Beside the student's code, it is the student's version that counts.
    scaled = "def right(x):\n    return 4 * x\nlimit = 3"
    using = "def f(x):\n    return right(x) / 2"
    assert assignment.scores({"plain-1": scaled, "f": using}) == {"test_f": 10}


def test_a_student_cannot_replace_what_a_test_uses(twice: Assignment) -> None:
    extra = (
        "class check:\n"
        "    task = staticmethod(__import__('contextlib').nullcontext)\n"
        "    close = staticmethod(lambda *a, **k: None)\n"
        "import numpy as np\nnp.isclose = lambda *a, **k: True\nnp.ones = lambda n: 0\n"
        "import builtins\nbuiltins.abs = builtins.isinstance = lambda *a: True"
    )
    assert twice.scores({"f": "def f(x):\n    return x"}, extra=extra) == {"test_f": 0, "more": 0}


def test_a_name_of_a_builtin_can_be_an_answer() -> None:
    assignment = Assignment(
        answer("def sum(x):\n    raise NotImplementedError()", "f"),
        graded("assert sum([1, 2]) == 'mine'", "t"),
        graded("assert len([1, 2]) == 2", "u"),
    )
    answers = {"f": "def sum(x):\n    return 'mine'\ndef len(x):\n    return 5"}
    assert assignment.scores(answers) == {"t": 10, "u": 10}


def test_values_of_a_student_are_looked_up_anew_for_each_test() -> None:
    assignment = Assignment(
        answer("value = None", "a"),
        graded("assert value == 1", "t"),
        answer("value = None", "b"),
        graded("assert value == 2", "u"),
    )
    assert assignment.scores({"a": "value = 1", "b": "value += 1"}) == {"t": 10, "u": 10}


def test_names_that_only_a_student_made_are_looked_up_anew_too() -> None:
    assignment = Assignment(
        given("limit = 1"),
        graded("assert extra == 1", "t"),
        answer("pass", "a"),
        graded("assert extra == 2", "u"),
    )
    answers = {"plain-1": "limit = 1\nextra = 1", "a": "extra = 2"}
    assert assignment.scores(answers) == {"t": 10, "u": 10}
    assert assignment.messages()["t"] == "NameError: name 'extra' is not defined"


def test_a_star_imports_names_that_no_student_replaces() -> None:
    assignment = Assignment(
        given("from math import *"),
        answer("pass", "a"),
        graded("assert floor(2.5) == 2", "t"),
    )
    assert assignment.scores({"a": "floor = ceil = lambda x: 7"}) == {"t": 10}


def test_tests_share_names_with_later_tests_and_not_with_students() -> None:
    assignment = Assignment(
        answer(STUB, "f"),
        graded("expected = 4\nresult = f(2)\nassert result == expected", "t"),
        answer("pass", "g"),
        graded("assert expected == 4 and result == 4", "u"),
    )
    peek = "try:\n    found = expected\nexcept NameError:\n    found = 'nothing'"
    assert assignment.scores({**RIGHT, "g": "expected = result = 0"}) == {"t": 10, "u": 10}
    events = assignment.events({**RIGHT, "g": peek + "\nprint(found)"})
    assert results(events)["u"].score == 10


def test_a_student_may_use_what_a_visible_test_makes() -> None:
    release = [
        answer(STUB, "f"),
        graded("test_x = 3.0\nassert f(test_x) == 6", "t"),
        answer("pass", "g"),
        graded("assert g == 9", "u"),
    ]
    assignment = Assignment(*release)
    assert assignment.scores({**RIGHT, "g": "g = test_x * 3"}) == {"t": 10, "u": 10}


def test_hidden_tests_run_and_stay_hidden() -> None:
    visible = new_notebook(
        cells=[answer(STUB, "f"), graded("assert f(1) == 2", "t"), answer("pass", "g")]
    )
    whole = json.loads(json.dumps(visible))
    whole["cells"][1]["source"] += "\nhidden_value = 5\nassert f(hidden_value) == 10"
    prepared = checker.prepare(Package("01_x", "x", whole, visible))
    spy = "import sys\ndef f(x):\n    global seen\n    seen = x\n    return 2"
    look = "print('hidden_value' in globals())"
    notebook = NotebookNode(json.loads(json.dumps(visible)))
    notebook.cells = [NotebookNode(cell) for cell in notebook.cells]
    notebook.cells[0].source, notebook.cells[2].source = spy, look
    events = grade(prepared, notebook)
    assert results(events)["t"].score == 0
    assert events[2]["outputs"][0]["text"] == "False\n"
    assert "hidden_value" not in json.dumps(events)


def test_experiments_run_only_where_they_are_needed() -> None:
    experiment = "with check.when_ready():\n    trained = f(21)\n    print('ran')"
    cells = [answer(STUB, "f"), given(experiment), graded("assert f(1) == 2", "t")]
    events = Assignment(*cells).events(RIGHT)
    assert not events[2]["outputs"]
    needed = Assignment(*cells, graded("assert trained == 42", "u"))
    assert needed.scores(RIGHT) == {"t": 10, "u": 10}
    assert needed.scores({}) == {"t": 0, "u": 0}
    by_student = Assignment(*cells, answer("pass", "g"), graded("assert g == 43", "u"))
    events = by_student.events({**RIGHT, "g": "g = trained + 1"})
    assert events[2]["outputs"][0]["text"] == "ran\n"
    assert results(events)["u"].score == 10


def test_a_given_cell_with_magics_runs() -> None:
    assignment = Assignment(
        given("%matplotlib inline\nimport math\nx = math.tau"), graded("assert x == math.tau", "t")
    )
    assert assignment.scores() == {"t": 10}


def test_a_test_with_magics_is_refused() -> None:
    with pytest.raises(CourseError, match="t: this test is no plain Python"):
        Assignment(graded("%time assert 1", "t"))


# Time and death.


def test_a_cell_that_never_ends_costs_its_own_points_alone() -> None:
    assignment = Assignment(
        answer(STUB, "f"),
        graded("assert f(1) == 2", "t"),
        answer("def g(): raise NotImplementedError()", "g"),
        graded("assert g() == 1", "u"),
    )
    endless = {"f": "def f(x):\n    while True: pass", "g": "def g(): return 1"}
    events = assignment.events(endless, cell_seconds=0.5)
    assert {name: cell.score for name, cell in results(events).items()} == {"t": 0, "u": 10}
    assert results(events)["t"].message == (
        "CellTimeoutError: `f` did not come back within 1 second: is there a loop without an end?"
    )
    events = assignment.events(
        {**RIGHT, "g": "def g(): return 1\nwhile True: pass"}, cell_seconds=0.5
    )
    assert {name: cell.score for name, cell in results(events).items()} == {"t": 10, "u": 10}


def test_what_takes_too_long_is_named_and_nothing_of_the_engine() -> None:
    assignment = Assignment(
        answer("class Net: pass", "n"), graded("net = Net()\nnet.fit(3)", "t"), answer("", "g")
    )
    endless = {
        "n": "class Net:\n    def fit(self, x):\n        while True: pass",
        "g": "while True: pass",
    }
    events = assignment.events(endless, cell_seconds=1.6)
    assert "`Net.fit` did not come back within 2 seconds" in results(events)["t"].message
    told = json.dumps(events[-1]["outputs"])
    assert "CellTimeoutError: this cell did not come back within 2 seconds" in told
    assert "coursekit" not in told


def test_a_traceback_names_no_folder_of_this_machine(twice: Assignment) -> None:
    wrong = "np.linalg.inv(np.zeros((2, 2)))"
    events = twice.events({"f": f"def f(x):\n    {wrong}"}, extra=wrong)
    for one in (events[1], events[-1]):
        told = "\n".join(one["outputs"][-1]["traceback"])
        assert 'File "numpy/linalg/' in told
        assert "site-packages" not in told


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import os\n\ndef f(x) return x", "SyntaxError: expected ':' (line 3)"),
        ("1 / 0\ndef f(x): return x", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_name_whose_cell_failed_is_missing_for_that_reason(twice, source, why) -> None:
    events = twice.events({"f": source})
    expected = f"NameError: the cell `f` did not run to its end: {why}"
    assert {cell.message for cell in results(events).values()} == {expected}
    assert events[-1]["outputs"][-1]["traceback"] == [expected]
    # One that is there, and fails, says so itself.
    messages = twice.messages({"f": f"def f(x):\n    return missing\n{source}"})
    assert ("missing" in messages["test_f"]) == (why[0] == "Z")
    assert "did not run" not in twice.messages({"f": "pass"})["test_f"]


def test_a_cell_that_will_not_be_stopped_costs_what_is_left(twice: Assignment) -> None:
    stubborn = (
        "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
        "def f(x):\n    while isinstance(x, np.ndarray): pass\n    return 2 * x"
    )
    events = twice.events({"f": stubborn}, cell_seconds=0.3)
    found = results(events)
    assert (found["test_f"].score, found["more"].score) == (10, 0)
    assert found["more"].message == "LostError: took too long"


def test_a_notebook_has_a_time_of_its_own(twice: Assignment) -> None:
    slow = "import time\ndef f(x):\n    time.sleep(60)"
    found = results(twice.events({"f": slow}, notebook_seconds=0.4))
    assert [cell.score for cell in found.values()] == [0, 0]
    assert "too long" in found["more"].message or "TimeIsUp" in found["more"].message


def test_a_test_that_a_students_data_keep_busy_is_stopped() -> None:
    assignment = Assignment(
        answer("n = 1", "a"),
        graded("try:\n    for _ in range(n):\n        pass\nexcept Exception:\n    pass", "t"),
        graded("assert n > 0", "u"),
    )
    busy = assignment.events({"a": "n = 10**12"}, cell_seconds=0.3)
    found = results(busy)
    assert (found["t"].score, found["u"].score) == (0, 10)
    assert found["t"].message == "TimeIsUpError: took too long"


BUSY = "class Counter:\n    def count(self, n):\n        for _ in range(n): pass"


@pytest.mark.parametrize("course", [{}, {"trust": "in-process"}])
def test_an_object_of_a_test_that_is_kept_keeps_nobody_busy_later(course: dict[str, str]) -> None:
    last = [graded("assert g(0) == 2", "u", **course)] if course else []
    assignment = Assignment(
        given(BUSY), answer(STUB, "f"), graded("f(Counter())", "t"), answer("", "g"), *last
    )
    keep = {"f": "def f(counter):\n    global kept\n    kept = counter"}
    use = f"kept.count({10**12})"
    started = time.monotonic()
    later = {"g": f"def g(x):\n    {use}" if course else use}
    events = assignment.events({**keep, **later}, cell_seconds=0.3)
    assert time.monotonic() - started < 10
    assert results(events)["t"].score == 10
    assert "took too long" in json.dumps(events[-1])


def test_chains_of_objects_from_message_to_message_do_not_crash_the_checker() -> None:
    assignment = Assignment(
        given("class Box:\n    pass"),
        answer(STUB, "f"),
        graded("f(box := Box())\nassert box.left == box.right", "t"),
        graded("assert f(1) is None", "u"),
    )
    chains = """
def f(box):
    if box == 1:
        return
    for name in ("left", "right"):
        chain = [{new} for _ in range(10_000)]
        setattr(box, name, chain)  # Known to both from now on, by number.
        for outer, inner in zip(chain, chain[1:]):
            outer[0] = {held}
        setattr(box, name, chain[0])
"""
    for new, held in (
        ("[1]", "inner"),
        ("{0: 1}", "inner"),
        ("np.array([1], dtype=object)", "[inner]"),
    ):
        answers = {"f": chains.replace("{new}", new).replace("{held}", held)}
        found = results(assignment.events(answers))
        assert found["t"].message.startswith("RecursionError"), found["t"].message
        assert found["u"].score == 10


def test_a_dead_process_costs_what_is_left(twice: Assignment) -> None:
    dying = "import os\ndef f(x):\n    return 4.0 if isinstance(x, float) else os._exit(0)"
    found = results(twice.events({"f": dying}))
    assert (found["test_f"].score, found["more"].score) == (10, 0)
    assert found["more"].message == "LostError: died"
    assert [e["cell"] for e in twice.events({"f": "import os; os._exit(0)"})][-1] == "more"


def test_outputs_are_limited(twice: Assignment) -> None:
    events = twice.events(RIGHT, extra="print('x' * 10**6)", cell_output_bytes=1000)
    texts = "".join(output["text"] for output in events[1]["outputs"])
    assert len(texts) < 1200
    assert "999001 more characters are not shown" in texts
    loud = {"f": "for _ in range(100): print('x' * 99)\n" + RIGHT["f"]}
    events = twice.events(loud, extra="print('y' * 900)", notebook_output_bytes=1000)
    assert sum(len(o.get("text", "")) for e in events for o in e["outputs"]) < 1300


def test_outputs_are_limited_in_number(twice: Assignment) -> None:
    events = twice.events(RIGHT, extra="for n in range(1000): display(n)\nraise OSError('full')")
    outputs = events[1]["outputs"]
    assert len(outputs) == 202
    assert outputs[199]["data"]["text/plain"] == "199"
    assert "800 more outputs are left out" in outputs[200]["text"]
    assert outputs[201]["ename"] == "OSError"
    events = twice.events(RIGHT, extra="for n in range(200): display(n)")
    assert len(events[1]["outputs"]) == 200


def test_outputs_hold_nothing_that_a_page_would_run(twice: Assignment) -> None:
    extra = (
        "class Page:\n"
        "    def _repr_html_(self): return '<script>alert(1)</script>'\n"
        "    def _repr_javascript_(self): return 'alert(1)'\n"
        "    def __repr__(self): return 'a page'\n"
        "Page()"
    )
    [output] = twice.events(RIGHT, extra=extra)[1]["outputs"]
    assert output["data"] == {"text/plain": "a page"}


def test_texts_can_be_written_to_any_file(twice: Assignment) -> None:
    odd = "print('\\ud800')\ndef f(x):\n    raise ValueError('\\udfff')"
    events = twice.events({"f": odd})
    json.dumps(events, ensure_ascii=False).encode()
    assert results(events)["test_f"].message == "ValueError: ?"


# What runs beside the student's code.


def test_the_student_does_not_know_the_secret() -> None:
    assignment = Assignment(
        answer("pass", "a"),
        graded("import os\nassert os.environ['COURSE_SECRET'] == 'a secret' and s == ''", "t"),
    )
    look = "import os\ns = os.environ.get('COURSE_SECRET', '')"
    assert assignment.scores({"a": look}) == {"t": 10}


def test_the_reference_cannot_be_imported_beside_the_student(twice: Assignment) -> None:
    events = twice.events(RIGHT, extra="from largemodels.scratch import layers")
    assert events[1]["outputs"][0]["ename"] == "ImportError"


def test_seconds_count_the_students_process() -> None:
    assignment = Assignment(
        answer(STUB, "f"),
        graded("slow = check.seconds(lambda: f(1), repeats=1)\nassert slow > 0.05, slow", "t"),
    )
    busy = "import time\ndef f(x):\n    end = time.process_time() + 0.1\n"
    assert assignment.scores({"f": busy + "    while time.process_time() < end: pass"}) == {"t": 10}
    lying = "import time\ntime.thread_time = time.process_time = lambda: 0.0\n"
    assert assignment.scores({"f": lying + "def f(x): return 1"}) == {"t": 0}


@pytest.mark.parametrize(
    ("imports", "seed", "draw"),
    [
        ("import random", "random.seed(3)", "random.random()"),
        ("import numpy as np", "np.random.seed(3)", "np.random.normal(size=2).tolist()"),
        ("import numpy as np", "np.random.seed(seed=3)", "np.random.random()"),
    ],
)
def test_a_global_generator_is_seeded_on_both_sides(imports: str, seed: str, draw: str) -> None:
    assignment = Assignment(
        given(imports),
        answer("def f():\n    raise NotImplementedError()", "f"),
        graded(f"{seed}\nfound = f()\n{seed}\nassert found == {draw}", "t"),
    )
    assert assignment.scores({"f": f"{imports}\ndef f():\n    return {draw}"}) == {"t": 10}
    other = f"{imports}\ndef f():\n    {draw}\n    return {draw}"
    assert assignment.scores({"f": other}) == {"t": 0}


INSIDE = """
def look(function, x):
    class Recorder:
        calls = []
        def __float__(self):
            self.calls.append("float")
            return 3.0
    value = function(Recorder())
    return {"value": value, "calls": Recorder.calls, "rows": np.ones(x)}

found = check.inside(look, f, 2)
assert found["value"] == 6.0 and found["calls"] == ["float"]
assert type(found["rows"]) is np.ndarray
assert check.inside(lambda function: function(1), f) == 2
assert check.inside(f, 2) == 4
"""


def test_a_function_of_a_test_can_run_inside() -> None:
    assignment = Assignment(answer(STUB, "f"), graded(INSIDE, "t"))
    assert assignment.messages({"f": "def f(x):\n    return 2 * float(x)"}) == {"t": ""}
    wrong = assignment.messages({"f": "def f(x):\n    return x.secret"})
    assert wrong["t"] == "AttributeError: 'Recorder' object has no attribute 'secret'"


def test_the_text_of_a_students_function_is_to_be_had() -> None:
    assignment = Assignment(
        answer(STUB, "f"), graded("assert '@ weight' in check.source(f), check.source(f)", "t")
    )
    right = "weight = 2\ndef f(x):\n    return x @ weight\n"
    assert assignment.scores({"f": right}) == {"t": 10}
    assert assignment.scores({"f": right.replace("@", "*")}) == {"t": 0}


def test_only_plain_data_come_out_of_it() -> None:
    assignment = Assignment(
        answer(STUB, "f"),
        graded("value = check.inside(lambda function: function(1), f)", "t"),
    )
    assert assignment.scores({"f": "def f(x):\n    return 1"}) == {"t": 10}
    assert "is no plain data" in assignment.messages({"f": "def f(x):\n    return f"})["t"]


def test_what_cannot_run_inside_says_why() -> None:
    around = "def make(n):\n    return lambda: n\ncheck.inside(make(1))"
    said = Assignment(graded(around, "t")).messages()["t"]
    assert "uses n of the function around it; pass that as an argument" in said
    two = "check.inside((lambda: 1, lambda: 2)[0])"
    assert "line 1 has 2 functions; write one" in Assignment(graded(two, "t")).messages()["t"]


IN_PROCESS = graded("assert type(f(1)).__name__ == 'Own'", "t", trust="in-process")


def test_a_test_may_run_beside_the_students_code_if_it_says_so() -> None:
    assignment = Assignment(answer(STUB, "f"), IN_PROCESS)
    own = {"f": "class Own: pass\ndef f(x):\n    return Own()"}
    found = results(assignment.events(own))["t"]
    assert (found.score, found.trust, found.message) == (10, "in-process", "")
    wrong = results(assignment.events(RIGHT))["t"]
    assert (wrong.score, wrong.message) == (0, "AssertionError:")
    assert results(Assignment(graded("pass", "u")).events())["u"].trust == "split"


@pytest.mark.parametrize(
    "attack",
    [
        "get_ipython().input_transformers_cleanup.append(lambda lines: [])",
        "import ast\n"
        "class Empty(ast.NodeTransformer):\n"
        "    def visit_Module(self, node): node.body = []; return node\n"
        "get_ipython().ast_transformers.append(Empty())",
        "from largemodels import check\ncheck.that = lambda *a: None",
        "class Result: error_before_exec = error_in_exec = None\n"
        "type(get_ipython()).run_cell = lambda *a, **k: Result",
        "import numpy\nnumpy.allclose = lambda *a: True",
    ],
)
def test_canaries_notice_who_tampers_with_it(attack: str) -> None:
    assignment = Assignment(answer(STUB, "f"), IN_PROCESS)
    found = results(assignment.events({"f": attack}))["t"]
    assert found.score == 0
    assert "changes what its tests say" in found.message


def test_an_exception_that_says_it_is_false_is_one() -> None:
    false = (
        "class No(Exception):\n    def __bool__(self): return False\ndef f(x):\n    raise No('no')"
    )
    for course in ({}, {"trust": "in-process"}):
        assignment = Assignment(answer(STUB, "f"), graded("f(1)", "t", **course))
        assert assignment.messages({"f": false}) == {"t": "No: no"}


def test_names_that_a_release_imports_are_not_the_students() -> None:
    assignment = Assignment(
        answer("import math\ndef f(x):\n    raise NotImplementedError()", "f"),
        given("import math"),
        graded("assert math.floor(f(1.0)) == 2", "t"),
    )
    answers = {"f": "class math:\n    floor = lambda x: 2\ndef f(x):\n    return 9.0"}
    assert assignment.scores(answers) == {"t": 0}


def test_an_answer_cannot_end_a_loop_of_a_test() -> None:
    assignment = Assignment(
        answer(STUB, "f"),
        graded("assert all(map(f, [1, 2, 3]))\nassert max(map(f, [1])) == 1", "t"),
    )
    said = assignment.messages({"f": "def f(x):\n    raise StopIteration"})
    assert said == {"t": "RuntimeError: your code raised StopIteration"}
    for exit_ in ("GeneratorExit", "KeyboardInterrupt", "SystemExit", "BaseException"):
        assert assignment.scores({"f": f"def f(x):\n    raise {exit_}"}) == {"t": 0}


def test_a_long_answer_makes_no_long_message() -> None:
    assignment = Assignment(answer(STUB, "f"), graded("assert f(1) == 2, f'got {f(1)}'", "t"))
    events = assignment.events({"f": "def f(x):\n    return 'x' * 10**6"})
    assert len(results(events)["t"].message) < 11_000
    assert len(json.dumps(events)) < 50_000


def test_a_cell_that_is_hard_to_read_costs_itself_alone(twice: Assignment) -> None:
    hard = ("(" * 5000, "-" * 20_000 + "1", "a" + ".b" * 20_000, "\0", '"""', "%%nothing\n1")
    for extra in hard:
        assert twice.scores(RIGHT, extra=extra) == {"test_f": 10, "more": 10}, extra[:20]


def test_a_very_long_cell_runs(twice: Assignment) -> None:
    source = RIGHT["f"] + "\nrows = [" + "1, " * 100_000 + "]\n%time len(rows)"
    assert twice.scores({"f": source}) == {"test_f": 10, "more": 10}


def test_what_is_compared_is_an_array_of_our_own(twice: Assignment) -> None:
    # A class that an array believes to be an array, and that equals everything.
    answers = {
        "f": "class Same(np.ndarray):\n"
        "    def __eq__(self, other): return np.ones(3, bool)\n"
        "    def __array_ufunc__(self, *a, **k): return True\n"
        "def f(x):\n    return np.zeros(3).view(Same)"
    }
    assert twice.scores(answers) == {"test_f": 0, "more": 0}


def test_an_answer_may_be_a_tensor_where_the_tests_do_not_name_pytorch() -> None:
    code = "import sys\nassert f(2.0).item() == 4.0, type(f(2.0))"
    assignment = Assignment(
        given("import torch"),
        answer(STUB, "f"),
        graded(code, "test_f"),
        graded("assert 'torch' in sys.modules", "loaded"),
    )
    assert "torch" not in assignment.prepared.module.__dict__
    assert assignment.scores({"f": "def f(x):\n    return torch.tensor(2 * x)"}) == {
        "test_f": 10,
        "loaded": 10,
    }

"""What runs where, told from the text of the cells alone."""

import time

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from coursekit.grading.package import Package
from coursekit.grading.split.names import names_in
from coursekit.grading.split.plan import in_short, make_plan, steps_for

PLAIN = {"grade": False, "locked": False, "solution": False, "task": False, "schema_version": 3}


@pytest.mark.parametrize(
    ("source", "loads", "binds", "imports"),
    [
        ("x = y", {"y"}, {"x"}, set()),
        ("import a.b as c, d.e\nfrom f import g", set(), set(), {"c", "d", "g"}),
        ("def f(x, k=z):\n    w = x + v\n    return w", {"z", "v"}, {"f"}, set()),
        (
            "class A(B):\n    n = m\n    def f(self): return self.n + o",
            {"B", "m", "o"},
            {"A"},
            set(),
        ),
        ("[i * j for i in k]", {"j", "k"}, set(), set()),
        ("def f():\n    global g\n    g = h", {"h"}, {"f", "g"}, set()),
        ("for i, (j, *k) in l: pass", {"l"}, {"i", "j", "k"}, set()),
        ("with a as b: pass\ntry: pass\nexcept E as e: pass", {"a", "E"}, {"b", "e"}, set()),
        ("if (n := 5): pass\nn += 1", {"n"}, {"n"}, set()),
        ("lambda x: x + y", {"y"}, set(), set()),
        ("@d\ndef f() -> T: ...", {"d", "T"}, {"f"}, set()),
        ("del x", set(), {"x"}, set()),
        ("import x\nx = 1", set(), {"x"}, set()),
        ("%time y = f(x)", {"get_ipython"}, set(), set()),
        ("x = %who", {"get_ipython"}, {"x"}, set()),
    ],
)
def test_names_are_read_off_the_source(source, loads, binds, imports):
    names = names_in(source)
    assert (names.loads, names.binds, names.imports) == (loads, binds, imports)


def test_a_cell_that_is_no_python_may_use_any_name():
    assert {"def", "broken", "x"} <= names_in("def broken(:\n    x").loads


def cell(source: str, name: str, **roles: object) -> NotebookNode:
    return new_code_cell(
        source, id=name, metadata={"nbgrader": {**PLAIN, "grade_id": name, **roles}}
    )


def plan_of(*cells: NotebookNode):
    for number, one in enumerate(cells):
        if not one.metadata.get("nbgrader"):
            one.id = f"plain-{number}"
    release = new_notebook(cells=list(cells))
    return make_plan(Package("01_x", "x", release, release)), release


def answer(source: str, name: str) -> NotebookNode:
    return cell(source, name, solution=True)


def graded(source: str, name: str) -> NotebookNode:
    return cell(source, name, grade=True, points=1)


def test_given_cells_before_the_first_answer_run_once_for_all():
    plan, _ = plan_of(
        new_code_cell("import numpy as np"),
        new_markdown_cell("text"),
        new_code_cell("x = np.ones(3)"),
        answer("def f(x): ...", "f"),
        new_code_cell("y = x + 1"),
        graded("assert f(y)", "t"),
    )
    assert [one.cell.key for one in plan.first] == ["plain-0", "plain-2"]
    assert [*plan.trusted] == ["plain-0", "plain-2", "plain-4", "t"]
    assert plan.trusted["t"].answers == ("f",)
    assert plan.trusted["t"].wanted == ()


def test_a_given_cell_that_only_uses_answers_does_not_run_in_the_checker():
    plan, _ = plan_of(
        answer("def f(x): ...", "f"),
        new_code_cell("slow = [f(x) for x in range(10**9)]"),
        graded("assert f(1)", "t"),
    )
    assert [*plan.trusted] == ["t"]


def test_it_runs_where_a_test_needs_what_it_makes():
    plan, _ = plan_of(
        answer("def f(x): ...", "f"),
        new_code_cell("def twice(x): return f(f(x))"),
        new_code_cell("four = twice(1)"),
        graded("assert four == 4", "t"),
    )
    assert [*plan.trusted] == ["plain-1", "plain-2", "t"]
    assert plan.trusted["plain-2"].answers == ("f",)


def test_a_name_belongs_to_the_last_cell_that_makes_it():
    plan, _ = plan_of(
        answer("x = None", "a"),
        graded("assert x", "t"),
        new_code_cell("x = 5"),
        graded("assert x == 5", "u"),
    )
    assert plan.trusted["t"].answers == ("x",)
    assert plan.trusted["u"].answers == ()


def test_experiments_and_pictures_run_nowhere_unless_needed():
    mixed = "start = 3\nwith check.when_ready():\n    end = f(start)\nplots.show(start)\n"
    plan, release = plan_of(
        new_code_cell("from largemodels import check, plots"),
        answer("def f(x): ...", "f"),
        new_code_cell(mixed),
        graded("assert start == 3", "t"),
    )
    assert plan.trusted["plain-2"].source.split() == ["start", "=", "3"]
    [_, _, step, test] = steps_for(plan, release)
    assert step.source.split() == ["start", "=", "3"]
    assert test.source is None
    short = in_short(plan, release)
    assert [cell.source.split() for cell in short.cells[2:3]] == [["start", "=", "3"]]
    assert [short.cells[n] for n in (0, 1, 3)] == [release.cells[n] for n in (0, 1, 3)]
    needed, release = plan_of(
        new_code_cell("from largemodels import check, plots"),
        answer("def f(x): ...", "f"),
        new_code_cell(mixed),
        graded("assert end == 3", "t"),
    )
    assert "end = f(start)" in in_short(needed, release).cells[2].source
    assert "end = f(start)" in needed.trusted["plain-2"].source
    release.cells.append(new_code_cell("print(end)", id="extra-1"))
    assert "end = f(start)" in steps_for(needed, release)[2].source


def test_what_a_student_draws_in_a_given_cell_is_drawn():
    plan, release = plan_of(new_code_cell("plots.show(1)"), graded("assert 1", "t"))
    assert steps_for(plan, release)[0].source is None
    release.cells[0].source = "plots.show(2)"
    assert steps_for(plan, release)[0].source == "plots.show(2)"


def test_a_visible_test_runs_beside_the_student_only_if_it_makes_what_they_use():
    plan, release = plan_of(
        answer("def f(x): ...", "f"),
        graded("test_x = 1\nassert f(test_x)", "t"),
        answer("g = None", "g"),
        graded("assert g", "u"),
    )
    assert [step.source is None for step in steps_for(plan, release)] == [False, True, False, True]
    release.cells[2].source = "g = f(test_x)"
    steps = steps_for(plan, release)
    assert [step.source is None for step in steps] == [False, False, False, True]
    # Who makes the name earlier does not need the test.
    release.cells[0].source = "test_x = 5\ndef f(x): ..."
    assert steps_for(plan, release)[1].source is None


@pytest.mark.parametrize("source", ["1", "x{n} = x{before}", "def y(): return x{n} + y()"])
def test_ten_thousand_cells_take_no_long_time(source):
    plan, release = plan_of(
        answer("x0 = 1", "a"),
        graded("result = x0", "t"),
        new_code_cell("with check.when_ready():\n    z = 1"),
    )
    # Nobody validates so many cells.
    cells = [
        NotebookNode(cell_type="code", id=f"n{n}", source=source.format(n=n, before=n - 1))
        for n in range(10_000)
    ]
    started = time.monotonic()
    steps = steps_for(plan, NotebookNode(cells=[*release.cells, *cells]))
    assert time.monotonic() - started < 20
    assert sum(step.source is not None for step in steps) == 10_001


def test_hidden_lines_are_no_part_of_what_runs_beside_the_student():
    visible = new_notebook(cells=[graded("test_x = 1", "t"), answer("pass", "a")])
    source = new_notebook(cells=[graded("test_x = 1\nhidden = 2", "t"), answer("1", "a")])
    plan = make_plan(Package("01_x", "x", source, visible))
    assert "hidden" in plan.trusted["t"].source
    visible.cells[1].source = "y = test_x"
    assert steps_for(plan, visible)[0].source == "test_x = 1"


def test_a_builtin_is_asked_for_only_if_a_student_answers_for_it():
    plan, _ = plan_of(answer("def sum(x): ...", "a"), graded("assert sum(x) == len(x)", "t"))
    assert plan.trusted["t"].answers == ("sum",)
    assert plan.trusted["t"].wanted == ("x",)


def test_statements_that_share_a_line_stay_together():
    both = "with check.when_ready(): a = 1\nb = 2; plots.show(b)"
    plan, release = plan_of(new_code_cell(both), graded("assert b", "t"))
    assert "b = 2" in steps_for(plan, release)[0].source


def test_an_import_that_no_line_of_the_checker_uses_stays_away():
    cells = [
        new_code_cell("from __future__ import annotations\nimport torch\nimport a.b, c\nimport d"),
        new_code_cell("from e import *\nfrom f import g as h, i\nimport j.k as l"),
        answer("x = torch.ones(2)", "x"),
        graded("assert c.right(x) and i", "test"),
    ]
    plan, _ = plan_of(*cells)
    sources = [one.source for one in plan.trusted.values()]
    assert sources[0].split("\n") == [
        "from __future__ import annotations",
        "",
        "import a.b, c",
        "",
    ]
    assert sources[1].split("\n") == ["from e import *", "from f import g as h, i", ""]
    assert plan.tensors
    assert not plan_of(new_code_cell("import torchless"), *cells[2:])[0].tensors

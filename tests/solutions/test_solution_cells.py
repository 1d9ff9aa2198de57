"""What holds for the cells of every exercise, whatever its topic."""

import ast
import doctest
import re
import subprocess
import sys

import nbformat
import numpy as np


def stored_names(source):
    """Names that a cell leaves behind for the cells after it."""
    todo, names = list(ast.parse(source).body), set()
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif not isinstance(node, ast.comprehension | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return names


def parameters(source):
    """Names of the arguments of the functions and methods in a cell."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return {argument.arg for function in functions for argument in function.args.args}


def collisions(given, written):
    return set().union(*map(stored_names, given)) & set().union(*map(parameters, written))


def test_no_given_cell_defines_an_argument_of_a_students_function(exercise):
    # Else a function that reads the global name in place of its argument would pass the check.
    written = [cell.source for cell in exercise.solution_cells]
    given = [
        cell.source
        for cell in exercise.notebook.cells
        if cell.cell_type == "code" and cell.source not in written
    ]
    assert not collisions(given, written)


def test_the_gate_finds_a_collision():
    given = ["with check.task('relu'):\n    x = 1\n    y = [z for z in range(3)]"]
    assert collisions(given, ["def relu(x, z): return x"]) == {"x"}


def test_the_code_of_a_solution_is_formatted_and_linted(exercise, repository, tmp_path):
    notebook = tmp_path / "solution.ipynb"
    nbformat.write(exercise.notebook, notebook)
    for command in (["check"], ["format", "--check"]):
        result = subprocess.run(
            [
                *(sys.executable, "-m", "ruff", *command),
                *("--config", str(repository.root / "pyproject.toml"), str(notebook)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_every_graded_cell_reports_through_check(exercise):
    for cell in exercise.graded_cells:
        [statement] = ast.parse(cell.source).body
        assert isinstance(statement, ast.With), (
            f"{cell.grade_id}: wrap it in `with check.task(...)`"
        )
        assert ast.unparse(statement.items[0].context_expr).startswith("check.task(")


def examples(exercise):
    """Every block of Python in the text of an exercise."""
    for cell in exercise.notebook.cells:
        if cell.cell_type == "markdown":
            yield from re.findall(r"^```python\n(.*?)^```", cell.source, re.DOTALL | re.MULTILINE)


def untrue(block, names):
    """Run an example; return what differs from the comments `expression   # result`."""
    tree = ast.parse(block)
    lines = block.splitlines()
    names, wrong = dict(names), []
    for statement in tree.body:
        code = ast.unparse(statement)
        if not isinstance(statement, ast.Expr):
            exec(code, names)
            continue
        promised = " ".join(lines[statement.end_lineno - 1].partition("  # ")[2].split())
        with np.printoptions(legacy="1.25"):
            printed = " ".join(repr(eval(code, names)).split())
        if not doctest.OutputChecker().check_output(promised, printed, doctest.ELLIPSIS):
            wrong.append(f"{code} gives {printed}, not {promised or 'nothing'}")
    return wrong


def test_the_examples_in_the_text_are_true(exercise, namespace):
    names, blocks = namespace(exercise), list(examples(exercise))
    assert len(blocks) >= 4
    assert [wrong for block in blocks for wrong in untrue(block, names)] == []


def test_the_gate_finds_an_untrue_example():
    assert untrue("x = 2\nx + 1   # 3", {}) == []
    assert untrue("x = 2\nx + 1   # 4", {}) == ["x + 1 gives 3, not 4"]

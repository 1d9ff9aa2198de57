"""Right, wrong and cheap answers to an exercise, made into submissions."""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from nbformat import NotebookNode

from coursekit.errors import CourseError
from coursekit.exercises import Cell, Exercise

__all__ = ["CHEAP_ANSWERS", "Variant", "submission", "variants"]

Kind = Literal["reference", "alternative", "noisy", "untouched", "cheap", "mutant"]

# What a student can type without a thought. `{}` of the text stands for the first argument.
CHEAP_ANSWERS = {
    "none": "return None",
    "zeros": "return __import__('numpy').zeros_like({})",
    "input": "return {}",
    "empty": "return {{}}",
    "raise": "raise RuntimeError('not done')",
}

_NOISE = """
import sys, warnings
warnings.warn("a warning in a right answer")
print("a line on stderr in a right answer", file=sys.stderr)
"""


@dataclass(frozen=True)
class Variant:
    """One submission and what it must score.

    Args:
        name: What the table of results calls it; also the student's name in the grade book.
        kind: What it is.
        sources: Sources of solution cells by `grade_id`; every other one stays the stub.
        nothing: Graded cells that must give no point.
        broken: Graded cells that must give less than their points.
        says: What the message of a broken cell must contain.
    """

    name: str
    kind: Kind
    sources: dict[str, str]
    nothing: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    says: str = ""

    @property
    def right(self) -> bool:
        """Whether it must score full marks."""
        return self.kind in {"reference", "alternative", "noisy"}


def variants(exercise: Exercise) -> Iterator[Variant]:
    """Every submission that the exercise must grade as its author means it."""
    reference = {cell.grade_id: cell.answer for cell in exercise.solution_cells}
    everything = tuple(cell.grade_id for cell in exercise.graded_cells)
    yield Variant("reference", "reference", reference)
    yield Variant("reference, noisy", "noisy", _noisy(exercise, reference))
    for alternative in exercise.alternatives:
        sources = reference | alternative.sources
        yield Variant(alternative.name, "alternative", sources)
        yield Variant(f"{alternative.name}, noisy", "noisy", _noisy(exercise, sources))
    yield Variant("untouched", "untouched", {}, nothing=everything)
    for answer in CHEAP_ANSWERS:
        cheap = {cell.grade_id: _cheap(exercise, cell, answer) for cell in exercise.solution_cells}
        yield Variant(f"all {answer}", "cheap", cheap, nothing=everything)
        for cell in exercise.solution_cells:
            if _needs_others(exercise, cell):
                checks = tuple(check.grade_id for check in exercise.checks_of(cell))
                sources = reference | {cell.grade_id: cheap[cell.grade_id]}
                yield Variant(f"{cell.grade_id} {answer}", "cheap", sources, nothing=checks)
    for mutant in exercise.mutants:
        patched = reference[mutant.cell].replace(mutant.replace, mutant.replacement)
        sources = reference | {mutant.cell: patched}
        yield Variant(mutant.name, "mutant", sources, broken=mutant.breaks, says=mutant.says)


def submission(release: NotebookNode, variant: Variant) -> NotebookNode:
    """What a student with these answers hands in: the released notebook, filled in."""
    notebook = copy.deepcopy(release)
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if grade_id in variant.sources:
            cell.source = variant.sources[grade_id]
    return notebook


def _needs_others(exercise: Exercise, cell: Cell) -> bool:
    """Whether the checks of a solution cell use what other solution cells define.

    Where they do, these checks may refuse a cheap answer only because the others are cheap as well;
    where they do not, a notebook full of cheap answers tells as much as one of them alone.
    """
    solutions = {other.index for other in exercise.solution_cells}
    checks = [check.index for check in exercise.checks_of(cell)]
    todo, seen = set[str](), set[str]()
    for index in checks:
        todo |= _names(exercise.notebook.cells[index].source)[1]
    while todo:
        name = todo.pop()
        seen.add(name)
        for index, other in enumerate(exercise.notebook.cells[: max(checks)] if checks else ()):
            defined, used = _names(other.source) if other.cell_type == "code" else (set(), set())
            if name in defined and index != cell.index:
                if index in solutions:
                    return True
                todo |= used - seen
    return False


@cache  # The same cells are asked about for each solution cell and each cheap answer.
def _names(source: str) -> tuple[set[str], set[str]]:
    """Names that a code cell defines at its top level, and names that it takes from elsewhere."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # Magics are not plain Python; such a cell defines no function of ours.
        return set(), set()
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    used = {node.id for node in names} - own
    defined, todo = set[str](), list[ast.AST](tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)  # What its body assigns is its own.
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        else:
            todo += ast.iter_child_nodes(node)
    return defined, used


def _cheap(exercise: Exercise, cell: Cell, answer: str) -> str:
    """The solution cell with each answer replaced by a cheap one."""

    def edit(function: ast.FunctionDef) -> None:
        arguments = [*function.args.posonlyargs, *function.args.args]
        names = [argument.arg for argument in arguments if argument.arg not in {"self", "cls"}]
        statement = CHEAP_ANSWERS[answer].format(names[0] if names else None)
        # `return` parses only inside a function; the parsed wrapper itself is dropped.
        [wrapper] = ast.parse(f"def wrapper(): {statement}").body
        assert isinstance(wrapper, ast.FunctionDef)
        function.body = [*_docstring(function), *wrapper.body]

    return _edit(exercise, cell.grade_id, cell.source, cell.solution_lines, edit)


def _noisy(exercise: Exercise, sources: dict[str, str]) -> dict[str, str]:
    """The same answers, writing to stderr whenever one of their functions runs."""

    def edit(function: ast.FunctionDef) -> None:
        docstring = _docstring(function)
        function.body = [*docstring, *ast.parse(_NOISE).body, *function.body[len(docstring) :]]

    return {
        grade_id: _edit(exercise, grade_id, source, None, edit)
        for grade_id, source in sources.items()
    }


def _edit(
    exercise: Exercise,
    grade_id: str,
    source: str,
    lines: list[int] | None,
    edit: Callable[[ast.FunctionDef], None],
) -> str:
    """Edit the functions, methods included, that hold one of the lines; all without `lines`."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise CourseError(
            f"{exercise.source_name}, cell `{grade_id}`: an answer is not plain Python "
            f"({error.msg}, line {error.lineno} of the answer); mend it."
        ) from error

    def visit(body: list[ast.stmt]) -> None:
        for node in body:
            held = set(range(node.lineno, 1 + (node.end_lineno or node.lineno)))
            if isinstance(node, ast.ClassDef):
                visit(node.body)
            elif isinstance(node, ast.FunctionDef) and (lines is None or held & set(lines)):
                edit(node)

    visit(tree.body)
    return ast.unparse(tree)


def _docstring(function: ast.FunctionDef) -> list[ast.stmt]:
    return function.body[:1] if ast.get_docstring(function) is not None else []

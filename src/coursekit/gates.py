"""What `course check` finds in an exercise without running it."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nbformat import NotebookNode

from coursekit.exercises import Cell, Exercise
from coursekit.notebook_files import cell_name, to_text
from coursekit.release import COMMAND, release_path
from coursekit.repository import Repository

__all__ = ["Finding", "leaks", "points", "stale", "visible_checks"]

POINTS = 100
MANUAL_POINTS = 10
# Shorter lines, such as `return x`, say nothing about a solution.
SHORTEST_LEAK = 16


@dataclass(frozen=True)
class Finding:
    """One thing to mend.

    Args:
        gate: Which gate found it.
        where: File, variant or cell.
        problem: What is wrong, and what to do.
    """

    gate: str
    where: str
    problem: str


def stale(repository: Repository, exercise: Exercise, release: NotebookNode) -> Iterator[Finding]:
    """exercises/ is what solutions/ makes."""
    path = release_path(repository, exercise)
    if not path.is_file():
        problem = f"missing; run `{COMMAND}`."
    elif path.read_text(encoding="utf-8") != to_text(release):
        problem = f"differs from what {exercise.source_name} makes; run `{COMMAND}`."
    else:
        return
    yield Finding("stale", repository.name(path), problem)


def points(exercise: Exercise) -> Iterator[Finding]:
    """100 points come from running cells, at most 10 from a person."""
    automatic = sum(cell.points for cell in exercise.cells.values() if cell.automatic)
    manual = sum(cell.points for cell in exercise.cells.values() if cell.manual)
    if automatic != POINTS:
        problem = f"graded cells give {automatic:g} points, not {POINTS}; change `points`."
        yield Finding("points", exercise.source_name, problem)
    if manual > MANUAL_POINTS:
        problem = f"a person gives {manual:g} points, more than {MANUAL_POINTS}; change `points`."
        yield Finding("points", exercise.source_name, problem)


def visible_checks(exercise: Exercise) -> Iterator[Finding]:
    """A student sees in every graded cell whether the answer is right so far."""
    for cell in exercise.graded_cells:
        where = f"{exercise.source_name}, cell `{cell.grade_id}`"
        try:
            tree = ast.parse(cell.visible)
        except SyntaxError as error:
            problem = f"the visible part is not plain Python ({error.msg}); mend it."
            yield Finding("visible checks", where, problem)
            continue
        if not any(isinstance(node, ast.Assert) or _is_check(node) for node in ast.walk(tree)):
            problem = "every check is hidden; show an `assert` or a call of `check`."
            yield Finding("visible checks", where, problem)


def _is_check(node: ast.AST) -> bool:
    """Whether a node calls a function of `largemodels.check`."""
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    while isinstance(function, ast.Attribute):
        function = function.value
    return isinstance(function, ast.Name) and function.id == "check"


def leaks(exercise: Exercise, release: NotebookNode) -> Iterator[Finding]:
    """No line of an answer or of a hidden test is in what the student gets."""
    haystacks = [
        (cell_name(cell, index), "\n".join(map(_normal, cell.source.splitlines())))
        for index, cell in enumerate(release.cells)
    ]
    secrets = {secret: origin for origin, secret in _secrets(exercise)}
    for secret, origin in secrets.items():
        for name, haystack in haystacks:
            if secret in haystack:
                problem = f"shows a line of {origin}: `{secret}`; reword one of the two."
                yield Finding("leak", f"release, cell {name}", problem)


def _secrets(exercise: Exercise) -> Iterator[tuple[str, str]]:
    """Lines that a student must not see, with where they come from."""

    def telling(lines: list[str], cell: Cell) -> Iterator[str]:
        # What the same cell shows anyway, a signature or a visible check, is no secret.
        shown = {_normal(line) for line in cell.visible.splitlines()}
        for line in map(_normal, lines):
            # Imports and lines that only open a block or a bracket say nothing either.
            empty = re.match(r"(import|from) ", line) or line.endswith((":", "(", "[", "{"))
            if len(line) >= SHORTEST_LEAK and line not in shown and not empty:
                yield line

    for cell in exercise.cells.values():
        for line in telling(cell.lines(cell.solution_lines), cell):
            yield f"the solution of `{cell.grade_id}`", line
        for line in telling(cell.lines(cell.hidden_lines), cell):
            yield f"the hidden tests of `{cell.grade_id}`", line
    for alternative in exercise.alternatives:
        for grade_id, source in alternative.sources.items():
            for line in telling(source.splitlines(), exercise.cells[grade_id]):
                yield f"the alternative {alternative.name}", line
    for mutant in exercise.mutants:
        for line in telling(mutant.replacement.splitlines(), exercise.cells[mutant.cell]):
            yield f"the mutant {mutant.name}", line


def _normal(line: str) -> str:
    """A line without comment and without differences of white space."""
    return " ".join(re.sub(r"(^|\s)#(\s.*)?$", "", line).split())

"""Does an exercise grade as its author means it? `course check`.

Every gate yields findings; an exercise without findings is ready for students.
"""

import ast
import copy
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode

from coursekit.autograde import Graded, grade_all
from coursekit.execution import execute
from coursekit.exercises import Cell, Exercise
from coursekit.notebook_files import cell_name, to_text
from coursekit.release import COMMAND, release_notebook, release_path, source_notebook
from coursekit.repository import Repository
from coursekit.variants import Variant, submission, variants

__all__ = ["Finding", "Report", "Row", "check_exercise"]

POINTS = 100
MANUAL_POINTS = 10
# Shorter lines, such as `return x`, say nothing about a solution.
SHORTEST_LEAK = 16
# What `largemodels.check.task` says about a stub that nobody filled in.
NOT_WRITTEN = "not written yet"


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


@dataclass(frozen=True)
class Row:
    """What one submission scored, and what it had to score."""

    variant: Variant
    graded: Graded
    wanted: str
    passed: bool


@dataclass
class Report:
    """Everything that `course check` found out about one exercise."""

    exercise: Exercise
    findings: list[Finding] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def check_exercise(
    repository: Repository,
    exercise: Exercise,
    *,
    quick: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Run every gate over an exercise.

    Args:
        repository: The course.
        exercise: The exercise.
        quick: Leave out the gates that run notebooks.
        workers: Processes that grade; see `coursekit.autograde.grade_all`.
        progress: Called with the number of graded submissions and of all.
    """
    report = Report(exercise)
    source = source_notebook(repository, exercise)
    release = release_notebook(source, exercise)
    plan = list(variants(exercise))
    report.findings += _stale(repository, exercise, release)
    report.findings += _points(exercise)
    report.findings += _visible_checks(exercise)
    report.findings += _leaks(exercise, release)
    if quick:
        return report
    report.findings += _stubs(exercise, release)
    submissions = {variant.name: submission(release, variant) for variant in plan}
    progress(0, len(plan))
    results: dict[str, Graded] = {}
    for name, graded in grade_all(
        source, exercise.name, exercise.topic, submissions, workers=workers
    ):
        results[name] = graded
        progress(len(results), len(plan))
    for variant in plan:
        graded = results[variant.name]
        found = list(_variant(exercise, variant, graded))
        report.findings += found
        report.rows.append(Row(variant, graded, _wanted(exercise, variant), not found))
    return report


def _stale(repository: Repository, exercise: Exercise, release: NotebookNode) -> Iterator[Finding]:
    """exercises/ is what solutions/ makes."""
    path = release_path(repository, exercise)
    if not path.is_file():
        problem = f"missing; run `{COMMAND}`."
    elif path.read_text(encoding="utf-8") != to_text(release):
        problem = f"differs from what {exercise.source_name} makes; run `{COMMAND}`."
    else:
        return
    yield Finding("stale", repository.name(path), problem)


def _points(exercise: Exercise) -> Iterator[Finding]:
    """100 points come from running cells, at most 10 from a person."""
    automatic = sum(cell.points for cell in exercise.cells.values() if cell.automatic)
    manual = sum(cell.points for cell in exercise.cells.values() if cell.manual)
    if automatic != POINTS:
        problem = f"graded cells give {automatic:g} points, not {POINTS}; change `points`."
        yield Finding("points", exercise.source_name, problem)
    if manual > MANUAL_POINTS:
        problem = f"a person gives {manual:g} points, more than {MANUAL_POINTS}; change `points`."
        yield Finding("points", exercise.source_name, problem)


def _visible_checks(exercise: Exercise) -> Iterator[Finding]:
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


def _leaks(exercise: Exercise, release: NotebookNode) -> Iterator[Finding]:
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


def _stubs(exercise: Exercise, release: NotebookNode) -> Iterator[Finding]:
    """The released notebook runs; only graded cells fail, and they say that a stub is empty."""
    notebook = copy.deepcopy(release)
    with tempfile.TemporaryDirectory() as folder:
        execute(notebook, Path(folder), name=f"{exercise.name}, released", keep_going=True)
    for index, cell in enumerate(notebook.cells):
        graded = cell.metadata.get("nbgrader", {}).get("grade", False)
        where = f"release, cell {cell_name(cell, index)}"
        failed = False
        for output in cell.get("outputs", []):
            if output.output_type != "error":
                continue
            failed = True
            if not graded:
                problem = f"fails while the stubs are empty ({output.ename}); guard it."
                yield Finding("stubs", where, problem)
            elif output.ename != "NotImplementedError" and NOT_WRITTEN not in output.evalue:
                problem = (
                    f"an empty stub ends in {output.ename}, not in NotImplementedError or a "
                    f"message with `{NOT_WRITTEN}`; call the stub first."
                )
                yield Finding("stubs", where, problem)
        if graded and cell.cell_type == "code" and not failed:
            yield Finding("stubs", where, "passes while the stubs are empty; check the answer.")


def _wanted(exercise: Exercise, variant: Variant) -> str:
    """What a variant must score, in a few words."""
    if variant.right:
        return f"{sum(cell.points for cell in exercise.graded_cells):g}"
    if variant.broken:
        return f"less on {', '.join(variant.broken)}"
    everything = len(variant.nothing) == len(exercise.graded_cells)
    return "0" if everything else f"0 on {', '.join(variant.nothing)}"


def _variant(exercise: Exercise, variant: Variant, graded: Graded) -> Iterator[Finding]:
    """A variant scores what it must, and hears what it must hear."""
    maxima: Mapping[str, float] = {cell.grade_id: cell.points for cell in exercise.graded_cells}
    if variant.right:
        for cell, points in maxima.items():
            if graded.scores.get(cell) != points:
                yield _scored(variant, cell, graded, f"not {points:g}; make the check accept it")
        for mutant in exercise.mutants:
            if mutant.says in " ".join(graded.output.split()):
                problem = f"a right answer is told {mutant.says!r}, the message of {mutant.name}."
                yield Finding("right answer", variant.name, problem)
    for cell in variant.nothing:
        if graded.scores.get(cell) != 0:
            yield _scored(variant, cell, graded, "not 0; make the check refuse it")
    for cell in variant.broken:
        if graded.scores.get(cell, 0.0) >= maxima[cell]:
            yield _scored(variant, cell, graded, "so the mutant survives; sharpen the check")
    messages = [graded.messages.get(cell, "") for cell in variant.broken]
    if variant.says and not any(variant.says in message for message in messages):
        heard = next(filter(None, messages), "nothing")
        problem = f"no broken cell says {variant.says!r}; heard: {_short(heard)}"
        yield Finding("message", f"{variant.name}, cell {' or '.join(variant.broken)}", problem)


def _scored(variant: Variant, cell: str, graded: Graded, rest: str) -> Finding:
    score = graded.scores.get(cell)
    heard = _short(graded.messages.get(cell, ""))
    problem = f"scores {'nothing' if score is None else f'{score:g}'}, {rest}" + (
        f"; heard: {heard}" if heard else "."
    )
    gate = {"noisy": "alternative", "untouched": "cheap answer", "cheap": "cheap answer"}
    return Finding(gate.get(variant.kind, variant.kind), f"{variant.name}, cell {cell}", problem)


def _short(text: str) -> str:
    return text if len(text) <= 300 else text[:297] + "..."

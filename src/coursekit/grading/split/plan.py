"""What runs where: which cells of a notebook run beside the student's code, which in the checker.

Test cells run in the checker alone. Given cells run on both sides: the student's version beside the
student's code, the release's version in the checker, unless no test needs it. Experiments (`with
check.when_ready():`) run on a side only if another cell there needs what they make.
"""

import ast
import builtins
import copy
import functools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from coursekit.errors import CourseError
from coursekit.grading.notebook import NotebookNode
from coursekit.grading.package import Package
from coursekit.grading.split.names import Names, names_in, parsed, plain

__all__ = ["Cell", "Plan", "Step", "in_short", "make_plan", "steps_for"]

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__doc__", "display", "get_ipython"}
# What draws. No grade depends on it, and it takes the most time.
_PICTURES = frozenset({"plots", "plt", "display"})
_PYTORCH = re.compile(r"^\s*(?:import|from)\s+torch\b", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """One code cell of the release.

    Args:
        key: Its id.
        kind: Whether the release gives it, a student answers it, or it tests.
        grade_id: Its name for nbgrader; empty for a plain cell.
        source: The instructor's text of it, with hidden tests.
        visible: What a student sees of it.
        points: What a test is worth.
        in_process: Whether a test runs beside the student's code.
    """

    key: str
    kind: Literal["given", "answer", "test"]
    grade_id: str
    source: str
    visible: str
    points: float = 0.0
    in_process: bool = False

    @property
    def names(self) -> Names:
        """The global names in it."""
        return names_in(self.source)


@dataclass(frozen=True)
class Trusted:
    """One cell as it runs in the checker.

    Args:
        cell: The cell.
        source: What runs of it.
        answers: Names in it that the student answers for.
        wanted: Names in it that nobody but the student may have.
    """

    cell: Cell
    source: str
    answers: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is known of an assignment before any submission.

    Args:
        cells: The code cells of the release, by id, in order.
        trusted: What runs in the checker, by id of the cell, in order.
        tensors: Whether the release imports PyTorch, so that answers may be tensors.
        given: The names that the given cells make.
    """

    cells: Mapping[str, Cell]
    trusted: Mapping[str, Trusted]
    tensors: bool = False
    given: frozenset[str] = frozenset()

    @property
    def tests(self) -> list[Cell]:
        """The graded cells."""
        return [cell for cell in self.cells.values() if cell.kind == "test"]

    @property
    def first(self) -> list[Trusted]:
        """What runs in the checker before the first answer: once for all submissions."""
        first: list[Trusted] = []
        for key, cell in self.cells.items():
            if cell.kind != "given":
                break
            if key in self.trusted:
                first.append(self.trusted[key])
        return first


@dataclass(frozen=True)
class Step:
    """One code cell of a submission.

    Args:
        key: Its id.
        cell: The cell of the release; None where the student added it.
        source: What runs beside the student's code; None where nothing does.
    """

    key: str
    cell: Cell | None
    source: str | None


@dataclass(frozen=True)
class _Part:
    """A part of a cell that runs or not: all of it, its experiments, or the rest."""

    names: Names
    always: bool = True


def make_plan(package: Package) -> Plan:
    """Read the source and the release of an assignment."""
    graded = {_grade_id(cell): cell for cell in package.source_notebook.cells if _grade_id(cell)}
    cells = {
        cell.id: _cell(cell, graded.get(_grade_id(cell)))
        for cell in package.release_notebook.cells
        if cell.cell_type == "code"
    }
    order = list(cells.values())
    parts = []
    for cell in order:
        rest, experiment = _split(cell.source) if cell.kind == "given" else (cell.source, "")
        needs_student = bool(_answered(cell, order))
        answer = Names() if cell.kind == "answer" else names_in(rest)
        parts += [
            _Part(answer, cell.kind == "test" or (cell.kind == "given" and not needs_student)),
            _Part(names_in(experiment), False),
        ]
    runs = _needed(parts)
    sources: dict[int, str] = {}
    for index, cell in enumerate(order):
        rest_runs, experiment_runs = runs[2 * index : 2 * index + 2]
        if cell.kind == "answer" or not (rest_runs or experiment_runs):
            continue
        source = cell.source
        if cell.kind == "given":
            source = plain(_undrawn(source if experiment_runs else _split(source)[0]))
        sources[index] = source
    used = frozenset[str]().union(*(names_in(source).loads for source in sources.values()))
    trusted: dict[str, Trusted] = {}
    for index, source in sources.items():
        cell = order[index]
        if cell.kind == "given":
            source = _without(source, lambda statement: _is_unused_import(statement, used))
        answers, wanted = _asked(cell, source, order[:index], trusted)
        trusted[cell.key] = Trusted(cell, source, answers, wanted)
    tensors = any(_PYTORCH.search(cell.source) for cell in order if cell.kind == "given")
    given = frozenset[str]().union(*(one.names.binds for one in order if one.kind == "given"))
    return Plan(cells, trusted, tensors, given)


def steps_for(plan: Plan, notebook: NotebookNode) -> list[Step]:
    """What runs beside a student's code.

    Args:
        plan: The plan of the assignment.
        notebook: The release with the student's work.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    known = [plan.cells.get(cell.id) for cell in code]
    parts = []
    for cell, one in zip(code, known, strict=True):
        if one is not None and one.kind == "test":
            # Only if the student uses what a test has made.
            parts += [_Part(names_in(one.visible), False), _Part(Names(), False)]
        elif one is not None and one.kind == "given":
            rest, experiment = _split(cell.source)
            parts += [_Part(names_in(rest)), _Part(names_in(experiment), False)]
        else:
            parts += [_Part(names_in(cell.source)), _Part(Names(), False)]
    runs = _needed(parts)
    steps = []
    for index, (cell, one) in enumerate(zip(code, known, strict=True)):
        rest_runs, experiment_runs = runs[2 * index : 2 * index + 2]
        source = cell.source if rest_runs or experiment_runs else None
        if one is not None and one.kind == "test":
            source = one.visible if rest_runs else None
        elif one is not None and one.kind == "given":
            source = cell.source if experiment_runs else _split(cell.source)[0]
            if cell.source == one.visible:
                source = _undrawn(source)
        steps.append(Step(cell.id, one, source if source is None or source.strip() else None))
    return steps


def in_short(plan: Plan, notebook: Any) -> Any:
    """Leave out of a notebook what takes long and decides no grade: experiments and pictures.

    For graders that run a notebook as it is; it stays a notebook of theirs.
    """
    notebook = copy.deepcopy(notebook)
    cells = {cell.id: cell for cell in notebook.cells}
    for step in steps_for(plan, notebook):
        trusted = plan.trusted.get(step.key)
        test_needs = trusted is not None and _split(trusted.source)[1]
        if step.cell is not None and step.cell.kind == "given" and not test_needs:
            cells[step.key].source = step.source or ""
    return notebook


def _needed(parts: Sequence[_Part]) -> list[bool]:
    """Which parts run: those that always do, and those that make what a later one uses."""
    runs = [part.always for part in parts]
    while True:
        before = list(runs)
        _run_what_is_used(parts, runs)
        if runs == before:
            return runs


def _run_what_is_used(parts: Sequence[_Part], runs: list[bool]) -> None:
    """Go through the parts once, and mark those that make what a later one lacks.

    A student may hand in ten thousand cells, so no part looks at all of those before it.
    """
    made, makers = set[str](), dict[str, list[Names]]()  # By the parts before this one that run.
    idle: list[int] = []  # Those that do not, and make something.
    fine = set[str]()  # Names that lack nothing, whatever they use in turn.
    for later, part in enumerate(parts):
        if not runs[later]:
            if part.names.makes:
                idle.append(later)
                fine.clear()
            continue
        joining = [part]
        made |= part.names.makes
        offered = {name for index in idle for name in parts[index].names.makes} - made
        missing = _lacking(part.names.loads, makers, offered, fine) if offered else set[str]()
        if missing:
            used = [index for index in idle if parts[index].names.makes & missing]
            idle = [index for index in idle if index not in used]
            fine.clear()
            for index in used:
                runs[index] = True
                made |= parts[index].names.makes
                joining.append(parts[index])
        for one in joining:
            for name in one.names.binds:
                makers.setdefault(name, []).append(one.names)


def _lacking(
    loads: Collection[str],
    makers: Mapping[str, Sequence[Names]],
    offered: Collection[str],
    fine: set[str],
) -> set[str]:
    """Which offered names these names are, or use by the functions of earlier cells."""
    seen, todo = set[str](), list(loads)
    while todo:
        name = todo.pop()
        if name not in fine and name not in seen:
            seen.add(name)
            for one in makers.get(name, ()):
                todo += one.loads
    missing = seen.intersection(offered)
    if not missing:
        fine |= seen
    return missing


def _uses(names: Names, earlier: Sequence[Names]) -> set[str]:
    """The names that a cell uses, itself or by the functions of earlier cells."""
    uses, todo = set[str](), set(names.loads)
    while todo:
        uses |= todo
        more = set[str]()
        for one in earlier:
            if one.binds & todo:
                more |= one.loads
        todo = more - uses
    return uses


def _answered(cell: Cell, order: Sequence[Cell]) -> set[str]:
    """The names in a cell that a student answers for."""
    before = list(order[: order.index(cell)])
    given = [one.names for one in before if one.kind != "answer"]
    return {name for name in _uses(cell.names, given) if _is_answer(name, before)}


def _is_answer(name: str, before: Sequence[Cell]) -> bool:
    """Whether the last cell that makes a name is a student's.

    What an answer imports is no answer: the checker has its own library, or goes without.
    """
    makers = [one for one in before if name in one.names.makes]
    return bool(makers) and makers[-1].kind == "answer" and name in makers[-1].names.binds


def _asked(
    cell: Cell, source: str, before: Sequence[Cell], trusted: Mapping[str, Trusted]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names that the student answers for, and those that nobody in the checker makes."""
    names = names_in(source)
    earlier = [names_in(one.source) for one in trusted.values()]
    made = names.makes.union(*(one.makes for one in earlier))
    uses = sorted(_uses(names, earlier))
    answers = tuple(name for name in uses if _is_answer(name, before))
    made |= _BUILTINS.union(answers)
    return answers, tuple(name for name in uses if name not in made)


def _cell(released: NotebookNode, source: NotebookNode | None) -> Cell:
    known, grade_id = released.metadata.get("nbgrader", {}), _grade_id(released)
    text = released.source
    if grade_id and known.get("solution"):
        return Cell(released.id, "answer", grade_id, text, text)
    if grade_id and known.get("grade"):
        trust = released.metadata.get("course", {}).get("trust")
        whole = source.source if source is not None else text
        if parsed(whole) is None:
            raise CourseError(f"{grade_id}: this test is no plain Python; write it without magics.")
        points = float(known.get("points", 0))
        return Cell(released.id, "test", grade_id, whole, text, points, trust == "in-process")
    return Cell(released.id, "given", grade_id, text, text)


def _grade_id(cell: NotebookNode) -> str:
    known = cell.metadata.get("nbgrader", {})
    roles = ("grade", "solution", "locked", "task")
    return known.get("grade_id", "") if any(known.get(role) for role in roles) else ""


@functools.lru_cache(4096)
def _split(source: str) -> tuple[str, str]:
    """The source without its experiments, and the experiments alone; line numbers stay."""
    tree = parsed(source)
    if tree is None or not any(map(_is_experiment, tree.body)):
        return source, ""
    experiments = _without(source, lambda statement: not _is_experiment(statement))
    return _without(source, _is_experiment), experiments


def _is_experiment(statement: ast.stmt) -> bool:
    """Whether a statement is `with check.when_ready(): ...`."""
    match statement:
        case ast.With(
            items=[
                ast.withitem(
                    ast.Call(ast.Attribute(ast.Name("check"), "when_ready"), args=[]), None
                )
            ]
        ):
            return True
    return False


@functools.lru_cache(4096)
def _undrawn(source: str) -> str:
    """A source without its pictures."""
    return _without(source, _is_picture)


def _is_picture(statement: ast.stmt) -> bool:
    """Whether a statement is nothing but a call such as `plots.image_grid(...)`."""
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return False
    target: ast.expr = statement.value.func
    while isinstance(target, ast.Attribute):
        target = target.value
    return isinstance(target, ast.Name) and target.id in _PICTURES


def _is_unused_import(statement: ast.stmt, used: frozenset[str]) -> bool:
    """Whether a statement imports what no line in the checker uses, such as all of PyTorch."""
    if isinstance(statement, ast.Import):
        made = {one.asname or one.name.partition(".")[0] for one in statement.names}
    elif isinstance(statement, ast.ImportFrom) and statement.module != "__future__":
        made = {one.asname or one.name for one in statement.names}
    else:
        return False
    return "*" not in made and made.isdisjoint(used)


def _without(source: str, unwanted: Callable[[ast.stmt], bool]) -> str:
    """A source with some statements blank, but for those that share a line with another one."""
    tree = parsed(source)
    if tree is None:
        return source
    lines = re.split("\r\n|\r|\n", source)  # What Python counts as lines.
    kept = [_lines_of(one) for one in tree.body if not unwanted(one)]
    stay = {number for first, last in kept for number in range(first, last + 1)}
    for first, last in (_lines_of(one) for one in tree.body if unwanted(one)):
        if stay.isdisjoint(range(first, last + 1)):
            lines[first - 1 : last] = [""] * (last - first + 1)
    return "\n".join(lines)


def _lines_of(statement: ast.stmt) -> tuple[int, int]:
    """The first and the last line of a statement."""
    decorators = [one.lineno for one in getattr(statement, "decorator_list", [])]
    return min([statement.lineno, *decorators]), statement.end_lineno or statement.lineno

"""Does an exercise grade as its author means it? `course check`.

Every gate yields findings; an exercise without findings is ready for students. Answers run in
copied processes (`coursekit.trials`); a few of them run in nbgrader as well, and must score alike.
"""

import copy
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode

from coursekit.autograde import Graded, grade_all
from coursekit.execution import execute
from coursekit.exercises import Exercise
from coursekit.gates import Finding, leaks, points, stale, visible_checks
from coursekit.grading.package import Package
from coursekit.grading.split.plan import in_short, make_plan
from coursekit.mutation import changes
from coursekit.notebook_files import cell_name
from coursekit.release import release_notebook, source_notebook
from coursekit.repository import Repository
from coursekit.trials import Attempt, Noticed, Trials
from coursekit.variants import Variant, submission, variants

__all__ = ["Finding", "Report", "Row", "check_exercise"]

# What `largemodels.check.task` says about a stub that nobody filled in.
NOT_WRITTEN = "not written yet"
# Without a secret, as a student runs the checks, and with two, as two instructors may.
SECRETS = ("", "spring term", "autumn term")
# How many of the automatic changes a student's own run of the checks must notice.
VISIBLE_SHARE = 0.8


@dataclass(frozen=True)
class Row:
    """What one submission scored, and what it had to score."""

    variant: Variant
    graded: Graded
    wanted: str
    passed: bool


@dataclass
class Report:
    """Everything that `course check` found out about one exercise.

    Args:
        exercise: The exercise.
        findings: What to mend.
        rows: The submissions, graded without a secret.
        changes: How each automatic change to the reference came to light.
    """

    exercise: Exercise
    findings: list[Finding] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    changes: dict[str, Noticed] = field(default_factory=dict)


def check_exercise(
    repository: Repository,
    exercise: Exercise,
    *,
    quick: bool = False,
    experiments: bool = True,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Run every gate over an exercise.

    Args:
        repository: The course.
        exercise: The exercise.
        quick: Leave out the gates that run something.
        experiments: Let nbgrader run those of the reference, too, which train for minutes.
        workers: Processes that run side by side; by default one a core.
        progress: Called with the number of answers that have run and of all.
    """
    report = Report(exercise)
    source = source_notebook(repository, exercise)
    release = release_notebook(source, exercise)
    report.findings += stale(repository, exercise, release)
    report.findings += points(exercise)
    report.findings += visible_checks(exercise)
    report.findings += leaks(exercise, release)
    if quick:
        return report
    report.findings += _stubs(exercise, release)
    plan = list(variants(exercise))
    automatic = _changes(exercise)
    in_nbgrader = _sample(plan)
    total = len(plan) * len(SECRETS) + len(automatic) + len(in_nbgrader)
    done = 0

    def count(one: object) -> None:
        nonlocal done
        done += 1
        progress(done, total)

    progress(0, total)
    results: dict[tuple[str, str], Graded] = {}
    with Trials(exercise, workers=workers) as trials:
        attempts = [_attempt(release, variant) for variant in plan]
        for secret, name, graded in trials.run(attempts, secrets=SECRETS):
            assert isinstance(graded, Graded)
            results[secret, name] = graded
            count(name)
        for _, name, noticed in trials.run(automatic):
            assert not isinstance(noticed, Graded)
            report.changes[name] = noticed
            count(name)
        hidden = [one for one in automatic if report.changes[one.name] == "hidden"]
        lucky = [
            Finding("automatic mutant", name, f"survives with COURSE_SECRET={secret!r}")
            for secret, name, noticed in trials.run(hidden, secrets=SECRETS[1:])
            if noticed == "survives"
        ]
    for variant in plan:
        for secret in SECRETS:
            graded = results[secret, variant.name]
            found = list(_variant(exercise, variant, graded))
            if not secret:
                report.findings += found
                row = Row(variant, graded, _wanted(exercise, variant), not found)
                report.rows.append(row)
            elif report.rows[-1].passed:  # Without a secret it passed: the data matter.
                report.findings += [_with_secret(finding, secret) for finding in found]
    report.findings += [*lucky, *_automatic(exercise, report.changes)]
    package = Package(exercise.name, exercise.topic, source, release)
    runs = make_plan(package)
    submissions = {}
    for variant in in_nbgrader:
        handed_in = submission(release, variant)
        whole = experiments and variant.kind == "reference"
        submissions[variant.name] = handed_in if whole else in_short(runs, handed_in)
    # In this process: it has imported nbgrader, which takes seconds.
    for name, graded in grade_all(source, exercise.name, exercise.topic, submissions, workers=1):
        report.findings += _nbgrader(name, graded, results["", name])
        count(name)
    return report


def _sample(plan: list[Variant]) -> list[Variant]:
    """The submissions that nbgrader grades as well: the first of these kinds."""
    first = {variant.kind: variant for variant in reversed(plan)}
    return [first[kind] for kind in ("reference", "noisy", "untouched", "mutant") if kind in first]


def _attempt(release: NotebookNode, variant: Variant) -> Attempt:
    """A variant as something to run: what it leaves out is the stub."""
    cells = submission(release, variant).cells
    sources = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution")
    }
    return Attempt(variant.name, sources, variant.broken)


def _changes(exercise: Exercise) -> list[Attempt]:
    """Every automatic change to the reference."""
    return [
        Attempt(
            f"{cell.grade_id}: {change.name}",
            {cell.grade_id: change.source},
            tuple(check.grade_id for check in exercise.checks_of(cell)),
            grade=False,
        )
        for cell in exercise.solution_cells
        for change in changes(cell.answer)
    ]


def _automatic(exercise: Exercise, found: Mapping[str, Noticed]) -> Iterator[Finding]:
    """Every automatic change is noticed, most by what a student sees, or listed as harmless."""
    gate = "automatic mutant"
    for name, noticed in found.items():
        if noticed == "survives" and name not in exercise.equivalents:
            problem = "no check notices; sharpen one, or list it in equivalents.yml with a reason."
            yield Finding(gate, name, problem)
    for name in exercise.equivalents:
        if found.get(name) != "survives":
            problem = "is listed in equivalents.yml, but " + (
                "a check notices it" if name in found else "there is no such change"
            )
            yield Finding(gate, name, f"{problem}; take it off the list.")
    visible = sum(noticed == "visible" for noticed in found.values())
    mistakes = len(found) - len(exercise.equivalents)
    if visible < VISIBLE_SHARE * mistakes:
        problem = (
            f"the visible checks notice {visible} of {mistakes} changes, fewer than "
            f"{VISIBLE_SHARE:.0%}; show more of them."
        )
        yield Finding(gate, exercise.source_name, problem)


def _nbgrader(name: str, stock: Graded, ours: Graded) -> Iterator[Finding]:
    """Nbgrader gives the same points."""
    for cell, score in ours.scores.items():
        if stock.scores.get(cell) != score:
            problem = (
                f"nbgrader gives {stock.scores.get(cell)}, a copied process {score:g}; "
                f"heard in nbgrader: {_short(stock.messages.get(cell, 'nothing'))}"
            )
            yield Finding("nbgrader", f"{name}, cell {cell}", problem)


def _with_secret(finding: Finding, secret: str) -> Finding:
    return Finding(finding.gate, f"{finding.where}, COURSE_SECRET={secret!r}", finding.problem)


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

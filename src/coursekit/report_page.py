"""The page of the book that says what `course check` found out about one exercise."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from coursekit.check import Report
from coursekit.exercises import Exercise
from coursekit.gates import Finding
from coursekit.repository import Repository

__all__ = ["COMMAND", "report_page", "report_path", "stale_page"]

COMMAND = "course check --update"


def report_path(repository: Repository, exercise: Exercise) -> Path:
    """Where the page of an exercise lies."""
    return repository.book / "instructors" / "reports" / f"{exercise.name}.md"


def report_page(report: Report) -> str:
    """Write the page; it is the same on every machine as long as all gates hold."""
    return "\n".join(_lines(report)) + "\n"


def stale_page(repository: Repository, report: Report) -> Iterator[Finding]:
    """The committed page is what this run makes."""
    path = report_path(repository, report.exercise)
    if not path.is_file():
        yield Finding("stale", repository.name(path), f"missing; run `{COMMAND}`.")
    elif path.read_text(encoding="utf-8") != report_page(report):
        problem = f"differs from what this run found; run `{COMMAND}`."
        yield Finding("stale", repository.name(path), problem)


def _lines(report: Report) -> Iterator[str]:
    exercise = report.exercise
    kinds = Counter(row.variant.kind for row in report.rows)
    yield f"% Generated from solutions/{exercise.name} by `{COMMAND}`; do not edit."
    yield ""
    yield f"# Report: {exercise.name}"
    yield ""
    yield (
        f"{kinds['reference'] + kinds['alternative']} right answers in different styles score 100 "
        "points, also when they print warnings and whatever the course secret. "
        f"{kinds['untouched'] + kinds['cheap']} cheap answers score 0 on the cells that they "
        f"pretend to solve. {kinds['mutant']} typical slips lose points on the cell that they "
        "break, and the student reads what went wrong:"
    )
    yield ""
    for cell in exercise.graded_cells:
        noticed = [mutant for mutant in exercise.mutants if mutant.breaks[0] == cell.grade_id]
        if noticed:
            yield f"## Noticed by `{cell.grade_id}`"
            yield ""
            yield "| Slip | The message says |"
            yield "|---|---|"
            for mutant in noticed:
                name = mutant.name.replace("_", " ").capitalize()
                yield f"| **{name}.** {_cell(mutant.why)} | {_cell(mutant.says)} |"
            yield ""
    yield "## Every small change to the reference"
    yield ""
    yield (
        "The check also changes one operator, number, argument or statement of the reference at a "
        "time. A student sees most of these mistakes at once; hidden tests, which use other "
        "numbers, find the rest. What is harmless leaves the answer right."
    )
    yield ""
    yield "| Solution cell | Changes | Seen by the student | Seen by hidden tests only | Harmless |"
    yield "|---|---:|---:|---:|---:|"
    for cell in exercise.solution_cells:
        found = Counter(
            noticed
            for name, noticed in report.changes.items()
            if name.startswith(f"{cell.grade_id}: ")
        )
        numbers = [found.total(), found["visible"], found["hidden"], found["survives"]]
        yield f"| `{cell.grade_id}` | {' | '.join(map(str, numbers))} |"
    if exercise.equivalents:
        yield ""
        yield "What is harmless, and why:"
        yield ""
        for name, reason in exercise.equivalents.items():
            yield f"* {_code(name)}: {_cell(reason)}"


def _cell(text: str) -> str:
    """Text as it stands in a table."""
    return " ".join(text.split()).replace("|", r"\|").replace("<", r"\<").replace("$", r"\$")


def _code(text: str) -> str:
    """A change as code: two back ticks, because a line of Python may hold one."""
    return f"`` {text} ``"

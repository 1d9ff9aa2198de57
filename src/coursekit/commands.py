"""The commands of `course`: they read arguments and print; other modules do the work."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from coursekit import grading_commands
from coursekit.errors import CourseError
from coursekit.repository import Repository

# What reads notebooks is imported by the commands that need it: `course --help` answers at once.
if TYPE_CHECKING:
    from coursekit.check import Report

__all__ = ["app", "run"]

app = typer.Typer(
    help="Build the book, and release and check the exercises, of Large Models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAMES", help="Exercises, e.g. 01_backprop; all by default."),
]


def run() -> int:
    """Run the command line; the exit status."""
    # Every start compiles everything again where this is set, and a kernel inherits it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        app()
    except CourseError as error:
        err.print(f"[bold red]course:[/] {escape(str(error))}")
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {"largemodels", "coursekit"}:
            raise
        err.print(
            f"[bold red]course:[/] the Python package `{error.name}` is not installed; run "
            "`python -m pip install -e '.\\[book,grading]'` in your clone."
        )
        return 1
    return 0


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        out.print(f"course {version('largemodels')}")
        raise typer.Exit


@app.callback()
def course(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Build the book, and release and check the exercises, of Large Models."""


@app.command()
def book(
    fresh: Annotated[bool, typer.Option("--fresh", help="Execute every page again.")] = False,
) -> None:
    """Build the book into book/_build/html."""
    from coursekit.book import build

    build(Repository.find().root, fresh=fresh)


@app.command()
def notebooks(
    pages: Annotated[
        list[str] | None,
        typer.Argument(metavar="PAGES", help="Pages; all, and the exercises, by default."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where to write; build/notebooks by default.")
    ] = None,
    executed: Annotated[
        bool, typer.Option("--executed", help="With the outputs that `course book` stored.")
    ] = False,
) -> None:
    """Make notebooks of the pages, for Colab: the branch `notebooks` holds them."""
    from coursekit.exercises import find_exercises
    from coursekit.notebook_files import read_notebook, to_text, write
    from coursekit.notebooks import find_pages, page_notebook
    from coursekit.references import Book
    from coursekit.release import release_path

    repository = Repository.find()
    output = output or repository.build / "notebooks"
    # Everything is made before anything is written: an error leaves no half branch behind.
    book = Book(repository)
    files = {
        output / repository.name(page.with_suffix(".ipynb")): to_text(
            page_notebook(book, page, executed=executed)
        )
        for page in find_pages(repository, pages or ())
    }
    for exercise in find_exercises(repository) if not pages else ():
        path = release_path(repository, exercise)
        name = repository.name(path)
        if not path.is_file():
            raise CourseError(f"{name}: missing; run `course release` first.")
        read_notebook(path, name)
        files[output / name] = path.read_text(encoding="utf-8")
    write(files)
    out.print(f"{_count(len(files), 'notebook')} in {escape(str(output))}")


@app.command()
def release(names: Names = None) -> None:
    """Generate exercises/ from solutions/, with nbgrader."""
    from coursekit.exercises import find_exercises
    from coursekit.notebook_files import to_text, write
    from coursekit.release import release_notebook, release_path, source_notebook

    repository = Repository.find()
    files = {
        release_path(repository, exercise): to_text(
            release_notebook(source_notebook(repository, exercise), exercise)
        )
        for exercise in find_exercises(repository, names or ())
    }
    write(files)
    for path in files:
        out.print(escape(repository.name(path)))


@app.command(name="class")
def class_(
    folder: Annotated[Path, typer.Argument(help="A new folder outside your clone.")],
    names: Names = None,
) -> None:
    """Make a folder in which nbgrader grades a class; run it again to update the exercises."""
    from coursekit.classroom import open_class
    from coursekit.exercises import find_exercises

    repository = Repository.find()
    for path in open_class(repository, find_exercises(repository, names or ()), folder):
        out.print(escape(str(path)))


@app.command()
def check(
    names: Names = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out what runs answers; a few seconds.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Write what was found into the pages of the book.")
    ] = False,
) -> None:
    """Prove that exercises grade as meant: right answers 100, cheap ones 0, slips named."""
    from coursekit.check import check_exercise
    from coursekit.exercises import find_exercises
    from coursekit.notebook_files import write
    from coursekit.report_page import report_page, report_path, stale_page

    if quick and update:
        raise CourseError("--quick runs no answers, so there is nothing to --update; drop one.")

    repository = Repository.find()
    reports = []
    exercises = find_exercises(repository, names or ())
    if not exercises:
        raise CourseError("solutions/: no exercise here, so nothing was checked.")
    for exercise in exercises:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err,
            transient=True,
        ) as bar:
            task = bar.add_task(exercise.name, total=None)
            report = check_exercise(
                repository,
                exercise,
                quick=quick,
                progress=lambda done, total, bar=bar, task=task: bar.update(  # type: ignore[misc]
                    task, completed=done, total=total
                ),
            )
        if update and not report.findings:
            write({report_path(repository, exercise): report_page(report)})
        elif not quick:
            report.findings += stale_page(repository, report)
        reports.append(report)
        _print(report)
    if any(report.findings for report in reports):
        raise typer.Exit(1)


grading_commands.register(app)


def _print(report: "Report") -> None:
    """Print the scores and the findings of one exercise."""
    if report.rows:
        table = Table(title=report.exercise.name, title_justify="left", title_style="bold")
        table.add_column("submission")
        table.add_column("kind", style="dim")
        table.add_column("score", justify="right")
        table.add_column("must score", overflow="fold")
        table.add_column("")
        for row in report.rows:
            table.add_row(
                escape(row.variant.name),
                row.variant.kind,
                f"{row.graded.score:g} of {sum(row.graded.maxima.values()):g}",
                escape(row.wanted),
                "[green]ok[/]" if row.passed else "[bold red]no[/]",
            )
        width = shutil.get_terminal_size((100, 24)).columns
        Console(highlight=False, width=width).print(table)
    for finding in report.findings:
        err.print(
            f"[bold red]{finding.gate}:[/] {escape(finding.where)}: {escape(finding.problem)}"
        )
    name = escape(report.exercise.name)
    if report.findings:
        err.print(f"{name}: {_count(len(report.findings), 'thing')} to mend")
    else:
        what = ""
        if report.rows:
            submissions, changes = len(report.rows), len(report.changes)
            what = f", {_count(submissions, 'submission')} and {_count(changes, 'change')} graded"
        out.print(f"{name}: [green]all gates hold[/]{what}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

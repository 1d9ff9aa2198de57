"""The commands of `course` that work in the folder of a class, from collecting to exporting."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from coursekit.errors import CourseError
from coursekit.grading.people.plain_text import for_terminal

# What reads notebooks is imported by the commands that need it: `course --help` answers at once.
if TYPE_CHECKING:
    from coursekit.grading.engine import Grades, Spread
    from coursekit.grading.engine import Progress as Report
    from coursekit.grading.intake.submissions import Intake
    from coursekit.grading.limits import Limits
    from coursekit.grading.package import Package
    from coursekit.grading.people.standing import Standing
    from coursekit.grading.spread.pool import Graders

__all__ = ["register"]

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

# More lines than this are no longer read.
LINES = 100

Assignment = Annotated[
    str | None,
    typer.Option(help="Name of the assignment, e.g. 03_cnn; needed where there is more than one."),
]
Name = Annotated[
    str | None,
    typer.Argument(metavar="ASSIGNMENT", help="E.g. 03_cnn; needed where there is more than one."),
]
Database = Annotated[
    str | None, typer.Option(help="Address of the grade book; gradebook.db by default.")
]
From = Annotated[
    Literal["canvas", "moodle", "folder"] | None,
    typer.Option("--from", help="Whose names of files are read; by default all that are known."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `course`."""
    app.command()(collect)
    app.command()(grade)
    app.command()(feedback)
    app.command()(report)
    app.command()(export)


def collect(
    archive: Annotated[Path, typer.Argument(help="A zip file, or a folder.")],
    platform: From = None,
    assignment: Assignment = None,
) -> None:
    """Take in what students have handed in; nothing is run yet."""
    from coursekit.grading.assignment import Classroom, load_package
    from coursekit.grading.engine import collect_class

    classroom = Classroom.find()
    package = load_package(classroom, assignment or classroom.only_assignment())
    intake = collect_class(classroom, package, archive, platform)
    _print_intake(intake)
    if intake.counts["refused"]:
        raise typer.Exit(1)


def grade(
    submissions: Annotated[
        Path | None,
        typer.Argument(help="A zip file, or a folder; not needed for what was collected before."),
    ] = None,
    assignment: Assignment = None,
    platform: From = None,
    workers: Annotated[
        int | None, typer.Option(help="Submissions graded side by side; by default one a core.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, e.g. tcp://10.0.0.5:8786.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was collected before.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Grade everybody anew, who is graded already too.")
    ] = False,
    student: Annotated[
        list[str] | None,
        typer.Option(
            help="Grade this student anew, with everybody who has no grade yet; may be there "
            "several times."
        ),
    ] = None,
    trust_submissions: Annotated[
        bool,
        typer.Option(
            "--trust-submissions", help="Run students' programs WITHOUT A SANDBOX, as you."
        ),
    ] = False,
    database: Annotated[
        str | None, typer.Option(help="Address of the grade book; gradebook.db by default.")
    ] = None,
) -> None:
    """Grade a class: each submission once, in a sandbox, into nbgrader's grade book."""
    from coursekit.grading.assignment import Classroom, load_package
    from coursekit.grading.engine import Task as GradingTask
    from coursekit.grading.engine import grade_class

    if submissions is None and not (resume or again or student):
        raise CourseError("name the SUBMISSIONS, or --resume to go on with what was collected.")
    if workers is not None and workers < 1:
        raise CourseError(f"--workers (={workers}) must be at least 1.")
    if workers and cluster:
        raise CourseError("--workers is for this machine, --cluster for others; drop one.")
    classroom = Classroom.find()
    package = load_package(
        classroom,
        assignment or classroom.only_assignment(),
        os.environ.get("COURSE_SECRET", ""),
    )
    task = GradingTask(
        classroom,
        package,
        database or classroom.database,
        trust_submissions=trust_submissions,
        again=again,
        students=tuple(student or ()),
    )
    with _bar(package.assignment) as report:
        grades = grade_class(
            task,
            _spread(workers, cluster, trust_submissions),
            submissions,
            platform,
            collected=_print_intake,
            progress=report,
            stopping=lambda: err.print("stopping: the graders end, which takes a few seconds"),
        )
    _print_grades(grades, submissions)
    if not grades.complete:
        raise typer.Exit(1)


def feedback(name: Name = None, database: Database = None) -> None:
    """Write a page for each graded student: points, comments, and what the checks said."""
    from coursekit.grading.people.feedback import write_feedback

    standing = _standing(name, database)
    _require_work([standing])
    not_graded = {
        student: ": ".join(filter(None, ending))
        for student, ending in standing.endings.items()
        if ending[0] != "graded"
    }
    with _bar(standing.assignment) as progress:
        done = write_feedback(
            standing.classroom.root,
            standing.template,
            standing.marks,
            not_graded,
            progress=progress,
        )
    out.print(
        f"{len(done.written)} pages in {for_terminal(str(standing.classroom.root / 'feedback'))}"
    )
    _print_pairs("no page", done.without)


def report(
    name: Name = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Number the students, so that it can be shown.")
    ] = False,
    database: Database = None,
) -> None:
    """Say how the class did: scores, hard cells, what it got wrong, what to look at."""
    from coursekit.grading.people.class_report import class_report
    from coursekit.grading.people.report_files import print_summary, write_report

    standing = _standing(name, database)
    _require_work([standing])
    known = class_report(
        standing.template, standing.ended, standing.marks, standing.strays, anonymous=anonymous
    )
    folder = standing.classroom.grading(standing.assignment)
    page = write_report(known, folder / ("report-anonymous" if anonymous else "report"))
    print_summary(known, out)
    out.print(for_terminal(str(page)))


def export(
    to: Annotated[
        Literal["csv", "canvas", "moodle"], typer.Option(help="Whose format is written.")
    ],
    assignment: Annotated[
        list[str] | None,
        typer.Option(help="Name of an assignment; may be given again; all by default."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file; grades-FORMAT.csv by default.")
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option(help="Gradebook exported from Canvas, or grading worksheet of Moodle."),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Column of the roster that takes the scores.")
    ] = None,
    finished: Annotated[
        bool, typer.Option("--finished", help="Only scores that no person can still raise.")
    ] = False,
    database: Database = None,
) -> None:
    """Write the scores as CSV, for a spreadsheet, Canvas or Moodle; nobody gets a silent 0."""
    from coursekit.grading.assignment import Classroom
    from coursekit.grading.people.export import export as export_scores
    from coursekit.grading.people.roster import read_roster
    from coursekit.grading.people.standing import all_standings
    from coursekit.notebook_files import write

    output = output or Path(f"grades-{to}.csv")
    if roster and roster.resolve() == output.resolve():
        raise CourseError(f"{output}: is the roster itself; write to another file.")
    standings = all_standings(Classroom.find(), assignment or (), database or "")
    _require_work(standings)
    done = export_scores(
        to,
        [one.marks for one in standings],
        {one.assignment: one.endings for one in standings},
        roster=read_roster(roster) if roster else None,
        roster_name=str(roster),
        column=column,
        finished=finished,
    )
    write({output: done.text})
    out.print(
        f"{done.written} scores in {for_terminal(str(output))}, {len(done.empty)} empty, "
        f"{len(done.unmatched)} without a place"
    )
    _print_pairs("empty", done.empty)
    for note in done.notes:
        err.print(for_terminal(note))
    _print_pairs("no place", done.unmatched)
    if done.unmatched:
        raise typer.Exit(1)


def _print_pairs(what: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Print students and reasons; where there are very many, how many more."""
    for student, reason in pairs[:LINES]:
        err.print(f"[bold]{what}:[/] {for_terminal(student)}: {for_terminal(reason)}")
    if len(pairs) > LINES:
        err.print(f"[bold]{what}:[/] {len(pairs) - LINES} more")


def _standing(name: str | None, database: str | None) -> "Standing":
    """What is known about an assignment of the class in this folder."""
    from coursekit.grading.assignment import Classroom
    from coursekit.grading.people.standing import Standing

    classroom = Classroom.find()
    return Standing(classroom, name or classroom.only_assignment(), database or "")


def _require_work(standings: "Sequence[Standing]") -> None:
    """Raise an error where nobody has handed in anything, which nobody asks for on purpose."""
    if not any(one.marks.sheets or one.endings for one in standings):
        names = ", ".join(one.assignment for one in standings) or "the grade book"
        raise CourseError(f"{names}: nobody is graded yet; run `course grade` first.")


def _spread(workers: int | None, cluster: str | None, trust_submissions: bool) -> "Spread":
    """Say what spreads submissions: worker processes here, or a cluster."""

    def spread(package: "Package", limits: "Limits", jobs: int) -> "Graders":
        if cluster:
            from coursekit.grading.spread.cluster import Cluster

            return Cluster(cluster, package, limits, trust_submissions=trust_submissions)
        from coursekit.grading.spread.pool import Pool

        count = min(workers or os.cpu_count() or 1, jobs)
        return Pool(package, limits, workers=count, trust_submissions=trust_submissions)

    return spread


class _Rate(ProgressColumn):
    """Submissions a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")


@contextmanager
def _bar(name: str) -> Iterator["Report"]:
    """Show how far it is: a bar with the rate and the time left."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    task = bar.add_task(escape(name), total=None)

    def report(done: int, total: int) -> None:
        bar.start()  # Not before: what is printed until then would go through it.
        bar.update(task, completed=done, total=total)

    try:
        yield report
    finally:
        bar.stop()


def _print_intake(intake: "Intake") -> None:
    """Print how the entries ended, and each that was not taken as it is."""
    counts = intake.counts
    kinds = ("accepted", "superseded", "refused", "ignored")
    parts = " + ".join(f"{counts[kind]} {kind}" for kind in kinds)
    number = len(intake.entries)
    out.print(f"{number} {'entry' if number == 1 else 'entries'} = {parts}")
    # Not what is superseded: every second attempt is.
    for kind, style in (("accepted", "bold"), ("ignored", "bold"), ("refused", "bold red")):
        told = [one for one in intake.entries if one.outcome == kind and one.reason]
        for entry in told[:LINES]:
            err.print(
                f"[{style}]{kind}:[/] {for_terminal(entry.origin)}: {for_terminal(entry.reason)}"
            )
        if len(told) > LINES:
            err.print(f"[{style}]{kind}:[/] {len(told) - LINES} more")


def _print_grades(grades: "Grades", collected: Path | None) -> None:
    """Print a summary that adds up, and everybody who has no grade."""
    for stray in grades.strays:
        # What was collected in this run is told already.
        if not (collected and stray.origin.startswith(f"{collected.name}: ")):
            err.print(
                f"[bold red]refused:[/] {for_terminal(stray.origin)}: {for_terminal(stray.reason)}"
            )
    for one in grades.students:
        if one.outcome != "graded":
            err.print(
                f"[bold red]{one.outcome}:[/] {for_terminal(one.name)}: {for_terminal(one.reason)}"
            )
    counts = grades.counts
    parts = " + ".join(f"{counts[kind]} {kind}" for kind in ("graded", "failed", "person"))
    out.print(f"{len(grades.students)} students = {parts}")
    lowered = sum(one.outcome == "graded" and one.trust != "split" for one in grades.students)
    if lowered:
        out.print(
            f"[bold]{lowered} of these grades could have been forged:[/] their tests ran in the "
            "student's own process, or without a sandbox."
        )

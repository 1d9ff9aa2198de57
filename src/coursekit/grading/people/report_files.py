"""The class report as files: a page that stands for itself, and its numbers as JSON and CSV."""

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING

from coursekit.grading.people.class_report import Report
from coursekit.grading.people.feedback import load_page
from coursekit.grading.people.plain_text import for_terminal
from coursekit.grading.people.spreadsheet import to_csv
from coursekit.notebook_files import write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import Console

__all__ = ["print_summary", "report_page", "write_report"]

# A class of thousands makes long tables; all lines are in the CSV files.
LINES = 50

_COLUMNS = (
    *("cell", "points", "students", "mean", "difficulty", "discrimination"),
    *("full", "partial", "wrong", "not_written", "waiting"),
)
WORDS = {
    "graded": "graded",
    "waiting": "graded but for the written answers",
    "failed": "failed",
    "person": "needs a person",
    "ungraded": "handed in, but not graded",
    "absent": "handed in nothing",
}


def write_report(report: Report, folder: Path) -> Path:
    """Write page and numbers; the path of the page.

    Args:
        report: The report.
        folder: Where the files go; a named and an anonymous report need folders of their own.

    Raises:
        CourseError: A file cannot be written.
    """
    names = [cell.item.name for cell in report.cells]
    page = folder / "index.html"
    write(
        {
            page: report_page(report),
            folder / "report.json": json.dumps(report.to_json(), indent=1, ensure_ascii=False)
            + "\n",
            folder / "students.csv": to_csv(
                [
                    ["student", "status", "reason", "score", "seconds", "trust", *names],
                    *(
                        [
                            one.student,
                            one.status,
                            one.reason,
                            _number(one.score),
                            _number(one.seconds, 3),
                            one.trust,
                            *map(_number, one.cells),
                        ]
                        for one in report.students
                    ),
                ]
            ),
            folder / "cells.csv": to_csv(
                [
                    list(_COLUMNS),
                    *(
                        [
                            cell.item.name,
                            _number(cell.item.points),
                            str(cell.item.count),
                            _number(cell.item.mean),
                            _number(cell.item.difficulty, 4),
                            _number(cell.item.discrimination, 4),
                            str(cell.item.full),
                            str(cell.item.partial),
                            str(cell.wrong),
                            str(cell.unwritten),
                            str(cell.waiting),
                        ]
                        for cell in report.cells
                    ),
                ]
            ),
            folder / "misconceptions.csv": to_csv(
                [
                    ["students", "cause", "cells", "example"],
                    *(
                        [str(one.students), one.cause, _cells(one.cells), one.example]
                        for one in report.misconceptions
                    ),
                ]
            ),
        }
    )
    return page


def report_page(report: Report) -> str:
    """The page: one file, no script, nothing from elsewhere."""
    names = [cell.item.name for cell in report.cells]
    share = {
        cell.item.name: f"waiting: {cell.waiting}" if cell.waiting else _percent(cell.earned)
        for cell in report.cells
    }
    counts = dict(zip(_bins(report), report.distribution.counts, strict=True))
    return (
        load_page("class_report.html.j2")
        .render(
            report=report,
            words=WORDS,
            lines=LINES,
            total=sum(report.counts.values()),
            graded=sum(one.score is not None for one in report.students),
            waiting=any(cell.waiting for cell in report.cells),
            most=max((one.students for one in report.misconceptions), default=1),
            number=_number,
            percent=_percent,
            cells_of=_cells,
            scores_picture=_picture(
                scores_figure(report),
                "Histogram of the scores. "
                + "; ".join(f"{name} points: {count}" for name, count in counts.items() if count)
                + ".",
            )
            if report.scores
            else "",
            cells_picture=_picture(
                cells_figure(report),
                "Share of the points that the class earned in each cell: "
                + "; ".join(f"{name} {text}" for name, text in share.items())
                + ".",
            )
            if report.scores and names
            else "",
            discrimination_picture=_picture(
                discrimination_figure(report),
                "Discrimination of each cell: "
                + "; ".join(
                    f"{cell.item.name} {_number(cell.item.discrimination) or 'undefined'}"
                    for cell in report.cells
                )
                + ".",
            )
            if any(cell.item.discrimination is not None for cell in report.cells)
            else "",
        )
        .lstrip()
    )


def scores_figure(report: Report) -> "Figure":
    """How many students have how many points."""
    from matplotlib.ticker import MaxNLocator

    from largemodels.plots import PALETTE

    fig, axes = _axes(3.0)
    edges, counts = report.distribution.edges, report.distribution.counts
    width = edges[1] - edges[0]
    axes.bar(edges[:-1], counts, width * 0.94, align="edge", color=PALETTE["blue"].light)
    if report.scores:
        axes.axvline(
            report.scores.median,
            color=PALETTE["vermillion"].light,
            linestyle="--",
            label=f"median {_number(report.scores.median)}",
        )
        axes.legend(loc="upper left", fontsize="small", frameon=False)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.25 * max(1, *counts))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(False, axis="x")
    axes.set_xlabel("points")
    axes.set_ylabel("students")
    return fig


def cells_figure(report: Report) -> "Figure":
    """Of each cell: who has all points, some, none, who wrote nothing, and who waits."""
    from largemodels.plots import PALETTE

    fig, axes = _axes(1.1 + 0.36 * len(report.cells))
    names = [cell.item.name for cell in report.cells]
    kinds = {
        "all points": ("blue", [cell.item.full for cell in report.cells]),
        "some": ("olive", [cell.item.partial for cell in report.cells]),
        "none": ("vermillion", [cell.wrong for cell in report.cells]),
        "not written": ("gray", [cell.unwritten for cell in report.cells]),
        "waiting": ("purple", [cell.waiting for cell in report.cells]),
    }
    left = [0.0] * len(names)
    for label, (color, counts) in kinds.items():
        if not any(counts):
            continue
        shares = [
            100 * count / max(1, cell.students)
            for count, cell in zip(counts, report.cells, strict=True)
        ]
        axes.barh(names, shares, 0.72, left, color=PALETTE[color].light, label=label)
        left = [start + share for start, share in zip(left, shares, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.grid(False, axis="y")
    axes.set_xlabel("students (%)")
    fig.legend(loc="outside upper center", ncols=5, fontsize="small", frameon=False)
    return fig


def discrimination_figure(report: Report) -> "Figure":
    """How well each cell tells strong from weak students."""
    from largemodels.plots import PALETTE

    fig, axes = _axes(0.8 + 0.36 * len(report.cells))
    names = [cell.item.name for cell in report.cells]
    known = [
        (name, cell.item.discrimination)
        for name, cell in zip(names, report.cells, strict=True)
        if cell.item.discrimination is not None
    ]
    axes.set_yticks(range(len(names)), names)
    low = min(0.0, *(value for _, value in known))
    for value, style in ((0.0, "-"), (0.2, ":")):
        axes.axvline(value, color=PALETTE["gray"].light, linewidth=1, linestyle=style)
    for name, value in known:
        color = PALETTE["blue" if value >= 0.2 else "vermillion"].light
        axes.plot(value, names.index(name), "o", color=color, markersize=7)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(low - 0.08, 1.0)
    axes.set_xlabel("correlation with the other cells")
    return fig


def print_summary(report: Report, console: "Console") -> None:
    """Say the most important in a few lines."""
    from rich.table import Table

    ways = ", ".join(f"{count} {WORDS[way]}" for way, count in report.counts.items() if count)
    console.print(f"{sum(report.counts.values())} students: {ways or 'nobody'}")
    if scores := report.scores:
        checked = "checked points" if report.waiting else "points"
        console.print(
            f"{_number(scores.mean)} of {_number(report.checked)} {checked} on average, "
            f"half of the class has {_number(scores.median)} or less"
            + (f"; {_number(report.waiting)} points wait for a person" if report.waiting else "")
        )
        titles = ["cell", "points earned", "discrimination", "all", "some", "none", "empty"]
        waiting = any(cell.waiting for cell in report.cells)
        table = Table(*titles, *(["waiting"] if waiting else []))
        for column in table.columns[1:]:
            column.justify = "right"
        for cell in report.cells:
            table.add_row(
                for_terminal(cell.item.name),
                _percent(cell.earned),
                _number(cell.item.discrimination) or "–",
                str(cell.item.full),
                str(cell.item.partial),
                str(cell.wrong),
                str(cell.unwritten),
                *([str(cell.waiting)] if waiting else []),
            )
        console.print(table)
    for one in report.misconceptions[:5]:
        console.print(f"[bold]{one.students:>4}[/] {for_terminal(one.cause)}")
    if report.looks:
        students = "submission" if len(report.looks) == 1 else "submissions"
        console.print(f"{len(report.looks)} {students} to look at")


def _axes(height: float) -> "tuple[Figure, Axes]":
    """A figure as wide as the page, with axes in the look of the course."""
    import matplotlib

    from largemodels.plots import figure
    from largemodels.plots.style import STYLE

    fig = figure(6.4, height)
    with matplotlib.rc_context(STYLE):
        return fig, fig.add_subplot()


def _picture(fig: "Figure", words: str) -> str:
    """A figure as an image with its words; the SVG follows the reader's colors."""
    from markupsafe import Markup

    from largemodels.plots import to_svg

    data = base64.b64encode(to_svg(fig).encode()).decode()
    return Markup('<img src="data:image/svg+xml;base64,{}" alt="{}">').format(data, words)


def _bins(report: Report) -> list[str]:
    edges = report.distribution.edges
    last = len(edges) - 2
    return [
        f"{_number(edges[i])} to {_number(edges[i + 1])}"
        if i == last
        else f"{_number(edges[i])} to under {_number(edges[i + 1])}"
        for i in range(last + 1)
    ]


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{round(value, digits):.12g}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _cells(cells: dict[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in cells.items())

"""What a student reads after grading: the notebook with points, comments and the tutor's words.

The layout of the folders is nbgrader's, `feedback/<student>/<assignment>/<notebook>.html`, so that
its commands find the pages. The page is not: nbgrader's shows hidden tests, runs what a student
wrote into Markdown or HTML, and fetches scripts from other hosts.

Every cell that a student could not change is shown as it was released. So hidden tests, model
answers and rubrics cannot be on the page, whatever the graded notebook holds.
"""

import base64
import functools
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from coursekit.grading.people.causes import CAUSE, Sayings
from coursekit.grading.people.rendering import (
    Room,
    bounded,
    code,
    markdown,
    outputs,
    plain,
    text_of,
)
from coursekit.grading.records.marks import Marks, Sheet
from coursekit.notebook_files import write

__all__ = ["Feedback", "Template", "feedback_page", "load_page", "write_feedback"]

HIDDEN = "BEGIN HIDDEN TESTS"
# A process takes a second to start and writes a hundred pages in it.
PAGES_PER_PROCESS = 100
# What a page shows of a student's own text: far more than anybody writes, and still drawn at once.
# Markdown of a million stars takes a minute.
CHARACTERS_PER_CELL, CHARACTERS_PER_PAGE = 20_000, 100_000

# The tag of `coursekit.setup_cell`, which imports a library that takes half a second.
_SETUP = "setup"
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)

Notebook = Mapping[str, Any]


@dataclass(frozen=True)
class Template:
    """One assignment as its students know it.

    Args:
        assignment: Name of the assignment, e.g. `03_cnn`.
        topic: Name of its notebook, e.g. `cnn`.
        release: The notebook that the students got, as JSON.
        hidden: Graded cells that have hidden tests.
        sayings: What its tests can call a likely cause.
    """

    assignment: str
    topic: str
    release: Notebook
    hidden: frozenset[str] = frozenset()
    sayings: Sayings = field(default_factory=Sayings)

    @classmethod
    def of(cls, assignment: str, topic: str, source: Notebook, release: Notebook) -> "Template":
        """Read from the instructor's notebook which cells have hidden tests, and what they say."""
        hidden = frozenset(
            name
            for cell in source["cells"]
            if (name := _grade_id(cell)) and HIDDEN in text_of(cell.get("source"))
        )
        sayings = Sayings.of(
            text_of(cell.get("source"))
            for cell in source["cells"]
            if cell.get("cell_type") == "code" and not _is_solution(cell)
        )
        return cls(assignment, topic, release, hidden, sayings)

    @functools.cached_property
    def cells(self) -> dict[str, Notebook]:
        """The cells of the release that nbgrader knows, by name."""
        return {name: cell for cell in self.release["cells"] if (name := _grade_id(cell))}

    @functools.cached_property
    def titles(self) -> dict[str, str]:
        """The heading above each of these cells, by name; empty where there is none."""
        found, title = {}, ""
        for cell in self.release["cells"]:
            if cell.get("cell_type") == "markdown":
                text = _FENCED.sub("", text_of(cell.get("source")))
                *_, title = [title, *_HEADING.findall(text)]
            if name := _grade_id(cell):
                found[name] = title.replace("`", "").replace("*", "").strip()
        return found

    @functools.cached_property
    def setup(self) -> frozenset[str]:
        """Sources of cells that install the course, and teach nobody anything."""
        return frozenset(
            text_of(cell.get("source"))
            for cell in self.release["cells"]
            if _SETUP in ((cell.get("metadata") or {}).get("tags") or ())
        )

    @functools.cached_property
    def given(self) -> frozenset[str]:
        """Sources of the other cells of the release."""
        return frozenset(
            text_of(cell.get("source")) for cell in self.release["cells"] if not _grade_id(cell)
        )


@dataclass
class Feedback:
    """What was written, and who got no page and why."""

    written: list[Path] = field(default_factory=list)
    without: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Message:
    """What a check said: what is wrong, and the slip that explains it."""

    first: str
    rest: str
    cause: str


@dataclass(frozen=True)
class _Cell:
    """One cell as the page shows it."""

    kind: str  # answer, check, given or own
    name: str
    body: Markup
    is_code: bool
    title: str = ""
    score: str = ""
    points: str = ""
    state: str = ""  # passed, partial, failed or waiting
    by_person: bool = False
    comment: Markup | None = None
    message: _Message | None = None
    hidden: bool = False
    unchanged: bool = False
    outputs: Sequence[Markup] = ()


def write_feedback(
    folder: Path,
    template: Template,
    marks: Marks,
    not_graded: Mapping[str, str],
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Feedback:
    """Write the page of every student whose submission is graded; each whole or not at all.

    Args:
        folder: The class folder.
        template: The assignment.
        marks: Its points and comments.
        not_graded: Student → why the last submission has no grade; they get no page.
        workers: Processes side by side; by default as many as pay off.
        progress: Called with the number of pages that are done and of all.

    Raises:
        CourseError: A page cannot be written.
    """
    done = Feedback()
    jobs = []
    for sheet in marks.sheets:
        if sheet.student in not_graded:
            done.without.append((sheet.name, not_graded[sheet.student]))
        elif not sheet.submitted:
            done.without.append((sheet.name, "handed in nothing"))
        elif (graded := _graded(folder, template, sheet.student)) is None:
            done.without.append((sheet.name, "no graded notebook is there"))
        else:
            jobs.append((graded, _page_path(folder, template, sheet.student), sheet))
    most = max(1, len(jobs) // PAGES_PER_PROCESS)
    workers = min(workers or os.cpu_count() or 1, most)
    parts = [jobs[i : i + 25] for i in range(0, len(jobs), 25)]
    count = 0
    for part in _spread(template, parts, workers):
        for path, student, problem in part:
            count += 1
            if problem:
                done.without.append((student, problem))
            else:
                done.written.append(path)
        progress(count, len(jobs))
    done.written.sort()
    done.without.sort()
    return done


_Job = tuple[Path, Path, Sheet]
_Done = tuple[Path, str, str]


def _spread(
    template: Template, parts: Sequence[Sequence[_Job]], workers: int
) -> Iterator[list[_Done]]:
    if workers == 1:
        for part in parts:
            yield _write_part(template, part)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for future in as_completed([pool.submit(_write_part, template, part) for part in parts]):
            yield future.result()


def _write_part(template: Template, jobs: Iterable[_Job]) -> list[_Done]:
    """Write some pages; a notebook that cannot be read costs its own page only."""
    done = []
    for graded, path, sheet in jobs:
        try:
            notebook = json.loads(graded.read_text(encoding="utf-8"))
            page = feedback_page(template, notebook, sheet)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            done.append((path, sheet.name, f"its graded notebook cannot be read ({error})"))
            continue
        write({path: page})
        done.append((path, sheet.name, ""))
    return done


def _graded(folder: Path, template: Template, student: str) -> Path | None:
    if not _is_name(student):
        return None
    path = folder / "autograded" / student / template.assignment / f"{template.topic}.ipynb"
    return path if path.is_file() else None


def _page_path(folder: Path, template: Template, student: str) -> Path:
    return folder / "feedback" / student / template.assignment / f"{template.topic}.html"


def _is_name(student: str) -> bool:
    """Whether an id can name a folder."""
    return student not in {"", ".", ".."} and not re.search(r"[/\\\0]", student)


def feedback_page(template: Template, notebook: Notebook, sheet: Sheet) -> str:
    """The page of one student.

    Args:
        template: The assignment.
        notebook: The graded notebook as JSON, with outputs.
        sheet: Points and comments.
    """
    cells = list(_cells(template, notebook, sheet))
    graded = [cell for cell in cells if cell.points]
    maximum = sum(mark.points for mark in sheet.marks)
    page = load_page("feedback.html.j2").render(
        assignment=template.assignment,
        topic=template.topic,
        student=sheet.name,
        cells=cells,
        graded=graded,
        score=_number(sheet.score),
        maximum=_number(maximum),
        penalty=_number(sheet.penalty) if sheet.penalty else "",
        waiting=[cell.name for cell in graded if cell.state == "waiting"],
    )
    return page.lstrip()


def _cells(template: Template, notebook: Notebook, sheet: Sheet) -> Iterator[_Cell]:
    marks = {mark.cell: mark for mark in sheet.marks if mark.notebook == template.topic}
    room, pictures = CHARACTERS_PER_PAGE, Room()
    for cell in notebook["cells"]:
        name = _grade_id(cell)
        source = text_of(cell.get("source"))
        is_code = cell.get("cell_type") == "code"
        released = template.cells.get(name)
        if not name:
            if source in template.setup:
                continue
            kind = "given" if source in template.given else "own"
            shown = tuple(outputs(cell, "a cell", pictures)) if is_code else ()
            if kind == "own":
                source, room = _part(source, room)
            yield _Cell(kind, "", _body(source, is_code), is_code, outputs=shown)
            continue
        if released is None:
            continue  # Of another release: nobody knows what of it a student may see.
        roles = released["metadata"]["nbgrader"]
        is_code = released["cell_type"] == "code"
        given = text_of(released.get("source"))
        solution = bool(roles.get("solution"))
        unchanged = solution and source.strip() == given.strip()
        if not solution:
            source = given
        elif not unchanged:
            source, room = _part(source, room)
        mark = marks.get(name)
        comment = sheet.comments.get((template.topic, name))
        check = is_code and not solution and bool(roles.get("grade"))
        if check:
            message, shown = _message(cell), ()
        else:
            message, shown = None, tuple(outputs(cell, f"`{name}`", pictures)) if is_code else ()
        yield _Cell(
            "check" if check else "answer" if solution else "given",
            name,
            _body(source, is_code),
            is_code,
            title=template.titles[name],
            score="" if mark is None or mark.score is None else _number(mark.score),
            points=_number(mark.points) if mark else "",
            state=_state(mark.score, mark.points, mark.waiting) if mark else "",
            by_person=bool(mark and mark.manual is not None),
            comment=markdown(comment) if comment else None,
            message=message,
            hidden=check and name in template.hidden,
            unchanged=unchanged,
            outputs=shown,
        )


def _part(source: str, room: int) -> tuple[str, int]:
    """As much of a student's text as the page shows, and the room that is left then."""
    size = max(100, min(CHARACTERS_PER_CELL, room))
    return bounded(source, size), room - min(len(source), size)


def _body(source: str, is_code: bool) -> Markup:
    source = plain(source)
    return code(source) if is_code else markdown(source)


def _state(score: float | None, points: float, waiting: bool) -> str:
    if score is None or waiting:
        return "waiting"
    return "passed" if score >= points else "partial" if score > 0 else "failed"


def _message(cell: Notebook) -> _Message | None:
    """What a check says is wrong; its traceback would show hidden tests, so it is left out."""
    for output in cell.get("outputs") or ():
        if output.get("output_type") != "error":
            continue
        kind, text = text_of(output.get("ename")), plain(text_of(output.get("evalue"))).strip()
        if kind == "Mistake":
            text = _with_lines(text, output.get("traceback") or ())
        else:
            text = f"{kind}: {text}" if text else kind
        text, _, cause = bounded(text).partition(CAUSE)
        first, _, rest = text.strip().partition("\n")
        return _Message(first.removeprefix("✗ "), rest.strip(), cause.strip())
    return None


def _with_lines(text: str, traceback: Sequence[object]) -> str:
    """The text of a mistake with its line breaks, which a notebook keeps in the traceback only.

    Nothing but the breaks is taken from there.
    """
    shown = plain("\n".join(line for line in traceback if isinstance(line, str)))
    shown = shown.removeprefix("✗ ").strip()
    return shown if shown.split() == text.split() else text


def _grade_id(cell: Notebook) -> str:
    known = (cell.get("metadata") or {}).get("nbgrader") or {}
    roles = ("grade", "solution", "locked", "task")
    return str(known.get("grade_id", "")) if any(known.get(role) for role in roles) else ""


def _is_solution(cell: Notebook) -> bool:
    return bool(((cell.get("metadata") or {}).get("nbgrader") or {}).get("solution"))


def _number(score: float | None) -> str:
    return "" if score is None else f"{round(score, 2):.12g}"


@functools.cache
def load_page(name: str) -> jinja2.Template:
    """A template of this package, with the style that all pages share."""
    folder = files("coursekit.grading.people") / "templates"
    style = Markup((folder / "page.css").read_text(encoding="utf-8").strip())
    digest = base64.b64encode(hashlib.sha256(str(style).encode()).digest()).decode()
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda one: (folder / one).read_text(encoding="utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    # Even if something active were in the page, the browser would not let it run or ask anybody.
    environment.globals |= {
        "style": style,
        "policy": (
            f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
            "base-uri 'none'; form-action 'none'"
        ),
    }
    return environment.get_template(name)

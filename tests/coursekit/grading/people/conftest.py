"""A class of sixty: real answers and slips of a real exercise, through the real engine.

Only the sandbox is left out: `coursekit.trials` runs the answers in milliseconds.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from coursekit.classroom import open_class
from coursekit.exercises import load_exercise
from coursekit.grading.assignment import Classroom, load_package
from coursekit.grading.engine import Task, grade_class
from coursekit.grading.intake.rebuild import rebuild
from coursekit.grading.package import Package
from coursekit.grading.people.feedback import Template
from coursekit.grading.people.standing import Standing
from coursekit.grading.results import CellResult, Result
from coursekit.grading.spread.pool import Event, Finished, Job, Started
from coursekit.notebook_files import to_text, write
from coursekit.release import release_path
from coursekit.repository import Repository
from coursekit.trials import Attempt, Trials
from coursekit.variants import Variant, submission, variants

ROOT = Path(__file__).parents[4]
ASSIGNMENT = "01_backprop"
FRIENDS = ("student00", "student08")  # Of the same variant.
ANSWER = "Only `output.bias` gets a gradient, for $A = 0$."


@dataclass(frozen=True)
class Spring:
    """The class, and what everybody in it was made to do.

    Args:
        classroom: Its folder.
        package: The assignment.
        wrote: Student → the variant that was handed in.
        results: Student → the result that the checker gave.
    """

    classroom: Classroom
    package: Package
    wrote: dict[str, Variant]
    results: dict[str, Result]

    @property
    def standing(self) -> Standing:
        """What is known about it, read afresh."""
        return Standing(self.classroom, ASSIGNMENT)

    @property
    def template(self) -> Template:
        """The assignment as its students know it."""
        return Template.of(
            self.package.assignment, self.package.topic, self.package.source, self.package.release
        )


class Canned:
    """Stands in for the pool: hands out results that are known."""

    def __init__(self, results: dict[bytes, Result]) -> None:
        self._results = results

    def __enter__(self) -> "Canned":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        for job in jobs:
            yield Started(job.key, "canned")
            yield Finished(job.key, self._results[job.submission])


@pytest.fixture(scope="session")
def spring(tmp_path_factory: pytest.TempPathFactory) -> Spring:
    """A graded class of sixty, two of them by hand, and five whose work is not graded."""
    repository = Repository.find(ROOT)
    exercise = load_exercise(repository, repository.solutions / ASSIGNMENT)
    folder = tmp_path_factory.mktemp("spring")
    open_class(repository, [exercise], folder)
    release = nbformat.read(release_path(repository, exercise), as_version=4)
    write({folder / "release" / ASSIGNMENT / f"{exercise.topic}.ipynb": to_text(release)})
    classroom = Classroom.find(folder)
    package = load_package(classroom, ASSIGNMENT)

    plan = {one.name: one for one in variants(exercise)}
    wrote = _who_wrote_what(plan)
    attempts = [
        Attempt(name, {cell: plan[name].sources.get(cell, stub) for cell, stub in _stubs(release)})
        for name in {one.name for one in wrote.values()}
    ]
    with Trials(exercise) as trials:
        graded = {name: found for _, name, found in trials.run(attempts)}

    submissions = tmp_path_factory.mktemp("submissions")
    results, canned = {}, {}
    for number, (student, variant) in enumerate(wrote.items()):
        notebook = submission(release, variant)
        _answer(notebook, ANSWER if variant.kind in ("reference", "alternative") else "")
        # Nobody writes what another one wrote, but for two friends.
        _sign(notebook, variant, "friends" if student in FRIENDS else f"number_{number}")
        data = to_text(notebook).encode()
        path = submissions / student / f"{exercise.topic}.ipynb"
        path.parent.mkdir()
        path.write_bytes(data)
        result = _result(release, data, graded[variant.name], 0.03 + 0.001 * number)
        # The same file has one result, whoever handed it in.
        results[student] = canned.setdefault(data, result)
    # Two that the checker did not get to grade, two broken files, one after all others.
    for student, outcome, reason in (
        ("poison", "person", "killed 3 graders"),
        ("stuck", "failed", "the notebook took over 300 seconds"),
    ):
        notebook = submission(release, plan["reference"])
        _sign(notebook, plan["reference"], student)
        data = to_text(notebook).encode()
        (submissions / student).mkdir()
        (submissions / student / f"{exercise.topic}.ipynb").write_bytes(data)
        rebuilt = json.loads(json.dumps(rebuild(release, data).notebook))
        canned[data] = Result(outcome, reason, notebook=rebuilt)
    for student, content in (("empty", ""), ("latin", "{")):
        (submissions / student).mkdir()
        (submissions / student / f"{exercise.topic}.ipynb").write_text(content)
    grade_class(
        Task(classroom, package, classroom.database),
        lambda package, limits, jobs: Canned(canned),
        submissions,
    )
    return Spring(classroom, package, wrote, results)


def _who_wrote_what(plan: dict[str, Variant]) -> dict[str, Variant]:
    """Most are right, many make one slip, some wrote little or nothing; names with all letters."""
    chance = random.Random(1)
    right = [name for name, one in plan.items() if one.right]
    slips = [name for name, one in plan.items() if one.kind == "mutant"]
    frequent = chance.sample(slips, 6)
    names = [f"student{number:02}" for number in range(53)]
    names += ["Müller, Zoë", "anna [1]", "=1+1", "O'Brien", "李雷", 'Ada "Countess" L', "doejane"]
    wrote = {}
    for number, name in enumerate(names):
        if number < 22:
            choice = right[number % len(right)]
        elif number < 40:
            choice = chance.choice(frequent)
        elif number < 56:
            choice = chance.choice(slips)
        else:
            choice = ["untouched", "all zeros", "all none", "untouched"][number % 4]
        wrote[name] = plan[choice]
    return wrote


def _stubs(release: NotebookNode) -> list[tuple[str, str]]:
    return [
        (cell.metadata.nbgrader.grade_id, cell.source)
        for cell in release.cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution")
    ]


def _answer(notebook: NotebookNode, text: str) -> None:
    """Answer the question that a person grades."""
    for cell in notebook.cells:
        if text and cell.metadata.get("nbgrader", {}).get("grade_id") == "zero_weights":
            cell.source = text


def _sign(notebook: NotebookNode, variant: Variant, name: str) -> None:
    """Add a name of its own to an answer."""
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") in variant.sources:
            cell.source += f"\n\n\n{name} = 1  # mine"
            return


def _result(release: NotebookNode, data: bytes, graded: Any, seconds: float) -> Result:
    """What the checker would say: its messages have lines, which trials leaves out."""
    rebuilt = rebuild(release, data)
    notebook = json.loads(json.dumps(rebuilt.notebook))
    cells, outputs = [], {}
    for cell in notebook["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        if name not in graded.scores:
            continue
        kind, _, text = graded.messages.get(name, "").partition(": ")
        for start in ("You computed ", "Likely cause: "):
            text = text.replace(f" {start}", f"\n{start}")
        cells.append(CellResult(name, graded.scores[name], graded.maxima[name], text, seconds / 8))
        outputs[cell["id"]] = (
            [
                {
                    "output_type": "error",
                    "ename": kind,
                    "evalue": text,
                    "traceback": ["File <hidden>, in hidden_function", f"✗ {text}"],
                }
            ]
            if text
            else [{"output_type": "stream", "name": "stdout", "text": f"✓ {name}: all passed.\n"}]
        )
    return Result(
        "graded", "", tuple(cells), outputs, notebook, tuple(rebuilt.notes), round(seconds, 4)
    )


@pytest.fixture
def graded_notebook(spring: Spring) -> Callable[[str], dict[str, Any]]:
    """The autograded notebook of a student, to change."""

    def read(student: str) -> dict[str, Any]:
        path = spring.classroom.folder("autograded", ASSIGNMENT, student) / "backprop.ipynb"
        return json.loads(path.read_text(encoding="utf-8"))

    return read


@dataclass
class Seen:
    """What a browser noticed on a page.

    Args:
        active: What ran, asked another host, or was stopped by the page's own policy.
        problems: What the gates of the book's pages found.
    """

    active: list[str]
    problems: dict[str, list[str]]


@pytest.fixture
def look(browser: Any, tmp_path: Path) -> Callable[..., Seen]:
    """Open a page as a file, as an instructor does."""
    gates = (ROOT / "tests" / "book" / "gates.js").read_text(encoding="utf-8")

    def look(text: str, width: int = 1280, scheme: str = "light") -> Seen:
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        active: list[str] = []
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.on("console", lambda said: active.append(said.text))
        page.on("pageerror", lambda error: active.append(str(error)))
        page.on("dialog", lambda dialog: active.append(dialog.message))
        page.on(
            "request",
            lambda request: (
                active.append(request.url)
                if not request.url.startswith(("data:", path.as_uri()))
                else None
            ),
        )
        page.goto(path.as_uri(), wait_until="load")
        # Folded parts must hold what is in them as well.
        page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
        if page.evaluate("'pwned' in window"):
            active.append("a script of a student has run")
        page.evaluate(gates)
        found = page.evaluate("gates.all()")
        context.close()
        return Seen(active, {name: some for name, some in found.items() if some})

    return look

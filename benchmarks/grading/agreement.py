"""Whether the engine gives the grades of one process, whose grades are those of nbgrader.

Every right, wrong and cheap answer to every exercise is graded twice: by the fast engine of `course
check`, in one process, and by a slot of the engine, in its sandbox.
"""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import track

from coursekit.autograde import Graded
from coursekit.exercises import Exercise, find_exercises
from coursekit.grading.package import Package
from coursekit.grading.results import Result
from coursekit.grading.runner.slot import Slot
from coursekit.release import release_notebook, source_notebook
from coursekit.repository import Repository
from coursekit.trials import Attempt, Trials
from coursekit.variants import submission, variants

if TYPE_CHECKING:
    from report import Report

SECRET = ""  # With one, each submission meets numbers of its own.


def measure(report: "Report") -> None:
    """Compare scores and messages, cell by cell."""
    repository = Repository.find(Path(__file__).parent)
    rows, total = [], 0
    for exercise in track(find_exercises(repository), "Comparing", transient=True):
        answers, cells, scores, messages = compare(repository, exercise)
        rows.append([exercise.name, *map(str, (answers, cells, scores, messages))])
        total += scores + messages
    report.table(
        "Grading: the same grades in two processes as in one",
        ["exercise", "answers", "verdicts", "other scores", "other messages"],
        rows,
        f"Every right, wrong and cheap answer of `course check`. Differences in all: {total}.",
    )
    if total:
        raise SystemExit(f"The engine grades otherwise than one process: {total} differences.")


def compare(repository: Repository, exercise: Exercise) -> tuple[int, int, int, int]:
    """Grade every answer twice; count answers, verdicts, and where these differ."""
    source = source_notebook(repository, exercise)
    release = release_notebook(source, exercise)
    package = Package(exercise.name, exercise.topic, source, release, SECRET)
    notebooks = {one.name: submission(release, one) for one in variants(exercise)}
    attempts = [
        Attempt(
            name,
            {
                cell.metadata.nbgrader.grade_id: cell.source
                for cell in notebook.cells
                if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution")
            },
        )
        for name, notebook in notebooks.items()
    ]
    with Trials(exercise, workers=os.cpu_count()) as trials:
        one = {name: graded for _, name, graded in trials.run(attempts, secrets=[SECRET])}
    with Slot(package) as slot:
        two = {
            name: slot.grade(json.dumps(notebook).encode()) for name, notebook in notebooks.items()
        }
    cells = scores = messages = 0
    for name, graded in one.items():
        assert isinstance(graded, Graded)
        for cell, score, message in differences_of(graded, two[name]):
            cells += 1
            scores += score
            messages += message
            if score or message:
                print(f"{exercise.name}, {name}, {cell}: {graded.messages.get(cell, 'passes')!r}")
    return len(notebooks), cells, scores, messages


def differences_of(one: Graded, two: Result) -> list[tuple[str, bool, bool]]:
    """Each graded cell, and whether its score and its message differ."""
    found = {cell.grade_id: cell for cell in two.cells}
    compared = []
    for cell, score in one.scores.items():
        here = found.get(cell)
        message = here.message if here else "no verdict"
        compared.append(
            (
                cell,
                here is None or here.score != score,
                _lasting(message) != _lasting(one.messages.get(cell, "")),
            )
        )
    return compared


def _lasting(message: str) -> str:
    """A message without what is never the same twice: times, and the random numbers of a race."""
    timeless = re.sub(r"[0-9.]+ (ms|times)", r"\1", message)
    return re.sub(r"(on the clock is wrong: .* expected )\S+", r"\1", timeless)

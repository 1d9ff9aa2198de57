"""Whether the engine gives the grades of stock nbgrader: every answer to every exercise in both.

Stock nbgrader takes seconds for each answer and hours for all, so its grades are kept in `build/`:
a run that is stopped with Ctrl-C compares what is there, and the next one goes on. It runs the
references and the other right programs whole. Of the rest it gets what the engine runs: without an
experiment that no test needs, which trains for minutes.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from nbformat import NotebookNode
from rich.progress import Progress

from coursekit.autograde import grade_all
from coursekit.exercises import Exercise, find_exercises
from coursekit.grading.package import Package
from coursekit.grading.runner.slot import Slot
from coursekit.grading.split.plan import Plan, in_short, make_plan
from coursekit.release import release_notebook, source_notebook
from coursekit.repository import Repository
from coursekit.variants import Variant, submission, variants

if TYPE_CHECKING:
    from report import Report

ROUND = 64  # Answers to one exercise before the next has its turn; each time costs a set-up.

Scores = dict[str, float]


@dataclass(frozen=True)
class Class:
    """An exercise and every right, wrong and cheap answer to it."""

    exercise: Exercise
    source: NotebookNode

    @cached_property
    def release(self) -> NotebookNode:
        """What the students get."""
        return release_notebook(self.source, self.exercise)

    @cached_property
    def answers(self) -> dict[str, NotebookNode]:
        """What is handed in, by key: the same answer to a changed exercise has another one."""
        return {self._key(one): submission(self.release, one) for one in self._variants}

    @cached_property
    def whole(self) -> set[str]:
        """The keys of those that stock nbgrader runs whole."""
        kinds = {"reference", "alternative"}
        return {self._key(one) for one in self._variants if one.kind in kinds}

    @cached_property
    def _variants(self) -> list[Variant]:
        return sorted(variants(self.exercise), key=lambda one: not one.right)

    @cached_property
    def package(self) -> Package:
        """What a slot of the engine gets."""
        return Package(
            self.exercise.name, self.exercise.topic, self.source, self.release, secret=""
        )

    @cached_property
    def plan(self) -> Plan:
        """What the engine runs where."""
        return make_plan(self.package)

    def _key(self, answer: Variant) -> str:
        content = json.dumps([version("nbgrader"), self.source, answer.sources], sort_keys=True)
        return f"{answer.name} {hashlib.sha256(content.encode()).hexdigest()}"

    def in_stock(self, keys: list[str]) -> Iterator[tuple[str, Scores]]:
        """Grade some answers with stock nbgrader, each as soon as it is graded."""
        if keys:
            handed_in = {
                key: answer if key in self.whole else in_short(self.plan, answer)
                for key, answer in self.answers.items()
                if key in keys
            }
            exercise = self.exercise
            for key, graded in grade_all(self.source, exercise.name, exercise.topic, handed_in):
                yield key, graded.scores

    def in_engine(self, keys: list[str]) -> Iterator[tuple[str, Scores]]:
        """Grade some answers with a slot of the engine."""
        with Slot(self.package) as slot:
            for key in keys:
                result = slot.grade(json.dumps(self.answers[key]).encode())
                yield key, {cell.grade_id: cell.score for cell in result.cells}


def measure(report: "Report") -> None:
    """Grade what has no grade of stock nbgrader yet; compare what has one."""
    repository = Repository.find(Path(__file__).parent)
    kept = Kept(repository.root / "build" / "stock_grades.jsonl")
    classes = [Class(one, source_notebook(repository, one)) for one in find_exercises(repository)]
    try:
        kept.fill(classes)
    except KeyboardInterrupt:
        print("stopped: what is graded is compared; the next run goes on.")
    rows, different, compared, everything = [], 0, 0, 0
    for one in classes:
        keys = [key for key in one.answers if key in kept.scores]
        others = [
            (key, stock, ours)
            for key, ours in (one.in_engine(keys) if keys else ())
            if (stock := kept.scores[key]) != ours
        ]
        for key, stock, ours in others:
            print(f"{one.exercise.name}, {key.rpartition(' ')[0]}: {stock} in stock, here {ours}")
        rows.append([one.exercise.name, f"{len(keys)} of {len(one.answers)}", str(len(others))])
        different += len(others)
        compared += len(keys)
        everything += len(one.answers)
    report.table(
        "Grading: the same grades as stock nbgrader",
        ["exercise", "answers compared", "other grades"],
        rows,
        f"Every right, wrong and cheap answer of `course check`: {compared} of {everything} were "
        f"compared, cell by cell, {different} differ. Stock runs references and alternatives "
        "whole, the others without experiments that no test needs. "
        f"Stock nbgrader {version('nbgrader')} ignores "
        "lines on stderr, for which it else gives 0 points.",
    )
    if different:
        raise SystemExit(f"The engine grades otherwise than stock nbgrader: {different} answers.")


class Kept:
    """What stock nbgrader gave, in a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scores: dict[str, Scores] = {}
        if path.exists():
            # The last line may be cut off: its answer is graded again.
            for line in path.read_text().split("\n")[:-1]:
                self.scores.update([json.loads(line)])

    def fill(self, classes: list[Class]) -> None:
        """Grade every answer that is not in the file, some of each exercise in turn."""
        missing = [[key for key in one.answers if key not in self.scores] for one in classes]
        self.path.parent.mkdir(exist_ok=True)
        with Progress(transient=True) as bars, self.path.open("a") as file:
            bar = bars.add_task("Stock nbgrader", total=sum(map(len, missing)))
            for start in range(0, max(map(len, missing)), ROUND):
                for one, keys in zip(classes, missing, strict=True):
                    for key, scores in one.in_stock(keys[start : start + ROUND]):
                        self.scores[key] = scores
                        print(json.dumps([key, scores]), file=file, flush=True)
                        bars.advance(bar)

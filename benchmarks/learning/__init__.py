"""How well the reference learns: real data, three seeds, the time on this machine."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from rich.progress import track

if TYPE_CHECKING:
    from report import Report

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Result:
    """What one training reached.

    Attributes:
        score: the number that counts, on the test data.
        seconds: how long the training took.
        source: the data that was used.
        is_sample: whether that was the offline sample.
    """

    score: float
    seconds: float
    source: str
    is_sample: bool


@dataclass(frozen=True)
class Run:
    """One training to repeat with several seeds.

    Attributes:
        name: the model and its settings.
        goal: what it should reach on the real data, in words.
        train: trains with a seed.
    """

    name: str
    goal: str
    train: Callable[[int], Result]


def runs() -> list[Run]:
    """Return all runs of all files of this folder."""
    modules = sorted(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
    return [run for name in modules for run in importlib.import_module(name).RUNS]


def measure(report: "Report") -> None:
    """Train everything and report the scores."""
    rows, sources = [], set()
    for run in track(runs(), "Learning", transient=True):
        results = [run.train(seed) for seed in SEEDS]
        scores = [result.score for result in results]
        seconds = [result.seconds for result in results]
        sample = " (none for the sample)" if results[0].is_sample else ""
        rows.append(
            [
                run.name,
                f"{mean(scores):.4f}",
                f"{min(scores):.4f} to {max(scores):.4f}",
                f"{mean(seconds):.1f}",
                f"{min(seconds):.1f} to {max(seconds):.1f}",
                run.goal + sample,
            ]
        )
        sources |= {result.source for result in results}
    report.table(
        "Learning",
        ["run", "mean score", "spread", "mean time [s]", "spread", "goal"],
        rows,
        f"{len(SEEDS)} seeds. Data: {'; '.join(sorted(sources))}.",
    )

"""Scratch against PyTorch on the CPU, both measured in one run.

Each side works in its own process, and the two take turns. In one process, the threads of NumPy's
BLAS and those of PyTorch would wait for work at the same time and take the processor from each
other: that alone can triple a time.
"""

import importlib
import pkgutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from statistics import median, quantiles
from typing import TYPE_CHECKING

from rich.progress import track

if TYPE_CHECKING:
    from report import Report

ROUNDS = 15
SECONDS_PER_ROUND = 0.1
LEAST_CALLS = 5


@dataclass(frozen=True)
class Case:
    """One comparison. Both sides do the same work on the same numbers and return the results.

    Attributes:
        name: what is measured.
        limit: how many times slower than PyTorch the scratch version may be.
        scratch: builds the scratch side and returns the function to time.
        pytorch: builds the PyTorch side and returns the function to time.
    """

    name: str
    limit: float
    scratch: Callable[[], Callable[[], list]]
    pytorch: Callable[[], Callable[[], list]]


def cases() -> list[tuple[str, int, Case]]:
    """Return all cases of all files of this folder, each with its module and its position."""
    modules = sorted(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
    return [
        (name, position, case)
        for name in modules
        for position, case in enumerate(importlib.import_module(name).CASES)
    ]


def measure(report: "Report") -> None:
    """Measure all cases and report the ratios."""
    rows = []
    for module, position, case in track(cases(), "Measuring", transient=True):
        times: dict[str, list[float]] = {"scratch": [], "pytorch": []}
        with (
            ProcessPoolExecutor(1, get_context("spawn")) as scratch,
            ProcessPoolExecutor(1, get_context("spawn")) as pytorch,
        ):
            for _ in range(ROUNDS + 1):
                for side, worker in (("scratch", scratch), ("pytorch", pytorch)):
                    times[side].append(worker.submit(time_round, module, position, side).result())
        # The first round warms up. Other work on the machine only ever adds time, and the threads
        # of PyTorch suffer most from it: so the fastest rounds tell what the code itself costs.
        ours, theirs = times["scratch"][1:], times["pytorch"][1:]
        ratio = min(ours) / min(theirs)
        low, _, high = quantiles((a / b for a, b in zip(ours, theirs, strict=True)), n=4)
        rows.append(
            [
                case.name,
                f"{1e3 * min(ours):.2f}",
                f"{1e3 * min(theirs):.2f}",
                f"{ratio:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{case.limit:.1f}" + (" (missed)" if ratio > case.limit else ""),
            ]
        )
    report.table(
        "Speed: scratch against PyTorch on the CPU, float32",
        ["work", "scratch [ms]", "PyTorch [ms]", "ratio", "middle half", "at most"],
        rows,
        f"The fastest of {ROUNDS} rounds of {SECONDS_PER_ROUND} s, the sides taking turns; and the "
        "middle half of the ratios, round by round.",
    )


@cache
def prepare(module: str, position: int, side: str) -> Callable[[], list]:
    """Build one side of a case, once in each worker."""
    return getattr(importlib.import_module(module).CASES[position], side)()


def time_round(module: str, position: int, side: str) -> float:
    """Return the median time of one call in seconds; this runs in a worker."""
    function = prepare(module, position, side)
    times = []
    while sum(times) < SECONDS_PER_ROUND or len(times) < LEAST_CALLS:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return median(times)

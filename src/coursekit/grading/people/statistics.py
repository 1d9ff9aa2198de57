"""What the points and the messages of a class say about the class and about the exercise."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coursekit.grading.people.causes import CAUSE
from coursekit.grading.people.plain_text import printable, shortened
from coursekit.grading.results import CellResult

__all__ = [
    "Histogram",
    "Item",
    "Misconception",
    "Summary",
    "cause_of",
    "histogram",
    "is_unwritten",
    "items",
    "misconceptions",
    "summary",
]

# What `largemodels.check` says about an empty stub.
NOT_WRITTEN = "not written yet"
# Characters of a cause and of a message that a report shows.
LONGEST_CAUSE, LONGEST_EXAMPLE = 400, 2_000

# Measured numbers and batch sizes differ where the slip is the same; other whole numbers, such as
# an axis, are part of the slip.
_MEASURED = re.compile(
    r"-?\d+\.\d+(?:e[-+]?\d+)?|-?\d+e[-+]?\d+|\d+(?= times too | is the batch size)", re.IGNORECASE
)


@dataclass(frozen=True)
class Summary:
    """A few numbers that describe many.

    Args:
        count: How many there are.
        mean: Their mean.
        median: Half of them are at most this.
        deviation: Standard deviation of the class, dividing by `count`.
        lowest: The smallest.
        lower_quartile: A quarter of them is at most this.
        upper_quartile: Three quarters of them are at most this.
        highest: The largest.
    """

    count: int
    mean: float
    median: float
    deviation: float
    lowest: float
    lower_quartile: float
    upper_quartile: float
    highest: float


@dataclass(frozen=True)
class Histogram:
    """How many scores lie between two neighbouring edges; the last bin holds its upper edge."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Item:
    """How one graded cell did.

    Args:
        name: Name of the cell.
        points: What it is worth.
        count: Students who have a score here.
        mean: Mean score in points.
        difficulty: Share of the points that the class earned, 0 (hard) to 1 (easy); None where
            nobody has a score.
        discrimination: Correlation of this cell's score with the sum of the other cells', -1 to 1;
            None where it is undefined.
        full: Students with all points.
        none: Students without a point.
    """

    name: str
    points: float
    count: int
    mean: float
    difficulty: float | None
    discrimination: float | None
    full: int
    none: int

    @property
    def partial(self) -> int:
        """Students with some of the points."""
        return self.count - self.full - self.none


@dataclass(frozen=True)
class Misconception:
    """A slip that a check called by its name.

    Args:
        cause: What the check says after `Likely cause:`; measured numbers are left out where they
            differ.
        students: How many students heard it, each counted once.
        cells: How many students heard it in which cell.
        example: One whole message.
    """

    cause: str
    students: int
    cells: dict[str, int]
    example: str


def summary(scores: ArrayLike) -> Summary | None:
    """Describe scores; None where there are none."""
    numbers = np.asarray(scores, dtype=float)
    if numbers.size == 0:
        return None
    lower, median, upper = np.percentile(numbers, [25, 50, 75])
    return Summary(
        int(numbers.size),
        float(numbers.mean()),
        float(median),
        float(numbers.std()),
        float(numbers.min()),
        float(lower),
        float(upper),
        float(numbers.max()),
    )


def histogram(scores: ArrayLike, maximum: float) -> Histogram:
    """Count scores in bins of ten points, or in ten bins where ten points do not fit.

    Args:
        scores: Points of each student; those above `maximum` count in the last bin.
        maximum: Points that can be reached, above 0.

    Raises:
        ValueError: `maximum` is not above 0.
    """
    if not maximum > 0:
        raise ValueError(f"`maximum` (={maximum}) must be above 0.")
    bins = round(maximum / 10) if maximum >= 50 and maximum % 10 == 0 else 10
    edges = np.linspace(0, maximum, bins + 1)
    counts, _ = np.histogram(np.clip(np.asarray(scores, dtype=float), 0, maximum), edges)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))


def items(names: Sequence[str], points: Sequence[float], scores: ArrayLike) -> list[Item]:
    """Say how hard each cell was, and how well it tells strong from weak students.

    Difficulty is the share of the points that the class earned. Discrimination is the corrected
    item-total correlation: Pearson's r between the score of a cell and the sum of all *other*
    cells, because a cell always agrees with a sum that it is part of. It is undefined where one of
    the two is the same for everybody. A cell that still waits for points counts in no sum.

    Args:
        names: Names of the cells.
        points: What they are worth.
        scores: Shape `(students, cells)`; `nan` where a student has no score yet.

    Raises:
        ValueError: The shapes do not fit.
    """
    table = np.asarray(scores, dtype=float).reshape(-1, max(1, len(names)))
    if len(points) != len(names):
        raise ValueError(f"`points` (of length {len(points)}) must fit {len(names)} `names`.")
    given = ~np.isnan(table)
    complete = given.all(axis=0)  # (cells,)
    total = table[:, complete].sum(axis=1)  # (students,)
    found = []
    for index, (name, worth) in enumerate(zip(names, points, strict=True)):
        column = table[given[:, index], index]
        mean = float(column.mean()) if column.size else 0.0
        rest = total - table[:, index] if complete[index] else None
        found.append(
            Item(
                name,
                float(worth),
                int(column.size),
                mean,
                mean / worth if column.size and worth else None,
                None if rest is None else _correlation(table[:, index], rest),
                int((column >= worth).sum()),
                int((column <= 0).sum()),
            )
        )
    return found


def _correlation(first: NDArray, second: NDArray) -> float | None:
    """Pearson's r; None where one side does not vary."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    first, second = first - first.mean(), second - second.mean()
    with np.errstate(all="ignore"):
        r = float((first @ second) / np.sqrt((first @ first) * (second @ second)))
    # Differences too small for a square, such as 1e-200, have no correlation to speak of.
    return float(np.clip(r, -1, 1)) if np.isfinite(r) else None


def cause_of(message: str) -> str:
    """What a check says after `Likely cause:`, on one line; empty where it names no cause.

    An exception of a student's may say one too, so that nothing in it acts, and it has an end.
    """
    _, found, cause = message.rpartition(CAUSE)
    return printable(" ".join(cause[:LONGEST_CAUSE].split())) if found else ""


def is_unwritten(message: str) -> bool:
    """Whether a check found an empty stub."""
    return NOT_WRITTEN in message


def misconceptions(results: Iterable[Sequence[CellResult]]) -> list[Misconception]:
    """Group what the checks call by name, the most frequent first.

    Args:
        results: The graded cells of each student.
    """
    texts: dict[str, Counter[str]] = defaultdict(Counter)
    students: Counter[str] = Counter()
    cells: dict[str, Counter[str]] = defaultdict(Counter)
    examples: dict[str, str] = {}
    for cells_of_one in results:
        heard = set()
        for cell in cells_of_one:
            cause = cause_of(cell.message)
            if not cause:
                continue
            key = _MEASURED.sub("…", cause)
            heard.add(key)
            texts[key][cause] += 1
            cells[key][cell.grade_id] += 1
            examples.setdefault(
                key, shortened(cell.message.removeprefix("Mistake: "), LONGEST_EXAMPLE)
            )
        students.update(heard)
    found = [
        Misconception(
            next(iter(texts[key])) if len(texts[key]) == 1 else key,
            count,
            dict(cells[key]),
            examples[key],
        )
        for key, count in students.items()
    ]
    return sorted(found, key=lambda one: (-one.students, one.cause))

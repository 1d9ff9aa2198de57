"""The numbers of the report: against other libraries, against definitions, and by properties."""

import statistics as standard

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from coursekit.grading.people.statistics import (
    cause_of,
    histogram,
    is_unwritten,
    items,
    misconceptions,
    summary,
)
from coursekit.grading.results import CellResult

SCORES = st.lists(st.integers(0, 220).map(lambda half: half / 2), min_size=2, max_size=40)


def table_of(students: int, cells: int) -> st.SearchStrategy[np.ndarray]:
    """Scores of a class: each cell gives 0, half or all of ten points."""
    return arrays.arrays(float, (students, cells), elements=st.sampled_from([0.0, 5.0, 10.0]))


@given(SCORES)
def test_a_summary_agrees_with_the_standard_library(scores: list[float]) -> None:
    found = summary(scores)
    assert found is not None
    lower, median, upper = standard.quantiles(scores, n=4, method="inclusive")
    assert found.count == len(scores)
    assert found.mean == pytest.approx(standard.fmean(scores))
    assert found.deviation == pytest.approx(standard.pstdev(scores))
    assert (found.lowest, found.highest) == (min(scores), max(scores))
    assert (found.lower_quartile, found.median, found.upper_quartile) == pytest.approx(
        (lower, median, upper)
    )


def test_nobody_has_no_summary() -> None:
    assert summary([]) is None


@given(SCORES, st.sampled_from([10.0, 37.5, 100.0, 110.0]))
def test_every_score_is_in_one_bin(scores: list[float], maximum: float) -> None:
    found = histogram(scores, maximum)
    assert sum(found.counts) == len(scores)
    assert (found.edges[0], found.edges[-1]) == (0, maximum)
    for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        last = high == maximum
        assert count == sum(low <= score < high or (last and score >= high) for score in scores)


def test_bins_are_ten_points_wide_where_that_fits() -> None:
    assert histogram([], 110).edges == tuple(range(0, 111, 10))
    assert len(histogram([], 37.5).counts) == 10


def test_a_maximum_of_zero_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"`maximum` \(=0\) must be above 0"):
        histogram([1.0], 0)


@given(table_of(12, 4))
def test_discrimination_agrees_with_scipy(table: np.ndarray) -> None:
    for index, item in enumerate(items("abcd", [10.0] * 4, table)):
        rest = np.delete(table, index, axis=1).sum(axis=1)
        if np.ptp(table[:, index]) == 0 or np.ptp(rest) == 0:
            assert item.discrimination is None
        else:
            r = stats.pearsonr(table[:, index], rest).statistic
            assert item.discrimination == pytest.approx(r, abs=1e-12)


@given(table_of(9, 3))
def test_difficulty_is_the_share_of_the_points(table: np.ndarray) -> None:
    found = items("abc", [10.0, 10.0, 20.0], table)
    for index, item in enumerate(found):
        assert item.difficulty == pytest.approx(sum(table[:, index]) / (9 * item.points))
        assert 0 <= item.difficulty <= 1
        assert item.full + item.partial + item.none == item.count == 9
    # The parts add up to the whole.
    assert sum(item.mean for item in found) == pytest.approx(table.sum(axis=1).mean())


@given(table_of(8, 3), st.permutations(range(8)))
def test_the_order_of_the_students_does_not_matter(table: np.ndarray, order: list[int]) -> None:
    first, second = items("abc", [10.0] * 3, table), items("abc", [10.0] * 3, table[order])
    for one, other in zip(first, second, strict=True):
        assert one.discrimination == pytest.approx(other.discrimination)
        assert (one.mean, one.full, one.none) == (other.mean, other.full, other.none)


@given(table_of(8, 3))
def test_the_unit_of_the_points_does_not_matter(table: np.ndarray) -> None:
    first, second = items("abc", [10.0] * 3, table), items("abc", [1.0] * 3, table / 10)
    for one, other in zip(first, second, strict=True):
        assert one.difficulty == pytest.approx(other.difficulty)
        assert one.discrimination == pytest.approx(other.discrimination)


def test_a_cell_that_only_strong_students_fail_has_negative_discrimination() -> None:
    table = [[10, 10, 0], [10, 10, 0], [0, 0, 10], [0, 10, 10]]
    found = items("abc", [10.0] * 3, table)
    assert found[2].discrimination is not None
    assert found[2].discrimination < -0.5


def test_a_cell_that_waits_for_points_counts_in_no_sum() -> None:
    """With it, the others would be compared with a sum that is not there yet."""
    table = np.array([[10.0, 10, np.nan], [0, 0, 5], [10, 0, 5], [0, 0, 5]])
    first, second, waiting = items("abc", [10.0] * 3, table)
    assert waiting.discrimination is None
    assert (waiting.count, waiting.mean, waiting.difficulty) == (3, 5.0, 0.5)
    alone = items("ab", [10.0] * 2, table[:, :2])
    assert [first, second] == alone


def test_a_cell_without_scores_has_no_difficulty() -> None:
    [item] = items("a", [10.0], [[np.nan], [np.nan]])
    assert (item.count, item.difficulty, item.discrimination) == (0, None, None)


def test_shapes_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"`points` \(of length 1\) must fit 2 `names`"):
        items("ab", [1.0], [[1.0, 2.0]])


def wrong(cell: str, message: str) -> CellResult:
    return CellResult(cell, 0.0, 10.0, message)


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("relu(x) is wrong.\nYou computed 1, expected 2.\nLikely cause: a\nsum.", "a sum."),
        ("Mistake: relu(x) is wrong. Likely cause: a sum.", "a sum."),
        ("relu(x) is wrong.\nYou computed 1, expected 2.", ""),
        ("", ""),
    ],
)
def test_a_cause_is_what_follows_its_words(message: str, cause: str) -> None:
    assert cause_of(message) == cause


def test_a_cause_has_an_end_and_speaks_to_no_terminal() -> None:
    found = cause_of("no.\nLikely cause: \x1b[31m red \x1b]0;title\x07" + "x" * 10_000)
    assert found.startswith("\ufffd[31m red \ufffd]0;title\ufffdx")
    assert len(found) <= 400
    assert found.isprintable()
    [one] = misconceptions([[wrong("first", "x" * 10_000 + "\nLikely cause: a.")]])
    assert len(one.example) == 2_000


def test_an_empty_stub_is_told_by_its_message() -> None:
    assert is_unwritten("relu is not written yet.\nWrite its code …")
    assert not is_unwritten("relu(x) is wrong.")


def test_a_student_counts_once_however_often_the_slip_is_heard() -> None:
    slip = "is wrong.\nLikely cause: the sign is flipped."
    other = "is wrong.\nLikely cause: a `.T` is missing."
    found = misconceptions(
        [
            [wrong("first", slip), wrong("second", slip)],
            [wrong("first", slip), wrong("second", other)],
            [wrong("first", ""), wrong("second", "no cause here")],
        ]
    )
    assert [(one.cause, one.students, one.cells) for one in found] == [
        ("the sign is flipped.", 2, {"first": 2, "second": 1}),
        ("a `.T` is missing.", 1, {"second": 1}),
    ]
    assert found[0].example == slip


def test_measured_numbers_do_not_tear_a_slip_apart_but_axes_do() -> None:
    causes = [
        "every number is 0.5213 times the expected one.",
        "every number is 1.7e-05 times the expected one.",
        "every number is 4 times too large, and 4 is the batch size: you took the sum.",
        "every number is 7 times too large, and 7 is the batch size: you took the sum.",
        "the sum over axis 0 is missing.",
        "the sum over axis 1 is missing.",
    ]
    found = misconceptions([[wrong("cell", f"✗\nLikely cause: {cause}")] for cause in causes])
    assert {one.cause: one.students for one in found} == {
        "every number is … times the expected one.": 2,
        "every number is … times too large, and … is the batch size: you took the sum.": 2,
        "the sum over axis 0 is missing.": 1,
        "the sum over axis 1 is missing.": 1,
    }


@given(st.lists(st.lists(st.sampled_from(["", "a.", "b.", "0.5 c."]), max_size=4), max_size=12))
def test_no_slip_is_heard_by_more_students_than_there_are(heard: list[list[str]]) -> None:
    results = [
        [
            wrong(f"cell{i}", f"Likely cause: {cause}" if cause else "")
            for i, cause in enumerate(one)
        ]
        for one in heard
    ]
    found = misconceptions(results)
    for one in found:
        assert 1 <= one.students <= len(heard)
        assert one.students <= sum(one.cells.values())
    assert sum(sum(one.cells.values()) for one in found) == sum(
        bool(cause) for one in heard for cause in one
    )

"""Rates are those of a count by hand, and the criteria exclude each other as the theorem says."""

import re

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from largemodels.trust.fairness import (
    demographic_parity_difference,
    equal_opportunity_difference,
    equal_opportunity_thresholds,
    group_calibration,
    group_rates,
    implied_false_positive_rate,
)


def loans(size=4000, seed=0):
    """Return outcomes, calibrated probabilities and groups; group b pays back less often."""
    rng = np.random.default_rng(seed)
    groups = rng.choice(["a", "b", "c"], size=size)
    shift = {"a": 0.5, "b": -1.0, "c": 0.0}
    logits = 1.5 * rng.standard_normal(size) + np.vectorize(shift.get)(groups)
    probabilities = 1 / (1 + np.exp(-logits))
    return (rng.random(size) < probabilities).astype(int), probabilities, groups


def test_rates_of_each_group_are_those_of_scikit_learn():
    targets, probabilities, groups = loans()
    predictions = (probabilities > 0.5).astype(int)
    rates = group_rates(targets, predictions, groups)
    assert list(rates) == ["a", "b", "c"]
    for group, rate in rates.items():
        y, decisions = targets[groups == group], predictions[groups == group]
        assert rate.count == len(y)
        assert rate.base_rate == pytest.approx(y.mean())
        assert rate.selection_rate == pytest.approx(decisions.mean())
        assert rate.true_positive_rate == pytest.approx(recall_score(y, decisions))
        assert rate.false_positive_rate == pytest.approx(decisions[y == 0].mean())
        assert rate.precision == pytest.approx(precision_score(y, decisions))


def test_rate_of_nobody_is_nan():
    rates = group_rates([1, 1, 0], [0, 0, 0], [7, 7, 8])
    assert np.isnan([rates[7].false_positive_rate, rates[7].precision]).all()
    assert np.isnan(rates[8].true_positive_rate)
    assert rates[7].true_positive_rate == 0


def test_differences_are_between_the_extreme_groups():
    # Accepted: 3 of 4 in a, 1 of 4 in b, 2 of 4 in c.
    predictions = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]]).ravel()
    targets = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]]).ravel()
    groups = ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    assert demographic_parity_difference(predictions, groups) == pytest.approx(0.5)
    # Of those who pay back, a accepts 2 of 2, b 1 of 3, c 1 of 1.
    assert equal_opportunity_difference(targets, predictions, groups) == pytest.approx(2 / 3)
    assert demographic_parity_difference([1, 0, 1, 0], [0, 0, 1, 1]) == 0


def test_calibrated_scores_are_so_in_each_group_and_distorted_ones_are_not():
    targets, probabilities, groups = loans(60_000)
    for predicted, observed in group_calibration(targets, probabilities, groups).values():
        assert len(predicted) == 10
        np.testing.assert_allclose(observed, predicted, atol=0.04)
    distorted = np.where(groups == "b", probabilities**2, probabilities)
    curves = group_calibration(targets, distorted, groups)
    assert np.abs(np.subtract(*curves["b"])).max() > 0.15
    assert np.abs(np.subtract(*curves["a"])).max() < 0.04


@pytest.mark.parametrize("rate", [0.3, 0.8, 1.0])
def test_thresholds_give_all_groups_the_same_opportunity(rate):
    targets, probabilities, groups = loans()
    one_for_all = (probabilities >= 0.5).astype(int)
    assert equal_opportunity_difference(targets, one_for_all, groups) > 0.1
    thresholds = equal_opportunity_thresholds(targets, probabilities, groups, rate)
    own = (probabilities >= np.vectorize(thresholds.get)(groups)).astype(int)
    rates = group_rates(targets, own, groups)
    smallest = min(targets[groups == group].sum() for group in "abc")
    for group_rate in rates.values():
        assert rate - 1e-12 <= group_rate.true_positive_rate <= rate + 1 / smallest
    assert equal_opportunity_difference(targets, own, groups) <= 1 / smallest
    # What the theorem says: base rates differ, so precision or false positives must, too.
    precisions = [group_rate.precision for group_rate in rates.values()]
    false_positives = [group_rate.false_positive_rate for group_rate in rates.values()]
    assert max(np.ptp(precisions), np.ptp(false_positives)) > 0.03


def test_threshold_is_the_largest_that_accepts_enough():
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    for count in range(1, 6):
        (threshold,) = equal_opportunity_thresholds(
            np.ones(5), scores, np.zeros(5), count / 5
        ).values()
        assert threshold == scores[5 - count]


def test_false_positives_follow_from_the_three_other_rates():
    targets, probabilities, groups = loans()
    for rate in group_rates(targets, probabilities > 0.6, groups).values():
        implied = implied_false_positive_rate(
            rate.base_rate, rate.precision, rate.true_positive_rate
        )
        assert implied == pytest.approx(rate.false_positive_rate)


def test_perfect_decisions_are_fair_by_all_criteria_but_parity():
    targets, _, groups = loans()
    assert equal_opportunity_difference(targets, targets, groups) == 0
    assert implied_false_positive_rate(0.7, 1.0, 1.0) == 0
    assert demographic_parity_difference(targets, groups) > 0.1


Y, GROUPS = [1, 0, 1], ["a", "a", "b"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: group_rates([], [], []), "`targets` (of shape (0,)) must have shape (N,)"),
        (lambda: group_rates([1, 2, 0], Y, GROUPS), "`targets` must be 0 or 1, got 2"),
        (lambda: group_rates(Y, [1.0, 0.5, 0], GROUPS), "`predictions` must be 0 or 1, got 0.5"),
        (lambda: group_rates(Y, [1], GROUPS), "`predictions` (of shape (1,)) must have shape (3,)"),
        (lambda: group_rates(Y, Y, ["a"]), "`groups` (of shape (1,)) must have shape (3,)"),
        (
            lambda: equal_opportunity_difference([0, 0, 1], Y, GROUPS),
            "`targets` has nobody with the outcome 1 in the group 'a'",
        ),
        (lambda: group_calibration(Y, [0, 1, 2], GROUPS), "`probabilities` must be from 0 to 1"),
        (lambda: group_calibration(Y, [0.5], GROUPS), "`probabilities` (of shape (1,))"),
        (lambda: group_calibration(Y, Y, GROUPS, bins=0), "`bins` (=0) must be at least 1"),
        (
            lambda: equal_opportunity_thresholds(Y, Y, GROUPS, 0),
            "`true_positive_rate` (=0) must be in (0, 1]",
        ),
        (
            lambda: equal_opportunity_thresholds([0, 0, 1], Y, GROUPS, 0.5),
            "`targets` has nobody with the outcome 1 in the group a",
        ),
        (lambda: equal_opportunity_thresholds(Y, [1], GROUPS, 0.5), "`scores` (of shape (1,))"),
        (lambda: implied_false_positive_rate(1, 0.5, 0.5), "`base_rate` (=1) must be between"),
        (lambda: implied_false_positive_rate(0.5, 0, 0.5), "`precision` (=0) must be in (0, 1]"),
        (lambda: implied_false_positive_rate(0.5, 0.5, 2), "`true_positive_rate` (=2) must be in"),
    ],
)
def test_errors_name_argument_and_value(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()

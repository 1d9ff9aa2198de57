"""Fairness between groups of people: what differs, how to change it, and what excludes what.

A number says that groups are treated differently, not why, nor which difference is wrong. Which
criterion is right depends on who bears the cost of which error.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix

__all__ = [
    "GroupRates",
    "demographic_parity_difference",
    "equal_opportunity_difference",
    "equal_opportunity_thresholds",
    "group_calibration",
    "group_rates",
    "implied_false_positive_rate",
]


@dataclass(frozen=True)
class GroupRates:
    """How decisions fall in one group; NaN where nobody is there to count.

    Args:
        count: the number of people.
        base_rate: the share with the good outcome, P(y = 1).
        selection_rate: the share accepted, P(ŷ = 1).
        true_positive_rate: the share accepted among those with the good outcome, P(ŷ = 1 | y = 1).
        false_positive_rate: the share accepted among the others, P(ŷ = 1 | y = 0).
        precision: the share with the good outcome among the accepted, P(y = 1 | ŷ = 1).

    Example:
        >>> rates = group_rates([1, 0, 0, 0], [1, 1, 0, 0], ["a"] * 4)["a"]
        >>> rates.base_rate, rates.selection_rate, rates.true_positive_rate, rates.precision
        (0.25, 0.5, 1.0, 0.5)

    Taught in: book/startup_strategy/ethics_and_fairness.md
    """

    count: int
    base_rate: float
    selection_rate: float
    true_positive_rate: float
    false_positive_rate: float
    precision: float


def group_rates(
    targets: ArrayLike, predictions: ArrayLike, groups: ArrayLike
) -> dict[Hashable, GroupRates]:
    """Return the rates of each group, on which all criteria of fairness rest.

    Args:
        targets: the outcomes y, 1 for the good one (the loan is paid back), shape (N,).
        predictions: the decisions ŷ, 1 for the good one (the loan is given), shape (N,).
        groups: the group of each person, shape (N,).

    Returns:
        The rates by group, in sorted order.

    Raises:
        ValueError: if there is nobody, the shapes differ, or a target or decision is not 0 or 1.

    Example:
        >>> rates = group_rates([1, 1, 0, 1, 0, 0], [1, 0, 0, 1, 1, 0], list("aaabbb"))
        >>> rates["b"].selection_rate, rates["b"].true_positive_rate, rates["b"].precision
        (0.666..., 1.0, 0.5)

    Taught in: book/startup_strategy/ethics_and_fairness.md
    """
    y, decisions = _binary("targets", targets), _binary("predictions", predictions)
    labels = _groups(groups, len(y))
    if len(decisions) != len(y):
        raise ValueError(f"`predictions` (of shape {decisions.shape}) must have shape {y.shape}.")
    rates = {}
    for group in np.unique(labels):
        own = labels == group
        table = confusion_matrix(y[own], decisions[own], labels=[0, 1]).tolist()
        (true_negatives, false_positives), (false_negatives, true_positives) = table
        positives, negatives = true_positives + false_negatives, true_negatives + false_positives
        accepted, count = true_positives + false_positives, positives + negatives
        rates[group.item()] = GroupRates(
            count,
            positives / count,
            accepted / count,
            _share(true_positives, positives),
            _share(false_positives, negatives),
            _share(true_positives, accepted),
        )
    return rates


def demographic_parity_difference(predictions: ArrayLike, groups: ArrayLike) -> float:
    """Return how much the shares of accepted people differ between groups.

    max_a P(ŷ = 1 | a) − min_a P(ŷ = 1 | a)

    Args:
        predictions: the decisions ŷ, 0 or 1, shape (N,).
        groups: the group a of each person, shape (N,).

    Returns:
        A number from 0 (parity) to 1.

    Raises:
        ValueError: if there is nobody, the shapes differ, or a decision is not 0 or 1.

    Source:
        Dwork, Hardt, Pitassi, Reingold and Zemel, "Fairness through awareness", ITCS 2012
        (statistical parity).

    Example:
        >>> demographic_parity_difference([1, 1, 0, 1, 0, 0], list("aaabbb"))  # 2/3 − 1/3
        0.333...

    Taught in: book/startup_strategy/ethics_and_fairness.md
    """
    # The outcomes do not count here, so any will do.
    rates = group_rates(np.asarray(predictions), predictions, groups).values()
    return _range([rate.selection_rate for rate in rates])


def equal_opportunity_difference(
    targets: ArrayLike, predictions: ArrayLike, groups: ArrayLike
) -> float:
    """Return how much the chances of people with the good outcome differ between groups.

    max_a P(ŷ = 1 | y = 1, a) − min_a P(ŷ = 1 | y = 1, a)

    Args:
        targets: the outcomes y, 0 or 1, shape (N,).
        predictions: the decisions ŷ, 0 or 1, shape (N,).
        groups: the group a of each person, shape (N,).

    Returns:
        A number from 0 (equal opportunity) to 1.

    Raises:
        ValueError: if there is nobody, the shapes differ, a target or decision is not 0 or 1, or a
            group has nobody with the good outcome.

    Source:
        Hardt, Price and Srebro, "Equality of opportunity in supervised learning", NeurIPS 2016,
        definition 2.2.

    Example:
        >>> equal_opportunity_difference([1, 1, 0, 1, 1, 0], [1, 1, 0, 1, 0, 1], list("aaabbb"))
        0.5

    Taught in: book/startup_strategy/ethics_and_fairness.md
    """
    rates = group_rates(targets, predictions, groups)
    for group, rate in rates.items():
        if rate.base_rate == 0:
            raise ValueError(f"`targets` has nobody with the outcome 1 in the group {group!r}.")
    return _range([rate.true_positive_rate for rate in rates.values()])


def group_calibration(
    targets: ArrayLike, probabilities: ArrayLike, groups: ArrayLike, *, bins: int = 10
) -> dict[Hashable, tuple[np.ndarray, np.ndarray]]:
    """Return for each group what share of good outcomes follows which predicted probability.

    calibrated within groups:  P(y = 1 | p, a) = p for each predicted p and each group a

    Args:
        targets: the outcomes y, 0 or 1, shape (N,).
        probabilities: the predicted probabilities of y = 1, shape (N,).
        groups: the group of each person, shape (N,).
        bins: the number of equally wide bins; those without people are left out.

    Returns:
        By group: the mean predicted probability of each bin, and the share of good outcomes there,
        two arrays of one length. Draw the second one over the first one.

    Raises:
        ValueError: if there is nobody, the shapes differ, a target is not 0 or 1, a probability is
            not from 0 to 1, or `bins` is below 1.

    Source:
        Kleinberg, Mullainathan and Raghavan, "Inherent trade-offs in the fair determination of risk
        scores", ITCS 2017, section 1 (calibration within groups).

    Example:
        >>> predicted, observed = group_calibration([0, 1, 1, 1], [0.5] * 4, list("aabb"))["b"]
        >>> predicted.tolist(), observed.tolist()  # In group b, 0.5 means 1.
        ([0.5], [1.0])

    Taught in: book/startup_strategy/ethics_and_fairness.md
    """
    y, labels = _binary("targets", targets), _groups(groups, len(np.asarray(targets)))
    p = np.asarray(probabilities, dtype=np.float64)
    if p.shape != y.shape:
        raise ValueError(f"`probabilities` (of shape {p.shape}) must have shape {y.shape}.")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"`probabilities` must be from 0 to 1, got {p.min()} to {p.max()}.")
    if bins < 1:
        raise ValueError(f"`bins` (={bins}) must be at least 1.")
    curves: dict[Hashable, tuple[np.ndarray, np.ndarray]] = {}
    for group in np.unique(labels):
        own = labels == group
        observed, predicted = calibration_curve(y[own], p[own], n_bins=bins, pos_label=1)
        curves[group.item()] = predicted, observed
    return curves


def equal_opportunity_thresholds(
    targets: ArrayLike, scores: ArrayLike, groups: ArrayLike, true_positive_rate: float
) -> dict[Hashable, float]:
    """Return a threshold for each group that gives people with the good outcome one chance.

    t_a = the largest t with P(score ≥ t | y = 1, a) ≥ rate

    This repairs a difference after training, without the model's help, and needs the group of each
    person at decision time. Whether that is allowed is a question for a lawyer.

    Args:
        targets: the outcomes y, 0 or 1, shape (N,), of data that the model was not trained on.
        scores: the predicted scores, larger for better, shape (N,).
        groups: the group a of each person, shape (N,).
        true_positive_rate: the share to accept among those with the good outcome, in (0, 1].

    Returns:
        The threshold by group: accept whoever has at least this score.

    Raises:
        ValueError: if there is nobody, the shapes differ, a target is not 0 or 1, a group has
            nobody with the good outcome, or the rate is not in (0, 1].

    Source:
        Hardt, Price and Srebro, "Equality of opportunity in supervised learning", NeurIPS 2016,
        section 3.2.

    Example:
        >>> scores = [0.9, 0.7, 0.6, 0.5, 0.3, 0.2]
        >>> equal_opportunity_thresholds([1, 1, 0, 1, 1, 0], scores, list("aaabbb"), 1.0)
        {'a': 0.7, 'b': 0.3}

    Taught in: book/startup_strategy/ethics_and_fairness.md
    """
    y, labels = _binary("targets", targets), _groups(groups, len(np.asarray(targets)))
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != y.shape:
        raise ValueError(f"`scores` (of shape {values.shape}) must have shape {y.shape}.")
    if not 0 < true_positive_rate <= 1:
        raise ValueError(f"`true_positive_rate` (={true_positive_rate}) must be in (0, 1].")
    thresholds: dict[Hashable, float] = {}
    for group in np.unique(labels):
        good = values[(labels == group) & (y == 1)]
        if len(good) == 0:
            raise ValueError(f"`targets` has nobody with the outcome 1 in the group {group!s}.")
        # 0.2 of 5 people is 1, even if 0.2 · 5 should come out as 1.0000000000000002.
        accepted = math.ceil(round(true_positive_rate * len(good), 9))
        thresholds[group.item()] = float(np.sort(good)[-accepted])
    return thresholds


def implied_false_positive_rate(
    base_rate: float, precision: float, true_positive_rate: float
) -> float:
    """Return the false positive rate that a group must have, given the three other rates.

    FPR = p / (1 − p) · (1 − PPV) / PPV · TPR,  p: the base rate, PPV: the precision

    So two groups with different base rates cannot have the same precision, true positive rate and
    false positive rate all at once, unless the decisions are perfect. This is arithmetic: no model
    and no amount of data helps.

    Args:
        base_rate: p = P(y = 1), in (0, 1).
        precision: P(y = 1 | ŷ = 1), in (0, 1].
        true_positive_rate: P(ŷ = 1 | y = 1), in [0, 1].

    Returns:
        P(ŷ = 1 | y = 0). A number above 1 says that no decisions have these three rates.

    Raises:
        ValueError: if a rate is out of its range.

    Source:
        Chouldechova, "Fair prediction with disparate impact: a study of bias in recidivism
        prediction instruments", Big Data 2017, equation 2.6.

    Example:
        >>> for base_rate in (0.5, 0.2):  # Two groups with the same precision and opportunity.
        ...     print(round(implied_false_positive_rate(base_rate, 0.8, 0.6), 3))
        0.15
        0.037

    Taught in: book/startup_strategy/ethics_and_fairness.md
    """
    if not 0 < base_rate < 1:
        raise ValueError(f"`base_rate` (={base_rate}) must be between 0 and 1.")
    if not 0 < precision <= 1:
        raise ValueError(f"`precision` (={precision}) must be in (0, 1].")
    if not 0 <= true_positive_rate <= 1:
        raise ValueError(f"`true_positive_rate` (={true_positive_rate}) must be in [0, 1].")
    return base_rate / (1 - base_rate) * (1 - precision) / precision * true_positive_rate


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _range(values: list[float]) -> float:
    return max(values) - min(values)


def _binary(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"`{name}` (of shape {array.shape}) must have shape (N,), N above 0.")
    if not np.isin(array, [0, 1]).all():
        raise ValueError(f"`{name}` must be 0 or 1, got {array[~np.isin(array, [0, 1])][0]}.")
    return array.astype(int)


def _groups(groups: ArrayLike, count: int) -> np.ndarray:
    labels = np.asarray(groups)
    if labels.shape != (count,):
        raise ValueError(f"`groups` (of shape {labels.shape}) must have shape ({count},).")
    return labels

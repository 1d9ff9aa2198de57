"""Measures from scratch equal scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from largemodels.scratch.metrics import (
    area_under_curve,
    class_metrics,
    confusion_matrix,
    roc_curve,
)

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, n=st.integers(1, 20), classes=st.integers(1, 4))
@settings(deadline=None, max_examples=40)
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_confusion_precision_recall_and_f1_equal_scikit_learn(
    seed: int, n: int, classes: int
) -> None:
    rng = np.random.default_rng(seed)
    target, prediction = rng.integers(0, classes, (2, n))
    confusion = confusion_matrix(target, prediction, classes)
    labels = list(range(classes))
    np.testing.assert_array_equal(
        confusion, sklearn_metrics.confusion_matrix(target, prediction, labels=labels)
    )
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        target, prediction, labels=labels, zero_division=0
    )
    ours = class_metrics(confusion)
    np.testing.assert_allclose(ours.precision, precision)
    np.testing.assert_allclose(ours.recall, recall)
    np.testing.assert_allclose(ours.f1, f1)
    assert ours.macro_f1 == pytest.approx(f1.mean())
    assert ours.accuracy == pytest.approx(sklearn_metrics.accuracy_score(target, prediction))


@given(seed=seeds, n=st.integers(2, 20))
@settings(deadline=None, max_examples=40)
def test_the_roc_curve_and_its_area_equal_scikit_learn(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    target = np.append([0, 1], rng.integers(0, 2, n - 2))
    score = rng.integers(0, 5, n) / 4  # Some scores are equal.
    fpr, tpr = roc_curve(target, score)
    theirs = sklearn_metrics.roc_curve(target, score, drop_intermediate=False)
    np.testing.assert_allclose(fpr, theirs[0])
    np.testing.assert_allclose(tpr, theirs[1])
    area = area_under_curve(fpr, tpr)
    assert area == pytest.approx(sklearn_metrics.roc_auc_score(target, score))
    # The share of pairs in the right order; equal scores count half.
    positive, negative = score[target == 1], score[target == 0]
    order = np.sign(positive[:, None] - negative)
    assert area == pytest.approx(((order + 1) / 2).mean())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: confusion_matrix(np.array([0]), np.array([0, 1]), 2),
            r"`prediction` must have shape \(1,\), got \(2,\)",
        ),
        (
            lambda: confusion_matrix(np.array([0]), np.array([2]), 2),
            "`prediction` must be from 0 to 1, got 2 to 2",
        ),
        (lambda: class_metrics(np.zeros((2, 2))), "`confusion` must be a square matrix"),
        (lambda: class_metrics(np.ones((2, 3))), r"got shape \(2, 3\)"),
        (lambda: roc_curve(np.ones(3), np.ones(3)), "`target` must hold 0 and 1"),
        (lambda: roc_curve(np.array([0, 2]), np.ones(2)), "`target` must hold 0 and 1"),
        (lambda: area_under_curve(np.array([1.0, 0.0]), np.ones(2)), "`x` must be at least 2"),
    ],
)
def test_errors_name_argument_and_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

"""Each diagnosis names real wrong code, and stays silent where it does not fit."""

import numpy as np
import pytest

from largemodels import check

rng = np.random.default_rng(0)
X = rng.normal(size=(5, 3))
WEIGHT = rng.normal(size=(4, 3))
GRAD = rng.normal(size=(5, 4))
LOGITS = rng.normal(size=(5, 3))
LABELS = np.array([2, 0, 0, 1, 0])
N = len(X)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def losses(logits):
    return -np.log(softmax(logits)[np.arange(N), LABELS])


def complaint(actual, expected, **options):
    with pytest.raises(check.Mistake) as caught:
        check.close(actual, expected, **options)
    return str(caught.value)


def silently(function):
    """Compute what overflows on purpose, without NumPy's warnings."""
    with np.errstate(all="ignore"):
        return function()


# What the student wrote, what is right, what the message must contain.
WRONG = {
    "transposed": (X.T @ GRAD, GRAD.T @ X, "the right answer transposed"),
    "axes swapped, numbers wrong": (
        X.T @ GRAD + 1,
        GRAD.T @ X,
        "the axes are swapped",
    ),
    "square matrix transposed": (
        (X.T @ X * [1, 2, 3]).T,
        X.T @ X * [1, 2, 3],
        "the right answer transposed",
    ),
    "sign flipped": (np.log(softmax(LOGITS)), -np.log(softmax(LOGITS)), "the sign is flipped"),
    "sign of a number flipped": (-losses(LOGITS).mean(), losses(LOGITS).mean(), "sign is flipped."),
    "sum for mean": (
        losses(LOGITS).sum(),
        losses(LOGITS).mean(),
        "the number is 5 times too large, and 5 is the batch size",
    ),
    "averaged twice": (
        GRAD.T @ X / N,
        GRAD.T @ X,
        "every number is 5 times too small, and 5 is the batch size",
    ),
    "factor two": (2 * X, X, "every number is twice too large"),
    "half": (X, 2 * X, "a factor 2 is missing"),
    "other factor": (X * np.log(2), X, "every number is 0.6931 times the expected one"),
    "offset": (X + 0.25, X, "every number is 0.25 too large"),
    "offset below": (X - 0.25, X, "every number is 0.25 too small"),
    "sign lost": (np.abs(X), X, "an absolute value too many"),
    "never filled in": (np.zeros_like(X), X, "all your numbers are 0"),
    "integer array": (
        np.array(10 * X, dtype=np.int64),
        10 * X,
        "your array has dtype int64",
    ),
    "overflow": (
        silently(lambda: np.exp(1000 * X) / np.exp(1000 * X).sum(axis=1, keepdims=True)),
        softmax(1000 * X),
        "your result contains nan",
    ),
    "log of zero": (
        silently(lambda: -np.log(softmax(1e4 * X))),
        1 + X**2,
        "your result contains inf",
    ),
    "softmax over the batch": (softmax(LOGITS.T).T, softmax(LOGITS), "your columns sum to 1"),
    "softmax over everything": (
        np.exp(LOGITS) / np.exp(LOGITS).sum(),
        softmax(LOGITS),
        "all numbers together sum to 1",
    ),
    "mirrored": (X[:, ::-1], X, "the numbers run backwards along axis 1"),
    "reshape for transpose": (
        X.reshape(3, 5),
        X.T,
        "the right numbers in the wrong places",
    ),
    "small number added": (X / (np.abs(X).max() + 1e-5), X / np.abs(X).max(), "nearly right"),
    "half precision": (X.astype(np.float16), X, "float16 keeps only three digits"),
    "not summed over the batch": (GRAD, GRAD.sum(axis=0), "the sum over axis 0 is missing"),
    "not averaged over the batch": (losses(LOGITS), losses(LOGITS).mean(), "the mean over axis 0"),
    "summed over the outputs": (GRAD.sum(axis=1), GRAD.sum(axis=0), "summed over the wrong axis"),
    "summed over everything": (GRAD.sum(), GRAD.sum(axis=0), "you summed over every axis"),
    "keepdims too many": (GRAD.sum(axis=0, keepdims=True), GRAD.sum(axis=0), "`keepdims=True`"),
    "keepdims missing": (X.max(axis=1), X.max(axis=1, keepdims=True), "`keepdims=True`"),
    "broadcasting": (
        X.max(axis=1, keepdims=True) - X.min(axis=1),
        X.max(axis=1) - X.min(axis=1),
        "shapes (5, 1) and (5,) together give (5, 5)",
    ),
}


@pytest.mark.parametrize("slip", WRONG)
def test_a_slip_is_named(slip):
    actual, expected, says = WRONG[slip]
    text = complaint(actual, expected, batch_size=N)
    assert says in text
    assert text.count("Likely cause") == 1


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (X * rng.normal(size=X.shape), X),
        (np.sin(X), X),
        (LOGITS @ np.ones((3, 2)), GRAD[:, :2] + 3),
        (np.zeros((7, 2)), X),
        (np.zeros(7), X - X.mean()),
        (X @ X.T, X[:, 0]),
        (GRAD.mean(axis=1) + 1, GRAD.sum(axis=0)),
        (3.14159, 2.71828),
        (np.array([4.0, 2.0, 7.0]), np.array([1.0, np.inf, 5.0])),
    ],
)
def test_nothing_is_said_where_nothing_fits(actual, expected):
    assert "Likely cause" not in complaint(actual, expected, batch_size=N)


@pytest.mark.parametrize(("_", "expected", "__"), WRONG.values(), ids=WRONG)
def test_the_right_answer_passes(_, expected, __):
    check.close(np.copy(expected), expected, batch_size=N)


def test_the_slip_of_the_exercise_comes_first():
    text = complaint(-X, X, slips={"you walk uphill.": -X, "another.": 3 * X})
    assert text.endswith("Likely cause: you walk uphill.")


def test_a_slip_that_makes_no_difference_explains_nothing():
    assert "no bias" not in complaint(X + 1, X, slips={"no bias.": X})


def test_a_slip_may_give_nan_and_another_shape():
    wrong = np.full((2, 2), np.nan)
    text = complaint(wrong, np.ones((2, 2)), slips={"no shift.": wrong})
    assert text.endswith("Likely cause: no shift.")
    text = complaint([1.0], [1.0, 2.0], slips={"the loop ends too early.": [1.0]})
    assert text.endswith("Likely cause: the loop ends too early.")


def test_the_batch_size_is_only_named_where_it_is_known():
    assert "batch size" not in complaint(5 * X, X)
    assert "batch size" not in complaint(2 * X, X, batch_size=1)

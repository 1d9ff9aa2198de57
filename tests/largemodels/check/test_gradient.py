"""The gradient check passes right gradients and names wrong ones."""

import numpy as np
import pytest

from largemodels import check

rng = np.random.default_rng(0)
X = rng.normal(size=(5, 3))
WEIGHT = rng.normal(size=(4, 3))


def linear(x):
    return x @ WEIGHT.T


def complaint(*arguments, **options):
    with pytest.raises(check.Mistake) as caught:
        check.gradient(*arguments, **options)
    return str(caught.value)


def test_a_right_backward_pass_passes():
    check.gradient(linear, lambda upstream: upstream @ WEIGHT, at=X)
    check.gradient(np.tanh, lambda upstream: upstream * (1 - np.tanh(X) ** 2), at=X)
    check.gradient(lambda x: np.sum(x**2), 2 * X, at=X)
    check.gradient(lambda x: [[float(v)] for v in x], lambda upstream: upstream[:, 0], at=X[:, 0])


def test_float32_and_integers_are_differentiated_in_float64():
    x = X.astype(np.float32)
    slope = 1 - np.tanh(x) ** 2
    check.gradient(np.tanh, lambda upstream: (upstream * slope).astype(np.float32), at=x)
    check.gradient(lambda x: np.sum(x**2), [2.0, 4.0], at=[1, 2])


@pytest.mark.parametrize(
    ("backward", "says"),
    [
        (lambda upstream: np.ones_like(upstream) @ WEIGHT, "the upstream gradient is ignored"),
        (lambda upstream: np.sum(upstream) * np.ones_like(X), None),
        (lambda upstream: -upstream @ WEIGHT, "the sign is flipped everywhere"),
        (lambda upstream: upstream @ WEIGHT / 5, "you divided by it once too often"),
        (lambda upstream: (upstream @ WEIGHT).T, "the right answer transposed"),
        (lambda upstream: np.zeros_like(X), "all your numbers are 0"),
        (lambda upstream: None, "grad_x is None"),
    ],
)
def test_a_wrong_backward_pass_is_named(backward, says):
    text = complaint(linear, backward, at=X, name="grad_x", batch_size=5)
    if says is None:
        assert "Likely cause" not in text
        assert "central differences give" in text
    else:
        assert says in text


def test_the_gradient_of_a_loss_is_given_as_numbers():
    text = complaint(lambda x: np.mean(x**2), 2 * X, at=X, name="grad", batch_size=15)
    assert "15 is the batch size" in text


def test_the_point_is_not_changed_and_the_upstream_gradient_is_the_checks_own():
    x = X.copy()

    def greedy(upstream):
        result = upstream @ WEIGHT
        upstream[:] = 0
        return result

    check.gradient(linear, greedy, at=x)
    assert np.array_equal(x, X)


def test_the_author_hears_of_an_array_where_a_function_belongs():
    with pytest.raises(ValueError, match=r"`backward` must be a function .* shape \(5, 4\)"):
        check.gradient(linear, X, at=X)


def test_a_function_that_returns_nothing_is_a_mistake():
    assert "None" in complaint(lambda x: None, X, at=X)


def test_the_secret_changes_the_upstream_gradient(monkeypatch):
    seen = []

    def backward(upstream):
        seen.append(upstream.copy())
        return upstream @ WEIGHT

    for secret in ("", "", "spring term"):
        monkeypatch.setenv("COURSE_SECRET", secret)
        check.gradient(linear, backward, at=X)
    assert np.array_equal(seen[0], seen[1])
    assert not np.any(seen[0] == seen[2])
    assert np.unique(seen[0]).size == seen[0].size

"""Minibatches: every example once, in the right company."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from largemodels import data


@given(st.integers(0, 40), st.integers(1, 50), st.booleans(), st.booleans())
def test_every_example_once(n, size, shuffle, drop_last):
    x, y = np.arange(n * 3).reshape(n, 3), np.arange(n) * 10
    rng = np.random.default_rng(0) if shuffle else None
    parts = list(data.batches(x, y, size, rng, drop_last=drop_last))
    assert [len(xb) for xb, _ in parts[:-1]] == [size] * len(parts[:-1])
    rows = np.concatenate([x[:0], *(xb for xb, _ in parts)])
    labels = np.concatenate([y[:0], *(yb for _, yb in parts)])
    np.testing.assert_array_equal(rows[:, 0] // 3 * 10, labels)
    expected = n - n % size if drop_last else n
    assert len(rows) == len(set(labels.tolist())) == expected
    if not shuffle:
        np.testing.assert_array_equal(labels, y[:expected])


def test_every_epoch_is_shuffled_anew():
    x = np.arange(100)
    rng = np.random.default_rng(0)
    first, second = (np.concatenate([xb for xb, _ in data.batches(x, x, 7, rng)]) for _ in range(2))
    assert not np.array_equal(first, second)
    again = np.concatenate([xb for xb, _ in data.batches(x, x, 7, np.random.default_rng(0))])
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(x, np.arange(100))


def test_objects_and_progress(capsys):
    x = np.array(["one", "two", "three"], dtype=object)
    parts = list(data.batches(x, np.arange(3), 2, progress="epoch 1"))
    assert [list(xb) for xb, _ in parts] == [["one", "two"], ["three"]]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "epoch 1" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": np.zeros(4)}, "`x` and `y` must be equally long; got 5 and 4."),
        ({"batch_size": 0}, "`batch_size` (=0) must be at least 1."),
        ({"batch_size": 2.0}, "`batch_size` (=2.0) must be an integer."),
        ({"batch_size": True}, "`batch_size` (=True) must be an integer."),
        ({"rng": 42}, "`rng` (=42) must be a NumPy Generator"),
    ],
)
def test_bad_input_is_refused_at_once(arguments, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        data.batches(**{"x": np.zeros(5), "y": np.zeros(5), **arguments})
    assert message in str(caught.value)

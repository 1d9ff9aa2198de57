"""Few known facts single a person out, and coarse values hide them again."""

from collections import Counter

import numpy as np
import pytest

from largemodels.trust.anonymity import k_anonymity, reidentified_share


def test_k_is_the_size_of_the_smallest_group():
    rng = np.random.default_rng(0)
    age, place = rng.integers(20, 24, size=300), rng.choice(["x", "yy", "zzz"], size=300)
    assert k_anonymity(age, place) == min(Counter(zip(age, place, strict=True)).values())
    assert k_anonymity(np.zeros(7)) == 7
    assert k_anonymity(age, np.arange(300)) == 1


def test_coarser_values_never_make_k_smaller():
    rng = np.random.default_rng(0)
    age, place = rng.integers(20, 80, size=1000), rng.integers(4, size=1000)
    values = [k_anonymity(age // width, place) for width in (1, 5, 20, 100)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def table(users=200, items=300, seed=0):
    """Return ratings of a synthetic service; everybody rates the same favourites, and others."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, items + 1)
    pairs = np.array(
        [
            (user, item)
            for user in range(users)
            for item in rng.choice(items, 30, replace=False, p=popularity / popularity.sum())
        ]
    )
    return pairs, rng.integers(1, 6, size=len(pairs))


def test_three_or_four_ratings_single_nearly_everyone_out():
    pairs, ratings = table()
    shares = [
        reidentified_share(pairs, ratings, known=known, rng=np.random.default_rng(0))
        for known in (1, 2, 3, 4)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.3
    assert shares[3] > 0.95
    # Without the stars, the films alone tell less.
    coarse = reidentified_share(pairs, np.ones(len(pairs)), known=2, rng=np.random.default_rng(0))
    assert coarse < shares[1]


def test_twins_hide_each_other_and_users_with_few_ratings_do_not_count():
    pairs = [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1], [3, 1]]
    ratings = [5, 4, 5, 4, 5, 1, 2]
    rng = np.random.default_rng(0)
    assert reidentified_share(pairs, ratings, known=2, rng=rng) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: k_anonymity(), r"`columns` is empty"),
        (lambda: k_anonymity([1, 2], [1]), r"`columns\[1\]` \(of shape \(1,\)\)"),
        (
            lambda: reidentified_share([[0, 0]], [1, 2], known=1, rng=None),
            r"`pairs` and `ratings` \(of shapes \(1, 2\) and \(2,\)\)",
        ),
        (
            lambda: reidentified_share([[0, 0]], [1], known=0, rng=None),
            r"`known` \(=0\) must be at least 1",
        ),
        (
            lambda: reidentified_share([[0, 0]], [1], known=2, rng=None),
            r"`known` \(=2\) is more than any user has rated",
        ),
    ],
)
def test_errors_name_argument_and_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()

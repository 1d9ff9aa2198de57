"""Why a table without names is not anonymous: few known facts are enough to find a person."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["k_anonymity", "reidentified_share"]


def k_anonymity(*columns: ArrayLike) -> int:
    """Return how many people at least share the same values: the k of k-anonymity.

    k = min over all combinations of values that occur: number of people with this combination

    Pass the columns that someone may know from elsewhere, such as age and postcode (the
    quasi-identifiers). With k = 1, somebody is alone with theirs. A larger k helps only as far as
    the secret columns of these people differ, and only against who knows no other column.

    Args:
        columns: the values of each person, shape (N,) each.

    Returns:
        A number from 1 to N.

    Raises:
        ValueError: if there is no column, nobody, or the lengths differ.

    Source:
        Sweeney, "k-anonymity: a model for protecting privacy", International Journal of
        Uncertainty, Fuzziness and Knowledge-Based Systems 2002, definition 3.

    Example:
        >>> age, postcode = [31, 38, 35, 52, 57], [1010, 1010, 1010, 2020, 2020]
        >>> k_anonymity(age, postcode)
        1
        >>> k_anonymity(np.array(age) // 10 * 10, postcode)  # Thirties and fifties.
        2

    Taught in: book/training/privacy.md
    """
    arrays = [np.asarray(column) for column in columns]
    if not arrays:
        raise ValueError("`columns` is empty.")
    for index, array in enumerate(arrays):
        if array.ndim != 1 or array.size == 0 or len(array) != len(arrays[0]):
            raise ValueError(
                f"`columns[{index}]` (of shape {array.shape}) must have shape (N,), the same N "
                "above 0 for all."
            )
    # Numbers for the values: then columns of different types fit into one array.
    codes = np.stack([np.unique(array, return_inverse=True)[1] for array in arrays], axis=1)
    _, counts = np.unique(codes, axis=0, return_counts=True)  # (N, columns) -> (combinations,)
    return int(counts.min())


def reidentified_share(
    pairs: ArrayLike, ratings: ArrayLike, *, known: int, rng: np.random.Generator
) -> float:
    """Return the share of users whom a few known ratings single out in an "anonymous" table.

    share = (1/U) Σ_u [only user u has all of m ratings drawn from those of u]

    That is what a colleague knows who has heard about m films, and what they were worth to you.

    Args:
        pairs: user and item of each rating, integers from 0, shape (N, 2), as
            `largemodels.data.load("movielens_100k")` has them.
        ratings: the ratings, shape (N,).
        known: m, how many ratings of a user the attacker knows. Users with fewer do not count.
        rng: the random generator of the known ratings.

    Returns:
        A share from 0 to 1.

    Raises:
        ValueError: if the shapes do not fit, `known` is below 1, or nobody has so many ratings.

    Source:
        Narayanan and Shmatikov, "Robust de-anonymization of large sparse datasets", IEEE Symposium
        on Security and Privacy 2008; here without errors in what the attacker knows.

    Example:
        >>> pairs = [[0, 0], [0, 1], [1, 0], [1, 1]]
        >>> ratings = [5, 3, 5, 4]  # Both gave item 0 five stars; only item 1 tells them apart.
        >>> reidentified_share(pairs, ratings, known=2, rng=np.random.default_rng(0))
        1.0

    Taught in: book/training/privacy.md
    """
    who, values = np.asarray(pairs), np.asarray(ratings, dtype=np.float64)
    if who.ndim != 2 or who.shape[1] != 2 or len(who) == 0 or values.shape != who.shape[:1]:
        raise ValueError(
            f"`pairs` and `ratings` (of shapes {who.shape} and {values.shape}) must have shapes "
            "(N, 2) and (N,), N above 0."
        )
    if known < 1:
        raise ValueError(f"`known` (={known}) must be at least 1.")
    users, items = who.max(axis=0) + 1
    table = np.full((users, items), np.nan)  # NaN equals nothing: who has no rating is no match.
    table[who[:, 0], who[:, 1]] = values
    found = []
    for row in table:
        rated = np.flatnonzero(~np.isnan(row))
        if len(rated) >= known:
            heard = rng.choice(rated, known, replace=False)
            matches = (table[:, heard] == row[heard]).all(axis=1)  # (users, m) -> (users,)
            found.append(matches.sum() == 1)
    if not found:
        raise ValueError(f"`known` (={known}) is more than any user has rated.")
    return float(np.mean(found))

"""Quantities, which are numbers or arrays, and checks that name the argument and its value."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

# One number, or one for each sample of a simulation.
Quantity: TypeAlias = "float | np.ndarray"


def plain(value: Quantity) -> Quantity:
    """Return a Python number for a single one, so that it prints as such."""
    return value if np.ndim(value) else float(value)


def check_positive(name: str, value: Quantity) -> None:
    """Raise a `ValueError` unless every value is finite and above 0."""
    _check(name, value, np.greater(value, 0), "must be above 0.")


def check_not_negative(name: str, value: Quantity) -> None:
    """Raise a `ValueError` unless every value is finite and at least 0."""
    _check(name, value, np.greater_equal(value, 0), "must not be negative.")


def check_share(name: str, value: Quantity, *, zero: bool = False) -> None:
    """Raise a `ValueError` unless every value is in (0, 1], or in [0, 1] with `zero`."""
    enough = np.greater_equal(value, 0) if zero else np.greater(value, 0)
    interval = "[0, 1]" if zero else "(0, 1]"
    _check(name, value, enough & np.less_equal(value, 1), f"must be in {interval}.")


def check_finite(name: str, value: Quantity) -> None:
    """Raise a `ValueError` unless every value is finite."""
    _check(name, value, np.isfinite(value), "must be finite.")


def check_at_least(name: str, value: int, minimum: int) -> None:
    """Raise a `ValueError` if a count is below its minimum, a `TypeError` if it is no integer."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"`{name}` (={value!r}) must be an integer.")
    if value < minimum:
        raise ValueError(f"`{name}` (={value}) must be at least {minimum}.")


def _check(name: str, value: Quantity, good: np.ndarray, rule: str) -> None:
    bad = ~(np.asarray(good) & np.isfinite(value))
    if np.any(bad):
        raise ValueError(f"`{name}` (={np.asarray(value)[bad].flat[0]}) {rule}")

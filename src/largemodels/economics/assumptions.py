"""An assumption: a number that nobody knows exactly, with its range, source and date."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Literal

from largemodels.economics._checks import check_finite, check_positive

__all__ = ["Assumption"]

# The standard normal distribution has 90 % of its mass within ± this many deviations.
Z_90 = 1.6448536269514722


@dataclass(frozen=True)
class Assumption:
    """A range for an uncertain number, with where it comes from and when that was true.

    triangular: mean = (low + mode + high) / 3
    lognormal:  ln x is normal with μ = ½ (ln low + ln high), σ = (ln high − ln low) / (2 · 1.645)

    Args:
        low: the smallest value; for "lognormal" the value that 5 % fall below.
        mode: the most likely value.
        high: the largest value; for "lognormal" the value that 5 % exceed.
        unit: the unit, such as "USD per GPU-hour".
        source: who says so; "own measurement" and "guess" are sources too.
        date: when it was said, as "2026-01-31".
        distribution: "triangular", or "lognormal" from `Assumption.lognormal`.

    Raises:
        ValueError: if the values are not finite and in order, unit or source is empty, or the date
            is none.

    Example:
        >>> utilisation = Assumption(0.3, 0.4, 0.5, "share of peak", "guess", "2026-01-31")
        >>> round(utilisation.mean, 3)
        0.4

    Taught in: book/startup_strategy/unit_economics.md
    """

    low: float
    mode: float
    high: float
    unit: str
    source: str
    date: str
    distribution: Literal["triangular", "lognormal"] = "triangular"

    def __post_init__(self) -> None:
        for name in ("low", "mode", "high"):
            check_finite(name, getattr(self, name))
        if not self.low <= self.mode <= self.high:
            raise ValueError(
                f"`low` (={self.low}), `mode` (={self.mode}) and `high` (={self.high}) must be in "
                "this order."
            )
        for name in ("unit", "source"):
            if not getattr(self, name).strip():
                raise ValueError(f"`{name}` (={getattr(self, name)!r}) must not be empty.")
        try:
            datetime.date.fromisoformat(self.date)
        except ValueError:
            raise ValueError(f"`date` (={self.date!r}) must be a date as 2026-01-31.") from None
        if self.distribution == "lognormal":
            check_positive("low", self.low)
            mode = math.exp(self.log_mean - self.log_deviation**2)
            if not math.isclose(self.mode, mode, rel_tol=1e-9):
                raise ValueError(
                    f"`mode` (={self.mode}) must be {mode}, the mode of a lognormal with this "
                    "`low` and `high`: build it with `Assumption.lognormal`."
                )
        elif self.distribution != "triangular":
            raise ValueError(
                f"`distribution` (={self.distribution!r}) must be 'triangular' or 'lognormal'."
            )

    @classmethod
    def lognormal(cls, low: float, high: float, unit: str, source: str, date: str) -> Assumption:
        """Return an assumption over orders of magnitude, never negative, with a long upper tail.

        mode = exp(μ − σ²)

        Args:
            low: the value that 5 % fall below.
            high: the value that 5 % exceed.
            unit: the unit.
            source: who says so.
            date: when it was said.

        Raises:
            ValueError: if `low` is not above 0, `high` is below it, or the range is so wide (a
                factor over 223) that the mode is below `low`.

        Example:
            >>> growth = Assumption.lognormal(100, 10_000, "requests a day", "guess", "2026-01-31")
            >>> round(growth.mode), round(growth.mean)
            (141, 2664)
        """
        check_positive("low", low)
        check_positive("high", high)
        deviation = math.log(high / low) / (2 * Z_90)
        # At low = high rounding may leave the interval.
        mode = low if low == high else math.sqrt(low) * math.sqrt(high) * math.exp(-(deviation**2))
        return cls(low, mode, high, unit, source, date, "lognormal")

    @property
    def log_mean(self) -> float:
        """μ, the mean of ln x of a lognormal."""
        return (math.log(self.low) + math.log(self.high)) / 2

    @property
    def log_deviation(self) -> float:
        """σ, the standard deviation of ln x of a lognormal."""
        return math.log(self.high / self.low) / (2 * Z_90)

    @property
    def mean(self) -> float:
        """The expected value."""
        if self.distribution == "lognormal":
            return math.exp(self.log_mean + self.log_deviation**2 / 2)
        return (self.low + self.mode + self.high) / 3

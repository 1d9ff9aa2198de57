"""Monte Carlo: carry the ranges of the assumptions through to the result.

The assumptions are drawn independently. If two of them move together in truth (price and churn,
say), compute one from the other inside the model, or the range of the result is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from largemodels.economics._checks import check_at_least, check_share
from largemodels.economics.assumptions import Assumption

__all__ = ["Sensitivity", "Simulation", "sample", "simulate", "tornado"]

# A model takes one array for each assumption, by name, and returns an array of results.
Model = Callable[..., object]


def sample(assumption: Assumption, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw values of an assumption.

    triangular(low, mode, high), or exp(N(μ, σ²)) if it is lognormal

    Args:
        assumption: the range and its distribution.
        size: the number of values.
        rng: the random generator.

    Returns:
        Values in the unit of the assumption. Shape (size,).

    Raises:
        ValueError: if `size` is below 1.

    Example:
        >>> price = Assumption(2.0, 3.0, 4.0, "USD per GPU-hour", "guess", "2026-01-31")
        >>> sample(price, 3, np.random.default_rng(0)).round(2)
        array([3.15, 2.73, 2.29])

    Taught in: book/startup_strategy/unit_economics.md
    """
    check_at_least("size", size, 1)
    if assumption.distribution == "lognormal":
        return rng.lognormal(assumption.log_mean, assumption.log_deviation, size)
    if assumption.low == assumption.high:
        return np.full(size, float(assumption.low))
    return rng.triangular(assumption.low, assumption.mode, assumption.high, size)


@dataclass(frozen=True)
class Simulation:
    """The results of a simulation.

    Args:
        values: one result for each sample. Shape (size,).
        inputs: the drawn values of each assumption, by name. Shape (size,) each.

    Example:
        >>> result = Simulation(np.array([1.0, 2.0, 3.0]), {"x": np.array([1.0, 2.0, 3.0])})
        >>> result.mean, result.quantiles([0.5])
        (2.0, {0.5: 2.0})

    Taught in: book/startup_strategy/unit_economics.md
    """

    values: np.ndarray
    inputs: dict[str, np.ndarray]

    @property
    def mean(self) -> float:
        """The mean result, infinite if one is."""
        return float(self.values.mean())

    @property
    def standard_error(self) -> float:
        """How far the mean is from the expected value, by the number of samples alone."""
        return float(self.values.std(ddof=1) / np.sqrt(self.values.size))

    def quantiles(self, shares: Sequence[float] = (0.05, 0.5, 0.95)) -> dict[float, float]:
        """Return the results that the given shares of the samples do not exceed.

        Args:
            shares: shares in [0, 1].

        Raises:
            ValueError: if a share is not in [0, 1].

        Example:
            >>> Simulation(np.arange(101.0), {}).quantiles()
            {0.05: 5.0, 0.5: 50.0, 0.95: 95.0}
        """
        check_share("shares", np.asarray(shares), zero=True)
        # No interpolation: between a finite and an infinite result there is nothing.
        values = np.quantile(self.values, shares, method="inverted_cdf")
        return dict(zip(shares, values.tolist(), strict=True))


def simulate(
    model: Model, assumptions: Mapping[str, Assumption], *, size: int = 10_000, seed: int
) -> Simulation:
    """Run a model on many draws of its assumptions, all at once.

    valuesₖ = model(x₁ₖ, x₂ₖ, …),  xᵢₖ drawn from assumption i,  k = 1 … size

    Each assumption has its own stream of random numbers, made of the seed and its place. So one
    more assumption at the end does not change the draws of the others.

    Args:
        model: takes an array of shape (size,) for each name, returns results of shape (size,).
        assumptions: the ranges, by the names of the model's arguments.
        size: the number of samples, at least 2.
        seed: the same seed gives the same results.

    Raises:
        ValueError: if there is no assumption, `size` is below 2, or the results have another shape
            or are not numbers.

    Example:
        >>> def cost(hours, price):
        ...     return hours * price
        >>> simulation = simulate(
        ...     cost,
        ...     {
        ...         "hours": Assumption.lognormal(500, 2000, "GPU-hours", "guess", "2026-01-31"),
        ...         "price": Assumption(2, 3, 4, "USD per GPU-hour", "guess", "2026-01-31"),
        ...     },
        ...     seed=0,
        ... )
        >>> {share: round(value, -2) for share, value in simulation.quantiles().items()}
        {0.05: 1400.0, 0.5: 3000.0, 0.95: 6100.0}

    Taught in: book/startup_strategy/unit_economics.md
    """
    _check_any(assumptions)
    check_at_least("size", size, 2)
    streams = np.random.SeedSequence(seed).spawn(len(assumptions))
    inputs = {
        name: sample(assumption, size, np.random.default_rng(stream))
        for (name, assumption), stream in zip(assumptions.items(), streams, strict=True)
    }
    values = np.asarray(model(**inputs), dtype=float)
    if values.shape != (size,):
        raise ValueError(f"`model` returned shape {values.shape}, expected {(size,)}.")
    if np.isnan(values).any():
        raise ValueError(f"`model` returned nan for {np.isnan(values).sum()} of {size} samples.")
    return Simulation(values, inputs)


@dataclass(frozen=True)
class Sensitivity:
    """What one assumption does to the result: a bar of a tornado chart.

    Args:
        name: the assumption.
        at_low: the result with this assumption at its low value, the others at their modes.
        at_high: the same at its high value.

    Example:
        >>> Sensitivity("price", at_low=3.0, at_high=1.0).swing
        2.0

    Taught in: book/startup_strategy/unit_economics.md
    """

    name: str
    at_low: float
    at_high: float

    @property
    def swing(self) -> float:
        """The length of the bar: |at_high − at_low|."""
        return abs(self.at_high - self.at_low)


def tornado(model: Model, assumptions: Mapping[str, Assumption]) -> list[Sensitivity]:
    """Rank the assumptions by what each alone does to the result.

    swingᵢ = |model(highᵢ, others at mode) − model(lowᵢ, others at mode)|

    Spend your time on the source of the first one. What two assumptions do together is not seen.

    Args:
        model: takes a number for each name, returns a number.
        assumptions: the ranges, by the names of the model's arguments.

    Returns:
        The largest swing first.

    Raises:
        ValueError: if there is no assumption, or a swing is not finite.

    Example:
        >>> def cost(hours, price):
        ...     return hours * price
        >>> bars = tornado(
        ...     cost,
        ...     {
        ...         "price": Assumption(2, 3, 4, "USD per GPU-hour", "guess", "2026-01-31"),
        ...         "hours": Assumption(500, 1000, 2000, "GPU-hours", "guess", "2026-01-31"),
        ...     },
        ... )
        >>> for bar in bars:
        ...     print(f"{bar.name:6} {bar.at_low:6.0f} {bar.at_high:6.0f}")
        hours    1500   6000
        price    2000   4000

    Taught in: book/startup_strategy/unit_economics.md
    """
    _check_any(assumptions)
    modes = {name: assumption.mode for name, assumption in assumptions.items()}

    def result(name: str, value: float) -> float:
        return float(np.asarray(model(**{**modes, name: value}), dtype=float))

    bars = [
        Sensitivity(name, result(name, assumption.low), result(name, assumption.high))
        for name, assumption in assumptions.items()
    ]
    for bar in bars:
        if not np.isfinite(bar.swing):
            raise ValueError(
                f"`model` gives {bar.at_low} at the low and {bar.at_high} at the high value of "
                f"`{bar.name}`: such a swing has no length."
            )
    return sorted(bars, key=lambda bar: bar.swing, reverse=True)


def _check_any(assumptions: Mapping[str, Assumption]) -> None:
    if not assumptions:
        raise ValueError("`assumptions` (={}) must name at least one assumption.")

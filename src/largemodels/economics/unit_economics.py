"""Whether one customer pays, and how long the money lasts.

Periods are months or years, but the same in every argument: a yearly discount rate with a monthly
churn is a common slip. Every function takes numbers, or arrays with one number for each sample of a
simulation.
"""

from __future__ import annotations

import numpy as np

from largemodels.economics._checks import (
    Quantity,
    check_at_least,
    check_finite,
    check_not_negative,
    check_positive,
    check_share,
    plain,
)

__all__ = [
    "break_even_customers",
    "contribution_margin",
    "customer_acquisition_cost",
    "lifetime_value",
    "lifetime_value_from_survival",
    "payback_period",
    "runway",
    "simple_lifetime_value",
]


def contribution_margin(price: Quantity, variable_cost: Quantity) -> Quantity:
    """Return what a customer leaves per period to pay for everything that is fixed.

    margin = price − variable cost

    The variable cost of an AI product is large: tokens, retrieval, support, payment fees. Divide by
    the price for the margin as a share.

    Args:
        price: revenue from one customer per period.
        variable_cost: what this customer costs per period.

    Returns:
        Money per customer and period; negative if each customer loses money.

    Raises:
        ValueError: if a number is negative.

    Example:
        >>> contribution_margin(20.0, 8.0)
        12.0

    Taught in: book/startup_strategy/unit_economics.md
    """
    check_not_negative("price", price)
    check_not_negative("variable_cost", variable_cost)
    return price - variable_cost


def customer_acquisition_cost(spending: Quantity, new_customers: Quantity) -> Quantity:
    """Return what a new customer costs (CAC).

    CAC = spending / new customers

    Args:
        spending: all sales and marketing of a period, salaries too.
        new_customers: paying customers won by it; not sign-ups.

    Raises:
        ValueError: if `spending` is negative or `new_customers` is not above 0.

    Example:
        >>> customer_acquisition_cost(30_000.0, 200)
        150.0

    Taught in: book/startup_strategy/unit_economics.md
    """
    check_not_negative("spending", spending)
    check_positive("new_customers", new_customers)
    return spending / new_customers


def simple_lifetime_value(margin: Quantity, churn: Quantity) -> Quantity:
    """Return the lifetime value (LTV) by the simple formula, for a first look only.

    LTV = margin / churn

    It is the expected margin of a customer who pays at the start of each period and leaves after it
    with the probability `churn`. It is wrong where its assumptions are:

    * money of later is worth less: `lifetime_value` discounts, this formula does not, and so it
      goes to infinity with churn → 0;
    * it counts on margins of many years from a company that may be two years old: give
      `lifetime_value` a horizon;
    * churn is not the same for all: with segments, the LTV at the mean churn is below the mean LTV
      (margin / churn is convex), while the churn of the first months, when many leave, makes it too
      low for those who stay. Use `lifetime_value_from_survival`;
    * with revenue in the place of the margin it is too high by the whole variable cost.

    Args:
        margin: the contribution margin per customer and period.
        churn: the share of customers who leave per period, in (0, 1].

    Raises:
        ValueError: if `margin` is not finite or `churn` is not in (0, 1].

    Example:
        >>> simple_lifetime_value(12.0, 0.05)
        240.0

    Taught in: book/startup_strategy/unit_economics.md
    """
    check_finite("margin", margin)
    check_share("churn", churn)
    return margin / churn


def lifetime_value(
    margin: Quantity,
    churn: Quantity,
    discount_rate: Quantity = 0.0,
    *,
    horizon: int | None = None,
) -> Quantity:
    """Return the expected and discounted margin of a new customer.

    LTV = Σ_{t=0}^{T−1} m · qᵗ = m · (1 − q^T) / (1 − q),  q = (1 − churn) / (1 + discount rate)

    Without a horizon LTV = m · (1 + i) / (i + churn): the simple formula if i = 0, and what an
    endless payment is worth if churn → 0. The customer pays at the start of each period; from one
    who pays at the end, take m off (Gupta and Lehmann's r / (1 + i − r) with r = 1 − churn).

    Args:
        margin: m, the contribution margin per customer and period.
        churn: the share of customers who leave per period, in [0, 1].
        discount_rate: i, per period.
        horizon: T, the periods to count; `None` counts all.

    Raises:
        ValueError: if `churn` is not in [0, 1], `discount_rate` is negative, `horizon` is below 1,
            or nothing bounds the sum: no churn, no discount and no horizon.

    Source:
        Gupta and Lehmann, "Customers as assets", Journal of Interactive Marketing 17(1), 2003,
        pages 9–24.

    Example:
        >>> round(lifetime_value(12.0, 0.05, 0.01), 2)
        202.0
        >>> round(lifetime_value(12.0, 0.05, 0.01, horizon=24), 2)
        155.55

    Taught in: book/startup_strategy/unit_economics.md
    """
    check_finite("margin", margin)
    check_share("churn", churn, zero=True)
    check_not_negative("discount_rate", discount_rate)
    # 1 − q, without the cancellation of a q near 1.
    loss = np.add(churn, discount_rate) / np.add(1.0, discount_rate)
    if horizon is None:
        if np.any(loss == 0):
            raise ValueError(
                "`churn` (=0) and `discount_rate` (=0) need a `horizon` to end the sum."
            )
        return plain(margin / loss)
    check_at_least("horizon", horizon, 1)
    with np.errstate(divide="ignore"):  # All leave at once: log 0 = −∞, and q^T = 0.
        remaining_loss = -np.expm1(horizon * np.log1p(-loss))
    periods = np.where(loss > 0, remaining_loss / np.where(loss > 0, loss, 1.0), horizon)
    return plain(margin * periods)


def lifetime_value_from_survival(
    margin: float, survival: np.ndarray, discount_rate: float = 0.0
) -> float:
    """Return the lifetime value from a measured curve of how many customers stay.

    LTV = Σ_t m · S_t / (1 + i)ᵗ

    Nothing is assumed about churn, and nothing counted beyond the curve.

    Args:
        margin: m, the contribution margin per customer and period.
        survival: S_t, the shares of the customers still there in period t; S₀ is 1. Shape (T,).
        discount_rate: i, per period.

    Raises:
        ValueError: if the curve is no list of shares that starts with 1 and never rises, or
            `discount_rate` is negative.

    Source:
        Fader and Hardie, "How to project customer retention", Journal of Interactive Marketing
        21(1), 2007, pages 76–90, on why a constant churn does not fit such curves.

    Example:
        >>> lifetime_value_from_survival(10.0, np.array([1.0, 0.6, 0.5]))
        21.0

    Taught in: book/startup_strategy/unit_economics.md
    """
    check_finite("margin", margin)
    check_not_negative("discount_rate", discount_rate)
    survival = np.asarray(survival, dtype=float)
    if survival.ndim != 1 or survival.size == 0:
        raise ValueError(f"`survival` (of shape {survival.shape}) must be a list of shares.")
    check_share("survival", survival, zero=True)
    if survival[0] != 1:
        raise ValueError(f"`survival[0]` (={survival[0]}) must be 1: all who start.")
    rises = np.flatnonzero(np.diff(survival) > 0)
    if rises.size:
        t = int(rises[0]) + 1
        raise ValueError(f"`survival[{t}]` (={survival[t]}) must not exceed the share before it.")
    return float(margin * np.sum(survival / (1 + discount_rate) ** np.arange(survival.size)))


def payback_period(acquisition_cost: Quantity, margin: Quantity, churn: Quantity = 0.0) -> Quantity:
    """Return the periods until the expected margin of a customer has paid for winning it.

    m · (1 − (1 − churn)^T) / churn = CAC,  so  T = ln(1 − CAC · churn / m) / ln(1 − churn)

    Without churn T = CAC / m. It is infinite if the customers leave before they have paid, that is
    if CAC ≥ m / churn. Fractions of a period are interpolated along the formula.

    Args:
        acquisition_cost: CAC, money per customer.
        margin: m, the contribution margin per customer and period.
        churn: the share of customers who leave per period, in [0, 1].

    Raises:
        ValueError: if `acquisition_cost` is negative, or `churn` is not in [0, 1].

    Example:
        >>> payback_period(150.0, 12.0)
        12.5
        >>> round(payback_period(150.0, 12.0, churn=0.05), 1)
        19.1
        >>> payback_period(300.0, 12.0, churn=0.05)
        inf

    Taught in: book/startup_strategy/unit_economics.md
    """
    check_not_negative("acquisition_cost", acquisition_cost)
    check_finite("margin", margin)
    check_share("churn", churn, zero=True)
    earns = np.greater(margin, 0)
    simple = np.divide(acquisition_cost, np.where(earns, margin, 1.0))
    churn = np.asarray(churn, dtype=float)
    share = simple * churn
    pays = earns & (share < 1)
    with np.errstate(divide="ignore"):  # All leave at once: ln 0 = −∞.
        exact = np.log1p(-np.where(pays, share, 0.0)) / np.where(churn > 0, np.log1p(-churn), 1.0)
    # Who pays at the start and then leaves has paid within the first period.
    exact = np.where(churn == 1, simple, exact)
    return plain(np.where(pays, np.where(churn > 0, exact, simple), np.inf))


def runway(
    cash: Quantity,
    *,
    revenue: Quantity,
    costs: Quantity,
    revenue_growth: Quantity = 0.0,
    cost_growth: Quantity = 0.0,
    horizon: int = 120,
) -> Quantity:
    """Return the months until the cash is gone.

    cash_{t+1} = cash_t + revenue · (1 + g)ᵗ − costs · (1 + h)ᵗ

    With constant amounts it is cash / (costs − revenue). The last month is counted in part.

    Args:
        cash: money at the start.
        revenue: money in, in the first month.
        costs: money out, in the first month.
        revenue_growth: g per month, above −1.
        cost_growth: h per month, above −1.
        horizon: the months to look ahead.

    Returns:
        Months; infinite if there is still cash at the horizon.

    Raises:
        ValueError: if an amount is negative, a growth is not above −1, or `horizon` is below 1.

    Example:
        >>> runway(500_000.0, revenue=10_000.0, costs=60_000.0)
        10.0
        >>> round(runway(500_000.0, revenue=10_000.0, costs=60_000.0, revenue_growth=0.1), 1)
        11.8

    Taught in: book/startup_strategy/unit_economics.md
    """
    check_not_negative("cash", cash)
    check_not_negative("revenue", revenue)
    check_not_negative("costs", costs)
    for name, growth in (("revenue_growth", revenue_growth), ("cost_growth", cost_growth)):
        check_finite(name, growth)
        if np.any(np.less_equal(growth, -1)):
            raise ValueError(f"`{name}` (={np.min(growth)}) must be above -1.")
    check_at_least("horizon", horizon, 1)
    parts = (cash, revenue, costs, revenue_growth, cost_growth)
    money, income, expense, *_ = (
        np.array(part, dtype=float) for part in np.broadcast_arrays(*parts)
    )
    months = np.full(money.shape, np.inf)
    for month in range(horizon):
        burn = expense - income
        empty = np.isinf(months) & (burn > 0) & (money <= burn)
        months = np.where(empty, month + money / np.where(empty, burn, 1.0), months)
        money = money - burn
        income = income * (1 + np.asarray(revenue_growth))
        expense = expense * (1 + np.asarray(cost_growth))
    return plain(months)


def break_even_customers(fixed_costs: Quantity, margin: Quantity) -> Quantity:
    """Return how many customers pay for the fixed costs of a period.

    customers = fixed costs / margin, infinite if a customer leaves no margin

    Args:
        fixed_costs: money per period that does not depend on the number of customers.
        margin: the contribution margin per customer and period.

    Raises:
        ValueError: if `fixed_costs` is negative or `margin` is not finite.

    Example:
        >>> break_even_customers(60_000.0, 12.0)
        5000.0

    Taught in: book/startup_strategy/unit_economics.md
    """
    check_not_negative("fixed_costs", fixed_costs)
    check_finite("margin", margin)
    earns = np.greater(margin, 0)
    return plain(np.where(earns, np.divide(fixed_costs, np.where(earns, margin, 1.0)), np.inf))

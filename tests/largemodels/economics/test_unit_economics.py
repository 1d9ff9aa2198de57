"""The formulas of unit economics equal the sums they stand for, and have the right limits."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from largemodels.economics import unit_economics as unit

untimed = settings(deadline=None)
money = st.floats(0.1, 1e5)
churn = st.floats(1e-4, 0.99)
rate = st.floats(0, 0.5)


@untimed
@given(money, churn, rate, st.integers(1, 60))
def test_lifetime_value_equals_the_sum(margin, churn, rate, horizon):
    t = np.arange(horizon)
    expected = np.sum(margin * (1 - churn) ** t / (1 + rate) ** t)
    assert unit.lifetime_value(margin, churn, rate, horizon=horizon) == pytest.approx(expected)
    survival = (1 - churn) ** t
    assert unit.lifetime_value_from_survival(margin, survival, rate) == pytest.approx(expected)


@untimed
@given(money, churn)
def test_without_discount_the_simple_formula_is_right(margin, churn):
    simple = unit.simple_lifetime_value(margin, churn)
    assert unit.lifetime_value(margin, churn) == pytest.approx(simple)


@untimed
@given(money, churn, st.floats(1e-3, 0.5), st.integers(1, 60))
def test_discount_and_horizon_only_lower_the_value(margin, churn, rate, horizon):
    simple = unit.simple_lifetime_value(margin, churn)
    endless = unit.lifetime_value(margin, churn, rate)
    limited = unit.lifetime_value(margin, churn, rate, horizon=horizon)
    assert limited <= endless * (1 + 1e-12)
    assert endless < simple


@untimed
@given(money, churn, rate)
def test_payment_at_the_end_is_the_formula_of_gupta_and_lehmann(margin, churn, rate):
    r = 1 - churn
    at_the_end = unit.lifetime_value(margin, churn, rate) - margin
    assert at_the_end == pytest.approx(margin * r / (1 + rate - r))


@untimed
@given(money, st.floats(1e-3, 0.5), st.integers(1, 60))
def test_limits_of_churn(margin, rate, horizon):
    perpetuity = margin * (1 + rate) / rate
    assert unit.lifetime_value(margin, 0.0, rate) == pytest.approx(perpetuity)
    assert unit.lifetime_value(margin, 1e-12, rate) == pytest.approx(perpetuity)
    assert unit.lifetime_value(margin, 0.0, horizon=horizon) == pytest.approx(margin * horizon)
    assert unit.lifetime_value(margin, 1e-12, horizon=horizon) == pytest.approx(margin * horizon)
    assert unit.lifetime_value(margin, 1.0, rate, horizon=horizon) == pytest.approx(margin)


@untimed
@given(money, st.lists(churn, min_size=2, max_size=8))
def test_the_value_at_the_mean_churn_is_below_the_mean_value(margin, churns):
    mean = np.mean(unit.lifetime_value(margin, np.array(churns)))
    assert unit.lifetime_value(margin, float(np.mean(churns))) <= mean * (1 + 1e-12)


@untimed
@given(money, money, churn)
def test_after_the_payback_period_the_cost_is_back(cost, margin, churn):
    periods = unit.payback_period(cost, margin, churn)
    if np.isinf(periods):
        assert cost >= unit.simple_lifetime_value(margin, churn) * (1 - 1e-9)
    else:
        # Near the limit the logarithm of a difference keeps few digits.
        assume(cost * churn / margin < 0.999)
        earned = margin * (1 - (1 - churn) ** periods) / churn
        assert earned == pytest.approx(cost)
        assert periods >= unit.payback_period(cost, margin) * (1 - 1e-9) or periods <= 1


@untimed
@given(money, money)
def test_payback_without_churn(cost, margin):
    assert unit.payback_period(cost, margin) == pytest.approx(cost / margin)
    nearly = unit.payback_period(cost, margin, 1e-13)
    assert nearly == pytest.approx(cost / margin, rel=1e-5)


def test_a_customer_without_margin_never_pays_back():
    np.testing.assert_array_equal(
        unit.payback_period(10.0, np.array([-1.0, 0.0, 5.0])), [np.inf, np.inf, 2.0]
    )
    np.testing.assert_array_equal(
        unit.break_even_customers(10.0, np.array([-1.0, 0.0, 5.0])), [np.inf, np.inf, 2.0]
    )


@untimed
@given(st.floats(0, 1e6), money, st.floats(0, 0.99))
def test_constant_runway_is_cash_by_burn(cash, costs, covered):
    burn = costs * (1 - covered)
    months = unit.runway(cash, revenue=costs * covered, costs=costs, horizon=500)
    assume(abs(cash / burn - 500) > 1e-6)
    assert months == pytest.approx(cash / burn if cash < 500 * burn else np.inf)


@untimed
@given(money, money, money, st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(1.0, 3.0))
def test_more_cash_or_growth_never_shortens_the_runway(cash, revenue, costs, up, out, factor):
    def months(cash=cash, growth=up):
        return unit.runway(
            cash, revenue=revenue, costs=costs, revenue_growth=growth, cost_growth=out
        )

    assert months(cash * factor) >= months() * (1 - 1e-9)
    assert months(growth=up + 0.05) >= months() * (1 - 1e-9)


def test_runway_of_samples_equals_that_of_each():
    cash, growth = np.array([1e5, 2e5, 3e5]), np.array([0.0, 0.05, 0.3])
    together = unit.runway(cash, revenue=5e3, costs=3e4, revenue_growth=growth)
    each = [
        unit.runway(float(c), revenue=5e3, costs=3e4, revenue_growth=float(g))
        for c, g in zip(cash, growth, strict=True)
    ]
    np.testing.assert_allclose(together, each)


@untimed
@given(money, money)
def test_break_even_customers_pay_for_what_is_fixed(fixed, margin):
    assert unit.break_even_customers(fixed, margin) * margin == pytest.approx(fixed)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: unit.simple_lifetime_value(1.0, 0), r"`churn` \(=0\) must be in \(0, 1\]\."),
        (lambda: unit.lifetime_value(1.0, -0.1), r"`churn` \(=-0\.1\) must be in \[0, 1\]\."),
        (lambda: unit.lifetime_value(1.0, 0.0), r"`churn` \(=0\) and `discount_rate` \(=0\) need"),
        (lambda: unit.lifetime_value(1.0, 0.1, horizon=0), r"`horizon` \(=0\) must be at least 1"),
        (lambda: unit.customer_acquisition_cost(1.0, 0), r"`new_customers` \(=0\) must be above"),
        (lambda: unit.contribution_margin(-2, 1), r"`price` \(=-2\) must not be negative"),
        (lambda: unit.payback_period(1.0, 1.0, 1.5), r"`churn` \(=1\.5\) must be in \[0, 1\]\."),
        (
            lambda: unit.runway(1.0, revenue=1.0, costs=1.0, cost_growth=-1.0),
            r"`cost_growth` \(=-1\.0\) must be above -1\.",
        ),
        (
            lambda: unit.lifetime_value_from_survival(1.0, [1, 0.5, 0.6]),
            r"`survival\[2\]` \(=0\.6\) must not exceed",
        ),
        (
            lambda: unit.lifetime_value_from_survival(1.0, [0.9]),
            r"`survival\[0\]` \(=0\.9\) must be 1",
        ),
        (lambda: unit.lifetime_value_from_survival(1.0, []), r"`survival` \(of shape \(0,\)\)"),
    ],
)
def test_errors_name_argument_and_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()

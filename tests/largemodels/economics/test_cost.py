"""Costs have the right units, move the right way, and agree with published trainings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.economics import cost
from largemodels.economics.assumptions import Assumption

untimed = settings(deadline=None)
positive = st.floats(1e-3, 1e6)
share = st.floats(0.01, 1)
WHERE = ("USD", "guess", "2026-01-31")


@pytest.mark.parametrize(
    ("gpus", "utilisation", "days"), [(100, 0.5, 234), (1024, 0.45, 25)], ids=["small", "large"]
)
def test_gpt3_on_a100(gpus, utilisation, days):
    # 312e12 FLOP/s: NVIDIA A100 data sheet, FP16 and BF16, dense.
    counted = cost.training_days(3.15e23, gpus=gpus, peak_flops=312e12, utilisation=utilisation)
    assert round(counted) == days


@untimed
@given(positive, share, positive, positive, st.floats(1.01, 10))
def test_cost_is_proportional_and_falls_with_utilisation(flops, utilisation, price, peak, factor):
    def total(flops=flops, utilisation=utilisation, price=price, peak=peak):
        return cost.training_cost(
            flops, peak_flops=peak, utilisation=utilisation, price_per_gpu_hour=price
        )

    assert total(flops=factor * flops) == pytest.approx(factor * total())
    assert total(price=factor * price) == pytest.approx(factor * total())
    assert total(peak=factor * peak) == pytest.approx(total() / factor)
    assert total(utilisation=utilisation / factor) == pytest.approx(factor * total())
    hours = cost.gpu_hours(flops, peak_flops=peak, utilisation=utilisation)
    days = cost.training_days(flops, gpus=3, peak_flops=peak, utilisation=utilisation)
    assert days * 3 * 24 == pytest.approx(hours)


@untimed
@given(positive, positive, share)
def test_serving_for_an_hour_costs_the_price_of_an_hour(price, speed, utilisation):
    million = cost.serving_cost_per_million_tokens(
        price_per_gpu_hour=price, tokens_per_second=speed, utilisation=utilisation
    )
    assert million * speed * utilisation * 3600 / 1e6 == pytest.approx(price)


@untimed
@given(positive, positive, st.floats(0, 1e5))
def test_at_the_break_even_both_ways_cost_the_same(fixed, saving, own):
    api = own + saving
    tokens = cost.api_break_even_tokens(
        fixed_cost=fixed, api_price_per_million=api, own_cost_per_million=own
    )
    assert tokens / 1e6 * (api - own) == pytest.approx(fixed)
    hours = cost.rent_or_buy_break_even_hours(
        purchase_price=fixed, own_cost_per_hour=own, rent_per_hour=api
    )
    assert hours * (api - own) == pytest.approx(fixed)


def test_what_saves_nothing_never_breaks_even():
    tokens = cost.api_break_even_tokens(
        fixed_cost=1, api_price_per_million=np.array([1.0, 2.0, 3.0]), own_cost_per_million=2
    )
    np.testing.assert_array_equal(tokens, [np.inf, np.inf, 1e6])


@untimed
@given(st.integers(1, 1000), st.floats(0, 1e9))
def test_a_larger_batch_is_never_slower_and_stays_below_both_roofs(batch, cache):
    sizes = {"weight_bytes": 14e9, "kv_cache_bytes": cache, "flops_per_token": 14e9}
    peak = {"peak_bandwidth": 2e12, "peak_flops": 3e14}
    speed, more = (
        cost.decode_tokens_per_second(batch_size=size, **sizes, **peak)
        for size in (batch, batch + 1)
    )
    assert speed <= more * (1 + 1e-12)
    assert speed <= min(3e14 / 14e9, batch * 2e12 / 14e9) * (1 + 1e-12)


@untimed
@given(st.floats(1e-3, 1e3), st.floats(1, 200))
def test_lognormal_keeps_its_order_and_its_mode_below_its_mean(low, ratio):
    assumption = Assumption.lognormal(low, low * ratio, *WHERE)
    assert assumption.low <= assumption.mode <= assumption.mean * (1 + 1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: cost.gpu_hours(1.0, peak_flops=1.0, utilisation=1.2),
            r"`utilisation` \(=1\.2\) must be in \(0, 1\]\.",
        ),
        (
            lambda: cost.gpu_hours(1.0, peak_flops=1.0, utilisation=np.array([0.5, 0.0])),
            r"`utilisation` \(=0\.0\)",
        ),
        (
            lambda: cost.training_days(1.0, gpus=0, peak_flops=1.0, utilisation=1.0),
            r"`gpus` \(=0\) must be above 0\.",
        ),
        (
            lambda: cost.api_break_even_tokens(fixed_cost=-1, api_price_per_million=1),
            r"`fixed_cost` \(=-1\) must not be negative\.",
        ),
        (lambda: Assumption(2, 1, 3, *WHERE), r"`low` \(=2\), `mode` \(=1\) and `high` \(=3\)"),
        (lambda: Assumption(1, 2, float("nan"), *WHERE), r"`high` \(=nan\) must be finite"),
        (lambda: Assumption(1, 2, 3, "", "a", "2026-01-31"), r"`unit` \(=''\) must not be empty"),
        (lambda: Assumption(1, 2, 3, "a", " ", "2026-01-31"), r"`source` \(=' '\) must not be em"),
        (lambda: Assumption(1, 2, 3, "a", "a", "May"), r"`date` \(='May'\) must be a date"),
        (lambda: Assumption(1, 2, 3, *WHERE, "normal"), r"`distribution` \(='normal'\) must be"),
        (lambda: Assumption(1, 2, 3, *WHERE, "lognormal"), r"`mode` \(=2\) must be 1\.5"),
        (lambda: Assumption.lognormal(0, 1, *WHERE), r"`low` \(=0\) must be above 0\."),
        (lambda: Assumption.lognormal(1, 1000, *WHERE), r"must be in this order"),
    ],
)
def test_errors_name_argument_and_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()

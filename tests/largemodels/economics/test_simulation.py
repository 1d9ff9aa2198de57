"""The simulation agrees with closed forms, repeats with its seed, and ranks what matters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.economics import cost, simulation, unit_economics
from largemodels.economics.assumptions import Assumption

WHERE = ("unit", "guess", "2026-01-31")
few = settings(max_examples=25, deadline=None)


def triangular(low, mode, high):
    return Assumption(low, mode, high, *WHERE)


numbers = st.lists(st.floats(-100, 100), min_size=3, max_size=3).map(sorted)
triangulars = numbers.map(lambda three: triangular(*three))
lognormals = st.tuples(st.floats(0.1, 100), st.floats(1.1, 20)).map(
    lambda pair: Assumption.lognormal(pair[0], pair[0] * pair[1], *WHERE)
)
assumptions = st.one_of(triangulars, lognormals)


def identity(x):
    return x


@few
@given(assumptions, st.integers(0, 2**31))
def test_the_mean_is_the_closed_form(assumption, seed):
    run = simulation.simulate(identity, {"x": assumption}, size=20_000, seed=seed)
    # Six standard errors: by chance about once in 500 million trials of a normal mean.
    assert abs(run.mean - assumption.mean) <= 6 * run.standard_error + 1e-9


@few
@given(lognormals, st.integers(0, 2**31))
def test_low_and_high_of_a_lognormal_are_its_quantiles(assumption, seed):
    run = simulation.simulate(identity, {"x": assumption}, size=20_000, seed=seed)
    # The deviation of a share of 5 % of 20,000 samples is 0.0015.
    assert np.mean(run.values < assumption.low) == pytest.approx(0.05, abs=0.01)
    assert np.mean(run.values > assumption.high) == pytest.approx(0.05, abs=0.01)


@few
@given(triangulars, st.integers(0, 2**31))
def test_a_triangular_stays_in_its_range(assumption, seed):
    run = simulation.simulate(identity, {"x": assumption}, size=1000, seed=seed)
    assert run.values.min() >= assumption.low - 1e-9
    assert run.values.max() <= assumption.high + 1e-9


@few
@given(triangulars, triangulars, st.integers(0, 2**31))
def test_the_mean_of_a_product_of_independent_assumptions_is_the_product(x, y, seed):
    run = simulation.simulate(lambda x, y: x * y, {"x": x, "y": y}, size=20_000, seed=seed)
    assert abs(run.mean - x.mean * y.mean) <= 6 * run.standard_error + 1e-9


def test_the_seed_repeats_and_another_assumption_changes_no_draw():
    x, y = triangular(0, 1, 2), triangular(3, 4, 5)
    first = simulation.simulate(lambda x: x, {"x": x}, size=100, seed=1)
    again = simulation.simulate(lambda x, y: x + y, {"x": x, "y": y}, size=100, seed=1)
    other = simulation.simulate(lambda x: x, {"x": x}, size=100, seed=2)
    np.testing.assert_array_equal(first.inputs["x"], again.inputs["x"])
    assert not np.array_equal(first.values, other.values)


@few
@given(assumptions, st.integers(0, 2**31))
def test_quantiles_are_ordered_and_split_the_samples(assumption, seed):
    run = simulation.simulate(identity, {"x": assumption}, size=1000, seed=seed)
    quantiles = run.quantiles((0.1, 0.5, 0.9))
    assert list(quantiles.values()) == sorted(quantiles.values())
    assert np.mean(run.values <= quantiles[0.9]) >= 0.9


@few
@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.floats(-9, 9), numbers), min_size=1))
def test_a_linear_model_swings_by_weight_times_range(terms):
    weights = {name: weight for name, (weight, _) in terms.items()}
    ranges = {name: triangular(*three) for name, (_, three) in terms.items()}
    bars = simulation.tornado(lambda **x: sum(weights[n] * x[n] for n in x), ranges)
    assert {bar.name for bar in bars} == set(terms)
    assert [bar.swing for bar in bars] == sorted((bar.swing for bar in bars), reverse=True)
    for bar in bars:
        width = ranges[bar.name].high - ranges[bar.name].low
        assert bar.swing == pytest.approx(abs(weights[bar.name]) * width, abs=1e-9)


def test_the_calculators_take_samples():
    def training(utilisation, price):
        return cost.training_cost(
            3.15e23, peak_flops=312e12, utilisation=utilisation, price_per_gpu_hour=price
        )

    ranges = {"utilisation": triangular(0.3, 0.4, 0.5), "price": triangular(1, 2, 3)}
    run = simulation.simulate(training, ranges, size=500, seed=0)
    one = training(float(run.inputs["utilisation"][7]), float(run.inputs["price"][7]))
    assert run.values[7] == pytest.approx(one)

    def months(revenue, growth):
        return unit_economics.runway(
            5e5, revenue=revenue, costs=6e4, revenue_growth=growth, horizon=60
        )

    ranges = {"revenue": triangular(5e3, 1e4, 2e4), "growth": triangular(0, 0.1, 0.3)}
    quantiles = simulation.simulate(months, ranges, size=500, seed=0).quantiles((0.05, 1.0))
    assert 9 < quantiles[0.05] < 13
    assert quantiles[1.0] == np.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: simulation.simulate(identity, {}, seed=0), r"`assumptions` \(=\{\}\) must name"),
        (
            lambda x: simulation.simulate(identity, {"x": x}, size=1, seed=0),
            r"`size` \(=1\) must be at least 2\.",
        ),
        (
            lambda x: simulation.simulate(lambda x: 1.0, {"x": x}, size=5, seed=0),
            r"`model` returned shape \(\), expected \(5,\)\.",
        ),
        (
            lambda x: simulation.simulate(lambda x: x * np.nan, {"x": x}, size=5, seed=0),
            r"`model` returned nan for 5 of 5 samples\.",
        ),
        (
            lambda x: simulation.simulate(identity, {"x": x}, seed=0).quantiles([1.5]),
            r"`shares` \(=1\.5\) must be in \[0, 1\]\.",
        ),
        (lambda x: simulation.tornado(lambda x: np.inf, {"x": x}), r"`model` gives inf at the low"),
    ],
)
def test_errors_name_argument_and_value(call, message):
    with pytest.raises(ValueError, match=message):
        call(triangular(1, 2, 3))

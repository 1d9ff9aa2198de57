"""The index of stability is zero without a shift, and follows its formula."""

import numpy as np
import pytest

from largemodels.training.monitoring import population_stability_index


def test_it_equals_the_formula_on_given_shares() -> None:
    # Half of the reference below 0.5 and half above; today a fifth and four fifths.
    reference = np.repeat([0.0, 1.0], 50_000)
    current = np.repeat([0.0, 1.0], [20_000, 80_000])
    expected = (0.2 - 0.5) * np.log(0.2 / 0.5) + (0.8 - 0.5) * np.log(0.8 / 0.5)
    assert population_stability_index(reference, current) == pytest.approx(expected, rel=1e-3)


def test_it_grows_with_the_shift_and_is_symmetric_in_name_only() -> None:
    x = np.random.default_rng(0).standard_normal(20_000)
    values = [population_stability_index(x, x + shift) for shift in (0, 0.1, 0.3, 1.0)]
    assert values[0] == 0
    assert values == sorted(values)
    assert values[1] < 0.1 < 0.25 < values[3]


def test_noise_alone_is_as_large_as_the_docstring_says() -> None:
    rng = np.random.default_rng(0)
    n, m, bins = 4000, 1000, 10
    noise = [
        population_stability_index(rng.standard_normal(n), rng.standard_normal(m), bins)
        for _ in range(200)
    ]
    assert np.mean(noise) == pytest.approx((bins - 1) * (1 / n + 1 / m), rel=0.15)


def test_an_empty_bin_does_not_make_it_infinite() -> None:
    assert np.isfinite(population_stability_index(np.arange(100.0), np.full(100, 500.0)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [1.0]), "`reference` is empty"),
        (([1.0], []), "`current` is empty"),
        (([1.0], [np.nan]), "`current` must be numbers, got NaN"),
        (([1.0], [1.0], 1), r"`bins` \(=1\) must be at least 2"),
    ],
)
def test_errors_name_argument_and_value(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        population_stability_index(*arguments)

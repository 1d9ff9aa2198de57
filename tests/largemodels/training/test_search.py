"""A search covers its space, repeats by seed, loses no trial and goes on where it stopped."""

import itertools
import math
import re

import numpy as np
import optuna
import pytest

from largemodels.training.search import Range, SearchResult, Trial, search

PLANE = {"x": Range(-2.0, 2.0), "y": Range(-2.0, 2.0)}


def bowl(parameters):
    return (parameters["x"] - 0.3) ** 2 + (parameters["y"] + 0.7) ** 2


def run(method="random", space=PLANE, objective=bowl, **options):
    options = {"seed": 0, "trials": None if method == "grid" else 30, "progress": False, **options}
    return search(objective, space, method=method, **options)


def points(result):
    return [trial.parameters for trial in result.trials]


@pytest.mark.parametrize("method", ["grid", "random", "bayesian"])
def test_an_objective_gets_the_values_of_the_space(method):
    space = {"lr": [0.1, 0.01], "layers": [1, 2, 3], "name": ["relu", "tanh"], "bias": [True, None]}
    result = run(method, space, lambda parameters: parameters["lr"] * parameters["layers"])
    assert all(list(point) == list(space) for point in points(result))
    for name, values in space.items():
        seen = {point[name] for point in points(result)}
        assert seen == set(values)
    assert all(trial.value == trial.parameters["lr"] * trial.parameters["layers"]
               for trial in result.trials)  # fmt: skip


def test_a_grid_covers_exactly_the_product():
    space = {"lr": Range(1e-3, 1e-1, log=True).grid(3), "width": [16, 32], "name": ["a", "b"]}
    result = run("grid", space, lambda parameters: parameters["lr"])
    covered = [tuple(point.values()) for point in points(result)]
    assert sorted(covered) == sorted(itertools.product(*space.values()))
    assert len(covered) == 3 * 2 * 2


@pytest.mark.parametrize("method", ["random", "bayesian"])
def test_a_seed_repeats_a_search(method):
    first = run(method, seed=5)
    assert points(first) == points(run(method, seed=5))
    assert points(first) != points(run(method, seed=6))
    xs = [point["x"] for point in points(first)]
    assert len(set(xs)) == len(xs)  # Each trial has a seed of its own.


def test_a_grid_has_its_order_from_the_seed():
    space = {"x": [0, 1, 2, 3], "y": [0, 1, 2, 3]}
    assert points(run("grid", space)) == points(run("grid", space))
    assert points(run("grid", space)) != points(run("grid", space, seed=1))


def test_random_values_fill_their_range():
    space = {"linear": Range(1.0, 3.0), "log": Range(1e-4, 1.0, log=True), "count": Range(1, 4)}
    result = run("random", space, lambda parameters: 0.0, trials=400)
    linear = np.array([point["linear"] for point in points(result)])
    log = np.log10([point["log"] for point in points(result)])
    count = [point["count"] for point in points(result)]
    # The mean of 400 uniform numbers has the standard deviation width / √12 / 20: 4 of them.
    assert abs(linear.mean() - 2) < 4 * 2 / math.sqrt(12) / 20
    assert abs(log.mean() - -2) < 4 * 4 / math.sqrt(12) / 20
    assert 1 <= linear.min() < 1.1 < 2.9 < linear.max() <= 3
    assert -4 <= log.min() < -3.9 < -0.1 < log.max() <= 0
    assert set(count) == {1, 2, 3, 4}
    assert all(type(value) is int for value in count)


def test_a_model_of_the_trials_beats_chance_on_a_bowl():
    # Measured with these 10 seeds: medians 0.090 (random) and 0.0044 (bayesian), 8 of 10 better.
    chance = [run("random", seed=seed, trials=40).best.value for seed in range(10)]
    model = [run("bayesian", seed=seed, trials=40).best.value for seed in range(10)]
    assert np.median(model) < np.median(chance) / 5
    assert np.sum(np.less(model, chance)) >= 7


def test_the_model_starts_after_ten_random_trials():
    # Its first trials depend on the seed only, the later ones on what the objective returned.
    first = points(run("bayesian"))
    other = points(run("bayesian", objective=lambda parameters: -bowl(parameters)))
    assert first[:10] == other[:10]
    assert first[10] != other[10]
    assert sum(a != b for a, b in zip(first[10:], other[10:], strict=True)) >= 15  # Of 20.


def test_chance_tries_more_values_of_the_parameter_that_counts():
    """Figure 1 of Bergstra and Bengio: of 9 trials, a grid repeats its 3 values 3 times."""
    axis = [1 / 6, 3 / 6, 5 / 6]  # The grid at its best: the middles of three equal parts.
    spaces = {
        "grid": {"important": axis, "other": axis},
        "random": {"important": Range(0.0, 1.0), "other": Range(0.0, 1.0)},
    }
    best = {"grid": [], "random": []}
    for seed, peak in enumerate(np.random.default_rng(0).uniform(size=200)):
        for method, space in spaces.items():
            trials = 9 if method == "random" else None
            result = run(
                method,
                space,
                lambda parameters, peak=peak: abs(parameters["important"] - peak),
                trials=trials,
                seed=seed,
            )
            distinct = {point["important"] for point in points(result)}
            assert (len(result.trials), len(distinct)) == (9, 3 if method == "grid" else 9)
            best[method].append(result.best.value)
    # By integration: 1/12 = 0.083 for the grid; for chance the mean distance of the nearest of 9.
    assert np.mean(best["grid"]) == pytest.approx(1 / 12, abs=0.01)
    assert np.mean(best["random"]) < 0.75 * np.mean(best["grid"])


def test_the_best_trial_is_that_of_the_direction():
    low, high = run(), run(direction="maximize")
    values = [trial.value for trial in low.trials]
    assert values == [trial.value for trial in high.trials]
    assert (low.best.value, high.best.value) == (min(values), max(values))
    assert low.best.value == bowl(low.best.parameters)
    model = run("bayesian", direction="maximize", trials=60)
    assert model.best.value > high.best.value  # In a corner: (2.3)² + (2.7)² = 12.58 at most.
    assert model.best.value > 12


def test_a_failing_trial_is_reported_and_does_not_stop_the_search():
    def fails(parameters):
        if parameters["lr"] > 1:
            raise FloatingPointError("diverged after step 3")
        return math.nan if parameters["lr"] == 1 else parameters["lr"]

    result = run("grid", {"lr": [0.1, 1, 10]}, fails)
    trials = {trial.parameters["lr"]: trial for trial in result.trials}
    assert len(result.trials) == len(trials) == 3
    assert (trials[0.1].value, trials[0.1].error) == (0.1, None)
    assert (trials[1].value, trials[1].error) == (
        None,
        "FloatingPointError: the objective returned NaN.",
    )
    assert (trials[10].value, trials[10].error) == (
        None,
        "FloatingPointError: diverged after step 3",
    )
    assert result.best is trials[0.1]
    rows = sorted(result.rows(), key=lambda row: row["lr"])
    assert [list(row) for row in rows] == [["lr", "value", "seconds", "error"]] * 3
    assert [row["value"] for row in rows] == [0.1, None, None]


def test_without_a_success_there_is_no_best_trial():
    result = run(objective=lambda parameters: parameters["z"], trials=2)
    message = "None of the 2 trials succeeded. The first one ended with: KeyError: 'z'"
    with pytest.raises(RuntimeError, match=re.escape(message)):
        _ = result.best


def test_the_first_of_equal_trials_is_the_best():
    trials = [Trial({"x": x}, value, 0.0) for x, value in enumerate([2.0, 1.0, 1.0])]
    assert SearchResult(trials).best.parameters == {"x": 1}
    assert SearchResult(trials, "maximize").best.parameters == {"x": 0}


class StopsAt:
    """An objective that stops the program at its n-th trial, as a pressed Ctrl-C does."""

    def __init__(self, count):
        self.count = count

    def __call__(self, parameters):
        self.count -= 1
        if self.count < 0:
            raise KeyboardInterrupt
        return bowl(parameters)


@pytest.mark.parametrize("method", ["grid", "random", "bayesian"])
def test_a_stopped_search_goes_on_as_if_it_had_not_stopped(method, tmp_path):
    path = tmp_path / "search.db"
    stop = 8 if method == "grid" else 11
    space = {"x": [-1.0, 0.0, 1.0, 2.0], "y": [-1.0, 0.0, 1.0]} if method == "grid" else PLANE
    options = {"space": space, "trials": None if method == "grid" else 14}
    with pytest.raises(KeyboardInterrupt):
        run(method, objective=StopsAt(stop), storage=path, **options)
    calls = StopsAt(20)
    resumed = run(method, objective=calls, storage=path, **options)
    whole = run(method, **options)
    reached = [(trial.parameters, trial.value) for trial in resumed.trials]
    expected = [(trial.parameters, trial.value) for trial in whole.trials]
    if method == "grid":  # The point of the stop is the last one now.
        assert reached.pop() == expected.pop(stop)
    assert reached == expected
    assert calls.count == 20 - (len(whole.trials) - stop)  # What was done is not done again.


def test_more_trials_extend_a_search(tmp_path):
    path = tmp_path / "search.db"
    first = run("bayesian", storage=path, trials=12)
    assert run("bayesian", storage=path, trials=16).trials[:12] == first.trials
    assert len(run("bayesian", storage=path, trials=16).trials) == 16


def test_another_search_is_refused(tmp_path):
    path = tmp_path / "search.db"
    run(storage=path, trials=2)
    other = {"x": Range(-2.0, 3.0), "y": Range(-2.0, 2.0)}
    for options, message in [
        ({"seed": 1}, "`seed` (=1) was 0 when `storage` (="),
        ({"method": "bayesian"}, "`method` (='bayesian') was 'random'"),
        ({"space": other}, "`space` (="),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            run(**{"storage": path, "trials": 3, **options})


def test_the_log_of_optuna_is_as_before(capfd):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    run(objective=lambda parameters: 1 / 0, trials=2)
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert capfd.readouterr() == ("", "")


def test_a_grid_of_a_range():
    assert Range(0.0, 1.0).grid(5) == [0, 0.25, 0.5, 0.75, 1]
    assert Range(1e-5, 1e-1, log=True).grid(5) == [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    assert Range(1, 3).grid(9) == [1, 2, 3]
    assert all(type(value) is int for value in Range(8, 64, log=True).grid(4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Range(2, 1), "`low` (=2) must be below `high` (=1)."),
        (lambda: Range(0, math.inf), "`high` (=inf) must be finite."),
        (lambda: Range(0.0, 1.0, log=True), "`low` (=0.0) must be above 0"),
        (lambda: Range(0, 1).grid(1), "`count` (=1) must be at least 2."),
        (lambda: run("tpe"), "`method` (='tpe') must be one of ['grid', 'random', 'bayesian']."),
        (lambda: run(space={}), "`space` is empty."),
        (lambda: run(space={"x": []}), "`space['x']` (=[]) must be a `Range` or a list"),
        (lambda: run(space={"x": "relu"}), "`space['x']` (='relu') must be a `Range` or a list"),
        (lambda: run(space={"x": [bowl]}), "must hold numbers, texts, booleans or None."),
        (lambda: run(space={"value": [1]}), "`space` must not have the name 'value'"),
        (lambda: run("grid"), "`space['x']` (=Range(low=-2.0, high=2.0, log=False)) must be a l"),
        (lambda: run("grid", {"x": [1]}, trials=1), "`trials` (=1) must be None for a grid"),
        (lambda: run(trials=0), "`trials` (=0) must be at least 1."),
        (lambda: run(trials=None), "`trials` (=None) must be at least 1."),
        (lambda: run(direction="up"), "`direction` (='up') must be 'minimize' or 'maximize'."),
    ],
)
def test_a_wrong_argument_is_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()

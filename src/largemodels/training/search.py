"""Search for hyper-parameters by grid, at random, or with a model of what was seen (Optuna)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import optuna
from tqdm.auto import tqdm

__all__ = ["Range", "SearchResult", "Trial", "search"]

Method = Literal["grid", "random", "bayesian"]
Direction = Literal["minimize", "maximize"]
Choice: TypeAlias = "bool | int | float | str | None"

# The columns that `SearchResult.rows` puts beside the parameters.
COLUMNS = ("value", "seconds", "error")


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included: integers if both ends are integers.

    linear: x = low + u · (high − low),  u uniform in [0, 1]
    log:    x = low · (high / low)^u

    Args:
        low: the smallest value.
        high: the largest value.
        log: whether each factor, not each difference, is equally likely: right for learning rates.

    Raises:
        ValueError: if the ends are not finite and in order, or `low` is not above 0 with `log`.

    Example:
        >>> Range(16, 256)
        Range(low=16, high=256, log=False)
        >>> Range(1e-4, 1e-1, log=True).grid(4)
        [0.0001, 0.001, 0.01, 0.1]

    Taught in: book/training/hyper_parameters.md
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be finite.")
        if self.low >= self.high:
            raise ValueError(f"`low` (={self.low}) must be below `high` (={self.high}).")
        if self.log and self.low <= 0:
            raise ValueError(f"`low` (={self.low}) must be above 0 for a logarithmic range.")

    @property
    def is_integer(self) -> bool:
        """Whether the range holds integers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def grid(self, count: int) -> list[float]:
        """Return values at equal distances (at equal factors with `log`), for a grid search.

        Args:
            count: how many values, the two ends included. Integers that round to the same one come
                once.

        Raises:
            ValueError: if `count` is smaller than 2.

        Example:
            >>> Range(16, 256, log=True).grid(3)
            [16, 64, 256]
        """
        if count < 2:
            raise ValueError(f"`count` (={count}) must be at least 2.")
        space = np.geomspace if self.log else np.linspace
        # 15 digits: 0.001, not 0.0010000000000000002.
        values = [float(f"{value:.15g}") for value in space(self.low, self.high, count)]
        return list(dict.fromkeys(map(round, values))) if self.is_integer else values


@dataclass(frozen=True)
class Trial:
    """One evaluation of the objective.

    Args:
        parameters: the value of each hyper-parameter.
        value: what the objective returned; None if it failed.
        seconds: how long it took.
        error: why it failed; None if it did not.

    Example:
        >>> Trial({"lr": 3.0}, None, seconds=0.2, error="it diverged")
        Trial(parameters={'lr': 3.0}, value=None, seconds=0.2, error='it diverged')

    Taught in: book/training/hyper_parameters.md
    """

    parameters: dict[str, Any]
    value: float | None
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class SearchResult:
    """All trials of a search in the order in which they ran, failed ones too.

    Args:
        trials: the trials.
        direction: "minimize" or "maximize".

    Example:
        >>> trials = [Trial({"lr": 0.1}, 2.5, seconds=0.1), Trial({"lr": 0.2}, 1.5, seconds=0.1)]
        >>> SearchResult(trials).best.parameters
        {'lr': 0.2}

    Taught in: book/training/hyper_parameters.md
    """

    trials: list[Trial]
    direction: Direction = "minimize"

    @property
    def best(self) -> Trial:
        """The trial with the best value, the first of equal ones.

        Raises:
            RuntimeError: if no trial succeeded. The message has the first error.
        """
        sign = 1 if self.direction == "minimize" else -1
        done = [(sign * trial.value, trial) for trial in self.trials if trial.value is not None]
        if not done:
            raise RuntimeError(
                f"None of the {len(self.trials)} trials succeeded. The first one ended with: "
                f"{self.trials[0].error}"
            )
        return min(done, key=lambda pair: pair[0])[1]

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each trial, ready for `pandas.DataFrame`.

        Example:
            >>> SearchResult([Trial({"lr": 0.1}, 2.5, seconds=0.1)]).rows()
            [{'lr': 0.1, 'value': 2.5, 'seconds': 0.1, 'error': None}]
        """
        return [
            trial.parameters | {column: getattr(trial, column) for column in COLUMNS}
            for trial in self.trials
        ]


def search(
    objective: Callable[[dict[str, Any]], float],
    space: Mapping[str, Range | Sequence[Choice]],
    *,
    method: Method,
    seed: int,
    trials: int | None = None,
    direction: Direction = "minimize",
    storage: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> SearchResult:
    """Evaluate an objective at many points of a space and report all of them.

    "grid" takes every combination of the listed values: n₁ · n₂ · … trials, in random order.
    "random" draws each trial independently. "bayesian" first draws 10 trials at random; then the
    tree-structured Parzen estimator models where good (l) and bad (g) trials lie, and tries the
    candidate with the largest l(x) / g(x).

    A trial that raises an exception or returns NaN is recorded with its error, and the search goes
    on: a learning rate that diverges is a result, too.

    Args:
        objective: takes a dictionary with a value for each name of the space and returns the
            number to optimize, for instance a validation loss. Never the test set's.
        space: for each hyper-parameter a `Range`, or a list of values to choose from (numbers,
            texts, booleans or None). A grid takes lists only; `Range.grid` makes one.
        method: "grid", "random" or "bayesian".
        seed: the number from which the trials are drawn. The same seed gives the same trials.
        trials: how many trials, those in `storage` included; None for a grid, which knows.
        direction: "minimize" or "maximize".
        storage: a file (SQLite) in which each trial is kept. If it exists, the search goes on after
            its last finished trial, and gives the trials of an uninterrupted search. (A grid
            evaluates the point at which it was stopped last.)
        progress: whether to show a progress bar.

    Returns:
        The trials, with the best one under `best`.

    Raises:
        ValueError: if an argument is out of range, or `storage` belongs to another search.

    Source:
        Bergstra and Bengio, "Random search for hyper-parameter optimization", JMLR 13, 2012;
        Bergstra, Bardenet, Bengio and Kégl, "Algorithms for hyper-parameter optimization",
        NeurIPS 2011 (the tree-structured Parzen estimator); Akiba et al., "Optuna: A
        next-generation hyperparameter optimization framework", KDD 2019.

    Example:
        >>> space = {"x": Range(-2.0, 2.0).grid(5), "power": [2, 4]}
        >>> result = search(
        ...     lambda p: (p["x"] - 1) ** p["power"] + p["power"],
        ...     space,
        ...     method="grid",
        ...     seed=0,
        ...     progress=False,
        ... )
        >>> len(result.trials), result.best.parameters, result.best.value
        (10, {'x': 1.0, 'power': 2}, 2.0)

    Taught in: book/training/hyper_parameters.md
    """
    _check_space(space, method)
    count = _count(space, method, trials)
    if direction not in get_args(Direction):
        raise ValueError(f"`direction` (={direction!r}) must be 'minimize' or 'maximize'.")
    with _quiet_optuna():
        study = optuna.create_study(
            study_name="search",
            storage=None if storage is None else f"sqlite:///{os.fspath(storage)}",
            direction=direction,
            load_if_exists=True,
        )
        # Another value of these would make another search.
        setup = {"space": repr(dict(space)), "method": method, "seed": seed, "direction": direction}
        _check_setup(study, setup, storage)
        done = len(_finished(study))
        with tqdm(total=count, initial=done, disable=not progress, unit="trial") as bar:
            for number in range(done, count):
                # A generator for each trial: a search that goes on draws what it would have drawn.
                study.sampler = _sampler(method, space, seed, number)
                _evaluate(study, objective, space)
                bar.update()
        return SearchResult([_trial(frozen) for frozen in _finished(study)], direction)


class _GridSampler(optuna.samplers.GridSampler):
    def after_trial(self, *args: Any) -> None:
        """Do nothing: the original stops Optuna's loop after the last point, `search` counts."""


def _sampler(
    method: Method, space: Mapping[str, Any], seed: int, number: int
) -> optuna.samplers.BaseSampler:
    if method == "grid":
        return _GridSampler(space, seed)  # The seed orders the points.
    own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if method == "random":
        return optuna.samplers.RandomSampler(own_seed)
    # Without `constant_liar`: it would take the trial at which a search was stopped for a bad one.
    return optuna.samplers.TPESampler(seed=own_seed, constant_liar=False)


def _evaluate(
    study: optuna.Study,
    objective: Callable[[dict[str, Any]], float],
    space: Mapping[str, Range | Sequence[Choice]],
) -> None:
    # Not `study.optimize`: that counts a trial which Ctrl-C stops as a failed one.
    trial = study.ask()
    parameters = {name: _suggest(trial, name, values) for name, values in space.items()}
    try:
        value = float(objective(parameters))
        if math.isnan(value):
            raise FloatingPointError("the objective returned NaN.")
    except Exception as error:
        trial.set_user_attr("error", f"{type(error).__name__}: {error}")
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(trial, value)


def _suggest(trial: optuna.Trial, name: str, values: Range | Sequence[Choice]) -> Choice:
    if not isinstance(values, Range):
        return trial.suggest_categorical(name, values)
    if values.is_integer:
        return trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    # A trial that was running when the program stopped does not count. It is drawn again.
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def _trial(frozen: optuna.trial.FrozenTrial) -> Trial:
    seconds = frozen.duration.total_seconds() if frozen.duration else 0.0
    return Trial(dict(frozen.params), frozen.value, seconds, frozen.user_attrs.get("error"))


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    # The result reports each trial, so a line of the log for each is too much.
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _check_space(space: Mapping[str, Range | Sequence[Choice]], method: str) -> None:
    if method not in get_args(Method):
        raise ValueError(f"`method` (={method!r}) must be one of {list(get_args(Method))}.")
    if not space:
        raise ValueError("`space` is empty.")
    for name, values in space.items():
        if name in COLUMNS:
            raise ValueError(f"`space` must not have the name {name!r}: it is a column of `rows`.")
        if isinstance(values, Range):
            if method == "grid":
                raise ValueError(
                    f"`space[{name!r}]` (={values}) must be a list of values for a grid, for "
                    "example `Range(...).grid(5)`."
                )
        elif isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ValueError(
                f"`space[{name!r}]` (={values!r}) must be a `Range` or a list with a value."
            )
        elif not all(isinstance(value, bool | int | float | str | None) for value in values):
            raise ValueError(
                f"`space[{name!r}]` (={values!r}) must hold numbers, texts, booleans or None. Give "
                "other things a name, and look it up in the objective."
            )


def _count(space: Mapping[str, Any], method: Method, trials: int | None) -> int:
    if method == "grid":
        if trials is not None:
            raise ValueError(f"`trials` (={trials}) must be None for a grid: its values tell.")
        return math.prod(len(values) for values in space.values())
    if trials is None or trials < 1:
        raise ValueError(f"`trials` (={trials}) must be at least 1.")
    return trials


def _check_setup(
    study: optuna.Study, setup: Mapping[str, Any], storage: str | os.PathLike[str] | None
) -> None:
    saved = study.user_attrs.get("setup")
    if saved is None:
        study.set_user_attr("setup", dict(setup))
        return
    for name, value in setup.items():
        if saved[name] != value:
            raise ValueError(
                f"`{name}` (={value!r}) was {saved[name]!r} when `storage` "
                f"(={os.fspath(storage or '')!r}) was made. It belongs to another search."
            )

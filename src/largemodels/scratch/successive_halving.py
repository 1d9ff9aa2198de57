"""Successive halving: give every candidate a little, and the better ones more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["successive_halving"]


def successive_halving(
    evaluate: Callable[[Any, int], float],
    candidates: Sequence[Any],
    *,
    smallest: int,
    factor: int = 2,
) -> tuple[Any, list[list[tuple[Any, float]]]]:
    """Find a good candidate: train all for a short time, drop the worse, train the rest longer.

    round i:  the best ⌈n / ηⁱ⌉ of n candidates, each with the resources smallest · ηⁱ

    Each round costs about the same, n · smallest, so all of them cost about log_η n times as much.
    Who learns slowly at first is dropped: that is the risk.

    Args:
        evaluate: trains a candidate with the given resources, such as epochs, and returns its
            validation loss. It may start anew, or go on where it stopped.
        candidates: what to compare, such as learning rates.
        smallest: the resources of the first round.
        factor: η, how many times more resources and fewer candidates each round has.

    Returns:
        The best candidate of the last round; and for each round its candidates with their losses,
        the best first.

    Raises:
        ValueError: if there is no candidate, `smallest` is below 1 or `factor` below 2.

    Source:
        Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
        optimization", AISTATS 2016.

    Example:
        >>> def loss(lr, epochs):  # The third one is slow at first.
        ...     return {0.1: 4.0, 0.2: 2.0, 0.3: 6.0, 0.4: 3.0}[lr] / epochs
        >>> best, rounds = successive_halving(loss, [0.1, 0.2, 0.3, 0.4], smallest=1)
        >>> best, rounds[1:]
        (0.2, [[(0.2, 1.0), (0.4, 1.5)], [(0.2, 0.5)]])

    Taught in: book/training/hyper_parameters.md
    """
    if len(candidates) == 0:
        raise ValueError("`candidates` is empty.")
    if smallest < 1:
        raise ValueError(f"`smallest` (={smallest}) must be at least 1.")
    if factor < 2:
        raise ValueError(f"`factor` (={factor}) must be at least 2.")
    alive, resources = list(candidates), smallest
    rounds = []
    while True:
        losses = [(candidate, float(evaluate(candidate, resources))) for candidate in alive]
        # NaN, a training that diverged, is never better than a number.
        losses.sort(key=lambda pair: (pair[1] != pair[1], pair[1]))
        rounds.append(losses)
        if len(alive) == 1:
            return losses[0][0], rounds
        alive = [candidate for candidate, _ in losses[: -(-len(alive) // factor)]]
        resources *= factor

"""Shapley values: how to share out what a team earns, and with it the score of a model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from largemodels.trust._models import evaluation_mode, to_targets, to_tensor

__all__ = ["shap_values", "shapley_values"]


def shap_values(
    model: nn.Module,
    x: ArrayLike,
    target: ArrayLike,
    background: ArrayLike,
    *,
    permutations: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Return the Shapley value of each input: what it adds to the score of a class.

    v(S) = (1/B) Σ_b fₖ(x on S, background_b elsewhere),  φ = the Shapley values of v

    Efficiency: Σᵢ φᵢ = fₖ(x) − (1/B) Σ_b fₖ(background_b), also of the approximation. Inputs that
    belong together in the data are torn apart here: the model is asked about examples that may not
    exist. The first call takes some seconds longer, because shap compiles its code then.

    Args:
        model: the network, (N, ...) -> (N, classes).
        x: the inputs to explain, shape (N, ...).
        target: the class k of each example, integers, shape (N,).
        background: typical examples that stand for "not known", shape (B, ...).
        permutations: how many random orders of the inputs to average over, each forwards and
            backwards; by default all subsets count, which takes up to 2^M · B evaluations of the
            model for M inputs, so M may be 15 at most.
        seed: the number from which the orders are drawn.

    Returns:
        Attributions φ in units of the score, of the shape of `x`.

    Raises:
        ValueError: if a shape does not fit, `permutations` is below 1, or there are too many inputs
            for all subsets.

    Source:
        Lundberg and Lee, "A unified approach to interpreting model predictions", NeurIPS 2017,
        section 2 and equation 8; the orders of Štrumbelj and Kononenko, "An efficient explanation
        of individual classifications using game theory", JMLR 2010.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> model.weight.data = torch.tensor([[1.0, -2.0]])
        >>> shap_values(model, [[3.0, 1.0]], [0], background=[[0.0, 0.0], [2.0, 0.0]]).round(4)
        array([[ 2., -2.]], dtype=float32)

    Taught in: book/training/interpretability.md
    """
    import shap  # More than a second, for this function only.

    inputs = to_tensor(model, "x", x)
    classes = to_targets(model, "target", target, len(inputs))
    known = to_tensor(model, "background", background)
    if known.shape[1:] != inputs.shape[1:]:
        raise ValueError(
            f"`background` (of shape {tuple(known.shape)}) must have shape "
            f"(B, {', '.join(map(str, inputs.shape[1:]))})."
        )
    count = inputs[0].numel()
    if permutations is None and count > 15:
        raise ValueError(
            f"`x` has {count} inputs an example: 2^{count} subsets are too many. Choose "
            "`permutations` (=None), such as 10."
        )
    if permutations is not None and permutations < 1:
        raise ValueError(f"`permutations` (={permutations}) must be at least 1.")

    flat = inputs.flatten(start_dim=1).cpu().numpy()  # (N, ...) -> (N, M)
    masker = shap.maskers.Independent(
        known.flatten(start_dim=1).cpu().numpy(), max_samples=len(known)
    )
    values = np.empty_like(flat)
    state = np.random.get_state()  # noqa: NPY002  (shap seeds the global generator)
    with evaluation_mode(model):
        for k in classes.unique().tolist():

            def score(rows: np.ndarray, k: int = k) -> np.ndarray:
                batch = to_tensor(model, "rows", rows)
                with torch.no_grad():
                    scores = model(batch.reshape(-1, *inputs.shape[1:]))  # (n, M) -> (n, ...)
                return scores[:, k].double().cpu().numpy()

            if permutations is None:
                explainer = shap.explainers.ExactExplainer(score, masker)
                evaluations = 2**count
            else:
                explainer = shap.explainers.PermutationExplainer(score, masker, seed=seed)
                evaluations = permutations * (2 * count + 1)
            own = (classes == k).cpu().numpy()
            values[own] = explainer(flat[own], max_evals=evaluations, silent=True).values
    np.random.set_state(state)  # noqa: NPY002
    return values.reshape(inputs.shape)  # (N, M) -> (N, ...)


def shapley_values(
    value: Callable[[frozenset[Any]], float], players: Sequence[Hashable]
) -> dict[Hashable, float]:
    """Return how to share out what a team earns, by what each player adds to each smaller team.

    φᵢ = Σ_{S ⊆ M∖{i}} |S|! (M − |S| − 1)! / M! · (v(S ∪ {i}) − v(S))

    The only way to share with these four properties: all is shared (efficiency), equal players get
    the same, who never adds anything gets nothing, and the shares of a sum of games add up. It
    takes 2^M teams, so this is for about 15 players at most.

    Args:
        value: v, what a team earns.
        players: the names of the M players, all different.

    Returns:
        The share of each player, in the unit of `value`.

    Raises:
        ValueError: if there is no player, or two have one name.

    Source:
        Shapley, "A value for n-person games", 1953.

    Example:
        >>> def gloves(team):  # Only a pair can be sold.
        ...     return float("left" in team and len(team) > 1)
        >>> shares = shapley_values(gloves, ["left", "right", "other right"])
        >>> {player: round(share, 3) for player, share in shares.items()}
        {'left': 0.667, 'right': 0.167, 'other right': 0.167}

    Taught in: book/training/interpretability.md
    """
    count = len(players)
    if count == 0 or len(set(players)) != count:
        raise ValueError(f"`players` (={list(players)}) must be at least one, all different.")
    shares = dict.fromkeys(players, 0.0)
    for player in players:
        others = [other for other in players if other != player]
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for team in map(frozenset, combinations(others, size)):
                shares[player] += weight * (value(team | {player}) - value(team))
    return shares

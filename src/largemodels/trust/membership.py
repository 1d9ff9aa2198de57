"""Membership inference: see from a model whether a person was in its training data."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional

from largemodels.trust._models import evaluation_mode, to_targets, to_tensor

__all__ = ["example_losses", "membership_advantage", "membership_auc"]


def example_losses(model: nn.Module, x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Return the cross-entropy of each example, which is what the attack looks at.

    lossᵢ = −ln softmax(f(xᵢ))_{yᵢ}

    Args:
        model: the network, (N, ...) -> logits (N, classes).
        x: the inputs, shape (N, ...).
        y: the right classes, integers, shape (N,).

    Returns:
        Losses in nats, shape (N,).

    Raises:
        ValueError: if there is no example, or `y` does not fit.

    Example:
        >>> model = nn.Linear(1, 2)
        >>> _ = nn.init.zeros_(model.weight), nn.init.zeros_(model.bias)
        >>> example_losses(model, [[1.0], [2.0]], [0, 1]).round(3)  # ln 2: a guess.
        array([0.693, 0.693], dtype=float32)

    Taught in: book/training/privacy.md
    """
    inputs = to_tensor(model, "x", x)
    targets = to_targets(model, "y", y, len(inputs))
    with evaluation_mode(model), torch.no_grad():
        return functional.cross_entropy(model(inputs), targets, reduction="none").cpu().numpy()


def membership_auc(member_losses: ArrayLike, other_losses: ArrayLike) -> float:
    """Return how well the loss tells the training examples from others.

    AUC = P(loss of a member < loss of another) + ½ P(they are equal)

    Args:
        member_losses: the losses of training examples, shape (N,).
        other_losses: the losses of examples from the same source that the model has not seen,
            shape (M,).

    Returns:
        0.5 if the attack can only guess, 1 if it always finds out.

    Raises:
        ValueError: if one of them is empty or has NaN.

    Source:
        Yeom, Giacomelli, Fredrikson and Jha, "Privacy risk in machine learning: analyzing the
        connection to overfitting", CSF 2018 (the attack by the loss).

    Example:
        >>> membership_auc([0.1, 0.2], [0.15, 3.0])  # Three of four pairs are in order.
        0.75

    Taught in: book/training/privacy.md
    """
    members, others = _check("member_losses", member_losses), _check("other_losses", other_losses)
    is_member = np.repeat([1, 0], [len(members), len(others)])
    return float(roc_auc_score(is_member, -np.concatenate([members, others])))


def membership_advantage(member_losses: ArrayLike, other_losses: ArrayLike) -> float:
    """Return the advantage of an attack that calls "member" whoever has a loss below the mean.

    advantage = P(loss ≤ m | member) − P(loss ≤ m | not),  m = the mean loss of the members

    ε-differential privacy (δ = 0) keeps the advantage of every attack at or below e^ε − 1.

    Args:
        member_losses: the losses of training examples, shape (N,).
        other_losses: the losses of examples from the same source that the model has not seen,
            shape (M,).

    Returns:
        A number from −1 to 1, 0 for a guess.

    Raises:
        ValueError: if one of them is empty or has NaN.

    Source:
        Yeom, Giacomelli, Fredrikson and Jha, "Privacy risk in machine learning: analyzing the
        connection to overfitting", CSF 2018, definition 4 and theorem 1.

    Example:
        >>> membership_advantage([0.1, 0.3, 0.2], [0.15, 3.0, 0.9])  # 2/3 − 1/3
        0.333...

    Taught in: book/training/privacy.md
    """
    members, others = _check("member_losses", member_losses), _check("other_losses", other_losses)
    threshold = members.mean()
    return float((members <= threshold).mean() - (others <= threshold).mean())


def _check(name: str, losses: ArrayLike) -> np.ndarray:
    array = np.asarray(losses, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or np.isnan(array).any():
        raise ValueError(
            f"`{name}` (of shape {array.shape}) must be numbers of shape (N,), N above 0."
        )
    return array

"""Federated learning: the model travels to the data, and only weights travel back.

Weights are not harmless: `leaked_input` reads an example off a gradient. Masks hide the weights of
each client from the server (`add_pairwise_masks`), and differential privacy hides each person from
everyone (`largemodels.trust.privacy`). Federated learning alone does neither.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset
from tqdm.auto import tqdm

from largemodels.scratch.training import History
from largemodels.training.loop import evaluate, fit

__all__ = [
    "add_pairwise_masks",
    "average_weights",
    "federated_fit",
    "leaked_input",
    "split_dirichlet",
]


def split_dirichlet(
    labels: ArrayLike, clients: int, *, concentration: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return which examples each client has, when the clients see different classes.

    p_c ~ Dirichlet(α, …, α) for each class c:  client k gets the share p_{ck} of its examples

    Args:
        labels: the class of each example, shape (N,).
        clients: the number of clients, K.
        concentration: α. With 0.1, a client has few classes; with 100, all have nearly the same.
        rng: the random generator.

    Returns:
        The indices of each client, K sorted arrays with at least one example, N indices in all.

    Raises:
        ValueError: if an argument is out of range, or 1000 draws all leave a client without data.

    Source:
        Yurochkin et al., "Bayesian nonparametric federated learning of neural networks", ICML 2019
        (the split by classes).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> split_dirichlet([0, 0, 0, 0, 1, 1, 1, 1], 2, concentration=0.1, rng=rng)
        [array([0, 1, 2, 3]), array([4, 5, 6, 7])]

    Taught in: book/training/federated_learning.md
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"`labels` (of shape {labels.shape}) must have shape (N,).")
    if not 1 <= clients <= len(labels):
        raise ValueError(f"`clients` (={clients}) must be from 1 to {len(labels)}.")
    if not concentration > 0:
        raise ValueError(f"`concentration` (={concentration}) must be positive.")
    for _ in range(1000):
        parts: list[list[np.ndarray]] = [[] for _ in range(clients)]
        for label in np.unique(labels):
            own = rng.permutation(np.flatnonzero(labels == label))
            shares = rng.dirichlet(np.full(clients, concentration))
            cuts = (shares.cumsum()[:-1] * len(own)).round().astype(int)
            for part, indices in zip(parts, np.split(own, cuts), strict=True):
                part.append(indices)
        split = [np.sort(np.concatenate(part)) for part in parts]
        if all(len(indices) for indices in split):
            return split
    raise ValueError(
        f"`concentration` (={concentration}) is too small for `clients` (={clients}): some of them "
        "get no data."
    )


def average_weights(
    states: Sequence[Mapping[str, Tensor]], sizes: Sequence[int]
) -> dict[str, Tensor]:
    """Return the mean of the weights of several models, weighted by the size of their data.

    w = Σ_k n_k / n · w_k,  n = Σ_k n_k

    Args:
        states: the `state_dict()` of each client's model.
        sizes: n_k, the number of examples of each client.

    Returns:
        The mean, of the types of the first state.

    Raises:
        ValueError: if there is no client, or the numbers or names do not fit.

    Source:
        McMahan, Moore, Ramage, Hampson and Agüera y Arcas, "Communication-efficient learning of
        deep networks from decentralized data", AISTATS 2017, algorithm 1.

    Example:
        >>> states = [{"w": torch.tensor([0.0])}, {"w": torch.tensor([4.0])}]
        >>> average_weights(states, [30, 10])
        {'w': tensor([1.])}

    Taught in: book/training/federated_learning.md
    """
    if not states or len(states) != len(sizes):
        raise ValueError(
            f"`states` and `sizes` must have one length above 0, got {len(states)} "
            f"and {len(sizes)}."
        )
    if min(sizes) < 1:
        raise ValueError(f"`sizes` (={list(sizes)}) must be at least 1.")
    names = sorted(states[0])
    for index, state in enumerate(states):
        if sorted(state) != names:
            raise ValueError(f"`states[{index}]` has {sorted(state)}, expected {names}.")
    shares = [size / sum(sizes) for size in sizes]
    mean = {}
    for name, first in states[0].items():
        # In float64: rounding must not depend on the number of clients.
        total = torch.zeros_like(first, dtype=torch.float64)
        for share, state in zip(shares, states, strict=True):
            total += share * state[name]
        # A counter, such as that of a batch normalization, must not lose 1 by rounding down.
        mean[name] = (total if first.is_floating_point() else total.round()).to(first.dtype)
    return mean


def federated_fit(
    model: nn.Module,
    loss: nn.Module,
    clients: Sequence[tuple[Tensor, Tensor]],
    *,
    rounds: int,
    local_epochs: int,
    learning_rate: float,
    batch_size: int | None = None,
    share: float = 1.0,
    validation: Dataset | None = None,
    seed: int,
    progress: bool = True,
) -> History:
    """Train a model by federated averaging: clients train copies, the server takes the mean.

    w_k = SGD from w on the data of client k, for each client k drawn in this round
    w ← Σ_k n_k / n · w_k

    With one local epoch and full batches this is a step of gradient descent on all data. More local
    work needs fewer rounds, but the copies drift apart when the clients' data differ.

    Args:
        model: the network, which ends with the last mean.
        loss: the loss, with its mean over the batch.
        clients: the data (x, y) of each client.
        rounds: how many times the weights travel.
        local_epochs: how many times each client goes through its data in a round.
        learning_rate: the learning rate of the clients' SGD.
        batch_size: the examples in a step of a client; by default all of its data.
        share: the share of the clients that take part in a round, drawn at random, at least one.
        validation: examples to evaluate the mean on after each round.
        seed: the number from which clients and the orders of their data are drawn.
        progress: whether to show a progress bar.

    Returns:
        The history, one entry for each round; `loss` and `accuracy` are the means over the clients
        of their last local epoch.

    Raises:
        FloatingPointError: if the training of a client diverges.
        ValueError: if there is no client, one has no data, or an argument is out of range.

    Source:
        McMahan, Moore, Ramage, Hampson and Agüera y Arcas, "Communication-efficient learning of
        deep networks from decentralized data", AISTATS 2017, algorithm 1.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(90, 2)
        >>> y = (x[:, 0] > 0).long()
        >>> clients = [(x[:20], y[:20]), (x[20:], y[20:])]
        >>> model = nn.Linear(2, 2)
        >>> history = federated_fit(model, nn.CrossEntropyLoss(), clients, rounds=5, local_epochs=2,
        ...                         batch_size=10, learning_rate=0.5, seed=0, progress=False)
        >>> history.accuracy[-1] > 0.95
        True

    Taught in: book/training/federated_learning.md
    """
    _check_positive(rounds=rounds, local_epochs=local_epochs, learning_rate=learning_rate)
    if not 0 < share <= 1:
        raise ValueError(f"`share` (={share}) must be in (0, 1].")
    if not clients:
        raise ValueError("`clients` is empty.")
    for index, (x, y) in enumerate(clients):
        if len(x) == 0 or len(x) != len(y):
            raise ValueError(
                f"`clients[{index}]` must have inputs and targets of one length above 0, got "
                f"{len(x)} and {len(y)}."
            )
    rng = np.random.default_rng(seed)
    history = History()
    count = max(1, round(share * len(clients)))
    with tqdm(total=rounds * count, disable=not progress, unit="client") as bar:
        for _ in range(rounds):
            states, sizes, local = [], [], []
            for k in np.sort(rng.choice(len(clients), count, replace=False)).tolist():
                x, y = clients[k]
                copied = copy.deepcopy(model)
                training = fit(
                    copied,
                    loss,
                    torch.optim.SGD(copied.parameters(), lr=learning_rate),
                    TensorDataset(x, y),
                    epochs=local_epochs,
                    batch_size=batch_size or len(x),
                    seed=int(rng.integers(2**32)),
                    progress=False,
                )
                states.append(copied.state_dict())
                sizes.append(len(x))
                local.append((training.loss[-1], training.accuracy[-1]))
                history.seconds += training.seconds
                bar.update()
            model.load_state_dict(average_weights(states, sizes))
            mean_loss, mean_accuracy = np.average(local, axis=0, weights=sizes).tolist()
            history.loss.append(mean_loss)
            history.accuracy.append(mean_accuracy)
            if validation is not None:
                validation_loss, validation_accuracy = evaluate(model, loss, validation)
                history.validation_loss.append(validation_loss)
                history.validation_accuracy.append(validation_accuracy)
            bar.set_postfix(loss=f"{mean_loss:.4f}")
    return history


def add_pairwise_masks(updates: ArrayLike, *, seed: int) -> np.ndarray:
    """Return updates that look random one by one, but whose sum is the true one, exactly.

    masked_k = update_k + Σ_{j > k} mask_{kj} − Σ_{j < k} mask_{jk}  (mod 2⁶⁴)

    Each pair of clients shares a mask that the server does not know. One adds it, the other
    subtracts it. For weights, round to integers first: `np.round(weights * 2**24)`.

    Args:
        updates: the integers of each client, shape (K, n), K at least 2.
        seed: the number from which the masks are drawn. In truth each pair agrees on its own one
            (Diffie–Hellman), and a protocol repairs the sum when a client is lost.

    Returns:
        Masked updates, unsigned 64-bit integers, shape (K, n). Add them up, and read the sum as
        signed integers.

    Raises:
        ValueError: if there are fewer than two clients, or the updates are no integers.

    Source:
        Bonawitz et al., "Practical secure aggregation for privacy-preserving machine learning",
        CCS 2017, section 4.

    Example:
        >>> masked = add_pairwise_masks([[1, -2], [10, 20], [100, 200]], seed=0)
        >>> masked.sum(axis=0).astype(np.int64)
        array([111, 218])

    Taught in: book/training/federated_learning.md
    """
    array = np.asarray(updates)
    if array.ndim != 2 or len(array) < 2 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"`updates` (of shape {array.shape} and type {array.dtype}) must be integers of shape "
            "(K, n), K at least 2."
        )
    masked = array.astype(np.uint64)  # Negative numbers become 2⁶⁴ − |number|; sums wrap around.
    rng = np.random.default_rng(seed)
    for k in range(len(array)):
        for j in range(k + 1, len(array)):
            mask = rng.integers(2**64, size=array.shape[1], dtype=np.uint64)
            masked[k] += mask
            masked[j] -= mask
    return masked


def leaked_input(weight_gradient: ArrayLike, bias_gradient: ArrayLike) -> np.ndarray:
    """Return the example that a client trained on, read off the gradient of a linear layer.

    ∂L/∂W_{ij} = ∂L/∂zᵢ xⱼ and ∂L/∂bᵢ = ∂L/∂zᵢ, so xⱼ = (∂L/∂W_{ij}) / (∂L/∂bᵢ)

    From a batch of several examples, this gives a mixture of them. Zhu, Liu and Han, "Deep leakage
    from gradients", NeurIPS 2019, take batches and deep networks apart by optimization.

    Args:
        weight_gradient: ∂L/∂W, shape (out, in).
        bias_gradient: ∂L/∂b, shape (out,).

    Returns:
        The input of the layer, shape (in,).

    Raises:
        ValueError: if the shapes do not fit, or all of ∂L/∂b is zero.

    Source:
        Phong, Aono, Hayashi, Wang and Moriai, "Privacy-preserving deep learning via additively
        homomorphic encryption", IEEE Transactions on Information Forensics and Security 2018,
        section 3.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> layer(torch.tensor([[10.0, 20.0, 30.0]])).square().sum().backward()
        >>> leaked_input(layer.weight.grad, layer.bias.grad).round(3)
        array([10., 20., 30.])

    Taught in: book/training/federated_learning.md
    """
    weight = np.asarray(weight_gradient, dtype=np.float64)
    bias = np.asarray(bias_gradient, dtype=np.float64)
    if weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise ValueError(
            f"`weight_gradient` and `bias_gradient` (of shapes {weight.shape} and {bias.shape}) "
            "must have shapes (out, in) and (out,)."
        )
    row = np.abs(bias).argmax()  # The row with the smallest rounding error.
    if bias[row] == 0:
        raise ValueError("`bias_gradient` is zero everywhere: this layer did not learn anything.")
    return weight[row] / bias[row]


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"`{name}` (={value}) must be positive.")

"""Differential privacy: a result that hardly depends on any one person, and how to measure that.

A mechanism is (ε, δ)-differentially private if for all data sets D and D' that differ in one
example, and all sets S of results, P(M(D) ∈ S) ≤ e^ε P(M(D') ∈ S) + δ. Names and hashes removed is
not that, and neither is data that never leave the device: only noise of the right size is.

The noise here comes from ordinary pseudo-random numbers in floating point. That is right for
learning and for research. A release of real people's data needs a secure generator, which opacus
has as `secure_mode`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from largemodels.training.divergence import check_loss, check_parameters
from largemodels.trust._models import device_and_dtype

__all__ = [
    "PrivateTraining",
    "gaussian_mechanism",
    "laplace_mechanism",
    "private_fit",
    "private_gradients",
]


def laplace_mechanism(
    value: ArrayLike, *, sensitivity: float, epsilon: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a result with Laplace noise: ε-differentially private.

    M(D) = f(D) + noise,  noise ~ Laplace(b),  b = Δ₁ / ε,  standard deviation √2 b

    Args:
        value: f(D), one number or an array of them.
        sensitivity: Δ₁, how much one person can change f, the sum over all numbers of it. For a
            count it is 1, for a mean of N values from 0 to 1 it is 1 / N.
        epsilon: ε; smaller is more private. Several results of the same data add their ε up.
        rng: the random generator.

    Returns:
        The noisy result, of the shape of `value`.

    Raises:
        ValueError: if `sensitivity` or `epsilon` is not positive.

    Source:
        Dwork and Roth, "The algorithmic foundations of differential privacy", 2014,
        definition 3.3 and theorem 3.6.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> laplace_mechanism([120, 80], sensitivity=1, epsilon=0.5, rng=rng).round(1)
        array([120.6,  78.8])

    Taught in: book/training/privacy.md
    """
    _check_positive(sensitivity=sensitivity, epsilon=epsilon)
    value = np.asarray(value, dtype=np.float64)
    return value + rng.laplace(scale=sensitivity / epsilon, size=value.shape)


def gaussian_mechanism(
    value: ArrayLike,
    *,
    sensitivity: float,
    epsilon: float,
    delta: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a result with Gaussian noise: (ε, δ)-differentially private.

    M(D) = f(D) + noise,  noise ~ N(0, σ²),  σ = Δ₂ √(2 ln(1.25 / δ)) / ε,  for 0 < ε < 1

    Args:
        value: f(D), one number or an array of them.
        sensitivity: Δ₂, how far one person can move f: the length of the change as a vector.
        epsilon: ε, below 1; smaller is more private.
        delta: δ; choose it much smaller than 1 / (number of people).
        rng: the random generator.

    Returns:
        The noisy result, of the shape of `value`.

    Raises:
        ValueError: if `sensitivity` is not positive, or `epsilon` or `delta` is not between 0 and
            1.

    Source:
        Dwork and Roth, "The algorithmic foundations of differential privacy", 2014, theorem A.1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> gaussian_mechanism(0.5, sensitivity=0.001, epsilon=0.5, delta=1e-5, rng=rng).round(3)
        np.float64(0.501)

    Taught in: book/training/privacy.md
    """
    _check_positive(sensitivity=sensitivity, epsilon=epsilon)
    _check_delta(delta)
    if epsilon >= 1:
        raise ValueError(f"`epsilon` (={epsilon}) must be below 1: the proof ends there.")
    value = np.asarray(value, dtype=np.float64)
    scale = sensitivity * math.sqrt(2 * math.log(1.25 / delta)) / epsilon
    return value + rng.normal(scale=scale, size=value.shape)


def private_gradients(
    model: nn.Module,
    loss: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    max_grad_norm: float,
    noise_multiplier: float,
    batch_size: int | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Return the gradients of one private step: clip those of each example, add, make noisy.

    gᵢ = ∇ loss(xᵢ, yᵢ),  g = (1/B) (Σᵢ gᵢ / max(1, ‖gᵢ‖ / C) + noise),  noise ~ N(0, σ² C² I)

    No example can move the sum further than C, so the noise hides each of them. This is the step
    that `private_fit` has opacus do, written to be read.

    Args:
        model: the network, (N, ...) -> (N, ...), without batch normalization.
        loss: the loss.
        x: the inputs, shape (N, ...).
        y: the targets, shape (N, ...).
        max_grad_norm: C, the largest length of the gradient of one example, of all parameters
            together.
        noise_multiplier: σ, the standard deviation of the noise in units of C.
        batch_size: B; by default N. With random batches it is their expected size, because the true
            one says something about the data.
        generator: the random generator of the noise, on the device of the model.

    Returns:
        The gradients by the names of the parameters.

    Raises:
        ValueError: if there is no example, or an argument is out of range.

    Source:
        Abadi et al., "Deep learning with differential privacy", CCS 2016, algorithm 1.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.zeros_(model.weight)
        >>> x, y = torch.ones(2, 1), torch.tensor([[-0.25], [-50.0]])  # Gradients 0.5 and 100.
        >>> private_gradients(model, nn.MSELoss(), x, y, max_grad_norm=1.0, noise_multiplier=0.0)
        {'weight': tensor([[0.7500]])}

    Taught in: book/training/privacy.md
    """
    _check_positive(max_grad_norm=max_grad_norm)
    _check_noise(noise_multiplier)
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(f"`x` and `y` must have the same length above 0, got {len(x)}, {len(y)}.")
    parameters = {name: value.detach() for name, value in model.named_parameters()}

    def loss_of_one(values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return loss(functional_call(model, values, (x.unsqueeze(0),)), y.unsqueeze(0))

    # One gradient for each example: each array gets a first axis of length N.
    gradients = vmap(grad(loss_of_one), in_dims=(None, 0, 0), randomness="different")(
        parameters, x, y
    )
    squares = [value.flatten(start_dim=1).square().sum(dim=1) for value in gradients.values()]
    norms = torch.stack(squares).sum(dim=0).sqrt()  # (parameters, N) -> (N,)
    factors = 1 / (norms / max_grad_norm).clamp(min=1)
    noisy = {}
    for name, value in gradients.items():
        clipped = torch.tensordot(factors, value, dims=1)  # (N,) and (N, ...) -> (...)
        noise = torch.randn(
            clipped.shape, generator=generator, dtype=clipped.dtype, device=clipped.device
        )
        total = clipped + noise_multiplier * max_grad_norm * noise
        noisy[name] = total / (len(x) if batch_size is None else batch_size)
    return noisy


@dataclass(frozen=True)
class PrivateTraining:
    """What a private training did, and what it cost in privacy.

    Args:
        epsilon: ε, infinite without noise.
        delta: δ.
        noise_multiplier: σ, the standard deviation of the noise in units of the clipping norm.
        loss: the mean training loss of each epoch. It is not private: do not publish it.

    Example:
        >>> result = PrivateTraining(epsilon=2.9, delta=1e-5, noise_multiplier=1.1, loss=[0.7, 0.4])
        >>> round(float(np.exp(result.epsilon)))  # One person multiplies no probability by more.
        18

    Taught in: book/training/privacy.md
    """

    epsilon: float
    delta: float
    noise_multiplier: float
    loss: list[float]


def private_fit(
    model: nn.Module,
    loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Dataset,
    *,
    epochs: int,
    batch_size: int,
    max_grad_norm: float,
    delta: float,
    epsilon: float | None = None,
    noise_multiplier: float | None = None,
    seed: int,
    progress: bool = True,
) -> PrivateTraining:
    """Train a model with differential privacy, by opacus: clipped and noisy gradients.

    gᵢ = ∇ loss(xᵢ, yᵢ),  g = (1/B) (Σᵢ gᵢ / max(1, ‖gᵢ‖ / C) + noise),  noise ~ N(0, σ² C² I)

    Each example is in each batch with the probability 1 / (steps of an epoch), independently of the
    others: the accountant (PRV) relies on it. The model learns where it is, and has no trace of
    opacus afterwards.

    Args:
        model: the network. Batch normalization mixes examples, so take another normalization.
        loss: the loss, with its mean over the batch.
        optimizer: the optimizer of the network's parameters.
        train: the examples, pairs of input and target, one person in one of them.
        epochs: how many times to go through the data, on average.
        batch_size: the expected number of examples in a step, B. Larger ones than usual are better:
            the noise is the same for any B.
        max_grad_norm: C, the largest length of the gradient of one example.
        delta: δ; choose it smaller than 1 / (number of examples).
        epsilon: the ε to spend; the noise follows from it. Give this or `noise_multiplier`.
        noise_multiplier: σ, the standard deviation of the noise in units of C; 0 is not private.
        seed: the number from which batches and noise are drawn. Who knows it can undo the noise.
        progress: whether to show a progress bar.

    Returns:
        The ε spent, and the losses.

    Raises:
        FloatingPointError: if the training diverges: the loss or a parameter is not finite.
        ValueError: if an argument is out of range, or not exactly one of `epsilon` and
            `noise_multiplier` is given.
        opacus.validators.errors.UnsupportedModuleError: if a layer mixes the examples of a batch.

    Source:
        Abadi et al., "Deep learning with differential privacy", CCS 2016, algorithm 1; the
        accountant of Gopi, Lee and Wutschitz, "Numerical composition of differential privacy",
        NeurIPS 2021.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(2000, 2)
        >>> model = nn.Linear(2, 2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        >>> data = TensorDataset(x, (x[:, 0] > 0).long())
        >>> training = private_fit(model, nn.CrossEntropyLoss(), optimizer, data, epochs=5,
        ...                        batch_size=200, max_grad_norm=1.0, epsilon=2.0, delta=1e-4,
        ...                        seed=0, progress=False)
        >>> training.epsilon <= 2.0
        True
        >>> (model(x).argmax(dim=1) == data.tensors[1]).float().mean().item() > 0.95
        True

    Taught in: book/training/privacy.md
    """
    if (epsilon is None) == (noise_multiplier is None):
        raise ValueError(
            f"Exactly one of `epsilon` (={epsilon}) and `noise_multiplier` "
            f"(={noise_multiplier}) must be given."
        )
    _check_positive(epochs=epochs, batch_size=batch_size, max_grad_norm=max_grad_norm)
    _check_delta(delta)
    torch.manual_seed(seed)  # Dropout.
    # Two streams: the batches must tell nothing about the noise.
    draw_seed, noise_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
    batches = DataLoader(
        train, batch_size=batch_size, generator=torch.Generator().manual_seed(draw_seed)
    )
    if epsilon is not None:
        _check_positive(epsilon=epsilon)
        noise_multiplier = _noise_for(epsilon, delta, len(batches), epochs)
    assert noise_multiplier is not None  # One of the two is given.
    _check_noise(noise_multiplier)
    return _train(
        model,
        loss,
        optimizer,
        batches,
        epochs,
        max_grad_norm,
        noise_multiplier,
        delta,
        noise_seed,
        progress,
    )


def _noise_for(epsilon: float, delta: float, steps: int, epochs: int) -> float:
    from opacus.accountants.utils import get_noise_multiplier

    with _quiet():
        return get_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=delta,
            sample_rate=1 / steps,
            steps=epochs * steps,
            accountant="prv",
            epsilon_tolerance=0.01 * min(1, epsilon),
        )


def _train(
    model: nn.Module,
    loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: DataLoader,
    epochs: int,
    max_grad_norm: float,
    noise_multiplier: float,
    delta: float,
    noise_seed: int,
    progress: bool,
) -> PrivateTraining:
    from opacus import PrivacyEngine  # Half a second, for this function only.

    device, _ = device_and_dtype(model)
    losses = []
    model.train()
    with _quiet(), tqdm(total=epochs * len(batches), disable=not progress, unit="step") as bar:
        engine = PrivacyEngine(accountant="prv")
        private_model, private_optimizer, private_batches = engine.make_private(
            module=model,
            optimizer=optimizer,
            data_loader=batches,
            noise_multiplier=noise_multiplier,
            max_grad_norm=max_grad_norm,
            noise_generator=torch.Generator(device).manual_seed(noise_seed),
        )
        try:
            for epoch in range(epochs):
                loss_sum = count = 0.0
                for step, (x, y) in enumerate(private_batches):
                    batch_loss = loss(private_model(x.to(device)), y.to(device))
                    if len(x):  # A random batch can be empty, and still gets its noise.
                        value = batch_loss.item()
                        check_loss(value, model, optimizer, epoch=epoch, step=step)
                        loss_sum += value * len(x)
                        count += len(x)
                    private_optimizer.zero_grad()
                    batch_loss.backward()
                    private_optimizer.step()
                    bar.update()
                check_parameters(model, optimizer, epoch=epoch, step=len(batches))
                losses.append(loss_sum / count if count else math.nan)
                bar.set_postfix(loss=f"{losses[-1]:.4f}")
        finally:
            private_model.to_standard_module()
        epsilon = float(engine.get_epsilon(delta)) if noise_multiplier > 0 else math.inf
    return PrivateTraining(epsilon, delta, noise_multiplier, losses)


@contextmanager
def _quiet() -> Iterator[None]:
    # What opacus says here about its generator is said above; the rest is about its inner life.
    with warnings.catch_warnings():
        for message in ("Secure RNG", "Optimal order", "(Full|Using a non-full)", "divide by zero"):
            warnings.filterwarnings("ignore", message=message)
        yield


def _check_positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is None or not 0 < value < math.inf:
            raise ValueError(f"`{name}` (={value}) must be positive and finite.")


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise ValueError(f"`delta` (={delta}) must be between 0 and 1.")


def _check_noise(noise_multiplier: float) -> None:
    if not 0 <= noise_multiplier < math.inf:
        raise ValueError(f"`noise_multiplier` (={noise_multiplier}) must be at least 0 and finite.")

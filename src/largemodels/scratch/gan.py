"""The training of a generative adversarial network: two networks learn against each other."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import tqdm

from largemodels.scratch.adversarial import DiscriminatorLoss, GeneratorLoss
from largemodels.scratch.layer import Layer
from largemodels.scratch.optimizers import Optimizer
from largemodels.scratch.training import check_dtype, largest_gradient

__all__ = ["GANHistory", "discriminator_step", "fit_gan", "generator_step"]


@dataclass
class GANHistory:
    """What happened during a training, one number for each epoch.

    No loss says how good the samples are: look at them. While nobody can tell real from
    generated, the discriminator's loss is 2 log 2 ≈ 1.386 and the generator's log 2 ≈ 0.693.

    Attributes:
        discriminator_loss: the mean loss of the discriminator, measured while both changed.
        generator_loss: the mean loss of the generator, measured the same way.
        seconds: the duration of the whole training.

    Example:
        >>> history = GANHistory(discriminator_loss=[0.9, 1.386], generator_loss=[2.1, 0.693])
        >>> abs(history.discriminator_loss[-1] - 2 * math.log(2)) < 0.001  # Nobody can tell now.
        True

    Taught in: book/algorithms/generative_adversarial_networks.md
    """

    discriminator_loss: list[float] = field(default_factory=list)
    generator_loss: list[float] = field(default_factory=list)
    seconds: float = 0.0


def discriminator_step(
    generator: Layer,
    discriminator: Layer,
    optimizer: Optimizer,
    real: np.ndarray,
    noise: np.ndarray,
) -> float:
    """Teach the discriminator to tell real samples from generated ones; the generator stays.

    θ_D ← a step against ∂/∂θ_D −[1/N Σₙ log σ(D(xₙ)) + 1/M Σₘ log(1 − σ(D(G(zₘ))))]

    Real and generated samples go through the discriminator as one batch. So it must not have a
    batch normalization: that would tell it what the rest of the batch is.

    Args:
        generator: G, from noise to samples.
        discriminator: D, from samples to one logit each.
        optimizer: the optimizer of the discriminator's parameters.
        real: x, real samples, shape (N, ...).
        noise: z, the generator's input, shape (M, ...).

    Returns:
        The loss before the step.

    Raises:
        FloatingPointError: if the loss is NaN or infinite; then nothing changes.
        ValueError: if real and generated samples differ in shape, or there are none.

    Source:
        Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, algorithm 1, inner loop.

    Example:
        >>> from largemodels.scratch import SGD, Linear
        >>> generator, discriminator = Linear(1, 2), Linear(2, 1)
        >>> discriminator.weight.data[:] = 0  # It cannot tell anything yet.
        >>> optimizer = SGD(discriminator.parameters(), lr=0.1)
        >>> real, noise = np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32)
        >>> loss = discriminator_step(generator, discriminator, optimizer, real, noise)
        >>> f"{loss:.4f}"  # 2 log 2
        '1.3863'

    Taught in: book/algorithms/generative_adversarial_networks.md
    """
    fake = generator(noise)
    if fake.shape[1:] != real.shape[1:]:
        raise ValueError(
            f"`generator` must make samples of shape {real.shape[1:]}, got {fake.shape[1:]}."
        )
    loss = DiscriminatorLoss()
    logits = discriminator(np.concatenate([real, fake]))  # (N, ...), (M, ...) -> (N + M, ...)
    value = loss(logits[: len(real)], logits[len(real) :])
    _check_loss("discriminator", value)
    # The gradient ends at the fake samples: it does not go on into the generator.
    discriminator.backward(np.concatenate(loss.backward()))
    optimizer.step()
    return value


def generator_step(
    generator: Layer,
    discriminator: Layer,
    optimizer: Optimizer,
    noise: np.ndarray,
    *,
    saturating: bool = False,
) -> float:
    """Teach the generator to make what the discriminator takes for real; the discriminator stays.

    θ_G ← a step against ∂/∂θ_G −1/M Σₘ log σ(D(G(zₘ)))

    The gradient reaches the generator through the discriminator, whose own gradients stay what
    they were, too.

    Args:
        generator: G, from noise to samples.
        discriminator: D, from samples to one logit each.
        optimizer: the optimizer of the generator's parameters.
        noise: z, the generator's input, shape (M, ...).
        saturating: whether to take the loss of the two-player game as it is, see `GeneratorLoss`.

    Returns:
        The loss before the step.

    Raises:
        FloatingPointError: if the loss is NaN or infinite; then nothing changes.

    Source:
        Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, algorithm 1, and section 3
        for the loss that does not saturate.

    Example:
        >>> from largemodels.scratch import SGD, Linear
        >>> generator, discriminator = Linear(1, 2), Linear(2, 1)
        >>> discriminator.weight.data[:] = 0  # It cannot tell anything yet.
        >>> optimizer = SGD(generator.parameters(), lr=0.1)
        >>> noise = np.zeros((4, 1), np.float32)
        >>> f"{generator_step(generator, discriminator, optimizer, noise):.4f}"  # log 2
        '0.6931'

    Taught in: book/algorithms/generative_adversarial_networks.md
    """
    loss = GeneratorLoss(saturating)
    value = loss(discriminator(generator(noise)))
    _check_loss("generator", value)
    parameters = discriminator.parameters()
    kept = [parameter.grad for parameter in parameters]
    generator.backward(discriminator.backward(loss.backward()))
    for parameter, grad in zip(parameters, kept, strict=True):
        parameter.grad = grad
    optimizer.step()
    return value


def fit_gan(
    generator: Layer,
    discriminator: Layer,
    generator_optimizer: Optimizer,
    discriminator_optimizer: Optimizer,
    x: np.ndarray,
    *,
    latent_dim: int,
    epochs: int,
    batch_size: int,
    rng: np.random.Generator,
    saturating: bool = False,
    progress: bool = True,
) -> GANHistory:
    """Train a generator and a discriminator: one step of each for every minibatch, in turn.

    Each step draws its own noise, z ~ N(0, 1), as many rows as the minibatch has.

    Args:
        generator: G, from noise of shape (N, latent_dim) to samples.
        discriminator: D, from samples to one logit each; without a batch normalization.
        generator_optimizer: the optimizer of the generator's parameters.
        discriminator_optimizer: the optimizer of the discriminator's parameters.
        x: the real samples, shape (N, ...).
        latent_dim: how many random numbers the generator makes a sample of.
        epochs: how many times to go through the data, in a new random order each time.
        batch_size: how many real samples go into one step; the last one of an epoch may have fewer.
        rng: the random generator of the order and of the noise.
        saturating: whether the generator takes the loss of the two-player game as it is.
        progress: whether to show a progress bar.

    Returns:
        The losses of all epochs.

    Raises:
        FloatingPointError: if the training diverges: a loss or a parameter becomes NaN or
            infinite. The message names the step and, for both networks, as each can spoil the
            other, the learning rate and the largest gradient.
        ValueError: if the data is empty or of another type than the parameters, or a size is below
            1.

    Source:
        Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, algorithm 1 with k = 1.

    Example:
        >>> from largemodels.scratch import MLP, Adam, Linear
        >>> rng = np.random.default_rng(0)
        >>> x = 4 + rng.standard_normal((2000, 1), dtype=np.float32)
        >>> generator, discriminator = Linear(1, 1, rng=rng), MLP([1, 16, 1], rng=rng)
        >>> history = fit_gan(
        ...     generator, discriminator,
        ...     Adam(generator.parameters(), lr=0.01), Adam(discriminator.parameters(), lr=0.01),
        ...     x, latent_dim=1, epochs=20, batch_size=50, rng=rng, progress=False)
        >>> bool(abs(generator.bias.data[0] - 4) < 0.5)  # Its noise has the mean 0.
        True

    Taught in: book/algorithms/generative_adversarial_networks.md
    """
    for name, size in {"latent_dim": latent_dim, "batch_size": batch_size}.items():
        if size < 1:
            raise ValueError(f"`{name}` (={size}) must be at least 1.")
    if len(x) == 0:
        raise ValueError("`x` is empty.")
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"`x` must hold floating-point numbers, got {x.dtype}.")
    for network in (generator, discriminator):
        check_dtype(network, x)
        network.train()
    history = GANHistory()
    started = time.perf_counter()
    steps = epochs * math.ceil(len(x) / batch_size)
    bar = tqdm(total=steps, disable=not progress, unit="step")
    step = 0
    # A diverging training overflows first. The error that stops it says more than a warning.
    with bar, np.errstate(over="ignore", invalid="ignore"):
        try:
            for _ in range(epochs):
                order = rng.permutation(len(x))
                discriminator_sum = generator_sum = 0.0
                for start in range(0, len(x), batch_size):
                    step += 1
                    real = x[order[start : start + batch_size]]
                    noise = rng.standard_normal((2, len(real), latent_dim)).astype(x.dtype)
                    discriminator_sum += len(real) * discriminator_step(
                        generator, discriminator, discriminator_optimizer, real, noise[0]
                    )
                    generator_sum += len(real) * generator_step(
                        generator,
                        discriminator,
                        generator_optimizer,
                        noise[1],
                        saturating=saturating,
                    )
                    bar.update()
                _check_parameters("discriminator", discriminator)
                _check_parameters("generator", generator)
                history.discriminator_loss.append(discriminator_sum / len(x))
                history.generator_loss.append(generator_sum / len(x))
                bar.set_postfix(
                    discriminator=f"{history.discriminator_loss[-1]:.4f}",
                    generator=f"{history.generator_loss[-1]:.4f}",
                )
        except FloatingPointError as error:
            raise FloatingPointError(
                f"Training diverged in step {step}: {error}. The learning rate of the "
                f"discriminator is {discriminator_optimizer.lr}, its largest gradient is "
                f"{largest_gradient(discriminator)}; that of the generator is "
                f"{generator_optimizer.lr}, its largest gradient is {largest_gradient(generator)}."
            ) from error
    history.seconds = time.perf_counter() - started
    return history


def _check_loss(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss of the {name} is {value}")


def _check_parameters(name: str, network: Layer) -> None:
    # No loss has seen the last update yet.
    if not all(np.isfinite(parameter.data).all() for parameter in network.parameters()):
        raise FloatingPointError(f"a parameter of the {name} is not finite")

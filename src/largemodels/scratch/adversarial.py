"""The losses of a generative adversarial network: one judges, the other deceives."""

from __future__ import annotations

import numpy as np

from largemodels.scratch.activations import sigmoid
from largemodels.scratch.layer import Differentiable

__all__ = ["DiscriminatorLoss", "GeneratorLoss"]


class DiscriminatorLoss(Differentiable):
    """The loss of a discriminator: what is real deserves yes, what is generated no.

    L = −1/N Σₙ log σ(rₙ) − 1/M Σₘ log(1 − σ(fₘ)),  r and f the logits of real and fake samples
    ∂L/∂r = (σ(r) − 1) / N,  ∂L/∂f = σ(f) / M

    A step with this loss changes the discriminator only: give the optimizer its parameters, and
    let the gradient end at the fake samples.

    Shape:
        real logits of any shape, fake logits of any shape -> one number

    Raises:
        ValueError: if there are no real or no fake samples.

    Source:
        Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, equation 1 and
        algorithm 1, as a loss to minimize.

    Example:
        >>> loss = DiscriminatorLoss()
        >>> round(loss(np.array([0.0, 0.0]), np.array([0.0, 0.0])), 4)  # It cannot tell: 2 log 2
        1.3863
        >>> loss.backward()
        (array([-0.25, -0.25]), array([0.25, 0.25]))

    Taught in: book/algorithms/generative_adversarial_networks.md
    """

    def forward(self, real_logits: np.ndarray, fake_logits: np.ndarray) -> float:
        """Return L for the discriminator's logits of real and of fake samples, any shapes."""
        _check_not_empty("real_logits", real_logits)
        _check_not_empty("fake_logits", fake_logits)
        self.saved = real_logits, fake_logits
        # −log σ(r) = log(1 + exp(−r)), and −log(1 − σ(f)) = log(1 + exp(f)).
        real = np.logaddexp(0, -real_logits).mean()
        fake = np.logaddexp(0, fake_logits).mean()
        return float(real + fake)

    def backward(self) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂L/∂real_logits and ∂L/∂fake_logits."""
        real_logits, fake_logits = self.saved
        grad_real = -sigmoid(-real_logits) / real_logits.size  # σ(r) − 1 = −σ(−r)
        return grad_real, sigmoid(fake_logits) / fake_logits.size


class GeneratorLoss(Differentiable):
    """The loss of a generator: the discriminator shall say yes to what is generated.

    non-saturating:  L = −1/M Σₘ log σ(fₘ),      ∂L/∂f = −(1 − σ(f)) / M
    saturating:      L = 1/M Σₘ log(1 − σ(fₘ)),  ∂L/∂f = −σ(f) / M

    Both want larger logits f. While the fakes are bad, f is very negative, and the saturating loss
    has no gradient left to learn from; so the other one is what people use.

    A step with this loss changes the generator only: the gradient passes through the
    discriminator, and the optimizer has the generator's parameters.

    Args:
        saturating: whether to take the loss of the two-player game as it is.

    Shape:
        fake logits of any shape -> one number

    Raises:
        ValueError: if there are no fake samples.

    Source:
        Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, section 3: both forms.

    Example:
        >>> for saturating in [False, True]:  # A fake that the discriminator sees through.
        ...     loss = GeneratorLoss(saturating)
        ...     print(round(loss(np.array([-5.0])), 4), loss.backward().round(4))
        5.0067 [-0.9933]
        -0.0067 [-0.0067]

    Taught in: book/algorithms/generative_adversarial_networks.md
    """

    def __init__(self, saturating: bool = False) -> None:
        self.saturating = saturating

    def forward(self, fake_logits: np.ndarray) -> float:
        """Return L for the discriminator's logits of fake samples, any shape."""
        _check_not_empty("fake_logits", fake_logits)
        self.saved = fake_logits
        if self.saturating:
            return float(-np.logaddexp(0, fake_logits).mean())
        return float(np.logaddexp(0, -fake_logits).mean())

    def backward(self) -> np.ndarray:
        """Return ∂L/∂fake_logits."""
        fake_logits = self.saved
        slope = sigmoid(fake_logits) if self.saturating else sigmoid(-fake_logits)
        return -slope / fake_logits.size


def _check_not_empty(name: str, logits: np.ndarray) -> None:
    if logits.size == 0:
        raise ValueError(f"`{name}` must not be empty, got shape {logits.shape}.")

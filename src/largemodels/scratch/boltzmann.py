"""The restricted Boltzmann machine: learn what usually occurs together, without any label."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.activations import sigmoid
from largemodels.scratch.initializers import normal
from largemodels.scratch.layer import Parameter, check_shape

__all__ = ["RestrictedBoltzmannMachine"]


class RestrictedBoltzmannMachine:
    """A distribution of binary vectors v, in which hidden units h explain what occurs together.

    p(v, h) = exp(−E(v, h)) / Z,  E(v, h) = −bᵀv − cᵀh − hᵀW v,  vᵢ and hⱼ are 0 or 1
    p(hⱼ = 1 | v) = σ(c + W v)ⱼ,  p(vᵢ = 1 | h) = σ(b + Wᵀ h)ᵢ
    p(v) = exp(−F(v)) / Z,  F(v) = −bᵀv − Σⱼ log(1 + exp(c + W v)ⱼ)

    It is restricted because no two units of one side are connected. So all hidden units can be
    drawn at once when the visible ones are known, and the other way round. Z sums exp(−F(v)) over
    all 2^V vectors: only a tiny machine's can be computed, so learning has to do without it.

    Every row of an array is one vector. Where a vector comes from outside, its numbers may also
    lie between 0 and 1, as the grey pixels of an image do: they count as probabilities.

    Args:
        num_visible: the number V of visible units.
        num_hidden: the number H of hidden units.
        rng: the random generator of the initial weight, N(0, 0.01²), and of all samples; `None`
            takes a new one.
        dtype: the type of the parameters.

    Attributes:
        weight: W, shape (H, V).
        visible_bias: b, shape (V,); starts at zero.
        hidden_bias: c, shape (H,); starts at zero.

    Shape:
        v (N, V), h (N, H)

    Raises:
        ValueError: if a number is below 1, or vectors have a wrong shape or numbers out of 0 to 1.

    Source:
        Hinton, "Training products of experts by minimizing contrastive divergence", Neural
        Computation 14(8), 2002; initial weight: Hinton, "A practical guide to training restricted
        Boltzmann machines", 2012, section 8.

    Example:
        >>> from largemodels.scratch import SGD
        >>> rbm = RestrictedBoltzmannMachine(4, 2, rng=np.random.default_rng(0))
        >>> optimizer = SGD(rbm.parameters(), lr=0.5)
        >>> v = np.array([[1, 1, 0, 0], [0, 0, 1, 1]])
        >>> round(rbm.reconstruction_error(v), 2)
        0.25
        >>> for _ in range(500):
        ...     chain = rbm.contrastive_divergence(v)
        ...     optimizer.step()
        >>> rbm.reconstruction_error(v) < 0.01
        True

    Taught in: book/algorithms/boltzmann_machines.md
    """

    def __init__(
        self,
        num_visible: int,
        num_hidden: int,
        *,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if num_visible < 1:
            raise ValueError(f"`num_visible` (={num_visible}) must be at least 1.")
        if num_hidden < 1:
            raise ValueError(f"`num_hidden` (={num_hidden}) must be at least 1.")
        self.num_visible = num_visible
        self.num_hidden = num_hidden
        self.rng = np.random.default_rng(rng)
        self.weight = Parameter(normal((num_hidden, num_visible), self.rng, dtype))
        self.visible_bias = Parameter(np.zeros(num_visible, dtype))
        self.hidden_bias = Parameter(np.zeros(num_hidden, dtype))

    def parameters(self) -> list[Parameter]:
        """Return W, b and c, for an optimizer."""
        return [self.weight, self.visible_bias, self.hidden_bias]

    def hidden_probabilities(self, v: np.ndarray) -> np.ndarray:
        """Return p(h = 1 | v), (N, V) -> (N, H)."""
        return sigmoid(self._hidden_logits(self._check("v", v, self.num_visible)))

    def visible_probabilities(self, h: np.ndarray) -> np.ndarray:
        """Return p(v = 1 | h), (N, H) -> (N, V)."""
        h = self._check("h", h, self.num_hidden)
        return sigmoid(h @ self.weight.data + self.visible_bias.data)  # (N, H) @ (H, V)

    def free_energy(self, v: np.ndarray) -> np.ndarray:
        """Return F(v), (N, V) -> (N,): low where the machine expects a vector, as p ∝ exp(−F).

        Example:
            >>> rbm = RestrictedBoltzmannMachine(2, 1, dtype=np.float64)
            >>> rbm.weight.data[...] = [[3, 3]]
            >>> rbm.hidden_bias.data[...] = -3  # Both visible units want each other.
            >>> rbm.free_energy(np.array([[0, 0], [0, 1], [1, 1]])).round(2)
            array([-0.05, -0.69, -3.05])
        """
        v = self._check("v", v, self.num_visible)
        softplus = np.logaddexp(0, self._hidden_logits(v))  # log(1 + exp(x)) without an overflow.
        return -v @ self.visible_bias.data - softplus.sum(axis=1)

    def sample(self, v: np.ndarray, steps: int = 1) -> np.ndarray:
        """Return what Gibbs sampling makes of `v`: draw h from v, draw v from h, `steps` times.

        After many steps it no longer matters where the chain began: v has the distribution p(v).

        Args:
            v: where the chains begin, one in each row, shape (N, V).
            steps: how many times to draw both.
        """
        if steps < 1:
            raise ValueError(f"`steps` (={steps}) must be at least 1.")
        for _ in range(steps):
            v = self._draw(self.visible_probabilities(self._draw(self.hidden_probabilities(v))))
        return v

    def contrastive_divergence(
        self, v: np.ndarray, steps: int = 1, chain: np.ndarray | None = None
    ) -> np.ndarray:
        """Set the gradients of W, b and c: lower the energy of the data, raise that of samples.

        ∂/∂θ −log p(v) = ∂F(v)/∂θ − E[∂F(ṽ)/∂θ],  ṽ with the distribution p
        ∂F/∂W = −p(h = 1 | v) vᵀ,  ∂F/∂b = −v,  ∂F/∂c = −p(h = 1 | v)

        The gradients are means over the rows, and the expectation is that over ṽ = the ends of
        chains of a few steps. Contrastive divergence starts them at the data, each time anew. The
        persistent kind goes on where the last chains ended, and so comes closer to p: hand back
        what the last call returned.

        Args:
            v: the data, shape (N, V).
            steps: k, the length of the chains.
            chain: where the chains begin, shape (M, V); `None` takes `v`.

        Returns:
            The ends of the chains.

        Source:
            Hinton, 2002, for contrastive divergence; for the persistent kind: Tieleman, "Training
            restricted Boltzmann machines using approximations to the likelihood gradient", ICML
            2008.
        """
        v = self._check("v", v, self.num_visible)
        if len(v) == 0:
            raise ValueError("`v` is empty.")
        chain = self.sample(v if chain is None else chain, steps)
        at_data, at_samples = self._free_energy_gradients(v), self._free_energy_gradients(chain)
        for parameter, data, samples in zip(self.parameters(), at_data, at_samples, strict=True):
            parameter.grad = data - samples
        return chain

    def reconstruction_error(self, v: np.ndarray) -> float:
        """Return the mean squared difference of `v` and its mean-field reconstruction.

        It is easy to watch, and no likelihood: a machine that copies all vectors has no error.

        v̂ = p(v = 1 | h = p(h = 1 | v))
        """
        reconstruction = self.visible_probabilities(self.hidden_probabilities(v))
        return float(((v - reconstruction) ** 2).mean())

    def pseudo_log_likelihood(self, v: np.ndarray) -> np.ndarray:
        """Return an estimate of how well each vector's units foretell one another, (N, V) -> (N,).

        Σᵢ log p(vᵢ | all others) ≈ V log σ(F(v with vᵢ flipped) − F(v)),  i drawn for each row

        Z cancels in the difference, so a large machine can be watched with it, too.

        Source:
            Besag, "Statistical analysis of non-lattice data", The Statistician 24(3), 1975; one
            random unit in place of all, as scikit-learn's `BernoulliRBM.score_samples`.
        """
        v = self._check("v", v, self.num_visible)
        rows, units = np.arange(len(v)), self.rng.integers(0, self.num_visible, len(v))
        flipped = v.copy()
        flipped[rows, units] = 1 - flipped[rows, units]
        difference = self.free_energy(flipped) - self.free_energy(v)
        return -self.num_visible * np.logaddexp(0, -difference)  # log σ(x) = −log(1 + exp(−x))

    def _hidden_logits(self, v: np.ndarray) -> np.ndarray:
        return v @ self.weight.data.T + self.hidden_bias.data  # (N, V) @ (V, H) -> (N, H)

    def _draw(self, probabilities: np.ndarray) -> np.ndarray:
        """Return ones with these probabilities, else zeros."""
        return (self.rng.random(probabilities.shape) < probabilities).astype(probabilities.dtype)

    def _free_energy_gradients(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the means of ∂F/∂W, ∂F/∂b and ∂F/∂c over the rows of `v`."""
        h = self.hidden_probabilities(v)
        return -h.T @ v / len(v), -v.mean(axis=0), -h.mean(axis=0)  # (H, N) @ (N, V) -> (H, V)

    def _check(self, name: str, vectors: np.ndarray, size: int) -> np.ndarray:
        """Check vectors, and return them with the type of the parameters."""
        if vectors.ndim != 2:
            raise ValueError(f"`{name}` must have shape (N, {size}), got {vectors.shape}.")
        check_shape(name, vectors, (len(vectors), size))
        if vectors.size > 0 and not (vectors.min() >= 0 and vectors.max() <= 1):
            raise ValueError(
                f"`{name}` must be from 0 to 1, got {vectors.min()} to {vectors.max()}."
            )
        return vectors.astype(self.weight.data.dtype, copy=False)

    def __repr__(self) -> str:
        return (
            f"RestrictedBoltzmannMachine(num_visible={self.num_visible}, "
            f"num_hidden={self.num_hidden})"
        )

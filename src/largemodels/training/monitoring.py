"""Monitoring: whether what comes in today looks like what the model was trained on.

The distance of Kolmogorov and Smirnov, with its p-value, is `scipy.stats.ks_2samp`; a wrapper would
add nothing but a second name. Here is the index that practitioners watch beside it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["population_stability_index"]


def population_stability_index(reference: ArrayLike, current: ArrayLike, bins: int = 10) -> float:
    """Return how far the distribution of a feature, or of a score, has moved.

    PSI = Σ_b (c_b − r_b) ln(c_b / r_b),  r_b and c_b the shares in bin b before and now

    The bins hold equal shares of the reference. Half an example is added to each, so that an empty
    one does not make the index infinite. Common thumb rules call less than 0.1 stable and more than
    0.25 a shift; without any shift, the index is about (bins − 1) (1/n + 1/m) on average, for n and
    m examples: with few examples, noise alone passes these limits.

    Args:
        reference: values that the model was trained on, shape (n,).
        current: values of today, shape (m,).
        bins: the number of bins.

    Returns:
        A number of at least 0.

    Raises:
        ValueError: if there is no value, one is NaN, or `bins` is below 2.

    Source:
        Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of
        Risk Model Validation 14(4), 2020.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> reference = rng.standard_normal(10_000)
        >>> for shift in (0.0, 0.5):
        ...     print(f"{population_stability_index(reference, reference[::-1] + shift):.2f}")
        0.00
        0.24

    Taught in: book/training/deployment_and_monitoring.md
    """
    reference, current = np.ravel(reference), np.ravel(current)
    for name, values in {"reference": reference, "current": current}.items():
        if values.size == 0:
            raise ValueError(f"`{name}` is empty.")
        if np.isnan(values).any():
            raise ValueError(f"`{name}` must be numbers, got NaN.")
    if bins < 2:
        raise ValueError(f"`bins` (={bins}) must be at least 2.")
    # Equal edges, of values that occur often, would leave empty bins.
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1]))

    def shares(values: np.ndarray) -> np.ndarray:
        index = np.searchsorted(edges, values, side="right")
        counts = np.bincount(index, minlength=len(edges) + 1) + 0.5
        return counts / counts.sum()

    before, now = shares(reference), shares(current)
    return float(((now - before) * np.log(now / before)).sum())

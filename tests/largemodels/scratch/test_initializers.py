"""Initial weights have the distribution that they promise, and the variance that PyTorch's have."""

import numpy as np
import pytest
import torch
from torch.nn import init

from largemodels.scratch.initializers import INITIALIZERS, fans

# (weights, PyTorch's initializer, variance): shape (out, in) = (300, 500), so that in ≠ out.
SHAPE = (300, 500)
PROMISES = {
    "zeros": (init.zeros_, 0),
    "normal": (lambda w: init.normal_(w, std=0.01), 0.01**2),
    "xavier_normal": (init.xavier_normal_, 2 / 800),
    "xavier_uniform": (init.xavier_uniform_, 2 / 800),
    "he_normal": (lambda w: init.kaiming_normal_(w, nonlinearity="relu"), 2 / 500),
    "he_uniform": (lambda w: init.kaiming_uniform_(w, nonlinearity="relu"), 2 / 500),
}


def test_every_initializer_has_a_promise() -> None:
    assert PROMISES.keys() == INITIALIZERS.keys()


@pytest.mark.parametrize("name", PROMISES)
def test_mean_and_variance(name: str) -> None:
    variance = PROMISES[name][1]
    weight = INITIALIZERS[name](SHAPE, np.random.default_rng(0), np.float64)
    # 150 000 numbers: the mean and the variance of a sample are this close, by six sigmas.
    assert abs(weight.mean()) <= 6 * np.sqrt(variance / weight.size)
    assert weight.var() == pytest.approx(variance, rel=6 * np.sqrt(2 / weight.size))


@pytest.mark.parametrize("name", PROMISES)
def test_distribution_is_pytorchs(name: str) -> None:
    torch.manual_seed(0)
    theirs = PROMISES[name][0](torch.empty(SHAPE, dtype=torch.float64)).numpy()
    ours = INITIALIZERS[name](SHAPE, np.random.default_rng(0), np.float64)
    quantiles = np.linspace(0.01, 0.99, 25)
    scale = theirs.std()
    np.testing.assert_allclose(
        np.quantile(ours, quantiles), np.quantile(theirs, quantiles), atol=0.03 * scale
    )
    # A normal distribution has tails, a uniform one has none.
    assert (np.abs(ours).max() > 3 * scale) == (np.abs(theirs).max() > 3 * scale)


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_and_seed(name: str, dtype: type) -> None:
    first, again, other = (
        INITIALIZERS[name]((4, 3), np.random.default_rng(seed), dtype) for seed in (1, 1, 2)
    )
    assert first.dtype == dtype
    assert first.shape == (4, 3)
    np.testing.assert_array_equal(first, again)
    assert name == "zeros" or (first != other).any()


@pytest.mark.parametrize("shape", [(3, 5), (4, 6, 3, 2), (2, 7, 5)])
def test_fans_are_pytorchs(shape: tuple[int, ...]) -> None:
    assert fans(shape) == init._calculate_fan_in_and_fan_out(torch.empty(shape))


def test_fans_need_two_dimensions() -> None:
    with pytest.raises(ValueError, match=r"`shape` \(=\(3,\)\) must have at least 2 dimensions"):
        fans((3,))

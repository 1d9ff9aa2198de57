"""Sinusoidal and rotary encodings: the formulas number by number, and what they promise."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import RotaryEmbedding, SinusoidalEncoding, sinusoidal_encoding


def test_the_formula_number_by_number() -> None:
    encoding = sinusoidal_encoding(5, 6, base=100.0)
    assert encoding.shape == (5, 6)
    for t in range(5):
        for i in range(3):
            angle = t / 100 ** (2 * i / 6)
            assert encoding[t, 2 * i] == pytest.approx(math.sin(angle), rel=1e-12, abs=1e-15)
            assert encoding[t, 2 * i + 1] == pytest.approx(math.cos(angle), rel=1e-12)


def test_the_base_is_ten_thousand() -> None:
    np.testing.assert_array_equal(sinusoidal_encoding(4, 6), sinusoidal_encoding(4, 6, 10_000.0))
    assert sinusoidal_encoding(2, 4)[1, 2] == pytest.approx(math.sin(0.01), rel=1e-12)


def test_all_positions_differ_and_a_product_depends_on_the_distance() -> None:
    encoding = sinusoidal_encoding(200, 16)
    products = encoding @ encoding.T
    for distance in (0, 1, 7):
        assert np.ptp(np.diagonal(products, distance)) < 1e-12
    assert len(np.unique(encoding.round(9), axis=0)) == 200


def test_the_layer_adds_the_encoding_and_hands_the_gradient_on() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4))
    layer = SinusoidalEncoding(4)
    np.testing.assert_array_equal(layer(x), x + sinusoidal_encoding(5, 4))
    np.testing.assert_array_equal(layer.backward(x), x)


@given(
    batch=st.sampled_from([(), (3,), (3, 2)]),
    steps=st.integers(0, 7),
    half=st.integers(1, 4),
    base=st.sampled_from([10.0, 10_000.0]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=30)
def test_rotary_embedding_is_a_complex_product(
    assert_equals_pytorch: Callable,
    batch: tuple[int, ...],
    steps: int,
    half: int,
    base: float,
    seed: int,
) -> None:
    class Rotary(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            frequencies = base ** (-torch.arange(half, dtype=torch.float64) / half)
            angles = torch.outer(torch.arange(steps, dtype=torch.float64), frequencies)
            pairs = torch.view_as_complex(x.reshape(*batch, steps, half, 2))
            turned = pairs * torch.polar(torch.ones_like(angles), angles)
            return torch.view_as_real(turned).reshape(x.shape)

    x = np.random.default_rng(seed).standard_normal((*batch, steps, 2 * half))
    assert_equals_pytorch(RotaryEmbedding(2 * half, base), Rotary(), x)


def test_a_score_depends_on_the_distance_only_and_lengths_stay() -> None:
    rng = np.random.default_rng(0)
    query, key = (np.tile(rng.standard_normal(6), (9, 1)) for _ in range(2))
    layer = RotaryEmbedding(6)
    scores = layer(query) @ layer(key).T
    for distance in range(-5, 6):
        assert np.ptp(np.diagonal(scores, distance)) < 1e-12
    # Backwards is not the same as forwards: the sign of the distance counts.
    assert abs(scores[0, 3] - scores[3, 0]) > 0.01
    np.testing.assert_allclose(
        np.linalg.norm(layer(query), axis=-1), np.linalg.norm(query, axis=-1), rtol=1e-12
    )


def test_position_zero_stays_and_pairs_are_neighbors() -> None:
    x = np.array([[1.0, 2, 3, 4], [1, 0, 0, 0]])
    y = RotaryEmbedding(4)(x)
    np.testing.assert_array_equal(y[0], x[0])
    np.testing.assert_allclose(y[1], [math.cos(1), math.sin(1), 0, 0], rtol=1e-15)


def test_angles_are_exact_in_float32_at_late_positions() -> None:
    x = np.ones((5001, 2), dtype=np.float32)
    expected = [math.cos(5000) - math.sin(5000), math.sin(5000) + math.cos(5000)]
    np.testing.assert_allclose(RotaryEmbedding(2)(x)[-1], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sinusoidal_encoding(-1, 2), r"`positions` \(=-1\) must be at least 0"),
        (lambda: sinusoidal_encoding(3, 5), r"`d_model` \(=5\) must be even and at least 2"),
        (lambda: SinusoidalEncoding(0), r"`d_model` \(=0\) must be even and at least 2"),
        (lambda: RotaryEmbedding(3), r"`dim` \(=3\) must be even and at least 2"),
        (lambda: RotaryEmbedding(2, base=0), r"`base` \(=0\) must be above 0"),
        (lambda: RotaryEmbedding(2)(np.ones((3, 4))), r"\(..., T, 2\), got \(3, 4\)"),
        (lambda: SinusoidalEncoding(2)(np.ones(2)), r"\(..., T, 2\), got \(2,\)"),
    ],
)
def test_errors_name_argument_and_value(call: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

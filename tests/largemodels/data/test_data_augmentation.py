"""Augmented images hold the pixels of their originals, moved as the name says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from largemodels.data.augmentation import random_erase, random_flip, random_shift

seeds = st.integers(0, 2**32 - 1)
shapes = st.sampled_from([(6, 5, 4), (6, 4, 5, 3)])


def images(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, shape).astype(np.uint8)


@given(seed=seeds, shape=shapes)
@settings(deadline=None, max_examples=30)
def test_each_image_is_mirrored_or_as_it_was(seed: int, shape: tuple[int, ...]) -> None:
    x = images(seed, shape)
    before = x.copy()
    y = random_flip(x, np.random.default_rng(seed))
    assert y.dtype == x.dtype
    for old, new in zip(x, y, strict=True):
        assert (new == old).all() or (new == old[:, ::-1]).all()
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(random_flip(x, np.random.default_rng(0), 0.0), x)
    np.testing.assert_array_equal(random_flip(x, np.random.default_rng(0), 1.0), x[:, :, ::-1])


@given(seed=seeds, shape=shapes, pixels=st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_each_image_is_a_window_of_the_padded_one(
    seed: int, shape: tuple[int, ...], pixels: int
) -> None:
    x = images(seed, shape)
    y = random_shift(x, np.random.default_rng(seed), pixels)
    assert y.dtype == x.dtype
    assert y.shape == x.shape
    top, left = np.random.default_rng(seed).integers(0, 2 * pixels + 1, (2, len(x)))
    for old, new, i, j in zip(x, y, top, left, strict=True):
        tensor = torch.from_numpy(old.reshape(*old.shape[:2], -1)).movedim(2, 0)
        padded = functional.pad(tensor, (pixels,) * 4)[
            :, i : i + shape[1], j : j + shape[2]
        ].movedim(0, 2)
        np.testing.assert_array_equal(new.reshape(padded.shape), padded)


def test_all_shifts_are_equally_likely() -> None:
    x = np.zeros((9000, 5, 5))
    x[:, 2, 2] = 1
    share = random_shift(x, np.random.default_rng(0), 1).mean(axis=0)[1:4, 1:4]
    np.testing.assert_allclose(share, 1 / 9, atol=0.015)


@given(seed=seeds, shape=shapes, size=st.integers(0, 6))
@settings(deadline=None, max_examples=30)
def test_a_rectangle_is_hidden_and_the_rest_stays(
    seed: int, shape: tuple[int, ...], size: int
) -> None:
    x = images(seed, shape)
    y = random_erase(x, np.random.default_rng(seed), size)
    for old, new in zip(x, y, strict=True):
        hidden = (new == 0).reshape(*new.shape[:2], -1).all(axis=-1)
        rows, columns = hidden.any(axis=1), hidden.any(axis=0)
        np.testing.assert_array_equal(hidden, rows[:, None] & columns)
        assert max(rows.sum(), columns.sum()) <= size
        np.testing.assert_array_equal(new[~hidden], old[~hidden])
        assert hidden.any() == (size > 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, rng: random_flip(x[0], rng), r"`images` must have shape \(N, H, W\) or"),
        (lambda x, rng: random_flip(x, rng, 1.5), r"`p` \(=1\.5\) must be from 0 to 1"),
        (lambda x, rng: random_shift(x, rng, -1), r"`pixels` \(=-1\) must be at least 0"),
        (lambda x, rng: random_erase(x, rng, -1), r"`size` \(=-1\) must be at least 0"),
    ],
)
def test_errors_name_argument_and_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(np.zeros((2, 3, 3)), np.random.default_rng(0))

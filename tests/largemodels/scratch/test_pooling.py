"""Pooling equals PyTorch's, also where windows overlap and where a maximum occurs twice."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from largemodels.scratch import (
    AvgPool2d,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    MaxPool2d,
)

POOLS = {
    "MaxPool2d": (MaxPool2d, torch.nn.MaxPool2d),
    "AvgPool2d": (AvgPool2d, torch.nn.AvgPool2d),
}
seeds = st.integers(0, 2**32 - 1)


def pairs(minimum: int, maximum: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(minimum, maximum), st.integers(minimum, maximum))


@pytest.mark.parametrize("name", POOLS)
@given(
    n=st.integers(1, 3),
    channels=st.integers(1, 4),
    image_size=pairs(1, 9),
    kernel_size=pairs(1, 4),
    stride=st.none() | pairs(1, 4),
    padding=pairs(0, 2),
    ties=st.booleans(),
    seed=seeds,
)
@settings(deadline=None)
def test_pooling_equals_pytorch(
    assert_equals_pytorch: Callable,
    name: str,
    n: int,
    channels: int,
    image_size: tuple[int, int],
    kernel_size: tuple[int, int],
    stride: tuple[int, int] | None,
    padding: tuple[int, int],
    ties: bool,
    seed: int,
) -> None:
    sizes = list(zip(image_size, kernel_size, padding, strict=True))
    assume(all(2 * p <= k <= image + 2 * p for image, k, p in sizes))
    x = np.random.default_rng(seed).standard_normal((n, channels, *image_size))
    if ties:  # Few different numbers: most windows hold their maximum more than once.
        x = x.round()
    ours, theirs = POOLS[name]
    arguments = (kernel_size, stride, padding)
    assert_equals_pytorch(ours(*arguments), theirs(*arguments), x)


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding"),
    [
        (2, None, 0),  # The last column lies in no window.
        ((3, 2), (2, 1), (1, 0)),
        (3, 1, 1),
        ((2, 3), 4, 0),  # Whole rows and columns lie between the windows.
    ],
)
def test_named_settings_equal_pytorch(
    assert_equals_pytorch: Callable,
    name: str,
    n: int,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None,
    padding: int | tuple[int, int],
) -> None:
    ours, theirs = POOLS[name]
    x = np.random.default_rng(0).standard_normal((n, 2, 6, 9))
    arguments = (kernel_size, stride, padding)
    assert_equals_pytorch(ours(*arguments), theirs(*arguments), x)


@pytest.mark.parametrize("shape", [(1, 2, 3, 4), (3, 1, 5, 2)])
def test_global_average_and_flatten_equal_pytorch(
    assert_equals_pytorch: Callable, shape: tuple[int, ...]
) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    assert_equals_pytorch(GlobalAvgPool2d(), torch.nn.AdaptiveAvgPool2d(1), x)
    assert_equals_pytorch(Flatten(), torch.nn.Flatten(), x)


def test_only_the_first_of_equal_maxima_takes_the_gradient() -> None:
    layer = MaxPool2d(2)
    layer(np.array([[[[1.0, 3.0, 7.0, 7.0], [3.0, 3.0, 7.0, 7.0]]]]))
    np.testing.assert_array_equal(
        layer.backward(np.array([[[[5.0, 6.0]]]])), [[[[0, 5, 6, 0], [0, 0, 0, 0]]]]
    )


def test_a_maximum_of_several_windows_takes_all_their_gradients() -> None:
    layer = MaxPool2d((1, 2), stride=1)
    layer(np.array([[[[1.0, 9.0, 2.0, 4.0]]]]))
    np.testing.assert_array_equal(
        layer.backward(np.array([[[[1.0, 10, 100]]]])), [[[[0, 11, 0, 100]]]]
    )


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_padding_never_is_the_maximum(dtype: type) -> None:
    x = np.array([[[[-1, -2]]]], dtype=dtype)
    np.testing.assert_array_equal(MaxPool2d((1, 2), 1, (0, 1))(x), [[[[-1, -1, -2]]]])


def test_padding_counts_in_the_mean() -> None:
    x = np.array([[[[2.0, 4.0]]]])
    np.testing.assert_array_equal(AvgPool2d((1, 2), 1, (0, 1))(x), [[[[1, 3, 2]]]])


def test_the_stride_is_the_kernel_size_by_default() -> None:
    layer = MaxPool2d((1, 2))
    np.testing.assert_array_equal(layer(np.array([[[[1.0, 2, 4, 3, 9]]]])), [[[[2, 4]]]])


def test_a_window_of_more_than_255_pixels_ranks_them_all() -> None:
    x = np.random.default_rng(0).standard_normal((1, 1, 20, 20)).round()
    layer = MaxPool2d(20)
    layer(x)
    grad_input = layer.backward(np.ones((1, 1, 1, 1)))
    assert grad_input.sum() == 1
    assert grad_input.argmax() == x.argmax()


def test_repr_names_the_settings() -> None:
    assert repr(MaxPool2d(3, 2, 1)) == (
        "MaxPool2d(kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))"
    )
    assert repr(Flatten()) == "Flatten()"


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), r"`kernel_size` \(=0\) must be .* at least 1\."),
        ((2, (1, 0)), r"`stride` \(=\(1, 0\)\) must be .* at least 1\."),
        ((2, 2, -1), r"`padding` \(=-1\) must be .* at least 0\."),
        (((4, 3), 1, 2), r"`padding` \(=2\) must be at most half of `kernel_size` \(=\(4, 3\)\)"),
    ],
)
def test_wrong_settings_are_named(name: str, arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        POOLS[name][0](*arguments)


@pytest.mark.parametrize("layer", [MaxPool2d(2), AvgPool2d(2), GlobalAvgPool2d()], ids=repr)
def test_wrong_input_shape_says_expected_and_got(layer: Layer) -> None:
    with pytest.raises(ValueError, match=r"`x` must have shape \(N, C, H, W\), got \(3, 4, 5\)\."):
        layer(np.zeros((3, 4, 5)))


@pytest.mark.parametrize("name", POOLS)
def test_an_image_smaller_than_the_window_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"spans 3×3 pixels, .* only 2×5\."):
        POOLS[name][0](3)(np.zeros((1, 1, 2, 5)))

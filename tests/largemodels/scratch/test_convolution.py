"""The convolution equals PyTorch's, for every setting and on images that are not square."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import signal

from largemodels.scratch import Conv2d, gradient_check

seeds = st.integers(0, 2**32 - 1)
DIFFERENT = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}


def pairs(minimum: int, maximum: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(minimum, maximum), st.integers(minimum, maximum))


def make_layer(*arguments: Any, **options: Any) -> Conv2d:
    """Make a float64 layer whose bias is not zero, as it would be after the first step."""
    rng = np.random.default_rng(1)
    layer = Conv2d(*arguments, rng=rng, dtype=np.float64, **options)
    if layer.bias is not None:
        layer.bias.data[...] = rng.standard_normal(layer.out_channels)
    return layer


@given(
    n=st.integers(1, 3),
    channels=st.lists(st.integers(1, 5), min_size=2, max_size=2, unique=True),
    image_size=pairs(1, 9),
    kernel_size=pairs(1, 4),
    stride=pairs(1, 3),
    padding=pairs(0, 2),
    dilation=pairs(1, 3),
    groups=st.integers(1, 3),
    bias=st.booleans(),
    seed=seeds,
)
@settings(deadline=None)
def test_convolution_equals_pytorch(
    assert_equals_pytorch: Callable,
    n: int,
    channels: list[int],
    image_size: tuple[int, int],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    bias: bool,
    seed: int,
) -> None:
    sizes = zip(image_size, kernel_size, padding, dilation, strict=True)
    assume(all(image + 2 * p > d * (k - 1) for image, k, p, d in sizes))
    # In PyTorch's order, as positions: so the order of the arguments is tested, too.
    arguments = (groups * channels[0], groups * channels[1], kernel_size)
    arguments += (stride, padding, dilation, groups, bias)
    x = np.random.default_rng(seed).standard_normal((n, groups * channels[0], *image_size))
    assert_equals_pytorch(make_layer(*arguments), torch.nn.Conv2d(*arguments), x)


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize(
    ("image_size", "options"),
    [
        ((6, 9), {}),
        ((6, 9), DIFFERENT),
        ((7, 8), {"stride": 3}),  # The last row and the last two columns lie in no window.
        ((5, 4), {"stride": (4, 5)}),  # Whole rows and columns lie between the windows.
        ((2, 3), {"padding": (2, 1)}),  # Some windows see almost nothing but padding.
        ((6, 9), {"groups": 2, "bias": False}),
    ],
)
def test_named_settings_equal_pytorch(
    assert_equals_pytorch: Callable, n: int, image_size: tuple[int, int], options: dict
) -> None:
    x = np.random.default_rng(0).standard_normal((n, 4, *image_size))
    layer = make_layer(4, 6, (3, 2), **options)
    assert_equals_pytorch(layer, torch.nn.Conv2d(4, 6, (3, 2), **options), x)


def test_convolution_equals_scipy() -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 7))
    layer = make_layer(2, 1, (2, 3), bias=False)
    expected = sum(
        signal.correlate2d(x[0, c], layer.weight.data[0, c], mode="valid") for c in range(2)
    )
    np.testing.assert_allclose(layer(x)[0, 0], expected, rtol=1e-12)


def test_gradient_check_passes() -> None:
    rng = np.random.default_rng(0)
    layer = make_layer(2, 4, (2, 3), **DIFFERENT, groups=2)
    result = gradient_check(layer, rng.standard_normal((2, 2, 4, 6)), rng)
    assert result.passed, str(result)


# What follows names the usual slips one by one: numbers that a reader can check by hand.


def one_filter(weight: list, **options: Any) -> Conv2d:
    array = np.array(weight, dtype=np.float64)
    layer = Conv2d(array.shape[0], 1, array.shape[1:], dtype=np.float64, **options)
    layer.weight.data[0] = array
    return layer


def test_the_kernel_is_not_flipped() -> None:
    layer = one_filter([[[1, 10, 100]]])
    np.testing.assert_array_equal(layer(np.array([[[[1.0, 2, 3, 4]]]])), [[[[321, 432]]]])
    layer = one_filter([[[1], [10]]])
    np.testing.assert_array_equal(layer(np.array([[[[1.0], [2], [3]]]])), [[[[21], [32]]]])


def test_all_channels_count() -> None:
    layer = one_filter([[[1]], [[10]], [[100]]])
    np.testing.assert_array_equal(layer(np.array([[[[1.0]], [[2]], [[3]]]])), [[[[321]]]])


def test_each_filter_has_its_output_channel_and_its_bias() -> None:
    layer = Conv2d(1, 2, 1, dtype=np.float64)
    layer.weight.data[...] = np.array([[[[2]]], [[[3]]]])
    layer.bias.data[...] = [10, 20]
    np.testing.assert_array_equal(layer(np.array([[[[1.0, 5]]]])), [[[[12, 20]], [[23, 35]]]])
    layer.backward(np.array([[[[1.0, 2]], [[4, 8]]]]))
    np.testing.assert_array_equal(layer.bias.grad, [3, 12])
    np.testing.assert_array_equal(layer.weight.grad[:, 0, 0, 0], [11, 44])


def test_stride_skips_rows_and_columns() -> None:
    x = np.arange(20.0).reshape(1, 1, 4, 5)
    layer = one_filter([[[1]]], stride=(2, 3))
    np.testing.assert_array_equal(layer(x), [[[[0, 3], [10, 13]]]])
    np.testing.assert_array_equal(
        layer.backward(np.array([[[[1.0, 2], [3, 4]]]])),
        [[[[1, 0, 0, 2, 0], [0, 0, 0, 0, 0], [3, 0, 0, 4, 0], [0, 0, 0, 0, 0]]]],
    )


def test_padding_adds_zeros() -> None:
    layer = one_filter([[[1, 10]]], padding=(0, 1))
    np.testing.assert_array_equal(layer(np.array([[[[2.0, 3]]]])), [[[[20, 32, 3]]]])


def test_dilation_spreads_the_kernel() -> None:
    layer = one_filter([[[1, 10]]], dilation=(1, 3))
    np.testing.assert_array_equal(layer(np.array([[[[1.0, 2, 3, 4, 5]]]])), [[[[41, 52]]]])


def test_overlapping_windows_add_up_their_gradients() -> None:
    layer = one_filter([[[1, 10, 100]]])
    layer(np.zeros((1, 1, 1, 4)))
    np.testing.assert_array_equal(
        layer.backward(np.array([[[[1.0, 2]]]])), [[[[1, 10 + 2, 100 + 20, 200]]]]
    )


def test_the_batch_adds_up_in_the_gradient_of_the_weight() -> None:
    layer = one_filter([[[7]]])
    layer(np.array([[[[1.0]]], [[[2.0]]]]))
    layer.backward(np.array([[[[10.0]]], [[[100.0]]]]))
    np.testing.assert_array_equal(layer.weight.grad, [[[[210]]]])
    np.testing.assert_array_equal(layer.bias.grad, [110])


def test_no_bias_means_none() -> None:
    layer = Conv2d(2, 3, 1, bias=False)
    assert layer.bias is None
    assert layer.state_dict().keys() == {"weight"}


def test_the_seed_and_the_initializer_decide_the_weight() -> None:
    first, second = (Conv2d(16, 32, 3, rng=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.weight.data, second.weight.data)
    # He: the variance is 2 / fan_in, and fan_in counts the whole window.
    assert first.weight.data.var() == pytest.approx(2 / (16 * 9), rel=0.1)
    assert not Conv2d(16, 32, 3, initializer="zeros").weight.data.any()


def test_the_output_may_be_changed_in_place() -> None:
    layer = Conv2d(2, 3, 2)
    x = np.ones((1, 2, 4, 5), dtype=np.float32)
    first = layer(x)
    expected = first.copy()
    first[...] = 0
    np.testing.assert_array_equal(layer(x), expected)


@pytest.mark.parametrize("padding", [0, 1])
def test_memory_stays_close_to_that_of_the_windows(padding: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 16, 28, 28), dtype=np.float32)
    layer = Conv2d(16, 32, 3, padding=padding)
    grad_output = rng.standard_normal(layer(x).shape, dtype=np.float32)
    limit = 1.3 * 9 * 16 * grad_output[:, 0].nbytes  # 1.3 times KH·KW·C numbers for each window.
    for run in (lambda: layer(x), lambda: layer.backward(grad_output)):
        tracemalloc.start()
        run()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= limit


def test_repr_is_pytorchs() -> None:
    for options in ({}, DIFFERENT, {"padding": 1, "groups": 2, "bias": False}):
        ours, theirs = Conv2d(2, 4, 3, **options), torch.nn.Conv2d(2, 4, 3, **options)
        assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 2, 3), r"`in_channels` \(=0\) must be at least 1\."),
        ((2, 0, 3), r"`out_channels` \(=0\) must be at least 1\."),
        ((2, 2, 3, 1, 0, 1, 0), r"`groups` \(=0\) must be at least 1\."),
        ((3, 4, 3, 1, 0, 1, 2), r"`in_channels` \(=3\) must be divisible by `groups` \(=2\)\."),
        ((4, 3, 3, 1, 0, 1, 2), r"`out_channels` \(=3\) must be divisible by `groups` \(=2\)\."),
        ((1, 1, (3, 0)), r"`kernel_size` \(=\(3, 0\)\) must be .* at least 1\."),
        ((1, 1, (3, 3, 3)), r"`kernel_size` \(=\(3, 3, 3\)\) must be .* a pair of integers"),
        ((1, 1, 3, 0), r"`stride` \(=0\) must be .* at least 1\."),
        ((1, 1, 3, 1.5), r"`stride` \(=1\.5\) must be an integer"),
        ((1, 1, 3, 1, -1), r"`padding` \(=-1\) must be .* at least 0\."),
        ((1, 1, 3, 1, "same"), r"`padding` \(='same'\) must be an integer"),
        ((1, 1, 3, 1, 0, 0), r"`dilation` \(=0\) must be .* at least 1\."),
    ],
)
def test_wrong_settings_are_named(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conv2d(*arguments)


def test_unknown_initializer_is_named() -> None:
    with pytest.raises(ValueError, match=r"`initializer` \(='best'\) must be one of: zeros"):
        Conv2d(1, 1, 1, initializer="best")


@pytest.mark.parametrize("shape", [(2, 4, 5, 5), (3, 5, 5), (3,)])
def test_wrong_input_shape_says_expected_and_got(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"`x` must have shape \(N, 3, H, W\), got \(") as error:
        Conv2d(3, 6, 3)(np.zeros(shape, dtype=np.float32))
    assert str(shape) in str(error.value)


def test_an_image_smaller_than_the_kernel_is_an_error() -> None:
    layer = Conv2d(1, 1, (3, 2), padding=(0, 1), dilation=(2, 1))
    with pytest.raises(ValueError, match=r"spans 5×2 pixels, .* only 4×3\."):
        layer(np.zeros((1, 1, 4, 1), dtype=np.float32))

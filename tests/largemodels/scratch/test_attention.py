"""Attention equals PyTorch's, with and without masks, and never looks into the future."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from largemodels.scratch import (
    Layer,
    MultiHeadAttention,
    ScaledDotProductAttention,
    gradient_check,
    scaled_dot_product_attention,
    softmax,
)

seeds = st.integers(0, 2**32 - 1)
sizes = st.lists(st.integers(1, 6), min_size=5, max_size=5, unique=True)


def assert_equal(ours: np.ndarray, theirs: torch.Tensor) -> None:
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)


def leaves(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(array).requires_grad_() for array in arrays]


@given(
    size=sizes,
    batch=st.sampled_from([(), (2,), (3, 2)]),
    mask=st.sampled_from([None, "full", "keys", "queries"]),
    is_causal=st.booleans(),
    seed=seeds,
)
@settings(deadline=None, max_examples=40)
def test_scaled_dot_product_attention_equals_pytorch(
    size: list[int], batch: tuple[int, ...], mask: str | None, is_causal: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    queries, keys, features, value_features = size[:4]
    query, key, value = (
        rng.standard_normal((*batch, *shape))
        for shape in [(queries, features), (keys, features), (keys, value_features)]
    )
    shapes = {"full": (*batch, queries, keys), "keys": (1, keys), "queries": (queries, 1)}
    attn_mask = None if mask is None else rng.random(shapes[mask]) < 0.6
    layer = ScaledDotProductAttention()
    y = layer(query, key, value, attn_mask, is_causal)
    grad_output = rng.standard_normal(y.shape)
    grads = layer.backward(grad_output)

    # PyTorch takes a mask or `is_causal`, not both.
    allowed = np.ones((queries, keys), dtype=bool) if attn_mask is None else attn_mask
    if is_causal:
        allowed = allowed & np.tril(np.ones((queries, keys), dtype=bool))
    inputs = leaves(query, key, value)
    torch_y = functional.scaled_dot_product_attention(*inputs, torch.from_numpy(allowed))
    torch_y.backward(torch.from_numpy(grad_output))
    assert_equal(y, torch_y)
    for ours, theirs in zip(grads, inputs, strict=True):
        assert_equal(ours, theirs.grad)
    if attn_mask is None:
        theirs = functional.scaled_dot_product_attention(*inputs, is_causal=is_causal)
        assert_equal(y, theirs)
    function = scaled_dot_product_attention(query, key, value, attn_mask, is_causal)
    np.testing.assert_array_equal(function, y)


@given(
    size=sizes,
    num_heads=st.integers(1, 3),
    bias=st.booleans(),
    masks=st.sets(st.sampled_from(["attn", "padding", "causal"])),
    seed=seeds,
)
@settings(deadline=None, max_examples=40)
def test_multi_head_attention_equals_pytorch(
    size: list[int], num_heads: int, bias: bool, masks: set[str], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n, queries, keys, head_features = size[:4]
    embed_dim = num_heads * head_features
    layer = MultiHeadAttention(embed_dim, num_heads, bias=bias, rng=rng, dtype=np.float64)
    for parameter in layer.parameters():  # Biases start at zero; here they must count.
        parameter.data[...] = rng.standard_normal(parameter.data.shape)
    query, key, value = (
        rng.standard_normal((n, length, embed_dim)) for length in (queries, keys, keys)
    )
    attn_mask = rng.random((queries, keys)) < 0.3
    padding = rng.random((n, keys)) < 0.3
    attn_mask[:, 0] = padding[:, 0] = False  # PyTorch gives "not a number" where nothing is left.
    y = layer(
        query,
        key,
        value,
        key_padding_mask=padding if "padding" in masks else None,
        attn_mask=attn_mask if "attn" in masks else None,
        is_causal="causal" in masks,
    )
    grad_output = rng.standard_normal(y.shape)
    grads = layer.backward(grad_output)

    forbidden = attn_mask if "attn" in masks else np.zeros_like(attn_mask)
    if "causal" in masks:
        forbidden = forbidden | np.triu(np.ones_like(attn_mask), 1)
    twin = torch.nn.MultiheadAttention(embed_dim, num_heads, bias=bias, batch_first=True).double()
    state = layer.state_dict()
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    inputs = leaves(query, key, value)
    torch_y, torch_weights = twin(
        *inputs,
        key_padding_mask=torch.from_numpy(padding) if "padding" in masks else None,
        attn_mask=torch.from_numpy(forbidden),
        average_attn_weights=False,
    )
    torch_y.backward(torch.from_numpy(grad_output))
    assert_equal(y, torch_y)
    assert_equal(layer.attention_weights, torch_weights)
    for ours, theirs in zip(grads, inputs, strict=True):
        assert_equal(ours, theirs.grad)
    expected = dict(twin.named_parameters())
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        assert_equal(parameter.grad, expected[name].grad)


# What follows names the usual slips one by one.


def test_scores_are_divided_by_the_root_of_the_number_of_features() -> None:
    query = np.array([[1.0, 1, 1, 1]])
    key = np.array([[1.0, 1, 1, 1], [0, 0, 0, 0]])
    expected = softmax(np.array([4 / 2, 0]))  # Not 4, and not 4 / 4.
    y = scaled_dot_product_attention(query, key, np.eye(2))
    np.testing.assert_allclose(y, [expected], rtol=1e-15)


def test_the_weights_of_each_query_sum_to_one() -> None:
    layer, rng = ScaledDotProductAttention(), np.random.default_rng(0)
    mask = rng.random((2, 3, 4)) < 0.5
    mask[..., 0] = True
    inputs = [rng.standard_normal(shape) for shape in [(2, 3, 5), (2, 4, 5), (2, 4, 6)]]
    layer(*inputs, mask)
    # Over the queries they would not, nor with a mask after the softmax.
    np.testing.assert_allclose(layer.attention_weights.sum(axis=-1), 1, rtol=1e-15)
    assert (layer.attention_weights[~mask] == 0).all()
    assert (layer.attention_weights[mask] > 0).all()


def test_keys_say_where_and_values_say_what() -> None:
    query, key = np.array([[100.0, 0]]), np.array([[1.0, 0], [0, 1]])
    value = np.array([[3.0, 4], [5, 6]])
    np.testing.assert_allclose(scaled_dot_product_attention(query, key, value), [[3, 4]])
    np.testing.assert_allclose(scaled_dot_product_attention(query, key[::-1], value), [[5, 6]])


def test_a_true_mask_allows_and_a_query_without_keys_gets_zeros() -> None:
    layer, value = ScaledDotProductAttention(), np.array([[1.0], [2.0]])
    mask = np.array([[True, False], [False, True], [False, False]])
    y = layer(np.ones((3, 1)), np.ones((2, 1)), value, mask)
    np.testing.assert_array_equal(y, [[1], [2], [0]])
    for grad in layer.backward(np.ones((3, 1))):
        assert np.isfinite(grad).all()


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_large_scores_do_not_overflow(scale: float) -> None:
    x = scale * np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    layer = ScaledDotProductAttention()
    assert np.isfinite(layer(x, x, x, is_causal=True)).all()
    assert all(np.isfinite(grad).all() for grad in layer.backward(np.ones_like(x)))


def test_the_future_does_not_change_the_past() -> None:
    rng = np.random.default_rng(0)
    layer = MultiHeadAttention(6, 3, rng=rng)
    x = rng.standard_normal((2, 5, 6)).astype(np.float32)
    y = layer(x, x, x, is_causal=True)
    for t in range(1, 5):
        other = x.copy()
        other[:, t:] = 100 * rng.standard_normal((2, 5 - t, 6))
        other_y = layer(other, other, other, is_causal=True)
        np.testing.assert_array_equal(other_y[:, :t], y[:, :t])  # To the last bit.
        assert (other_y[:, t:] != y[:, t:]).any(axis=-1).all()
    grad_x = np.zeros_like(x)
    grad_output = np.zeros_like(x)
    grad_output[:, 2] = 1
    layer(x, x, x, is_causal=True)
    grad_x = sum(layer.backward(grad_output), grad_x)
    assert (grad_x[:, :3] != 0).any()
    assert (grad_x[:, 3:] == 0).all()


def test_each_head_owns_neighboring_features() -> None:
    layer = MultiHeadAttention(4, 2, bias=False, dtype=np.float64)
    layer.in_proj_weight.data[...] = np.concatenate([np.eye(4)] * 3)
    layer.out_proj.weight.data[...] = np.eye(4)
    # The first two features point to position 0, the last two to position 1.
    query = np.array([[[100.0, 0, 0, 100]]])
    x = np.array([[[1.0, 0, 1, 0], [0, 1, 0, 1]]])
    value = np.array([[[1.0, 2, 3, 4], [5, 6, 7, 8]]])
    np.testing.assert_allclose(layer(query, x, value), [[[1, 2, 7, 8]]])


def test_padding_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    layer = MultiHeadAttention(4, 2, rng=rng, dtype=np.float64)
    x = rng.standard_normal((1, 5, 4))
    padding = np.array([[False, False, False, True, True]])
    np.testing.assert_allclose(
        layer(x, x, x, key_padding_mask=padding)[:, :3],
        layer(x[:, :3], x[:, :3], x[:, :3]),
        rtol=1e-12,
    )


def test_dropout_zeroes_weights_and_the_backward_pass_knows_which() -> None:
    class SameDraw(Layer):
        """Attention of a sequence to itself that drops the same weights at each forward pass."""

        def __init__(self) -> None:
            self.inner = ScaledDotProductAttention(0.5, rng=np.random.default_rng(3))

        def forward(self, x: np.ndarray) -> np.ndarray:
            self.inner.dropout.rng = np.random.default_rng(3)
            return self.inner(x, x, x)

        def backward(self, grad_output: np.ndarray) -> np.ndarray:
            return sum(self.inner.backward(grad_output), np.zeros_like(grad_output))

    x = np.random.default_rng(0).standard_normal((2, 4, 3))
    layer = SameDraw()
    assert (layer(x) != layer.eval()(x)).any()
    np.testing.assert_array_equal(layer(x), scaled_dot_product_attention(x, x, x))
    result = gradient_check(layer.train(), x, np.random.default_rng(1))
    assert result, result
    # Of 1,000 equal weights about half are left, twice as large.
    inner = ScaledDotProductAttention(0.5, rng=np.random.default_rng(0))
    y = inner(np.zeros((1, 1)), np.zeros((1000, 1)), np.eye(1000))
    assert set(y.ravel()) == {0, 0.002}
    assert (inner.attention_weights == 0.001).all()


x = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MultiHeadAttention(0, 1), r"`embed_dim` \(=0\) must be at least 1"),
        (lambda: MultiHeadAttention(4, 0), r"`num_heads` \(=0\) must be at least 1"),
        (lambda: MultiHeadAttention(4, 3), r"`embed_dim` \(=4\) .* by `num_heads` \(=3\)"),
        (lambda: MultiHeadAttention(4, 2, 1.5), r"`p` \(=1.5\) must be from 0 to 1"),
        (
            lambda: MultiHeadAttention(5, 1)(x, x, x),
            r"`query` must have shape \(N, length, 5\), got \(2, 3, 4\)",
        ),
        (
            lambda: MultiHeadAttention(4, 2)(x, x, x[:, :2]),
            r"`value` must have shape \(2, 2, 3, 2\), got \(2, 2, 2, 2\)",
        ),
        (
            lambda: MultiHeadAttention(4, 2)(x, x, x, attn_mask=np.ones((3, 4), bool)),
            r"`attn_mask` must have shape \(3, 3\), got \(3, 4\)",
        ),
        (
            lambda: MultiHeadAttention(4, 2)(x, x, x, key_padding_mask=np.ones((3, 3), bool)),
            r"`key_padding_mask` must have shape \(2, 3\), got \(3, 3\)",
        ),
        (
            lambda: MultiHeadAttention(4, 2)(x, x, x, key_padding_mask=np.ones((2, 3))),
            "`key_padding_mask` must be boolean, got float64",
        ),
        (lambda: scaled_dot_product_attention(x[0, 0], x, x), r"`query` must have at least 2"),
        (
            lambda: scaled_dot_product_attention(x, x[..., :2], x),
            r"`key` must have shape \(2, 3, 4\), got \(2, 3, 2\)",
        ),
        (
            lambda: scaled_dot_product_attention(x, x, x[:, :2]),
            r"`value` must have shape \(2, 3, 4\), got \(2, 2, 4\)",
        ),
        (
            lambda: scaled_dot_product_attention(x, x, x, np.ones((3, 3))),
            "`attn_mask` must be boolean, got float64",
        ),
        (
            lambda: scaled_dot_product_attention(x, x, x, np.ones((4, 3), bool)),
            r"`attn_mask` .* broadcasts to \(2, 3, 3\), got \(4, 3\)",
        ),
    ],
)
def test_errors_name_argument_and_value(call: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

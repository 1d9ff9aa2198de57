"""Attention weights are those of the model itself, and a rollout is a product of them."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from largemodels import scratch
from largemodels.models.pytorch.gpt import GPT
from largemodels.trust.attention_maps import (
    attention_rollout,
    attention_weights,
    permuted_attention,
)

X = np.random.default_rng(0).standard_normal((2, 5, 8))


def multihead(seed=0, **options):
    torch.manual_seed(seed)
    layer = nn.MultiheadAttention(8, 2, batch_first=True, dropout=0.3, **options).double()
    nn.init.normal_(layer.in_proj_bias)
    return layer


class OwnAttention(nn.Module):
    """Causal self-attention that calls PyTorch's function itself, as a GPT does."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.in_proj = nn.Linear(8, 24).double()

    def heads(self, x):
        # (N, T, 3 · 8) -> (N, T, 3, 2, 4) -> (3, N, 2, T, 4)
        return self.in_proj(x).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)

    def forward(self, x):
        y = functional.scaled_dot_product_attention(*self.heads(x), is_causal=True)
        return y.transpose(1, 2).flatten(2)  # (N, 2, T, 4) -> (N, T, 8)


def encoder(layers=3):
    torch.manual_seed(2)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
    return nn.TransformerEncoder(layer, layers).double()


def test_weights_of_a_torch_layer_are_those_it_returns_itself():
    layer = multihead()
    (weights,) = attention_weights(layer, X, X[:, :3], X[:, :3])
    x = torch.as_tensor(X)
    _, expected = layer.eval()(x, x[:, :3], x[:, :3], average_attn_weights=False)
    assert weights.shape == (2, 2, 5, 3)
    np.testing.assert_allclose(weights, expected.detach().numpy(), atol=1e-12)


def test_weights_of_an_own_attention_are_the_softmax_of_its_scores():
    model = OwnAttention()
    (weights,) = attention_weights(model, X)
    query, key, _ = model.heads(torch.as_tensor(X)).detach().numpy()
    scores = query @ key.swapaxes(-1, -2) / 2 + np.where(np.tri(5) > 0, 0, -np.inf)
    expected = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, atol=1e-12)
    assert (weights[..., np.tri(5) == 0] == 0).all()


def test_weights_of_a_scratch_layer_equal_those_of_torch():
    layer = multihead()
    twin = scratch.MultiHeadAttention(8, 2, dropout=0.3, dtype=np.float64)
    twin.load_state_dict({name: value.numpy() for name, value in layer.state_dict().items()})
    (weights,) = attention_weights(layer, X, X, X)
    (twin_weights,) = attention_weights(twin, X, X, X)
    np.testing.assert_allclose(twin_weights, weights, atol=1e-12)
    assert twin.training


def test_weights_of_a_scratch_gpt_come_block_by_block():
    model = scratch.GPT(7, 6, d_model=8, nhead=2, num_layers=3, rng=np.random.default_rng(0))
    weights = attention_weights(model, np.array([[0, 1, 2, 3]]))
    assert [array.shape for array in weights] == [(1, 2, 4, 4)] * 3
    for block, array in zip(model.blocks.layers, weights, strict=True):
        assert array is block.self_attn.attention_weights
        assert (array[..., np.tri(4) == 0] == 0).all()
        assert block.self_attn.attention.dropout.training


def test_weights_of_the_torch_gpt_equal_those_of_its_scratch_twin():
    torch.manual_seed(0)
    model = GPT(7, 6, d_model=8, nhead=2, num_layers=3).double()
    twin = scratch.GPT(7, 6, d_model=8, nhead=2, num_layers=3, dtype=np.float64)
    twin.load_state_dict({name: value.numpy() for name, value in model.state_dict().items()})
    tokens = np.array([[0, 1, 2, 3], [6, 5, 4, 4]])
    pairs = zip(attention_weights(model, tokens), attention_weights(twin, tokens), strict=True)
    for weights, twin_weights in pairs:
        np.testing.assert_allclose(weights, twin_weights, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_weights_of_an_encoder_come_layer_by_layer_and_it_stays_as_it_was(training):
    model = encoder().train(training)
    weights = attention_weights(model, X)
    assert [array.shape for array in weights] == [(2, 2, 5, 5)] * 3
    assert all(module.training is training for module in model.modules())
    # Each layer again by hand: the input of the second layer is the output of the first.
    x = torch.as_tensor(X)
    for layer, array in zip(model.eval().layers, weights, strict=True):
        _, expected = layer.self_attn(x, x, x, average_attn_weights=False)
        np.testing.assert_allclose(array, expected.detach().numpy(), atol=1e-12)
        x = layer(x)


@pytest.mark.parametrize("needs", [{}, {"average_attn_weights": False}, {"need_weights": False}])
def test_model_gets_what_it_asked_for_while_the_weights_are_read(needs):
    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.outputs = multihead(), []

        def forward(self, x):
            self.outputs.append(self.layer(x, x, x, **needs))

    model = Asks().eval()
    attention_weights(model, X)
    model(torch.as_tensor(X))
    (y, weights), (expected_y, expected_weights) = model.outputs
    torch.testing.assert_close(y, expected_y)
    assert (weights is None) == (expected_weights is None)
    if weights is not None:
        torch.testing.assert_close(weights, expected_weights)


def test_masks_hide_keys_also_while_the_weights_are_read():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = multihead()

        def forward(self, x):
            padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
            future = torch.ones(5, 5, dtype=torch.bool).triu(1)
            return self.layer(x, x, x, key_padding_mask=padding, attn_mask=future)[0]

    model = Masked().eval()
    (weights,) = attention_weights(model, X)
    assert (weights[..., np.tri(5) == 0] == 0).all()
    assert (weights[1, :, :, 3:] == 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1)
    # What the masks hide stays hidden when the model looks elsewhere.
    x = torch.as_tensor(X)
    changed = torch.as_tensor(np.where(np.arange(5)[:, None] > 2, 9.0, X))
    with permuted_attention(seed=0):
        before = model(x)
    with permuted_attention(seed=0):
        after = model(changed)
    torch.testing.assert_close(before[:, :3], after[:, :3])


@pytest.mark.parametrize("make", [OwnAttention, encoder])
def test_permuted_attention_changes_the_output_only_inside_the_block(make):
    model, x = make().eval(), torch.as_tensor(X)
    before = model(x)
    with permuted_attention(seed=0):
        inside = model(x)
    with permuted_attention(seed=0):
        again = model(x)
    with permuted_attention(seed=1):
        other = model(x)
    torch.testing.assert_close(model(x), before)
    assert (inside - before).abs().max() > 0.01
    torch.testing.assert_close(inside, again)
    assert (inside - other).abs().max() > 0.01


def test_permuted_rows_hold_the_same_weights_in_another_order():
    model, values = OwnAttention(), []
    query, key, _ = model.heads(torch.as_tensor(X))
    value = torch.eye(5).double().expand(2, 2, 5, 5)  # With it, the output is the weights.
    for seed in range(200):
        with permuted_attention(seed=seed):
            values.append(functional.scaled_dot_product_attention(query, key, value))
    plain = functional.scaled_dot_product_attention(query, key, value)
    for permuted in values:
        torch.testing.assert_close(permuted.sort().values, plain.sort().values)
    # Each place gets each weight equally often, so the mean over many draws is flat.
    mean = torch.stack(values).mean(dim=0)
    torch.testing.assert_close(mean, torch.full_like(mean, 0.2), atol=0.06, rtol=0)


def test_permuted_attention_can_be_trained_through():
    model, x = OwnAttention(), torch.as_tensor(X)
    with permuted_attention(seed=0):
        model(x).square().sum().backward()
    assert model.in_proj.weight.grad.abs().sum() > 0


def test_rollout_multiplies_the_layers_from_the_last_to_the_first():
    first = np.array([[1.0, 0.0], [1.0, 0.0]])  # Both look at token 0.
    second = np.array([[0.0, 1.0], [0.0, 1.0]])  # Both look at position 1.
    # By hand: A1 = [[1, 0], [.5, .5]], A2 = [[.5, .5], [0, 1]], A2 A1.
    expected = [[[0.75, 0.25], [0.5, 0.5]]]
    np.testing.assert_allclose(attention_rollout([first[None, None], second[None, None]]), expected)


def test_rollout_takes_the_mean_of_the_heads_and_keeps_rows_and_causality():
    weights = attention_weights(encoder(), X)
    rollout = attention_rollout(weights)
    assert rollout.shape == (2, 5, 5)
    np.testing.assert_allclose(rollout.sum(axis=-1), 1)
    swapped = [layer[:, ::-1] for layer in weights]
    np.testing.assert_allclose(attention_rollout(swapped), rollout)
    causal = attention_rollout(attention_weights(OwnAttention(), X) * 2)
    assert (causal[:, np.tri(5) == 0] == 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: attention_weights(nn.Linear(8, 8), X), r"`model` \(a Linear\) has no attention"),
        (
            lambda: attention_weights(scratch.Linear(8, 8), X[0]),
            r"`model` \(a Linear\) has no attention",
        ),
        (lambda: attention_rollout([]), r"`weights` is empty"),
        (
            lambda: attention_rollout([np.ones((1, 2, 3, 4))]),
            r"`weights\[0\]` \(of shape \(1, 2, 3, 4\)\) must have shape",
        ),
        (
            lambda: attention_rollout([np.ones((1, 2, 3, 3)), np.ones((1, 2, 4, 4))]),
            r"`weights\[1\]` \(of shape \(1, 2, 4, 4\)\) must have the N and the T",
        ),
    ],
)
def test_errors_name_argument_and_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Transformer blocks and the GPT equal PyTorch's; no position sees the future; a GPT learns."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from largemodels.scratch import (
    GELU,
    GPT,
    Adam,
    CrossEntropyLoss,
    Layer,
    ReLU,
    Sigmoid,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
    generate_greedy,
    gradient_check,
)

seeds = st.integers(0, 2**32 - 1)
sizes = st.lists(st.integers(1, 6), min_size=5, max_size=5, unique=True)
block_options = st.fixed_dictionaries(
    {
        "norm_first": st.booleans(),
        "bias": st.booleans(),
        "layer_norm_eps": st.sampled_from([1e-5, 0.1]),
    }
)
ACTIVATIONS = {"relu": ReLU, "gelu": GELU}


def assert_equal(ours: np.ndarray, theirs: torch.Tensor | None, name: str = "") -> None:
    assert theirs is not None
    assert ours.shape == tuple(theirs.shape)
    expected = theirs.detach().numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-10, err_msg=name)


def with_random_parameters(layer: Layer, rng: np.random.Generator) -> Any:
    for parameter in layer.parameters():
        parameter.data[...] = rng.standard_normal(parameter.data.shape)
    return layer


def move(layer: Layer, twin: nn.Module) -> nn.Module:
    twin = twin.double()
    state = layer.state_dict()
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    return twin


def assert_equal_gradients(layer: Layer, twin: nn.Module) -> None:
    expected = dict(twin.named_parameters())
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        assert_equal(parameter.grad, expected[name].grad, name)


def draw_masks(
    rng: np.random.Generator, n: int, queries: int, keys: int
) -> tuple[np.ndarray, np.ndarray]:
    attn_mask, padding = rng.random((queries, keys)) < 0.3, rng.random((n, keys)) < 0.3
    attn_mask[:, 0] = padding[:, 0] = False  # Something must be left to look at.
    return attn_mask, padding


def causal_mask(steps: int) -> np.ndarray:
    return np.triu(np.ones((steps, steps), dtype=bool), 1)


@given(
    size=sizes,
    nhead=st.integers(1, 3),
    activation=st.sampled_from(["relu", "gelu"]),
    options=block_options,
    is_causal=st.booleans(),
    seed=seeds,
)
@settings(deadline=None, max_examples=30)
def test_encoder_layer_equals_pytorch(
    size: list[int], nhead: int, activation: str, options: dict, is_causal: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n, steps, head_features, inner = size[:4]
    arguments = (nhead * head_features, nhead, inner, 0.0)
    layer = TransformerEncoderLayer(
        *arguments, ACTIVATIONS[activation], **options, dtype=np.float64
    )
    twin = move(
        with_random_parameters(layer, rng),
        nn.TransformerEncoderLayer(*arguments, activation, **options, batch_first=True),
    )
    src = rng.standard_normal((n, steps, nhead * head_features))
    mask, padding = draw_masks(rng, n, steps, steps)
    y = layer(src, mask, padding, is_causal)
    grad_output = rng.standard_normal(y.shape)
    grad_src = layer.backward(grad_output)

    torch_src = torch.from_numpy(src).requires_grad_()
    torch_mask = torch.from_numpy(mask | causal_mask(steps) if is_causal else mask)
    torch_y = twin(torch_src, torch_mask, torch.from_numpy(padding))
    torch_y.backward(torch.from_numpy(grad_output))
    assert_equal(y, torch_y)
    assert_equal(grad_src, torch_src.grad)
    assert_equal_gradients(layer, twin)


@given(
    size=sizes,
    nhead=st.integers(1, 3),
    activation=st.sampled_from(["relu", "gelu"]),
    options=block_options,
    is_causal=st.booleans(),
    seed=seeds,
)
@settings(deadline=None, max_examples=30)
def test_decoder_layer_equals_pytorch(
    size: list[int], nhead: int, activation: str, options: dict, is_causal: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n, steps, source_steps, head_features, inner = size
    arguments = (nhead * head_features, nhead, inner, 0.0)
    layer = TransformerDecoderLayer(
        *arguments, ACTIVATIONS[activation], **options, dtype=np.float64
    )
    twin = move(
        with_random_parameters(layer, rng),
        nn.TransformerDecoderLayer(*arguments, activation, **options, batch_first=True),
    )
    tgt, memory = (
        rng.standard_normal((n, length, nhead * head_features)) for length in (steps, source_steps)
    )
    tgt_mask, tgt_padding = draw_masks(rng, n, steps, steps)
    memory_mask, memory_padding = draw_masks(rng, n, steps, source_steps)
    y = layer(tgt, memory, tgt_mask, memory_mask, tgt_padding, memory_padding, is_causal)
    grad_output = rng.standard_normal(y.shape)
    grads = layer.backward(grad_output)

    inputs = [torch.from_numpy(array).requires_grad_() for array in (tgt, memory)]
    forbidden = tgt_mask | causal_mask(steps) if is_causal else tgt_mask
    masks = (forbidden, memory_mask, tgt_padding, memory_padding)
    torch_y = twin(*inputs, *(torch.from_numpy(mask) for mask in masks))
    torch_y.backward(torch.from_numpy(grad_output))
    assert_equal(y, torch_y)
    for ours, theirs in zip(grads, inputs, strict=True):
        assert_equal(ours, theirs.grad)
    assert_equal_gradients(layer, twin)


class TorchGPT(nn.Module):
    def __init__(
        self, v: int, context: int, d: int, nhead: int, layers: int, inner: int, tied: bool
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(v, d)
        self.position_embedding = nn.Embedding(context, d)
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    d, nhead, inner, 0.0, "gelu", batch_first=True, norm_first=True
                )
                for _ in range(layers)
            )
        )
        self.norm = nn.LayerNorm(d)
        if not tied:
            self.head = nn.Linear(d, v, bias=False)
        self.tied = tied

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        steps = tokens.shape[1]
        x = self.token_embedding(tokens) + self.position_embedding.weight[:steps]
        for block in self.blocks:
            x = block(x, torch.from_numpy(causal_mask(steps)))
        weight = self.token_embedding.weight if self.tied else self.head.weight
        return functional.linear(self.norm(x), weight)


@given(size=sizes, nhead=st.integers(1, 3), tied=st.booleans(), seed=seeds)
@settings(deadline=None, max_examples=20)
def test_gpt_equals_pytorch(size: list[int], nhead: int, tied: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, steps, head_features, v, layers = size
    layers = min(layers, 3)
    d, context, inner = nhead * head_features, steps + int(rng.integers(3)), 7
    model = GPT(
        v,
        context,
        d,
        nhead,
        layers,
        dim_feedforward=inner,
        dropout=0.0,
        tie_weights=tied,
        dtype=np.float64,
    )
    # Small enough that a softmax does not saturate, and large enough that everything counts.
    for parameter in model.parameters():
        parameter.data[...] = 0.5 * rng.standard_normal(parameter.data.shape)
    twin = move(model, TorchGPT(v, context, d, nhead, layers, inner, tied))
    tokens = rng.integers(0, v, (n, steps))
    logits = model(tokens)
    grad_output = rng.standard_normal(logits.shape)
    model.backward(grad_output)
    torch_logits = twin(torch.from_numpy(tokens))
    torch_logits.backward(torch.from_numpy(grad_output))
    assert_equal(logits, torch_logits)
    assert_equal_gradients(model, twin)


def small_gpt(**options: Any) -> GPT:
    settings = {"dropout": 0.0, "rng": np.random.default_rng(0)} | options
    return GPT(7, 6, d_model=8, nhead=2, num_layers=2, **settings)


def test_the_future_does_not_change_the_past_of_a_gpt() -> None:
    rng = np.random.default_rng(1)
    model = with_random_parameters(small_gpt(), rng)
    tokens = rng.integers(0, 7, (2, 6))
    logits = model(tokens)
    for t in range(1, 6):
        other = tokens.copy()
        other[:, t:] = (other[:, t:] + 1) % 7
        other_logits = model(other)
        np.testing.assert_array_equal(other_logits[:, :t], logits[:, :t])  # To the last bit.
        assert (other_logits[:, t:] != logits[:, t:]).any(axis=-1).all()


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_future_does_not_change_the_past_of_a_block(norm_first: bool) -> None:
    rng = np.random.default_rng(0)
    encoder = TransformerEncoderLayer(6, 3, 5, 0.0, norm_first=norm_first, rng=rng)
    decoder = TransformerDecoderLayer(6, 3, 5, 0.0, norm_first=norm_first, rng=rng)
    x, memory = (rng.standard_normal((2, steps, 6)).astype(np.float32) for steps in (5, 4))
    other = x.copy()
    other[:, 3:] *= -2
    for y, other_y in [
        (encoder(x, is_causal=True), encoder(other, is_causal=True)),
        (decoder(x, memory, tgt_is_causal=True), decoder(other, memory, tgt_is_causal=True)),
    ]:
        np.testing.assert_array_equal(y[:, :3], other_y[:, :3])  # To the last bit.
        assert (y[:, 3:] != other_y[:, 3:]).any()
    # All of the memory counts, also for the first position.
    y = decoder(x, memory, tgt_is_causal=True)
    memory[:, -1] += 1
    assert (decoder(x, memory, tgt_is_causal=True)[:, 0] != y[:, 0]).any()


def test_a_shorter_text_has_the_logits_of_the_beginning() -> None:
    model, tokens = small_gpt(dtype=np.float64), np.array([[3, 1, 4, 1, 5, 2]])
    np.testing.assert_allclose(model(tokens[:, :4]), model(tokens)[:, :4], rtol=1e-10, atol=1e-13)


def test_the_order_of_the_tokens_counts() -> None:
    model = small_gpt()
    first, second = model(np.array([[1, 2, 3]])), model(np.array([[2, 1, 3]]))
    assert np.abs(first[:, -1] - second[:, -1]).max() > 1e-6


def test_weights_are_tied_or_not() -> None:
    tied, untied = small_gpt(), small_gpt(tie_weights=False)
    assert tied.state_dict().keys() == untied.state_dict().keys() - {"head.weight"}
    assert tied.state_dict()["token_embedding.weight"].shape == (7, 8)
    assert untied.state_dict()["head.weight"].shape == (7, 8)


def test_weights_start_small_and_smaller_where_a_sublayer_ends() -> None:
    model = GPT(300, 200, 64, 4, num_layers=8, rng=np.random.default_rng(0))
    for name, parameter in model.named_parameters():
        if parameter.data.ndim == 2:
            ends = "out_proj" in name or "linear2" in name
            assert parameter.data.std() == pytest.approx(0.005 if ends else 0.02, rel=0.05), name
        else:
            is_scale = "norm" in name and name.endswith("weight")
            assert (parameter.data == is_scale).all(), name
    logits = model.eval()(np.arange(200)[None])
    loss = CrossEntropyLoss()(logits[0], (np.arange(200) * 7) % 300)
    assert loss == pytest.approx(np.log(300), rel=0.02)  # Every token is as probable.


@pytest.mark.parametrize("norm_first", [False, True])
def test_dropout_reaches_every_sublayer_and_its_gradient(norm_first: bool) -> None:
    class SameDraw(Layer):
        """An encoder's output as the memory of a decoder, with the same draws at each pass."""

        def __init__(self) -> None:
            self.rng = np.random.default_rng(0)
            options = {"norm_first": norm_first, "rng": self.rng}
            self.encoder = TransformerEncoderLayer(4, 2, 3, 0.3, GELU, **options)
            self.decoder = TransformerDecoderLayer(4, 2, 3, 0.3, GELU, **options)
            self.start = self.rng.bit_generator.state

        def forward(self, x: np.ndarray) -> np.ndarray:
            self.rng.bit_generator.state = self.start
            return self.decoder(x, self.encoder(x))

        def backward(self, grad_output: np.ndarray) -> np.ndarray:
            grad_x, grad_memory = self.decoder.backward(grad_output)
            return grad_x + self.encoder.backward(grad_memory)

    layer, x = SameDraw(), np.random.default_rng(1).standard_normal((2, 3, 4))
    result = gradient_check(layer, x, np.random.default_rng(2))
    assert result, result
    y = layer.eval()(x)
    np.testing.assert_array_equal(layer(x), y)
    # Each dropout alone makes a difference.
    places = [(part, f"dropout{i}") for part in ("encoder", "decoder") for i in ("", 1, 2)]
    places += [("decoder", "dropout3")]
    for part, name in places:
        getattr(getattr(layer, part), name).train()
        assert (layer(x) != y).any(), (part, name)
        layer.eval()
    for attention in (
        layer.encoder.self_attn,
        layer.decoder.self_attn,
        layer.decoder.multihead_attn,
    ):
        attention.train()
        assert (layer(x) != y).any()
        layer.eval()


def test_what_is_dropped_inside_the_feed_forward_network_adds_nothing() -> None:
    # σ(0) is not 0: the zeros must come after the activation.
    layer = TransformerEncoderLayer(4, 2, 3, 0.0, Sigmoid, norm_first=True)
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    layer.dropout.p = 1
    y = layer(x)
    layer.linear2.weight.data[...] = 0
    np.testing.assert_array_equal(layer.eval()(x), y)


def test_gpt_drops_only_in_training() -> None:
    model, tokens = small_gpt(dropout=0.5), np.array([[1, 2, 3]])
    assert (model(tokens) != model(tokens)).any()
    np.testing.assert_array_equal(model.eval()(tokens), model(tokens))


def test_gpt_learns_what_only_attention_can_find() -> None:
    # Four random tokens, then the same four again: to copy them, it must look four steps back.
    rng = np.random.default_rng(0)
    model = GPT(6, 8, d_model=24, nhead=2, num_layers=1, dropout=0.0, rng=rng)
    loss, optimizer = CrossEntropyLoss(), Adam(model.parameters(), lr=1e-2)
    for _ in range(120):
        half = rng.integers(0, 6, (32, 4))
        text = np.concatenate([half, half], axis=1)
        logits = model(text[:, :-1])
        loss(logits[:, 3:].reshape(-1, 6), text[:, 4:].ravel())
        grad = np.zeros_like(logits)
        grad[:, 3:] = loss.backward().reshape(32, 4, 6)
        model.backward(grad)
        optimizer.step()
    half = rng.integers(0, 6, (100, 4))
    text = generate_greedy(lambda tokens: model(tokens)[:, -1], half, 4)
    assert (text[:, 4:] == half).mean() > 0.98


def test_a_copied_gpt_shares_nothing() -> None:
    model = small_gpt()
    copied = copy.deepcopy(model)
    copied.token_embedding.weight.data += 1
    assert (model.token_embedding.weight.data != copied.token_embedding.weight.data).all()


x = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TransformerEncoderLayer(4, 3), r"`embed_dim` \(=4\) .* by `num_heads` \(=3\)"),
        (lambda: TransformerEncoderLayer(4, 2, 0), r"`dim_feedforward` \(=0\) must be at least 1"),
        (lambda: TransformerEncoderLayer(5, 1)(x), r"`src` must have shape \(N, T, 5\), got"),
        (lambda: TransformerDecoderLayer(5, 1)(x, x), r"`tgt` must have shape \(N, T, 5\), got"),
        (
            lambda: TransformerDecoderLayer(4, 1)(x, x[0]),
            r"`memory` must have shape \(N, T, 4\), got \(3, 4\)",
        ),
        (lambda: GPT(5, 0, 4, 2, 1), r"`context_length` \(=0\) must be at least 1"),
        (lambda: GPT(5, 3, 4, 2, 0), r"`num_layers` \(=0\) must be at least 1"),
        (
            lambda: GPT(5, 3, 4, 2, 1)(np.zeros((2, 4), int)),
            r"`tokens` must have shape \(N, T\) with T from 1 to 3, got \(2, 4\)",
        ),
        (lambda: GPT(5, 3, 4, 2, 1)(np.full((2, 3), 5)), "`tokens` must be from 0 to 4"),
    ],
)
def test_errors_name_argument_and_value(call: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

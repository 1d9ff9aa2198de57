"""The formulas count what PyTorch has and what its profiler sees."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from largemodels.economics import compute
from largemodels.scratch import GPT, LeNet

size = st.integers(1, 9)
few = settings(max_examples=25, deadline=None)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def profile(module: nn.Module, x: torch.Tensor) -> tuple[int, int]:
    """Return the profiler's FLOPs of the forward and of the backward pass."""
    with FlopCounterMode(display=False) as forward:
        y = module(x)
    y = y[0] if isinstance(y, tuple) else y
    with FlopCounterMode(display=False) as backward:
        y.sum().backward()
    return forward.get_total_flops(), backward.get_total_flops()


def kept(module: nn.Module, x: torch.Tensor) -> int:
    """Return how many numbers the graph of a forward pass keeps, without the parameters."""
    parameters = {parameter.data_ptr() for parameter in module.parameters()}
    saved = {}

    def save(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in parameters:
            saved[tensor.data_ptr()] = tensor.clone()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        y = module(x)
    y.sum().backward()
    return sum(tensor.numel() for tensor in saved.values())


def agree(counted: compute.Compute, module: nn.Module, x: torch.Tensor) -> None:
    assert counted.parameters == count(module)
    assert (counted.forward_flops, counted.backward_flops) == profile(module, x)


class Attention(nn.Module):
    """Self-attention with plain matrix products, which the profiler counts one by one."""

    def __init__(self, d_model: int, nhead: int) -> None:
        super().__init__()
        self.nhead = nhead
        self.in_proj = nn.Linear(d_model, 3 * d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part.unflatten(-1, (self.nhead, -1)).transpose(1, 2)  # (N, T, d) -> (N, H, T, d / H)
            for part in self.in_proj(x).chunk(3, -1)
        )
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, d_model: int, nhead: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.attention = Attention(d_model, nhead)
        self.network = nn.Sequential(
            nn.Linear(d_model, width), nn.GELU(), nn.Linear(width, d_model)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.network(self.norm2(x))


class TorchGPT(nn.Module):
    def __init__(self, vocabulary: int, context: int, d_model: int, layers: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, d_model)
        self.positions = nn.Embedding(context, d_model)
        self.blocks = nn.Sequential(*(Block(d_model, 2, 4 * d_model) for _ in range(layers)))
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.tokens(x) + self.positions.weight[: x.shape[1]]
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)


@few
@given(size, size, size, st.booleans(), st.booleans())
def test_linear(in_features, out_features, rows, bias, input_gradient):
    counted = compute.linear(
        in_features, out_features, rows=rows, bias=bias, input_gradient=input_gradient
    )
    x = torch.randn(rows, in_features, requires_grad=input_gradient)
    module = nn.Linear(in_features, out_features, bias=bias)
    agree(counted, module, x)
    assert counted.activations == kept(module, x)


@few
@given(
    size, size, st.integers(1, 3), st.integers(6, 11), st.integers(6, 11), st.integers(1, 4),
    st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.booleans(), st.booleans(),
)  # fmt: skip
def test_conv2d(
    inputs, outputs, kernel, height, width, batch, stride, padding, dilation, bias, gradient
):
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "bias": bias}
    counted = compute.conv2d(
        inputs, outputs, kernel, (height, width), batch_size=batch, input_gradient=gradient,
        **settings,
    )  # fmt: skip
    x = torch.randn(batch, inputs, height, width, requires_grad=gradient)
    agree(counted, nn.Conv2d(inputs, outputs, kernel, **settings), x)
    assert counted.activations == x.numel()


@few
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_grouped_conv2d(groups, inputs, outputs):
    module = nn.Conv2d(groups * inputs, groups * outputs, 3, groups=groups)
    counted = compute.conv2d(groups * inputs, groups * outputs, 3, (7, 8), groups=groups)
    assert counted.parameters == count(module)
    assert counted.forward_flops == profile(module, torch.randn(1, groups * inputs, 7, 8))[0]


@pytest.mark.parametrize(("cell", "module"), [("rnn", nn.RNN), ("gru", nn.GRU), ("lstm", nn.LSTM)])
@few
@given(inputs=size, hidden=size, steps=size, batch=size, bias=st.booleans(), gradient=st.booleans())
def test_recurrent(cell, module, inputs, hidden, steps, batch, bias, gradient):
    counted = compute.recurrent(
        cell, inputs, hidden, steps=steps, batch_size=batch, bias=bias, input_gradient=gradient
    )
    # In float32 the LSTM runs in one fused kernel of the CPU, into which the profiler cannot look.
    torch_module = module(inputs, hidden, bias=bias, batch_first=True).double()
    x = torch.randn(batch, steps, inputs, dtype=torch.float64, requires_grad=gradient)
    agree(counted, torch_module, x)


@few
@given(size, st.integers(1, 3), size, st.integers(1, 3))
def test_attention(head_size, nhead, steps, batch):
    d_model = head_size * nhead
    counted = compute.attention(d_model, nhead, sequence_length=steps, batch_size=batch)
    x = torch.randn(batch, steps, d_model, requires_grad=True)
    module = Attention(d_model, nhead)
    agree(counted, module, x)
    assert counted.activations == kept(module, x)
    assert counted.parameters == count(nn.MultiheadAttention(d_model, nhead))


@few
@given(size, size, size, st.integers(1, 3))
def test_transformer_layer(head_size, width, steps, batch):
    d_model = 2 * head_size
    counted = compute.transformer_layer(
        d_model, 2, sequence_length=steps, batch_size=batch, dim_feedforward=width
    )
    x = torch.randn(batch, steps, d_model, requires_grad=True)
    agree(counted, Block(d_model, 2, width), x)
    assert counted.parameters == count(nn.TransformerEncoderLayer(d_model, 2, width))


@few
@given(st.lists(size, min_size=2, max_size=5), size)
def test_mlp(sizes, batch):
    layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
    module = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
    agree(compute.mlp(sizes, batch_size=batch), module, torch.randn(batch, sizes[0]))


def test_lenet():
    module = nn.Sequential(
        nn.Conv2d(3, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 7),
    )  # fmt: skip
    counted = compute.lenet(batch_size=3, in_channels=3, num_classes=7)
    agree(counted, module, torch.randn(3, 3, 28, 28))
    ours = sum(parameter.data.size for parameter in LeNet(3, 7).parameters())
    assert counted.parameters == ours


@few
@given(st.integers(2, 30), size, size, st.integers(1, 3), st.integers(1, 3), st.data())
def test_gpt(vocabulary, context, half, layers, batch, data):
    length = data.draw(st.integers(1, context))
    counted = compute.gpt(
        vocabulary, context, 2 * half, 2, layers, batch_size=batch, sequence_length=length
    )
    x = torch.randint(vocabulary, (batch, length))
    agree(counted, TorchGPT(vocabulary, context, 2 * half, layers), x)


@pytest.mark.parametrize("tied", [True, False])
def test_gpt_has_the_parameters_of_the_reference(tied):
    model = GPT(11, 7, 6, 2, 3, tie_weights=tied)
    ours = sum(parameter.data.size for parameter in model.parameters())
    assert compute.gpt(11, 7, 6, 2, 3, tie_weights=tied).parameters == ours


@few
@given(st.integers(64, 4096), st.integers(1, 64), st.integers(1, 512))
def test_6nd_is_the_exact_count_without_attention_scores_and_with_the_head(d_model, layers, length):
    exact = compute.gpt(100, length, d_model, 1, layers).training_flops / length
    weights = layers * 12 * d_model**2 + 100 * d_model
    scores = 12 * layers * length * d_model
    assert exact == pytest.approx(compute.training_flops(weights, 1) + scores, rel=1e-12)


@few
@given(st.floats(1e12, 1e26), st.floats(0.1, 1000))
def test_compute_optimal_spends_the_budget(flops, ratio):
    parameters, tokens = compute.compute_optimal(flops, tokens_per_parameter=ratio)
    assert compute.training_flops(parameters, tokens) == pytest.approx(flops)
    assert tokens / parameters == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compute.linear(0, 3), r"`in_features` \(=0\) must be at least 1\."),
        (lambda: compute.conv2d(3, 4, 3, (8, 8), groups=2), r"`in_channels` \(=3\) must be divis"),
        (lambda: compute.conv2d(1, 1, 9, (8, 8)), r"`kernel_size` \(=9\) must fit"),
        (lambda: compute.conv2d(1, 1, 3, (8, 8), padding=-1), r"`padding` \(=-1\)"),
        (lambda: compute.recurrent("mlp", 2, 3), r"`cell` \(='mlp'\) must be one of 'rnn'"),
        (
            lambda: compute.attention(6, 4, sequence_length=1),
            r"`d_model` \(=6\) must be divisible by `nhead` \(=4\)",
        ),
        (lambda: compute.mlp([3]), r"`sizes` \(=\[3\]\)"),
        (lambda: compute.gpt(5, 4, 2, 1, 1, sequence_length=6), r"`sequence_length` \(=6\)"),
        (lambda: compute.training_flops(-1, 5), r"`parameters` \(=-1\) must be above 0\."),
    ],
)
def test_errors_name_argument_and_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_size_that_is_no_integer_is_an_error():
    with pytest.raises(TypeError, match=r"`out_features` \(=2\.5\) must be an integer"):
        compute.linear(2, 2.5)

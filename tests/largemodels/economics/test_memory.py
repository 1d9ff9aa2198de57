"""Bytes by formula are the bytes that PyTorch holds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from largemodels.economics import memory

size = st.integers(1, 9)
few = settings(max_examples=25, deadline=None)
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adagrad": lambda p: torch.optim.Adagrad(p),
    "rmsprop": lambda p: torch.optim.RMSprop(p),
    "adam": lambda p: torch.optim.Adam(p),
    "adamw": lambda p: torch.optim.AdamW(p),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_training_equals_what_pytorch_holds(name):
    module = nn.Linear(7, 5)
    optimizer = OPTIMIZERS[name](module.parameters())
    module(torch.randn(3, 7)).sum().backward()
    optimizer.step()
    states = [
        value
        for state in optimizer.state.values()
        for key, value in state.items()
        if key != "step" and value is not None
    ]
    counted = memory.training_memory(40, optimizer=name, mixed_precision=False)
    assert counted.weights == sum(p.nbytes for p in module.parameters())
    assert counted.gradients == sum(p.grad.nbytes for p in module.parameters())
    assert counted.optimizer == sum(value.nbytes for value in states)


@few
@given(size, size, size, size, size)
def test_kv_cache_equals_the_tensors(layers, heads, head_size, tokens, batch):
    tensors = [
        torch.zeros(batch, heads, tokens, head_size, dtype=torch.float16) for _ in range(2 * layers)
    ]
    counted = memory.kv_cache_bytes(layers, heads, head_size, tokens=tokens, batch_size=batch)
    assert counted == sum(tensor.nbytes for tensor in tensors)


@few
@given(st.floats(1, 1e12), st.integers(1, 1024), st.sampled_from(list(OPTIMIZERS)), st.booleans())
def test_each_zero_stage_needs_no_more_and_the_last_divides_all(n, devices, optimizer, mixed):
    totals = [
        memory.training_memory(
            n, optimizer=optimizer, mixed_precision=mixed, devices=devices, zero_stage=stage
        ).total
        for stage in range(4)
    ]
    assert totals == sorted(totals, reverse=True)
    assert totals[3] == pytest.approx(totals[0] / devices)


def test_zero_has_the_numbers_of_the_paper():
    # Figure 1: 7.5 billion parameters on 64 devices.
    totals = [
        memory.training_memory(7.5e9, devices=64, zero_stage=stage).total / 1e9
        for stage in range(4)
    ]
    assert totals == pytest.approx([120, 31.4, 16.6, 1.9], abs=0.05)


@few
@given(size, size, size, size, size)
def test_recomputation_saves_memory(d_model, heads, layers, length, batch):
    none, selective, full = (
        memory.transformer_activation_bytes(
            d_model, heads, layers, sequence_length=length, batch_size=batch, recompute=recompute
        )
        for recompute in ("none", "selective", "full")
    )
    assert none > selective > full
    assert none - selective == 5 * layers * batch * heads * length**2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: memory.weight_bytes(-1, 8), r"`parameters` \(=-1\) must be above 0\."),
        (lambda: memory.weight_bytes(1, 0), r"`bits` \(=0\) must be above 0\."),
        (lambda: memory.training_memory(1, optimizer="lion"), r"`optimizer` \(='lion'\) must be"),
        (lambda: memory.training_memory(1, zero_stage=4), r"`zero_stage` \(=4\)"),
        (lambda: memory.training_memory(1, devices=0), r"`devices` \(=0\) must be at least 1\."),
        (lambda: memory.serving_memory(1, kv_cache=-2), r"`kv_cache` \(=-2\) must not be negat"),
        (
            lambda: memory.transformer_activation_bytes(
                1, 1, 1, sequence_length=1, recompute="half"
            ),
            r"`recompute` \(='half'\) must be one of 'none', 'selective', 'full'\.",
        ),
    ],
)
def test_errors_name_argument_and_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()

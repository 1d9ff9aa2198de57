"""Low-rank adapters start as the model, learn few parameters, and merge into it."""

import pytest
import torch
from torch import nn

from largemodels.models.pytorch import GPT
from largemodels.training.adaptation import (
    LowRankLinear,
    add_low_rank_adapters,
    merge_low_rank_adapters,
)


def learn(model: nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int = 60) -> float:
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learnt, lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("bias", [True, False])
def test_it_computes_the_formula_and_starts_as_the_layer(bias: bool) -> None:
    linear = nn.Linear(5, 3, bias=bias).double()
    layer, x = LowRankLinear(linear, rank=2, alpha=6), torch.randn(4, 7, 5).double()
    torch.testing.assert_close(layer(x), linear(x))
    nn.init.normal_(layer.lora_b)
    expected = linear(x) + 3 * x @ layer.lora_a.T @ layer.lora_b.T
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.merged()(x), expected)


def test_only_the_adapters_learn_and_merging_keeps_what_they_learnt() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2)).double()
    x = torch.randn(50, 6).double()
    # What is to be learnt is a change of rank 1.
    y = model(x).detach() + x[:, :1] @ torch.tensor([[1.0, -1.0]]).double()
    frozen = {name: value.clone() for name, value in model.state_dict().items()}
    before = nn.functional.mse_loss(model(x), y)
    assert add_low_rank_adapters(model, rank=2) == ["0", "2"]
    after = learn(model, x, y)
    assert after < before / 10
    for name, value in frozen.items():
        position, _, last = name.partition(".")
        torch.testing.assert_close(model.state_dict()[f"{position}.linear.{last}"], value)
    expected = model(x)
    merge_low_rank_adapters(model)
    torch.testing.assert_close(model(x), expected)
    assert model.state_dict().keys() == frozen.keys()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_named_layers_of_a_gpt_are_adapted() -> None:
    model = GPT(11, 8, 12, 2, 2, dropout=0.0)
    tokens = torch.randint(0, 11, (2, 8))
    expected = model(tokens)
    names = add_low_rank_adapters(model, 3, among=("linear1", "linear2"))
    assert names == [f"blocks.{i}.linear{j}" for i in (0, 1) for j in (1, 2)]
    torch.testing.assert_close(model(tokens), expected)
    learnt = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert learnt == 4 * 3 * (12 + 48)
    model(tokens).sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


def test_errors_name_argument_and_value() -> None:
    for rank in (0, 4):
        with pytest.raises(ValueError, match=rf"`rank` \(={rank}\) must be from 1 to the smaller"):
            LowRankLinear(nn.Linear(5, 3), rank)
    with pytest.raises(ValueError, match=r"ends in `among` \(=\('head',\)\)"):
        add_low_rank_adapters(nn.Sequential(nn.Linear(3, 3)), 1, among=("head",))
    with pytest.raises(ValueError, match="`model` is a linear layer itself"):
        add_low_rank_adapters(nn.Linear(3, 3), 1)

"""A slice of a model is a plain sequence of its layers."""

import pytest
import torch
from torch import nn

from largemodels.models import pytorch

MODELS = {
    "MLP": lambda: pytorch.MLP([3, 4, 2]),
    "LeNet": pytorch.LeNet,
    "CNN": pytorch.CNN,
    "ResNet": pytorch.ResNet,
    "InceptionNet": pytorch.InceptionNet,
    "Generator": pytorch.Generator,
    "Discriminator": pytorch.Discriminator,
    "DCGANGenerator": pytorch.DCGANGenerator,
    "DCGANDiscriminator": pytorch.DCGANDiscriminator,
}


@pytest.mark.parametrize("name", MODELS)
def test_a_slice_holds_the_same_layers(name: str) -> None:
    model = MODELS[name]()
    body = model[:-1]
    assert type(body) is nn.Sequential
    assert [id(layer) for layer in body] == [id(layer) for layer in list(model)[:-1]]
    assert model[-1] is list(model)[-1]


def test_the_parts_compute_what_the_whole_computes() -> None:
    model = pytorch.LeNet()
    x = torch.randn(2, 1, 28, 28)
    assert torch.equal(model[6:](model[:6](x)), model(x))

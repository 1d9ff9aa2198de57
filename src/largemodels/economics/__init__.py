"""What a model costs: compute, memory, money, and what a company must earn to pay for it.

Everything here is a formula with its inputs in the open. No price and no utilisation has a default:
an `Assumption` carries its range, its unit, its source and its date.
"""

from largemodels.economics.compute import (
    Compute,
    attention,
    compute_optimal,
    conv2d,
    embedding,
    gpt,
    layer_norm,
    lenet,
    linear,
    mlp,
    recurrent,
    training_flops,
    transformer_layer,
)

__all__ = [
    "Compute",
    "attention",
    "compute_optimal",
    "conv2d",
    "embedding",
    "gpt",
    "layer_norm",
    "lenet",
    "linear",
    "mlp",
    "recurrent",
    "training_flops",
    "transformer_layer",
]

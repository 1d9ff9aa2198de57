"""What a model costs: compute, memory, money, and what a company must earn to pay for it.

Everything here is a formula with its inputs in the open. No price and no utilisation has a default:
an `Assumption` carries its range, its unit, its source and its date.
"""

from largemodels.economics.assumptions import (
    Assumption,
)
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
from largemodels.economics.cost import (
    api_break_even_tokens,
    decode_tokens_per_second,
    gpu_hours,
    rent_or_buy_break_even_hours,
    serving_cost_per_million_tokens,
    training_cost,
    training_days,
)
from largemodels.economics.memory import (
    Memory,
    kv_cache_bytes,
    serving_memory,
    training_memory,
    transformer_activation_bytes,
    weight_bytes,
)
from largemodels.economics.simulation import (
    Sensitivity,
    Simulation,
    sample,
    simulate,
    tornado,
)
from largemodels.economics.unit_economics import (
    break_even_customers,
    contribution_margin,
    customer_acquisition_cost,
    lifetime_value,
    lifetime_value_from_survival,
    payback_period,
    runway,
    simple_lifetime_value,
)

__all__ = [
    "Assumption",
    "Compute",
    "Memory",
    "Sensitivity",
    "Simulation",
    "api_break_even_tokens",
    "attention",
    "break_even_customers",
    "compute_optimal",
    "contribution_margin",
    "conv2d",
    "customer_acquisition_cost",
    "decode_tokens_per_second",
    "embedding",
    "gpt",
    "gpu_hours",
    "kv_cache_bytes",
    "layer_norm",
    "lenet",
    "lifetime_value",
    "lifetime_value_from_survival",
    "linear",
    "mlp",
    "payback_period",
    "recurrent",
    "rent_or_buy_break_even_hours",
    "runway",
    "sample",
    "serving_cost_per_million_tokens",
    "serving_memory",
    "simple_lifetime_value",
    "simulate",
    "tornado",
    "training_cost",
    "training_days",
    "training_flops",
    "training_memory",
    "transformer_activation_bytes",
    "transformer_layer",
    "weight_bytes",
]

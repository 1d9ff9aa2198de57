"""What a model costs: compute, memory, money, and what a company must earn to pay for it.

Everything here is a formula with its inputs in the open. No price and no utilisation has a default:
an `Assumption` carries its range, its unit, its source and its date.
"""

from largemodels._grading import refuse_while_grading

refuse_while_grading(__name__)

# ruff: noqa: E402  (the guard comes first)
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
from largemodels.economics.sequence_models import (
    bert,
    bert_for_masked_lm,
    bert_for_sequence_classification,
    conv1d,
    lstm_classifier,
    matrix_factorization,
    neural_recommender,
    reference_models,
    seq2seq,
    speech_recognizer,
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
from largemodels.economics.vision_models import (
    batch_norm,
    cnn,
    conv_transpose2d,
    dcgan_discriminator,
    dcgan_generator,
    discriminator,
    face_embedding,
    generator,
    grid_detector,
    inception_net,
    resnet,
)

__all__ = [
    "Assumption",
    "Compute",
    "Memory",
    "Sensitivity",
    "Simulation",
    "api_break_even_tokens",
    "attention",
    "batch_norm",
    "bert",
    "bert_for_masked_lm",
    "bert_for_sequence_classification",
    "break_even_customers",
    "cnn",
    "compute_optimal",
    "contribution_margin",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "customer_acquisition_cost",
    "dcgan_discriminator",
    "dcgan_generator",
    "decode_tokens_per_second",
    "discriminator",
    "embedding",
    "face_embedding",
    "generator",
    "gpt",
    "gpu_hours",
    "grid_detector",
    "inception_net",
    "kv_cache_bytes",
    "layer_norm",
    "lenet",
    "lifetime_value",
    "lifetime_value_from_survival",
    "linear",
    "lstm_classifier",
    "matrix_factorization",
    "mlp",
    "neural_recommender",
    "payback_period",
    "recurrent",
    "reference_models",
    "rent_or_buy_break_even_hours",
    "resnet",
    "runway",
    "sample",
    "seq2seq",
    "serving_cost_per_million_tokens",
    "serving_memory",
    "simple_lifetime_value",
    "simulate",
    "speech_recognizer",
    "tornado",
    "training_cost",
    "training_days",
    "training_flops",
    "training_memory",
    "transformer_activation_bytes",
    "transformer_layer",
    "weight_bytes",
]

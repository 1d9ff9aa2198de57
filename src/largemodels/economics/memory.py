"""Memory of training and serving in bytes, by formula. A gigabyte (GB) is 10⁹ bytes."""

from __future__ import annotations

from dataclasses import dataclass

from largemodels.economics._checks import check_at_least, check_not_negative, check_positive

__all__ = [
    "Memory",
    "kv_cache_bytes",
    "serving_memory",
    "training_memory",
    "transformer_activation_bytes",
    "weight_bytes",
]

# Numbers of 4 bytes that an optimizer keeps for each parameter.
OPTIMIZER_STATES = {"sgd": 0, "momentum": 1, "adagrad": 1, "rmsprop": 1, "adam": 2, "adamw": 2}


@dataclass(frozen=True)
class Memory:
    """What lies in the memory of one device, in bytes.

    Args:
        weights: the parameters that the passes use.
        gradients: one number for each parameter.
        optimizer: the optimizer's states, and its float32 copy of the weights if there is one.
        activations: what the forward pass keeps for the backward pass.
        kv_cache: keys and values of the tokens so far, when serving a transformer.

    Example:
        >>> Memory(weights=2e9, gradients=2e9, optimizer=12e9).total
        16000000000.0

    Taught in: book/concepts/compute_data_algorithms.md
    """

    weights: float = 0
    gradients: float = 0
    optimizer: float = 0
    activations: float = 0
    kv_cache: float = 0

    @property
    def total(self) -> float:
        """The sum in bytes, without the framework's own share and fragmentation."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.kv_cache


def weight_bytes(parameters: float, bits: float) -> float:
    """Return the bytes of the weights.

    bytes = N · bits / 8

    Args:
        parameters: N.
        bits: the bits of one weight: 32, 16, 8, 4. Quantized formats also store scales; give the
            mean bits per weight, such as 4.5.

    Raises:
        ValueError: if a number is not above 0.

    Example:
        >>> [weight_bytes(7e9, bits) / 1e9 for bits in (16, 8, 4)]
        [14.0, 7.0, 3.5]

    Taught in: book/concepts/compute_data_algorithms.md
    """
    check_positive("parameters", parameters)
    check_positive("bits", bits)
    return parameters * bits / 8


def training_memory(
    parameters: float,
    *,
    optimizer: str = "adam",
    mixed_precision: bool = True,
    activation_bytes: float = 0,
    devices: int = 1,
    zero_stage: int = 0,
) -> Memory:
    """Return the memory that training needs on each device.

    mixed precision: N · (2 weights + 2 gradients + 4 float32 weights + 4 · s)
    float32:         N · (4 weights + 4 gradients + 4 · s)
    s = 0 (SGD), 1 (momentum, Adagrad, RMSprop) or 2 (Adam, AdamW) states

    Both make 16 bytes per parameter with Adam: mixed precision saves time and activations, not
    states. ZeRO divides among the devices what plain data parallelism repeats on each: stage 1 the
    optimizer, stage 2 the gradients too, stage 3 the weights too.

    Args:
        parameters: N.
        optimizer: "sgd", "momentum", "adagrad", "rmsprop", "adam" or "adamw".
        mixed_precision: whether the passes run in 16 bits with a float32 copy of the weights.
        activation_bytes: what one device keeps for the backward pass, in bytes.
        devices: the number of devices that work in parallel on other examples.
        zero_stage: 0 to 3.

    Raises:
        ValueError: if the optimizer or the stage is unknown, or a number is too small.

    Source:
        Rajbhandari et al., "ZeRO: Memory optimizations toward training trillion parameter models",
        2019, arXiv:1910.02054, section 3.1 and figure 1.

    Example:
        >>> training_memory(175e9).total / 1e12
        2.8
        >>> training_memory(7.5e9, devices=64, zero_stage=3).total / 1e9
        1.875

    Taught in: book/concepts/compute_data_algorithms.md
    """
    check_positive("parameters", parameters)
    check_not_negative("activation_bytes", activation_bytes)
    check_at_least("devices", devices, 1)
    if optimizer not in OPTIMIZER_STATES:
        known = ", ".join(map(repr, OPTIMIZER_STATES))
        raise ValueError(f"`optimizer` (={optimizer!r}) must be one of {known}.")
    if zero_stage not in (0, 1, 2, 3):
        raise ValueError(f"`zero_stage` (={zero_stage}) must be 0, 1, 2 or 3.")
    width = 2 if mixed_precision else 4
    states = 4 * (OPTIMIZER_STATES[optimizer] + mixed_precision)
    return Memory(
        weights=parameters * width / (devices if zero_stage >= 3 else 1),
        gradients=parameters * width / (devices if zero_stage >= 2 else 1),
        optimizer=parameters * states / (devices if zero_stage >= 1 else 1),
        activations=activation_bytes,
    )


def transformer_activation_bytes(
    d_model: int,
    nhead: int,
    num_layers: int,
    *,
    sequence_length: int,
    batch_size: int = 1,
    recompute: str = "none",
) -> int:
    """Return what the blocks of a transformer keep for the backward pass, in 16 bits with dropout.

    none:      L · N · T · d · (34 + 5 · H · T / d) bytes
    selective: L · N · T · d · 34 bytes, scores are computed again
    full:      L · N · T · d · 2 bytes, only the input of each block is kept

    The embedding, the head and its logits are not in it. FlashAttention keeps no scores: selective.

    Args:
        d_model: d. The network in a block is 4 · d wide.
        nhead: H.
        num_layers: L.
        sequence_length: T.
        batch_size: N, on one device.
        recompute: "none", "selective" or "full".

    Raises:
        ValueError: if a size is below 1 or `recompute` is unknown.

    Source:
        Korthikanti et al., "Reducing activation recomputation in large transformer models", 2022,
        arXiv:2205.05198, equations 1 and 6.

    Example:
        >>> transformer_activation_bytes(12288, 96, 96, sequence_length=2048) / 1e9
        275.414777856
        >>> full = transformer_activation_bytes(
        ...     12288, 96, 96, sequence_length=2048, recompute="full"
        ... )
        >>> full / 1e9
        4.831838208

    Taught in: book/concepts/compute_data_algorithms.md
    """
    sizes = {"d_model": d_model, "nhead": nhead, "num_layers": num_layers}
    sizes |= {"sequence_length": sequence_length, "batch_size": batch_size}
    for name, size in sizes.items():
        check_at_least(name, size, 1)
    tokens = num_layers * batch_size * sequence_length
    bytes_of = {
        "none": tokens * (34 * d_model + 5 * nhead * sequence_length),
        "selective": tokens * 34 * d_model,
        "full": tokens * 2 * d_model,
    }
    if recompute not in bytes_of:
        known = ", ".join(map(repr, bytes_of))
        raise ValueError(f"`recompute` (={recompute!r}) must be one of {known}.")
    return bytes_of[recompute]


def kv_cache_bytes(
    num_layers: int,
    num_key_value_heads: int,
    head_size: int,
    *,
    tokens: int,
    batch_size: int = 1,
    bits: int = 16,
) -> float:
    """Return the bytes of the keys and values that a decoder keeps while it writes.

    bytes = 2 · L · H_kv · d_head · T · N · bits / 8

    Args:
        num_layers: L.
        num_key_value_heads: H_kv: all heads, fewer with grouped queries, 1 with multi-query.
        head_size: d_head.
        tokens: T, prompt and answer so far.
        batch_size: N, the texts at a time.
        bits: the bits of one number.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> kv_cache_bytes(32, 32, 128, tokens=4096) / 1e9
        2.147483648

    Taught in: book/concepts/compute_data_algorithms.md
    """
    sizes = {"num_layers": num_layers, "num_key_value_heads": num_key_value_heads}
    sizes |= {"head_size": head_size, "tokens": tokens, "batch_size": batch_size, "bits": bits}
    for name, size in sizes.items():
        check_at_least(name, size, 1)
    return 2 * num_layers * num_key_value_heads * head_size * tokens * batch_size * bits / 8


def serving_memory(parameters: float, *, bits: float = 16, kv_cache: float = 0) -> Memory:
    """Return the memory that serving needs.

    bytes = N · bits / 8 + the cache of keys and values

    Args:
        parameters: N.
        bits: the bits of one weight.
        kv_cache: bytes, from `kv_cache_bytes`.

    Raises:
        ValueError: if `parameters` or `bits` is not above 0, or `kv_cache` is negative.

    Example:
        >>> cache = kv_cache_bytes(32, 32, 128, tokens=4096, batch_size=8)
        >>> print(f"{serving_memory(6.7e9, kv_cache=cache).total / 1e9:.1f} GB")
        30.6 GB

    Taught in: book/concepts/compute_data_algorithms.md
    """
    check_not_negative("kv_cache", kv_cache)
    return Memory(weights=weight_bytes(parameters, bits), kv_cache=kv_cache)

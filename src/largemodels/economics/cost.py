"""From operations to hours and money, and when another way is cheaper.

Every function takes numbers, or arrays with one number for each sample of a simulation. Money is in
one currency of your choice. There are no default prices: they change by the month.
"""

from __future__ import annotations

import numpy as np

from largemodels.economics._checks import (
    Quantity,
    check_not_negative,
    check_positive,
    check_share,
    plain,
)

__all__ = [
    "api_break_even_tokens",
    "decode_tokens_per_second",
    "gpu_hours",
    "rent_or_buy_break_even_hours",
    "serving_cost_per_million_tokens",
    "training_cost",
    "training_days",
]


def gpu_hours(flops: Quantity, *, peak_flops: Quantity, utilisation: Quantity) -> Quantity:
    """Return the GPU-hours of a training.

    hours = C / (peak · utilisation · 3600)

    Args:
        flops: C, FLOPs of the whole training.
        peak_flops: FLOPs per second of one GPU in the precision of the training, from its data
            sheet; the dense number, not the one for sparse matrices.
        utilisation: the share of the peak that the training reaches, in (0, 1].

    Raises:
        ValueError: if a number is not above 0, or the utilisation exceeds 1.

    Example:
        >>> print(f"{gpu_hours(3.15e23, peak_flops=312e12, utilisation=0.45):,.0f} GPU-hours")
        623,219 GPU-hours

    Taught in: book/concepts/compute_data_algorithms.md
    """
    check_positive("flops", flops)
    check_positive("peak_flops", peak_flops)
    check_share("utilisation", utilisation)
    return flops / (peak_flops * utilisation * 3600)


def training_days(
    flops: Quantity, *, gpus: Quantity, peak_flops: Quantity, utilisation: Quantity
) -> Quantity:
    """Return the days of a training on several GPUs.

    days = GPU-hours / (gpus · 24)

    Args:
        flops: FLOPs of the whole training.
        gpus: the number of GPUs. With more of them the utilisation falls: measure it.
        peak_flops: FLOPs per second of one GPU.
        utilisation: the share of the peak that the training reaches, in (0, 1].

    Raises:
        ValueError: if a number is not above 0, or the utilisation exceeds 1.

    Example:
        >>> print(f"{training_days(3.15e23, gpus=1024, peak_flops=312e12, utilisation=0.45):.1f}")
        25.4

    Taught in: book/concepts/compute_data_algorithms.md
    """
    check_positive("gpus", gpus)
    return gpu_hours(flops, peak_flops=peak_flops, utilisation=utilisation) / (gpus * 24)


def training_cost(
    flops: Quantity,
    *,
    peak_flops: Quantity,
    utilisation: Quantity,
    price_per_gpu_hour: Quantity,
    overhead: Quantity = 0.0,
) -> Quantity:
    """Return what the GPUs of a training cost.

    cost = GPU-hours · price · (1 + overhead)

    Args:
        flops: FLOPs of the whole training.
        peak_flops: FLOPs per second of one GPU.
        utilisation: the share of the peak that the training reaches, in (0, 1].
        price_per_gpu_hour: money for one GPU for one hour.
        overhead: failed runs, search and tests, as a share of the final run: 1 doubles the cost.

    Raises:
        ValueError: if a number is negative, or the utilisation is not in (0, 1].

    Example:
        >>> training_cost(3.6e18, peak_flops=1e15, utilisation=0.5, price_per_gpu_hour=3.0)
        6.0

    Taught in: book/concepts/compute_data_algorithms.md
    """
    check_not_negative("price_per_gpu_hour", price_per_gpu_hour)
    check_not_negative("overhead", overhead)
    hours = gpu_hours(flops, peak_flops=peak_flops, utilisation=utilisation)
    return hours * price_per_gpu_hour * (1 + overhead)


def decode_tokens_per_second(
    *,
    weight_bytes: Quantity,
    kv_cache_bytes: Quantity,
    batch_size: Quantity,
    flops_per_token: Quantity,
    peak_bandwidth: Quantity,
    peak_flops: Quantity,
) -> Quantity:
    """Return the most tokens that one GPU can write in a second: the roofline of decoding.

    tokens/s = N / max((weights + N · cache) / bandwidth, N · FLOPs / peak)

    Each step reads all weights once for the whole batch. So a small batch waits for memory, and the
    price of a token falls almost as 1 / N until the caches or the FLOPs take over.

    Args:
        weight_bytes: bytes of the weights.
        kv_cache_bytes: bytes of the keys and values of one text.
        batch_size: N, the texts at a time.
        flops_per_token: FLOPs of the forward pass for one token, about 2 · parameters.
        peak_bandwidth: bytes per second from the GPU's memory.
        peak_flops: FLOPs per second.

    Raises:
        ValueError: if a number is not above 0, or the cache is negative.

    Example:
        >>> decode_tokens_per_second(
        ...     weight_bytes=14e9, kv_cache_bytes=0, batch_size=1,
        ...     flops_per_token=14e9, peak_bandwidth=1.4e12, peak_flops=312e12,
        ... )
        100.0

    Taught in: book/concepts/compute_data_algorithms.md
    """
    check_positive("weight_bytes", weight_bytes)
    check_not_negative("kv_cache_bytes", kv_cache_bytes)
    check_positive("batch_size", batch_size)
    check_positive("flops_per_token", flops_per_token)
    check_positive("peak_bandwidth", peak_bandwidth)
    check_positive("peak_flops", peak_flops)
    reading = (weight_bytes + batch_size * kv_cache_bytes) / peak_bandwidth
    computing = batch_size * flops_per_token / peak_flops
    return plain(batch_size / np.maximum(reading, computing))


def serving_cost_per_million_tokens(
    *, price_per_gpu_hour: Quantity, tokens_per_second: Quantity, utilisation: Quantity
) -> Quantity:
    """Return what a million tokens cost on your own or rented GPUs.

    cost = 10⁶ · price / (3600 · tokens/s · utilisation)

    Args:
        price_per_gpu_hour: money for one GPU for one hour, busy or not.
        tokens_per_second: what one GPU writes while it is busy; measure it at your batch size.
        utilisation: the share of the hour that the GPU is busy, in (0, 1]. Demand has nights.

    Raises:
        ValueError: if a number is not above 0, or the utilisation exceeds 1.

    Example:
        >>> serving_cost_per_million_tokens(
        ...     price_per_gpu_hour=3.6, tokens_per_second=1000, utilisation=0.5
        ... )
        2.0

    Taught in: book/startup_strategy/unit_economics.md
    """
    check_not_negative("price_per_gpu_hour", price_per_gpu_hour)
    check_positive("tokens_per_second", tokens_per_second)
    check_share("utilisation", utilisation)
    return 1e6 * price_per_gpu_hour / (3600 * tokens_per_second * utilisation)


def api_break_even_tokens(
    *, fixed_cost: Quantity, api_price_per_million: Quantity, own_cost_per_million: Quantity = 0.0
) -> Quantity:
    """Return the tokens per period from which own serving is cheaper than an API.

    tokens = 10⁶ · fixed / (API price − own variable cost), infinite if the API is not dearer

    Check that your GPUs can write so many tokens in the period; if not, the answer is: never.

    Args:
        fixed_cost: what own serving costs per period whether used or not: GPUs, people, upkeep.
        api_price_per_million: the API's price of a million tokens, input and output mixed as yours.
        own_cost_per_million: what each further million costs you, beside the fixed cost.

    Raises:
        ValueError: if a number is negative.

    Example:
        >>> api_break_even_tokens(fixed_cost=3000, api_price_per_million=2.0) / 1e9
        1.5

    Taught in: book/startup_strategy/unit_economics.md
    """
    check_not_negative("fixed_cost", fixed_cost)
    check_not_negative("api_price_per_million", api_price_per_million)
    check_not_negative("own_cost_per_million", own_cost_per_million)
    saving = np.subtract(api_price_per_million, own_cost_per_million)
    return plain(1e6 * _per(fixed_cost, saving))


def rent_or_buy_break_even_hours(
    *, purchase_price: Quantity, own_cost_per_hour: Quantity, rent_per_hour: Quantity
) -> Quantity:
    """Return the hours of use from which a bought GPU is cheaper than a rented one.

    hours = purchase / (rent − own cost per hour), infinite if renting is not dearer

    Compare them with the hours that you will use it before it is out of date: a year has 8,760.

    Args:
        purchase_price: the price of the GPU and its share of the server, less what it sells for.
        own_cost_per_hour: power, cooling, space and upkeep for an hour of use.
        rent_per_hour: the price of an hour in the cloud.

    Raises:
        ValueError: if a number is negative.

    Example:
        >>> rent_or_buy_break_even_hours(
        ...     purchase_price=30_000, own_cost_per_hour=0.5, rent_per_hour=3.0
        ... )
        12000.0

    Taught in: book/startup_strategy/unit_economics.md
    """
    check_not_negative("purchase_price", purchase_price)
    check_not_negative("own_cost_per_hour", own_cost_per_hour)
    check_not_negative("rent_per_hour", rent_per_hour)
    return plain(_per(purchase_price, np.subtract(rent_per_hour, own_cost_per_hour)))


def _per(total: Quantity, saving: Quantity) -> Quantity:
    """Return total / saving where there is a saving, else infinity."""
    saves = np.greater(saving, 0)
    return np.where(saves, total / np.where(saves, saving, 1.0), np.inf)

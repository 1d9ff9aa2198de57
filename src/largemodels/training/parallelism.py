"""How many workers share one training: the algorithms, simulated in one process with NumPy.

* Data parallelism: each worker has the model and a shard of the batch, and all average their
  gradients: `ring_all_reduce`, and `parameter_server` to compare.
* Tensor parallelism: each worker has a part of each matrix: `tensor_parallel_mlp`.
* Pipeline parallelism: each worker has some of the layers: `pipeline_schedule`.
* Sharded states (ZeRO): `largemodels.economics.training_memory`.

`largemodels.training.distributed` runs the first one with real processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "Traffic",
    "all_reduce_seconds",
    "parameter_server",
    "pipeline_bubble",
    "pipeline_schedule",
    "ring_all_reduce",
    "scaling_efficiency",
    "tensor_parallel_mlp",
]


@dataclass(frozen=True)
class Traffic:
    """What was sent.

    Args:
        steps: how often all workers waited for each other.
        messages: messages of all workers together.
        busiest_bytes: bytes that the busiest worker (or the server) sent; none received more.
        total_bytes: bytes that all sent together.

    Example:
        >>> _, traffic = ring_all_reduce([np.zeros(6), np.zeros(6), np.zeros(6)])
        >>> traffic  # 2 · (3 − 1) steps, in each of them 3 workers send 2 numbers of 8 bytes.
        Traffic(steps=4, messages=12, busiest_bytes=64, total_bytes=192)

    Taught in: book/training/distributed_training.md
    """

    steps: int
    messages: int
    busiest_bytes: int
    total_bytes: int


def ring_all_reduce(arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], Traffic]:
    """Sum an array over all workers, so that each has the sum, in a ring of messages.

    Each worker cuts its array into n chunks. In n − 1 steps each sends one chunk to its right
    neighbour, which adds it to its own (reduce-scatter): then each worker has the sum of one chunk.
    In n − 1 more steps the sums go round (all-gather).

    bytes per worker = 2 · (n − 1) / n · bytes of the array

    So the bytes hardly grow with n, and no algorithm can do with fewer.

    Args:
        arrays: the array of each worker, n arrays of one shape and type.

    Returns:
        The sum, once for each worker, and the traffic. Divide by n for the mean of gradients.

    Raises:
        ValueError: if there is no array, or their shapes or types differ.

    Source:
        Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations",
        Journal of Parallel and Distributed Computing 69(2), 2009.

    Example:
        >>> gradients = [np.array([1.0, 2.0]), np.array([10.0, 20.0])]
        >>> sums, traffic = ring_all_reduce(gradients)
        >>> sums
        [array([11., 22.]), array([11., 22.])]
        >>> traffic
        Traffic(steps=2, messages=4, busiest_bytes=16, total_bytes=32)

    Taught in: book/training/distributed_training.md
    """
    _check_arrays(arrays)
    n = len(arrays)
    # chunks[worker][k]: array_split allows chunks whose sizes differ by one.
    chunks = [[part.copy() for part in np.array_split(array.ravel(), n)] for array in arrays]
    sent = [0] * n
    for step in range(2 * (n - 1)):
        # All send at the same time: take the messages out before any arrives.
        messages = []
        for worker in range(n):
            k = (worker - step) % n if step < n - 1 else (worker + 1 - (step - (n - 1))) % n
            messages.append((k, chunks[worker][k].copy()))
            sent[worker] += chunks[worker][k].nbytes
        for worker, (k, chunk) in enumerate(messages):
            right = chunks[(worker + 1) % n]
            right[k] = right[k] + chunk if step < n - 1 else chunk
    sums = [np.concatenate(parts).reshape(arrays[0].shape) for parts in chunks]
    steps = 2 * (n - 1)
    return sums, Traffic(steps, steps * n, max(sent), sum(sent))


def parameter_server(arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], Traffic]:
    """Sum an array over all workers through one server, which sends the sum back to each.

    bytes of the server = n · bytes of the array: twice the workers, twice the time

    Args:
        arrays: the array of each worker, n arrays of one shape and type.

    Returns:
        The sum, once for each worker, and the traffic.

    Raises:
        ValueError: if there is no array, or their shapes or types differ.

    Source:
        Li et al., "Scaling distributed machine learning with the parameter server", OSDI 2014.
        Theirs shares the work among several servers.

    Example:
        >>> sums, traffic = parameter_server([np.ones(2), np.ones(2), np.ones(2)])
        >>> sums[2], traffic.busiest_bytes
        (array([3., 3.]), 48)

    Taught in: book/training/distributed_training.md
    """
    _check_arrays(arrays)
    n, size = len(arrays), arrays[0].nbytes
    total = np.sum(arrays, axis=0, dtype=arrays[0].dtype)
    return [total.copy() for _ in arrays], Traffic(2, 2 * n, n * size, 2 * n * size)


def all_reduce_seconds(
    size: float, workers: int, *, bandwidth: float, latency: float = 0.0
) -> float:
    """Estimate how long a ring all-reduce takes.

    seconds = 2 · (n − 1) · (latency + size / (n · bandwidth))

    Args:
        size: the bytes of the array.
        workers: n.
        bandwidth: bytes per second from one worker to the next.
        latency: seconds until the first byte of a message arrives.

    Raises:
        ValueError: if `size` or `latency` is negative, `workers` is below 1, or `bandwidth` is not
            above 0.

    Example:
        >>> round(all_reduce_seconds(4 * 124e6, 8, bandwidth=10e9), 4)  # GPT-2 small, float32.
        0.0868

    Taught in: book/training/distributed_training.md
    """
    for name, value in (("size", size), ("latency", latency)):
        if not value >= 0:
            raise ValueError(f"`{name}` (={value}) must not be negative.")
    _check_at_least_one(workers=workers)
    if not bandwidth > 0:
        raise ValueError(f"`bandwidth` (={bandwidth}) must be above 0.")
    return 2 * (workers - 1) * (latency + size / (workers * bandwidth))


def scaling_efficiency(
    compute: float, communication: float, *, workers: int, overlap: float = 0.0
) -> tuple[float, float]:
    """Return how much faster n workers are than one at the same global batch, and per worker.

    step = compute / n + max(0, communication − overlap · compute / n)
    speed-up = compute / step,  efficiency = speed-up / n

    Args:
        compute: seconds that one worker computes on the whole batch.
        communication: seconds of the all-reduce, from `all_reduce_seconds`.
        workers: n.
        overlap: the share of the computing during which gradients already travel, from 0 to 1: the
            backward pass sends those of the last layers first.

    Returns:
        The speed-up and the efficiency.

    Raises:
        ValueError: if `compute` is not above 0, `communication` is negative, `workers` below 1, or
            `overlap` not from 0 to 1.

    Example:
        >>> scaling_efficiency(0.8, 0.1, workers=8)
        (4.0, 0.5)
        >>> scaling_efficiency(0.8, 0.05, workers=8, overlap=0.5)
        (8.0, 1.0)

    Taught in: book/training/distributed_training.md
    """
    if not compute > 0:
        raise ValueError(f"`compute` (={compute}) must be above 0.")
    if not communication >= 0:
        raise ValueError(f"`communication` (={communication}) must not be negative.")
    if not 0 <= overlap <= 1:
        raise ValueError(f"`overlap` (={overlap}) must be from 0 to 1.")
    _check_at_least_one(workers=workers)
    own = compute / workers
    speed_up = compute / (own + max(0.0, communication - overlap * own))
    return speed_up, speed_up / workers


def tensor_parallel_mlp(
    x: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    activation: Callable[[np.ndarray], np.ndarray],
    workers: int,
) -> tuple[np.ndarray, Traffic]:
    """Compute activation(x @ first) @ second with each matrix shared by all workers.

    Worker i has some columns of the first matrix and the same rows of the second:
        y = Σᵢ activation(x @ firstᵢ) @ secondᵢ

    The activation works on each number alone, so no message is needed between the two products,
    and the sum at the end is one all-reduce.

    Args:
        x: the input, which every worker has, shape (N, in).
        first: the first matrix, shape (in, hidden).
        second: the second matrix, shape (hidden, out).
        activation: the function between them, applied to each number.
        workers: the number of workers, a divisor of hidden.

    Returns:
        The output, shape (N, out), and the traffic of its all-reduce.

    Raises:
        ValueError: if the shapes do not fit, or hidden cannot be divided by `workers`.

    Source:
        Shoeybi et al., "Megatron-LM: Training multi-billion parameter language models using model
        parallelism", 2019, arXiv:1909.08053.

    Example:
        >>> x, first, second = np.ones((1, 3)), np.ones((3, 4)), np.ones((4, 2))
        >>> y, traffic = tensor_parallel_mlp(x, first, second, np.tanh, workers=2)
        >>> np.allclose(y, np.tanh(x @ first) @ second), traffic.messages
        (True, 4)

    Taught in: book/training/distributed_training.md
    """
    _check_at_least_one(workers=workers)
    hidden = first.shape[1]
    if x.shape[1] != first.shape[0] or second.shape[0] != hidden:
        raise ValueError(
            f"`x` (of shape {x.shape}), `first` (of shape {first.shape}) and `second` (of shape "
            f"{second.shape}) must have the shapes (N, in), (in, hidden) and (hidden, out)."
        )
    if hidden % workers:
        raise ValueError(f"`workers` (={workers}) must divide the {hidden} columns of `first`.")
    columns = np.split(first, workers, axis=1)  # (in, hidden) -> n times (in, hidden / n)
    rows = np.split(second, workers, axis=0)  # (hidden, out) -> n times (hidden / n, out)
    parts = [activation(x @ a) @ b for a, b in zip(columns, rows, strict=True)]
    sums, traffic = ring_all_reduce(parts)
    return sums[0], traffic


def pipeline_schedule(stages: int, microbatches: int) -> np.ndarray:
    """Return which microbatch each stage works on at each tick of a forward pass.

    Stage s works on microbatch m at tick s + m. A stage that has nothing to do idles: −1.

    Args:
        stages: p, the workers, each with a part of the layers.
        microbatches: m, into which the batch is cut.

    Returns:
        The numbers of the microbatches, shape (stages, microbatches + stages − 1).

    Raises:
        ValueError: if a number is below 1.

    Source:
        Huang et al., "GPipe: Efficient training of giant neural networks using pipeline
        parallelism", NeurIPS 2019.

    Example:
        >>> pipeline_schedule(stages=3, microbatches=4)
        array([[ 0,  1,  2,  3, -1, -1],
               [-1,  0,  1,  2,  3, -1],
               [-1, -1,  0,  1,  2,  3]])

    Taught in: book/training/distributed_training.md
    """
    _check_at_least_one(stages=stages, microbatches=microbatches)
    ticks = np.arange(microbatches + stages - 1)
    number = ticks - np.arange(stages)[:, None]  # (stages, ticks)
    return np.where((number >= 0) & (number < microbatches), number, -1)


def pipeline_bubble(stages: int, microbatches: int) -> float:
    """Return the share of the time in which the stages of a pipeline idle.

    bubble = (p − 1) / (m + p − 1)

    Args:
        stages: p.
        microbatches: m.

    Raises:
        ValueError: if a number is below 1.

    Source:
        Huang et al., "GPipe: Efficient training of giant neural networks using pipeline
        parallelism", NeurIPS 2019.

    Example:
        >>> pipeline_bubble(4, 1), round(pipeline_bubble(4, 16), 3)
        (0.75, 0.158)

    Taught in: book/training/distributed_training.md
    """
    _check_at_least_one(stages=stages, microbatches=microbatches)
    return (stages - 1) / (microbatches + stages - 1)


def _check_arrays(arrays: Sequence[np.ndarray]) -> None:
    if len(arrays) == 0:
        raise ValueError("`arrays` is empty: there must be a worker.")
    for number, array in enumerate(arrays):
        if array.shape != arrays[0].shape or array.dtype != arrays[0].dtype:
            raise ValueError(
                f"`arrays[{number}]` (of shape {array.shape}, {array.dtype}) must be as the first "
                f"one: shape {arrays[0].shape}, {arrays[0].dtype}."
            )


def _check_at_least_one(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1.")

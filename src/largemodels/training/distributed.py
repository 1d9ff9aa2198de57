"""Data-parallel training with real processes: `torchrun` starts them, gloo connects them.

Each process has the whole model and a shard of each batch. After the backward pass the gradients
are averaged, so all take the same step. A script of your own needs three lines more:

    with process_group():
        losses = fit_data_parallel(model, loss, optimizer, train, epochs=3, batch_size=64, seed=0)

and starts with `torchrun --standalone --nproc-per-node 2 script.py`. For an example, read and run
`largemodels.training.distributed_example`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sized
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from tqdm.auto import tqdm

from largemodels.training.divergence import check_loss, check_parameters

__all__ = ["fit_data_parallel", "process_group", "shard_loader"]


@contextmanager
def process_group(backend: str = "gloo") -> Iterator[tuple[int, int]]:
    """Connect the processes that `torchrun` started, and disconnect them at the end.

    Args:
        backend: "gloo" for CPUs, "nccl" for the GPUs of NVIDIA.

    Yields:
        The rank of this process, from 0, and the number of processes.

    Raises:
        RuntimeError: if the process was not started by `torchrun`.

    Example:
        >>> with process_group() as (rank, world_size):
        ...     print(f"process {rank} of {world_size}")
        Traceback (most recent call last):
        ...
        RuntimeError: `RANK` is not set: start the script with `torchrun --standalone ...

    Taught in: book/training/distributed_training.md
    """
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR") if name not in os.environ]
    if missing:
        raise RuntimeError(
            f"`{missing[0]}` is not set: start the script with `torchrun --standalone "
            "--nproc-per-node 2 SCRIPT`, which tells each process which one it is."
        )
    dist.init_process_group(backend)
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()


def shard_loader(data: Dataset, *, batch_size: int, seed: int) -> DataLoader:
    """Return a loader of this process's shard: 1 / n of each batch, and no example twice.

    Before each epoch, `loader.sampler.set_epoch(epoch)` draws a new order. All processes draw the
    same one from seed + epoch; process r takes the examples at the places r, r + n, r + 2n, ….
    Where the number of examples is no multiple of n, up to n − 1 are left out of an epoch, so that
    all shards are equally large: only then the mean of the gradients is that of the batch.

    Args:
        data: the examples.
        batch_size: how many examples all processes together take in one step; a multiple of n.
        seed: the number from which the order is drawn, the same in all processes.

    Raises:
        ValueError: if `batch_size` is no multiple of n, or there are fewer than n examples.

    Example:
        >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        >>> loader = shard_loader(range(6), batch_size=4, seed=0)  # One process has it all.
        >>> [len(batch) for batch in loader]
        [4, 2]
        >>> dist.destroy_process_group()

    Taught in: book/training/distributed_training.md
    """
    workers = dist.get_world_size()
    if batch_size < 1 or batch_size % workers:
        raise ValueError(
            f"`batch_size` (={batch_size}) must be a multiple of the {workers} processes."
        )
    if not isinstance(data, Sized) or len(data) < workers:
        raise ValueError(
            f"`data` (={data!r}) must have an example for each of {workers} processes."
        )
    sampler: DistributedSampler = DistributedSampler(data, seed=seed, drop_last=True)
    return DataLoader(data, batch_size // workers, sampler=sampler)


def fit_data_parallel(
    model: nn.Module,
    loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Dataset,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    progress: bool = True,
) -> list[float]:
    """Train a model in all processes of the group, each with its shard of every batch.

    g = (1 / n) Σᵣ gᵣ,  gᵣ the gradient of process r

    With a loss that is a mean and shards of one size this is the gradient of the whole batch: the
    training equals that of one process with the same batches, up to rounding. (Batch normalization
    is the exception: each process sees the mean of its shard only.) The model starts with the
    weights of process 0 everywhere, whatever the seeds were.

    Args:
        model: the network, on the CPU.
        loss: the loss, with its mean over the batch.
        optimizer: the optimizer of the network's parameters.
        train: the examples, pairs of input and target, the same in all processes.
        epochs: how many times to go through the data.
        batch_size: how many examples all processes together take in one step; a multiple of n.
        seed: the number from which the order is drawn.
        progress: whether process 0 shows a progress bar.

    Returns:
        The mean loss of each epoch over the examples of all processes.

    Raises:
        FloatingPointError: in all processes, if the loss of one, or a parameter, is not finite.
        ValueError: if `epochs` is below 1, or `batch_size` or `train` do not fit the processes.

    Source:
        Li et al., "PyTorch Distributed: Experiences on accelerating data parallel training",
        VLDB 2020.

    Example:
        >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        >>> from torch.utils.data import TensorDataset
        >>> x = torch.tensor([[-1.0], [0.0], [1.0], [2.0]])
        >>> model = nn.Linear(1, 1)  # It learns y = 2 x.
        >>> losses = fit_data_parallel(
        ...     model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.2),
        ...     TensorDataset(x, 2 * x), epochs=50, batch_size=4, seed=0, progress=False,
        ... )
        >>> losses[-1] < 1e-6
        True
        >>> dist.destroy_process_group()

        With several processes: `largemodels.training.distributed_example`.

    Taught in: book/training/distributed_training.md
    """
    if epochs < 1:
        raise ValueError(f"`epochs` (={epochs}) must be at least 1.")
    loader = shard_loader(train, batch_size=batch_size, seed=seed)
    parallel = DistributedDataParallel(model)  # Its backward pass averages the gradients.
    processes = dist.get_world_size()
    losses = []
    for epoch in tqdm(range(epochs), disable=not progress or dist.get_rank() > 0, unit="epoch"):
        assert isinstance(loader.sampler, DistributedSampler)
        loader.sampler.set_epoch(epoch)
        total = count = 0.0
        for step, (x, y) in enumerate(loader):
            value = loss(parallel(x), y)
            # The mean over all shards, which are equally large. All processes see it, so that all
            # of them stop: one that stops alone lets the others wait for its gradients.
            mean = value.detach().double()
            dist.all_reduce(mean)
            mean /= processes
            check_loss(mean.item(), model, optimizer, epoch=epoch, step=step)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            total += mean.item() * len(x)
            count += len(x)
        check_parameters(model, optimizer, epoch=epoch, step=len(loader))
        losses.append(total / count)
    return losses

"""Train a small network on the digits, in as many processes as `torchrun` starts.

    torchrun --standalone --nproc-per-node 2 -m largemodels.training.distributed_example

With `--nproc-per-node 1` it prints the same losses, up to rounding: the batches are the same.
`--standalone` chooses a free port, so two such runs do not disturb each other.

Taught in: book/training/distributed_training.md
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.data import TensorDataset

from largemodels import data
from largemodels.training.checkpoint import save_checkpoint
from largemodels.training.distributed import fit_data_parallel, process_group


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print the loss of each epoch in process 0, and save the weights if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", help="the file for the weights and the losses")
    options = parser.parse_args(arguments)
    with process_group() as (rank, world_size):
        digits = data.load("digits")
        x = (
            torch.tensor(digits.x_train, dtype=torch.float64).flatten(1) / 16
        )  # (N, 8, 8) -> (N, 64)
        # All processes leave out the same examples, so that any small number of them divides N.
        count = len(x) - len(x) % 24
        train = TensorDataset(x[:count], torch.tensor(digits.y_train[:count]).long())
        torch.manual_seed(options.seed + rank)  # Other weights in each; those of process 0 count.
        model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)).double()
        losses = fit_data_parallel(
            model,
            nn.CrossEntropyLoss(),
            torch.optim.Adam(model.parameters(), lr=0.01),
            train,
            epochs=options.epochs,
            batch_size=options.batch_size,
            seed=options.seed,
            progress=False,
        )
        if rank == 0:
            print(f"{world_size} processes, losses {', '.join(f'{loss:.6f}' for loss in losses)}")
        if options.save:
            # Each process saves, so that a reader can see that they agree.
            name = f"{options.save}.{rank}"
            save_checkpoint(name, {"model": model.state_dict(), "losses": losses})


if __name__ == "__main__":
    main()

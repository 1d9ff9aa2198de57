"""What each process of `test_distributed.py` runs: it saves what the test shall compare."""

import sys

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

from largemodels.training.distributed import fit_data_parallel, process_group, shard_loader


def examples(count):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    return TensorDataset(x, x[:, :1] * x[:, 1:2])


def make(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()


def refused(call):
    try:
        call()
    except ValueError as error:
        return str(error)
    return None


def main(path):
    with process_group() as (rank, world_size):
        result = {"world_size": world_size}
        # 23 examples, which 2 processes cannot share: one is left out.
        loader = shard_loader(TensorDataset(torch.arange(23)), batch_size=6, seed=5)
        result["shards"] = []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            result["shards"].append([rows.tolist() for (rows,) in loader])
        result["refused"] = [
            refused(lambda: shard_loader(examples(8), batch_size=5, seed=0)),
            refused(lambda: shard_loader(examples(1), batch_size=2, seed=0)),
        ]
        # The gradient of one batch of 24, half of it in each process.
        x, y = examples(24)[rank::world_size]
        parallel = DistributedDataParallel(make(seed=0))
        nn.functional.mse_loss(parallel(x), y).backward()
        result["gradients"] = [parameter.grad.clone() for parameter in parallel.parameters()]
        # Several steps, from other weights in each process, with the momentum of an optimizer.
        model = make(seed=10 + rank)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        result["losses"] = fit_data_parallel(
            model, nn.MSELoss(), optimizer, examples(40),
            epochs=3, batch_size=16, seed=7, progress=False,
        )  # fmt: skip
        result["weights"] = [parameter.detach() for parameter in model.parameters()]
        # The data of one process only are not finite, and both must stop, not one of them wait.
        x, y = examples(8).tensors
        x[0] = torch.nan
        model = make(seed=0)
        try:
            fit_data_parallel(
                model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1),
                TensorDataset(x, y), epochs=1, batch_size=2, seed=7, progress=False,
            )  # fmt: skip
        except FloatingPointError as error:
            result["divergence"] = str(error)
        torch.save(result, f"{path}.{rank}")


if __name__ == "__main__":
    main(sys.argv[1])

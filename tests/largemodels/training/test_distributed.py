"""Two real processes give the gradients and the weights of a single one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from largemodels import data
from largemodels.training.checkpoint import load_checkpoint
from largemodels.training.distributed import fit_data_parallel, process_group

WORKER = Path(__file__).with_name("distributed_worker.py")
TOLERANCE = {"rtol": 0, "atol": 1e-10}


def launch(*program):
    # `--standalone` lets the system choose a free port.
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*command, "--nproc-per-node", "2", *map(str, program)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Start the worker and the example at the same time, with two processes each."""
    folder = tmp_path_factory.mktemp("distributed")
    example = ["-m", "largemodels.training.distributed_example", "--epochs", "2"]
    launched = [
        launch(WORKER, folder / "worker"),
        launch(*example, "--save", folder / "example"),
    ]
    try:
        ends = [process.communicate(timeout=300) for process in launched]
    finally:
        for process in launched:
            process.kill()
    for process, (_, errors) in zip(launched, ends, strict=True):
        assert process.returncode == 0, errors
    return {
        "worker": [torch.load(folder / f"worker.{rank}") for rank in range(2)],
        "example": [load_checkpoint(folder / f"example.{rank}") for rank in range(2)],
        "printed": ends[1][0],
    }


def examples(count):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    return x, x[:, :1] * x[:, 1:2]


def make(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()


def train_alone(model, loss, optimizer, x, y, epochs, batch_size, seed):
    """Train in this process, with a loop that shares no line with the library."""
    losses = []
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed + epoch))
        total = 0.0
        for rows in order.split(batch_size):
            optimizer.zero_grad()
            value = loss(model(x[rows]), y[rows])
            value.backward()
            optimizer.step()
            total += value.item() * len(rows)
        losses.append(total / len(x))
    return losses


def test_averaged_gradients_are_those_of_the_full_batch(runs):
    x, y = examples(24)
    model = make(seed=0)
    nn.functional.mse_loss(model(x), y).backward()
    expected = [parameter.grad for parameter in model.parameters()]
    for result in runs["worker"]:
        assert result["world_size"] == 2
        torch.testing.assert_close(result["gradients"], expected, **TOLERANCE)


def test_weights_after_several_steps_are_those_of_one_process(runs):
    x, y = examples(40)
    model = make(seed=10)  # Those of process 0.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = train_alone(model, nn.MSELoss(), optimizer, x, y, epochs=3, batch_size=16, seed=7)
    expected = [parameter.detach() for parameter in model.parameters()]
    for result in runs["worker"]:
        torch.testing.assert_close(result["weights"], expected, **TOLERANCE)
        assert result["losses"] == pytest.approx(losses, abs=1e-10)
    change = expected[0] - make(seed=10)[0].weight
    assert change.abs().max() > 0.1  # There was something to agree on.


def test_shards_are_disjoint_and_new_in_each_epoch(runs):
    first, second = (result["shards"] for result in runs["worker"])
    for epoch in range(2):
        assert [len(rows) for rows in first[epoch]] == [3, 3, 3, 2]
        assert [len(rows) for rows in second[epoch]] == [3, 3, 3, 2]
        seen = [row for rows in first[epoch] + second[epoch] for row in rows]
        assert len(seen) == len(set(seen)) == 22
        assert set(seen) < set(range(23))
    assert first[0] != first[1]


def test_what_two_processes_cannot_share_is_refused(runs):
    for result in runs["worker"]:
        batch, count = result["refused"]
        assert batch == "`batch_size` (=5) must be a multiple of the 2 processes."
        assert re.fullmatch(r"`data` \(=.*\) must have an example for each of 2 processes\.", count)


def test_all_processes_stop_where_one_of_them_diverges(runs):
    first, second = (result["divergence"] for result in runs["worker"])
    assert first == second
    assert re.search(
        "(stopped before|diverged after) .*: the loss is nan. The learning rate is 0.1", first
    )


def test_the_example_equals_one_process(runs):
    digits = data.load("digits")
    count = len(digits.x_train) - len(digits.x_train) % 24
    x = torch.tensor(digits.x_train[:count], dtype=torch.float64).flatten(1) / 16
    y = torch.tensor(digits.y_train[:count]).long()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = train_alone(
        model, nn.CrossEntropyLoss(), optimizer, x, y, epochs=2, batch_size=64, seed=0
    )
    for result in runs["example"]:
        torch.testing.assert_close(result["model"], dict(model.state_dict()), **TOLERANCE)
        assert result["losses"] == pytest.approx(losses, abs=1e-10)
    assert runs["printed"] == f"2 processes, losses {losses[0]:.6f}, {losses[1]:.6f}\n"


def test_without_torchrun_the_message_says_how_to_start(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "0")
    message = "`WORLD_SIZE` is not set: start the script with `torchrun --standalone "
    with pytest.raises(RuntimeError, match=re.escape(message)), process_group():
        pass


@pytest.fixture
def group_of_one(monkeypatch):
    environment = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "`epochs` (=0) must be at least 1."),
        ({"batch_size": 0}, "`batch_size` (=0) must be a multiple of the 1 processes."),
    ],
)
def test_a_wrong_argument_is_named(group_of_one, options, message):
    train, model = TensorDataset(*examples(8)), make(seed=0)
    options = {"epochs": 1, "batch_size": 4, "seed": 0, "progress": False, **options}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with process_group(), pytest.raises(ValueError, match=re.escape(message)):
        fit_data_parallel(model, nn.MSELoss(), optimizer, train, **options)


def test_a_group_ends_with_an_error(group_of_one):
    def fails():
        with process_group():
            assert torch.distributed.is_initialized()
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert not torch.distributed.is_initialized()

"""A checkpoint is whole or is refused, and no stop of the program costs the last one."""

import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from largemodels.training.checkpoint import (
    load_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
)

# Saves number after number, and says so after each: the file must never hold a smaller one.
SAVE_FOREVER = """
import sys, torch
from largemodels.training.checkpoint import save_checkpoint
for number in range(1_000_000):
    save_checkpoint(sys.argv[1], {"number": number, "weight": torch.full((500_000,), number)})
    print(number, flush=True)
"""

# Stops dead when half of the file is written, whatever the timing of the machine.
DIE_HALFWAY = """
import os, signal, sys, torch
from largemodels.training.checkpoint import save_checkpoint
save_checkpoint(sys.argv[1], {"number": 1})

def save_half(content, file):
    file.write(b"half of a file")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

torch.save = save_half
save_checkpoint(sys.argv[1], {"number": 2})
"""


def test_a_state_comes_back_bit_for_bit(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()
    path = tmp_path / "new" / "folder" / "run.pt"
    save_checkpoint(path, {"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    state = load_checkpoint(path)
    torch.testing.assert_close(state["model"], dict(model.state_dict()), rtol=0, atol=0)
    assert str(state["optimizer"]) == str(optimizer.state_dict())
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]


def test_kill_in_the_middle_of_a_save_keeps_the_last_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    process = subprocess.run([sys.executable, "-c", DIE_HALFWAY, path], check=False)
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "run.pt.partial").read_bytes() == b"half of a file"
    assert load_checkpoint(path)["number"] == 1
    save_checkpoint(path, {"number": 3})  # What the killed program left is no obstacle.
    assert load_checkpoint(path)["number"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_kill_at_any_moment_loses_no_state_that_was_saved(tmp_path):
    path = tmp_path / "run.pt"
    command = [sys.executable, "-c", SAVE_FOREVER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = [process.stdout.readline() for _ in range(3)]
        time.sleep(random.random() / 20)  # A different moment in each run of the test.
        process.kill()
        said += process.stdout.readlines()
    state = load_checkpoint(path)
    assert state["number"] >= max(int(line) for line in said if line.endswith("\n"))
    assert (state["weight"] == state["number"]).all()


def test_an_error_while_saving_keeps_the_last_checkpoint(tmp_path):
    save_checkpoint(tmp_path / "run.pt", {"number": 1})
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        save_checkpoint(tmp_path / "run.pt", {"number": (n for n in ())})  # Cannot be pickled.
    assert load_checkpoint(tmp_path / "run.pt") == {"number": 1}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`path` \(='.*run.pt'\) names no file"):
        load_checkpoint(tmp_path / "run.pt")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = tmp_path / "run.pt"
    save_checkpoint(path, {"weight": torch.randn(10_000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=re.escape(f"`path` (={str(path)!r}) is not a checkpoint")):
        load_checkpoint(path)


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="was not written by `save_checkpoint`"):
        load_checkpoint(path)
    torch.save(torch.zeros(2), path)
    with pytest.raises(ValueError, match="was not written by `save_checkpoint`"):
        load_checkpoint(path)
    np.savez(tmp_path / "arrays.npz", weight=np.zeros(2))  # A zip file of another kind.
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        load_checkpoint(tmp_path / "arrays.npz")
    path.write_text("no checkpoint at all")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        load_checkpoint(path)


class Trap:
    def __reduce__(self):
        return (print, ("code from the file was run",))


def test_no_code_from_a_file_is_run(tmp_path, capsys):
    torch.save({"format": "any", "state": Trap()}, tmp_path / "run.pt")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        load_checkpoint(tmp_path / "run.pt")
    assert capsys.readouterr().out == ""


def draw():
    # The second of two normal numbers is kept inside NumPy's and Python's generators.
    normal = np.random.standard_normal()  # noqa: NPY002
    return [torch.randn(3).tolist(), normal, random.gauss(0, 1)]


def test_random_numbers_continue_through_a_file(tmp_path):
    draw()
    save_checkpoint(tmp_path / "run.pt", {"random": random_state()})
    expected = [draw(), draw()]
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    set_random_state(load_checkpoint(tmp_path / "run.pt")["random"])
    assert [draw(), draw()] == expected


def test_another_number_of_gpus_is_refused():
    state = random_state()
    state["cuda"] = [*state["cuda"], torch.zeros(16, dtype=torch.uint8)]
    with pytest.raises(ValueError, match="`state` was taken with"):
        set_random_state(state)

"""The loop equals a hand-written one, resumes to the last bit, and stops when it must."""

import json
import math
import random
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR, ReduceLROnPlateau
from torch.utils.data import Dataset, TensorDataset

from largemodels.plots import learning_curves
from largemodels.training.checkpoint import load_checkpoint, save_checkpoint
from largemodels.training.loop import evaluate, fit

CPU = torch.device("cpu")
EPOCHS, STEPS = 4, 7  # 33 examples in batches of 5: the last one has only 3.


def examples(count=33, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=generator)
    return TensorDataset(x, (x[:, 0] * x[:, 1] > 0).long())


class Augmented(Dataset):
    """Examples that are changed at random, with all three global generators."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        x, y = self.data[index]
        noise = random.gauss(0, 0.1) + np.random.standard_normal() * 0.1  # noqa: NPY002
        return x + noise + 0.1 * torch.randn(4), y


class StopsAt(nn.CrossEntropyLoss):
    """Stops the program at its n-th batch of training, as a pressed Ctrl-C does."""

    def __init__(self, count=None):
        super().__init__()
        self.count = count

    def forward(self, prediction, target):
        if torch.is_grad_enabled() and self.count is not None:
            self.count -= 1
            if self.count < 0:
                raise KeyboardInterrupt
        return super().forward(prediction, target)


def make(seed=0, **options):
    """Return a network with dropout and running statistics, its optimizer and a schedule."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    schedule = OneCycleLR(optimizer, max_lr=0.05, total_steps=EPOCHS * STEPS)
    return model, optimizer, schedule


def run(path=None, count=None, seed=0, train=None, **options):
    model, optimizer, schedule = make(seed)
    settings = {
        "epochs": EPOCHS,
        "batch_size": 5,
        "seed": 3,
        "validation": examples(20, seed=2),
        "schedule": schedule,
        "max_norm": 0.5,
        "patience": 2,
        "device": CPU,
        "checkpoint": path,
        "progress": False,
    }
    train = train or Augmented(examples())
    history = fit(model, StopsAt(count), optimizer, train, **{**settings, **options})
    return history, model, optimizer, schedule


def numbers(result):
    """Return everything that a run computed, for a comparison to the last bit."""
    history, model, optimizer, schedule = result
    curves = [history.loss, history.accuracy, history.validation_loss, history.validation_accuracy]
    states = [model.state_dict(), optimizer.state_dict(), schedule.state_dict()]
    draws = [torch.rand(1), random.random(), np.random.rand()]  # noqa: NPY002
    return json.dumps([curves, states, draws], default=torch.Tensor.tolist)


def plain(model, optimizer, train, validation=None):
    return {
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
        "train": train,
        "epochs": 2,
        "batch_size": 5,
        "seed": 3,
        "validation": validation,
        "device": CPU,
        "progress": False,
    }


def test_the_loop_equals_a_hand_written_one():
    train, validation = examples(), examples(20, seed=2)
    model, optimizer, schedule = make()
    history = fit(**plain(model, optimizer, train, validation), schedule=schedule, max_norm=0.1)

    other, optimizer, schedule = make()
    torch.manual_seed(3)
    generator = torch.Generator().manual_seed(3)
    expected = {"loss": [], "accuracy": [], "validation_loss": [], "validation_accuracy": []}
    for _ in range(2):
        other.train()
        losses, right = [], 0
        for rows in torch.randperm(33, generator=generator).split(5):
            x, y = train[rows]
            optimizer.zero_grad()
            prediction = other(x)
            loss = nn.functional.cross_entropy(prediction, y)
            loss.backward()
            nn.utils.clip_grad_norm_(other.parameters(), 0.1)
            optimizer.step()
            schedule.step()
            losses += [loss.item()] * len(rows)
            right += (prediction.argmax(1) == y).sum().item()
        other.eval()
        x, y = validation[:]
        expected["loss"].append(np.mean(losses))
        expected["accuracy"].append(right / 33)
        with torch.no_grad():
            expected["validation_loss"].append(nn.functional.cross_entropy(other(x), y).item())
            expected["validation_accuracy"].append((other(x).argmax(1) == y).float().mean().item())
    torch.testing.assert_close(model.state_dict(), other.state_dict(), rtol=0, atol=0)
    for name, values in expected.items():
        assert getattr(history, name) == pytest.approx(values), name
    assert history.seconds > 0
    assert len(learning_curves(history).axes) == 2


def test_a_run_is_reproducible_and_its_seed_counts():
    first = numbers(run())
    random.random(), np.random.rand(), torch.rand(3)  # noqa: NPY002
    assert numbers(run()) == first
    assert run(seed=0)[0].loss != run(**{"seed": 0, "batch_size": 6, "schedule": None})[0].loss
    model, optimizer, _ = make()
    one = fit(**plain(model, optimizer, examples()))
    model, optimizer, _ = make()
    other = fit(**{**plain(model, optimizer, examples()), "seed": 4})
    assert one.loss != other.loss


# Before any save, in the middle of an epoch on and off a save, at the end of one, in the last.
@pytest.mark.parametrize("stop", [0, 1, 3, 5, STEPS - 1, STEPS, 2 * STEPS + 4, 4 * STEPS - 1])
def test_an_interrupted_run_continues_bit_for_bit(tmp_path, stop):
    expected = numbers(run(patience=10))
    path = tmp_path / "run.pt"
    options = {"checkpoint_steps": 3, "patience": 10, "resume": True}
    with pytest.raises(KeyboardInterrupt):
        run(path, stop, **options)
    assert path.exists() == (stop >= 3)
    # Another start, unless there is nothing to continue: all that counts is in the file.
    assert numbers(run(path, seed=9 if path.exists() else 0, **options)) == expected


def test_a_run_that_is_interrupted_again_and_again_arrives(tmp_path):
    expected = numbers(run(patience=10))
    options = {"checkpoint_steps": 2, "resume": True, "patience": 10}
    interruptions = 0
    result = None
    while result is None:
        try:
            result = run(tmp_path / "run.pt", 3, **options)
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions > 5
    assert numbers(result) == expected


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_and_continues_bit_for_bit(tmp_path, precision):
    options = {"precision": precision, "patience": 10}
    whole = run(**options)
    expected = numbers(whole)
    assert whole[0].loss[-1] < whole[0].loss[0]
    assert whole[0].loss != run(patience=10)[0].loss
    assert all(value.dtype == torch.float32 for value in whole[1].parameters())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run.pt", 10, checkpoint_steps=3, **options)
    resumed = run(tmp_path / "run.pt", checkpoint_steps=3, resume=True, **options)
    assert numbers(resumed) == expected
    scaler = load_checkpoint(tmp_path / "run.pt")["states"]["scaler"]
    assert bool(scaler) == (precision == "float16")


def test_float16_skips_a_step_whose_scaled_gradient_overflows():
    model, optimizer, schedule = make()
    before = model[0].weight.clone()
    options = plain(model, optimizer, examples(5))
    # A loss of about 1e3 times the first scale of 65536 is more than float16 can hold.
    options["loss"] = Scaled(1e3)
    fit(**{**options, "epochs": 1}, precision="float16", schedule=schedule)
    assert torch.equal(model[0].weight, before)
    assert schedule.last_epoch == 0


def test_float16_clips_the_gradient_and_not_the_scaled_one():
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    options = plain(model, torch.optim.SGD(model.parameters(), lr=1.0), examples(5))
    fit(**{**options, "epochs": 1}, precision="float16", max_norm=0.01)
    change = nn.utils.parameters_to_vector(model.parameters()) - before
    assert change.norm().item() == pytest.approx(0.01, rel=1e-3)


class Scaled(nn.CrossEntropyLoss):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, prediction, target):
        return super().forward(prediction, target) * self.factor


KILLED = """
import os, signal, sys, torch
from torch import nn
from torch.utils.data import TensorDataset
from largemodels.training.loop import fit

class Dies(nn.MSELoss):
    left = int(sys.argv[2])
    def forward(self, prediction, target):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(prediction, target)

torch.manual_seed(0)
x = torch.randn(20, 3)
model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.Linear(3, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
history = fit(model, Dies(), optimizer, TensorDataset(x, x[:, :1]), epochs=3, batch_size=4, seed=0,
              checkpoint=sys.argv[1], checkpoint_steps=2, resume=True, progress=False)
print(history.loss, [parameter.tolist() for parameter in model.parameters()])
"""


def test_a_killed_program_continues_bit_for_bit_in_a_new_one(tmp_path):
    def start(name, left):
        command = [sys.executable, "-c", KILLED, str(tmp_path / name), str(left)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    whole = start("whole.pt", -1)
    assert whole.returncode == 0, whole.stderr
    assert start("killed.pt", 9).returncode == -signal.SIGKILL
    resumed = start("killed.pt", -1)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == whole.stdout


class Scripted(nn.Module):
    """A loss that is good on the training data, and in validation what the script says."""

    def __init__(self, script):
        super().__init__()
        self.script = list(script)

    def forward(self, prediction, target):
        if torch.is_grad_enabled():
            return prediction.sum()
        return torch.tensor(self.script.pop(0))


def scripted_run(script, epochs, **options):
    # The gradient of the only weight is 1 at all times: after epoch n the weight is -n.
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    data = TensorDataset(torch.ones(1, 1), torch.zeros(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    loss = Scripted(script)
    history = fit(
        model, loss, optimizer, data, epochs=epochs, batch_size=1, seed=0, validation=data,
        device=CPU, progress=False, **options,
    )  # fmt: skip
    return history.validation_loss, model.weight.item()


@pytest.mark.parametrize(
    ("script", "patience", "epochs_run", "best"),
    [
        ([3.0, 2.0, 2.5, 2.0, 1.0], 2, 4, 2),  # An equal loss is no improvement.
        ([3.0, 2.0, 2.5, 1.0, 1.5, 1.5, 0.0], 2, 6, 4),  # An improvement starts the count anew.
        ([3.0, 4.0, 1.0], 1, 2, 1),
        ([3.0, 2.0, 2.5], 9, 3, 2),  # The epochs end first: still the best weights.
    ],
)
def test_early_stopping_waits_and_restores_the_best_weights(script, patience, epochs_run, best):
    losses, weight = scripted_run(script, len(script), patience=patience)
    assert losses == script[:epochs_run]
    assert weight == -best


def test_without_patience_the_last_weights_stay():
    assert scripted_run([1.0, 2.0, 3.0], 3) == ([1.0, 2.0, 3.0], -3.0)


def test_early_stopping_counts_on_through_a_resume(tmp_path):
    script = [3.0, 2.0, 2.5, 2.25, 2.75, 1.0]
    path = tmp_path / "run.pt"
    scripted_run(script[:3], 3, patience=3, checkpoint=path)
    resumed = scripted_run(script[3:], 6, patience=3, checkpoint=path, resume=True)
    assert resumed == (script[:5], -2.0)
    # What has stopped stays stopped.
    assert scripted_run([], 6, patience=3, checkpoint=path, resume=True) == (script[:5], -2.0)


def test_each_schedule_moves_when_it_should():
    def rates(schedule_class, each, **options):
        model, optimizer, _ = make()
        schedule = schedule_class(optimizer, **options)
        data = plain(model, optimizer, examples(), examples(20, seed=2))
        start = optimizer.param_groups[0]["lr"]
        fit(**data, schedule=schedule, schedule_each=each)
        return optimizer.param_groups[0]["lr"] / start

    assert rates(ExponentialLR, "step", gamma=0.5) == pytest.approx(0.5 ** (2 * STEPS))
    assert rates(ExponentialLR, "epoch", gamma=0.5) == pytest.approx(0.5**2)
    # With this threshold no epoch counts as better, but the first.
    plateau = {"factor": 0.1, "patience": 0, "threshold": 10.0, "threshold_mode": "abs"}
    assert rates(ReduceLROnPlateau, "epoch", **plateau) == pytest.approx(0.1)


def test_a_diverging_training_names_step_learning_rate_and_largest_gradient():
    model, _, _ = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e30)
    with pytest.raises(FloatingPointError) as error:
        fit(**plain(model, optimizer, examples()))
    found = re.search(
        r"after step (\d) of epoch 1: the loss is (nan|inf)\. The learning rate is 1e\+30, the "
        r"largest gradient of the last step is (\S+), in `(\S+)`",
        str(error.value),
    )
    assert found, str(error.value)
    parameter = dict(model.named_parameters())[found[4]]
    largest = parameter.grad.abs().max().item()
    assert found[3] == f"{largest:.3g}"
    others = [p.grad.abs().max().item() for p in model.parameters()]
    assert math.isnan(largest) or largest == max(others)


def test_a_nan_is_the_largest_gradient():
    model = nn.Linear(4, 2)
    model.bias.register_hook(lambda grad: grad * math.nan)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(FloatingPointError, match=r"step 1 of .* largest .* is nan, in `bias`"):
        fit(**plain(model, optimizer, examples()))


def test_nan_in_the_data_stops_before_the_first_step():
    model, optimizer, _ = make()
    train = TensorDataset(torch.full((5, 4), math.nan), torch.zeros(5).long())
    with pytest.raises(
        FloatingPointError, match=r"before the first step: the loss is nan\. The le"
    ):
        fit(**plain(model, optimizer, train))


class BadGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * math.nan


class LastStepBreaks(nn.CrossEntropyLoss):
    calls = 0

    def forward(self, prediction, target):
        self.calls += 1
        if self.calls == 2 * STEPS:
            prediction = BadGradient.apply(prediction)
        return super().forward(prediction, target)


def test_no_broken_weights_are_returned_or_saved(tmp_path):
    model, optimizer, _ = make()
    options = plain(model, optimizer, examples())
    options |= {"loss": LastStepBreaks(), "checkpoint": tmp_path / "run.pt", "checkpoint_steps": 1}
    with pytest.raises(
        FloatingPointError, match=r"the parameter `0.weight` is not finite.* nan, in"
    ):
        fit(**options)
    state = load_checkpoint(tmp_path / "run.pt")
    assert state["position"]["step"] == STEPS - 1
    assert all(value.isfinite().all() for value in state["states"]["model"].values())


def test_an_infinite_validation_loss_stops():
    with pytest.raises(FloatingPointError, match="the validation loss is inf"):
        scripted_run([1.0, math.inf], 2)


def test_evaluate_changes_nothing_and_keeps_the_mode():
    model, _, _ = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pair = evaluate(model, nn.CrossEntropyLoss(), examples(), batch_size=5)
    assert pair == pytest.approx(evaluate(model, nn.CrossEntropyLoss(), examples()))
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    assert model.training
    model.eval()
    evaluate(model, nn.CrossEntropyLoss(), examples())
    assert not model.training


def test_accuracy_knows_its_losses():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 9.0]])

    def accuracy(loss, x, y):
        return evaluate(nn.Identity(), loss, TensorDataset(x, y))[1]

    y = torch.tensor([0, 1, 1, -100])
    assert accuracy(nn.CrossEntropyLoss(), logits, y) == pytest.approx(2 / 3)
    shares = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    assert accuracy(nn.CrossEntropyLoss(), logits, shares) == 0.5
    assert accuracy(nn.BCEWithLogitsLoss(), logits[:, 0] - 1, torch.tensor([1.0, 1, 1, 0])) == 0.75
    assert math.isnan(accuracy(nn.MSELoss(), logits, logits))


def test_an_existing_checkpoint_is_not_overwritten(tmp_path):
    save_checkpoint(tmp_path / "run.pt", {"mine": 1})
    with pytest.raises(FileExistsError, match="Pass `resume=True` to go on from it"):
        run(tmp_path / "run.pt")
    with pytest.raises(ValueError, match=r"was not saved by `fit`: it holds \['mine'\]"):
        run(tmp_path / "run.pt", resume=True)
    assert load_checkpoint(tmp_path / "run.pt") == {"mine": 1}


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    run(path, epochs=1)
    for name, value, saved in [("batch_size", 6, 5), ("max_norm", 1.0, 0.5), ("seed", 4, 3)]:
        message = re.escape(f"`{name}` (={value}) was {saved} when `checkpoint`")
        model, optimizer, schedule = make()
        options = {"batch_size": 5, "seed": 3, "max_norm": 0.5, name: value}
        with pytest.raises(ValueError, match=message):
            fit(model, nn.CrossEntropyLoss(), optimizer, examples(), epochs=1, schedule=schedule,
                checkpoint=path, resume=True, progress=False, **options)  # fmt: skip
    with pytest.raises(ValueError, match=r"`len\(train\)` \(=34\) was 33"):
        run(path, resume=True, train=examples(34))
    with pytest.raises(ValueError, match=r"holds the states of .*schedule.*, this training has"):
        run(path, resume=True, schedule=None)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {**plain(model, optimizer, examples()), "max_norm": 0.5}
    schedule = ExponentialLR(optimizer, 0.9)
    with pytest.raises(ValueError, match=r"(?s)belongs to another `model`: .*Missing key"):
        fit(**options, schedule=schedule, checkpoint=path, resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "`epochs` (=0) must be at least 1."),
        ({"batch_size": 0}, "`batch_size` (=0) must be at least 1."),
        ({"patience": 0}, "`patience` (=0) must be at least 1."),
        ({"patience": 2}, "`patience` (=2) needs `validation` (=None)."),
        ({"max_norm": 0.0}, "`max_norm` (=0.0) must be positive."),
        ({"max_norm": math.nan}, "`max_norm` (=nan) must be positive."),
        ({"precision": "int8"}, "`precision` (='int8') must be one of ['float32', "),
        ({"schedule_each": "day"}, "`schedule_each` (='day') must be 'step' or 'epoch'."),
        ({"resume": True}, "`resume` needs the file `checkpoint` (=None)."),
        ({"checkpoint_steps": 3}, "`checkpoint_steps` needs the file `checkpoint` (=None)."),
        ({"train": TensorDataset(torch.zeros(0, 4))}, "`train` (="),
    ],
)
def test_an_argument_out_of_range_is_named(options, message):
    model, optimizer, _ = make()
    with pytest.raises(ValueError, match=re.escape(message)):
        fit(**{**plain(model, optimizer, examples()), **options})


def test_a_plateau_schedule_needs_validation_and_epochs():
    model, optimizer, _ = make()
    schedule = ReduceLROnPlateau(optimizer)
    with pytest.raises(ValueError, match="needs `validation`"):
        fit(**plain(model, optimizer, examples()), schedule=schedule, schedule_each="epoch")
    with pytest.raises(ValueError, match=r"`schedule_each` \(='step'\) must be 'epoch'"):
        fit(**plain(model, optimizer, examples(), examples()), schedule=schedule)

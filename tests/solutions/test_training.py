"""PyTorch and scikit-learn work the exercise on training, and what its text promises is true."""

import ast
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import loguniform
from sklearn.model_selection import ParameterGrid, train_test_split
from sklearn.preprocessing import StandardScaler

import largemodels.check.comparison
from coursekit.exercises import find_exercises

EXERCISE = "08_training"


def split(count, validation_size, test_size, rng):
    """Cut twice with scikit-learn, which draws its seed from the generator."""
    rest, parts = np.arange(count), []
    for size in (validation_size, test_size):
        part = rest[:0]
        if size:
            rest, part = train_test_split(
                rest, test_size=size, random_state=int(rng.integers(2**32))
            )
        parts.append(part)
    return rest, *parts


def standardize(train, validation, test):
    scaler = StandardScaler().fit(train)
    return tuple(scaler.transform(part) for part in (train, validation, test))


def rate_after(step, lr, new_schedule):
    """Let a schedule of PyTorch take so many steps; return its learning rate."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule = new_schedule(optimizer)
    for _ in range(step):
        optimizer.step()
        schedule.step()
    return optimizer.param_groups[0]["lr"]


def step_decay(step, lr, every, factor):
    return rate_after(step, lr, lambda one: torch.optim.lr_scheduler.StepLR(one, every, factor))


def warmup_cosine(step, total_steps, lr, warmup_steps, lr_min=0.0):
    def new_schedule(optimizer):
        schedules = torch.optim.lr_scheduler
        wave = schedules.CosineAnnealingLR(optimizer, total_steps - 1 - warmup_steps, lr_min)
        if not warmup_steps:
            return wave
        # A schedule that is made anew sets the rate; the line has to be the last one made.
        line = schedules.LinearLR(optimizer, 1 / (warmup_steps + 1), total_iters=warmup_steps)
        return schedules.SequentialLR(optimizer, [line, wave], [warmup_steps])

    return rate_after(step, lr, new_schedule)


class Dropout:
    """The dropout of PyTorch, forward and, by automatic differentiation, backward."""

    def __init__(self, p, rng):
        self.layer = torch.nn.Dropout(p)
        self.rng = rng

    def forward(self, x, training):
        torch.manual_seed(int(self.rng.integers(2**31)))
        self.x = torch.tensor(x, requires_grad=True)
        self.output = self.layer.train(training)(self.x)
        return self.output.detach().numpy().copy()

    def backward(self, grad_output):
        upstream = torch.tensor(grad_output, dtype=self.x.dtype)
        [grad] = torch.autograd.grad(self.output, self.x, upstream, retain_graph=True)
        return grad.numpy()


class EarlyStopping:
    """The whole history, looked through anew after each epoch."""

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta, self.losses, self.copies = patience, min_delta, [], []
        self.best_loss, self.best_parameters = np.inf, None

    def update(self, loss, parameters):
        self.losses.append(loss)
        self.copies.append({name: value.copy() for name, value in parameters.items()})
        best = SimpleNamespace(loss=np.inf, at=-1)
        for at, one in enumerate(self.losses):
            if one + self.min_delta < best.loss:
                best = SimpleNamespace(loss=one, at=at)
        self.best_loss = best.loss
        self.best_parameters = self.copies[best.at] if best.at >= 0 else None
        return len(self.losses) - 1 - best.at >= self.patience


def fit(
    start, gradients_of, batches_of, validation_loss, schedule, stopper, epochs, weight_decay=0.0
):
    tensors = {
        name: torch.nn.Parameter(torch.tensor(array, dtype=torch.float64))
        for name, array in start.items()
    }
    optimizer = torch.optim.SGD(tensors.values(), lr=1.0, weight_decay=weight_decay)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    for epoch in range(epochs):
        for batch in batches_of(epoch):
            arrays = {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}
            for name, slope in gradients_of(arrays, batch).items():
                tensors[name].grad = torch.tensor(slope)
            optimizer.step()
            rates.step()
        arrays = {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}
        if stopper.update(validation_loss(arrays), arrays):
            break
    return stopper.best_parameters


def grid(space):
    return list(ParameterGrid(space))


def log_uniform(low, high, count, rng):
    return loguniform(low, high).rvs(count, random_state=rng)


def best_trial(trials):
    return trials[np.argsort([one["validation_accuracy"] for one in trials])[-1]]


ORACLE = {
    "split": [split],
    "standardize": [standardize],
    "schedules": [step_decay, warmup_cosine],
    "dropout": [Dropout],
    "early_stopping": [EarlyStopping],
    "fit": [fit],
    "search": [grid, log_uniform, best_trial],
}


@pytest.fixture(scope="module")
def training(repository):
    [training] = find_exercises(repository, [EXERCISE])
    return training


@pytest.fixture(scope="module")
def given(training, namespace, run_cell):
    """Run the set-up, the answers and the given code of the digit reader."""

    def make(answers=None):
        names = namespace(training, answers)
        assert run_cell(training.cells["reader"].source, names) is None
        return names

    return make


@pytest.fixture(scope="module")
def oracle(given):
    return given() | {answer.__name__: answer for task in ORACLE.values() for answer in task}


@pytest.fixture(scope="module")
def heard(training, given, run_cell):
    """What each wrong answer hears: name of the mutant → message."""
    messages = {}
    for mutant in training.mutants:
        cell = training.cells[mutant.cell]
        names = given({mutant.cell: cell.answer.replace(mutant.replace, mutant.replacement)})
        errors = [run_cell(check.visible, names) for check in training.checks_of(cell)]
        messages[mutant.name] = " ".join(" ".join(map(str, errors)).split())
    return messages


def test_every_task_has_an_oracle(training):
    assert {cell.grade_id for cell in training.solution_cells} == ORACLE.keys()


@pytest.mark.parametrize("task", ["standardize", "schedules", "early_stopping", "fit"])
def test_the_recorded_numbers_are_those_of_the_oracle(
    task, training, oracle, run_cell, monkeypatch
):
    # Ten decimals are written down.
    monkeypatch.setattr(largemodels.check.comparison, "TOLERANCE", (0.0, 1.5e-10))
    error = run_cell(training.cells[f"test_{task}"].visible, dict(oracle))
    assert error is None, str(error)


@pytest.mark.parametrize("secret", ["", "spring term", "autumn term"])
@pytest.mark.parametrize("task", ORACLE)
def test_the_checks_agree_with_the_oracle(task, secret, training, oracle, run_cell, monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", secret)
    error = run_cell(training.cells[f"test_{task}"].source, dict(oracle))
    assert error is None, str(error)


@pytest.mark.parametrize("task", ["schedules", "fit"])
def test_the_gate_fails_when_a_digit_is_wrong(task, training, oracle, run_cell, monkeypatch):
    monkeypatch.setattr(largemodels.check.comparison, "TOLERANCE", (0.0, 1.5e-10))
    tree = ast.parse(training.cells[f"test_{task}"].visible)
    # Dictionaries hold the numbers of slips.
    todo, changed = [tree], None
    while todo and not changed:
        node = todo.pop(0)
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            if len(repr(node.value).partition(".")[2]) >= 6 and "e" not in repr(node.value):
                node.value += 1e-7
                changed = ast.unparse(tree)
        elif not isinstance(node, ast.Dict):
            todo += ast.iter_child_nodes(node)
    assert run_cell(changed, dict(oracle)) is not None


def test_every_slip_is_named_by_what_a_student_sees(training, heard):
    silent = [one.name for one in training.mutants if one.says not in heard[one.name]]
    assert not silent


def test_a_coin_chosen_from_1000_looks_right_two_times_in_three():
    rng = np.random.default_rng(5)
    seen, fresh = rng.binomial(100, 0.5, size=(2, 200, 1000)) / 100
    chosen = seen.argmax(axis=1)
    assert 0.64 < seen.max(axis=1).mean() < 0.68
    assert abs(fresh[np.arange(200), chosen].mean() - 0.5) < 0.02


@pytest.fixture(scope="module")
def readers(given):
    """For two seeds: the data and both readers, without and with regularization."""
    names, runs = given(), []
    for seed in (1, 2):
        sets = names["prepare"](seed)
        bare, bare_curves = names["train_reader"](
            sets, {"p": 0.0, "weight_decay": 0.0}, seed, patience=names["EPOCHS"]
        )
        best, curves = names["train_reader"](sets, {"p": 0.5, "weight_decay": 0.03}, seed)
        shares = [names["accuracy"](one, *sets["judge"]) for one in (bare, best)]
        runs.append((shares, bare_curves, curves))
    return runs


def test_the_tools_save_about_a_third_of_the_errors(readers):
    for (bare, best), _, _ in readers:
        assert best > 0.85
        assert 0.45 < (1 - best) / (1 - bare) < 0.85


def test_without_regularization_the_wrong_labels_are_learned_by_heart(readers):
    for _, bare, regularized in readers:
        assert bare["learn"][-1] < 0.12
        assert np.argmin(bare["choose"]) < 40
        assert bare["choose"][-1] > min(bare["choose"])
        assert regularized["learn"][-1] > 5 * bare["learn"][-1]


def test_the_gradients_of_the_given_network_are_those_of_pytorch(given):
    names = given()
    network = names["new_network"](np.random.default_rng(3))
    inputs, targets = (part[:7] for part in names["prepare"]()["learn"])
    drop = [names["Dropout"](0.0, np.random.default_rng(0)) for _ in range(2)]
    slopes = names["slopes_of"](network, inputs, targets, *drop)
    tensors = {key: torch.tensor(value, requires_grad=True) for key, value in network.items()}
    hidden = torch.nn.functional.linear(
        torch.tensor(inputs), tensors["hidden.weight"], tensors["hidden.bias"]
    ).relu()
    logits = torch.nn.functional.linear(hidden, tensors["output.weight"], tensors["output.bias"])
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(targets))
    expected.backward()
    assert names["cross_entropy"](network, inputs, targets) == pytest.approx(expected.item())
    for key, value in tensors.items():
        np.testing.assert_allclose(slopes[key], value.grad, atol=1e-12)

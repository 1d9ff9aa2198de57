"""PyTorch works the exercise on optimizers, and what its text promises is true."""

import ast

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

import largemodels.check.comparison
from coursekit.exercises import find_exercises

EXERCISE = "02_adam"


def optimizer_like(new_optimizer):
    """A class whose objects let an optimizer of PyTorch take the steps, in float64."""

    class Optimizer:
        def __init__(self, *args, **settings):
            self.args, self.settings, self.names = args, settings, None

        def step(self, parameters, gradients):
            if self.names is None:
                self.names = {
                    key: torch.nn.Parameter(torch.tensor(value, dtype=torch.float64))
                    for key, value in parameters.items()
                }
                self.torch = new_optimizer(list(self.names.values()), *self.args, **self.settings)
            for key, parameter in self.names.items():
                parameter.grad = torch.tensor(gradients[key], dtype=torch.float64)
            self.torch.step()
            return {key: value.detach().numpy().copy() for key, value in self.names.items()}

    return Optimizer


def moving_averages(values, beta):
    """The plain averages are a linear filter, the corrected ones weighted means."""
    plain = lfilter([1 - beta], [1, -beta], np.asarray(values, dtype=np.float64))
    weights = [beta ** np.arange(t)[::-1] for t in range(1, len(values) + 1)]
    return plain, [np.average(values[: len(w)], weights=w) for w in weights]


def rmsprop(parameters, lr=0.01, beta=0.99, eps=1e-8):
    return torch.optim.RMSprop(parameters, lr=lr, alpha=beta, eps=eps)


def adam_l2(parameters, lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return torch.optim.Adam(parameters, lr, betas, eps, weight_decay)


ORACLE = {
    "gradient_descent": {"GradientDescent": optimizer_like(torch.optim.SGD)},
    "momentum": {
        "Momentum": optimizer_like(
            lambda parameters, lr, momentum=0.9: torch.optim.SGD(parameters, lr, momentum)
        )
    },
    "moving_averages": {"moving_averages": moving_averages},
    "rmsprop": {"RMSProp": optimizer_like(rmsprop)},
    "adam": {"Adam": optimizer_like(torch.optim.Adam)},
    "weight_decay": {
        "AdamL2": optimizer_like(adam_l2),
        "AdamW": optimizer_like(torch.optim.AdamW),
    },
}
# Explanations of `check_independence`, which knows no numbers.
SAID_BY_THE_TOOLS = [
    "Two optimizers at work at the same time disturb each other",
    "does `return` stand after the loop?",
    "Two parameters in one optimizer disturb each other",
    "only the first row of every array moves",
]


@pytest.fixture(scope="module")
def adam(repository):
    [adam] = find_exercises(repository, [EXERCISE])
    return adam


@pytest.fixture(scope="module")
def given(adam, namespace, run_cell):
    """Run the set-up, the answers and every cell of given code."""

    def make(answers=None):
        names = namespace(adam, answers)
        for grade_id in ("ravine", "race", "network"):
            assert run_cell(adam.cells[grade_id].source, names) is None
        return names

    return make


@pytest.fixture(scope="module")
def oracle(given):
    return given() | {name: answer for task in ORACLE.values() for name, answer in task.items()}


@pytest.fixture(scope="module")
def heard(adam, given, run_cell):
    """What each wrong answer hears: name of the mutant → message."""
    messages = {}
    for mutant in adam.mutants:
        cell = adam.cells[mutant.cell]
        names = given({mutant.cell: cell.answer.replace(mutant.replace, mutant.replacement)})
        errors = [run_cell(check.visible, names) for check in adam.checks_of(cell)]
        messages[mutant.name] = " ".join(" ".join(map(str, errors)).split())
    return messages


def test_pytorch_works_every_task(adam):
    assert {cell.grade_id for cell in adam.solution_cells} == ORACLE.keys()


@pytest.mark.parametrize("task", ORACLE)
def test_the_recorded_numbers_are_those_of_pytorch(task, adam, oracle, run_cell, monkeypatch):
    # Ten decimals are written down.
    monkeypatch.setattr(largemodels.check.comparison, "TOLERANCE", (0.0, 1.5e-10))
    error = run_cell(adam.cells[f"test_{task}"].visible, dict(oracle))
    assert error is None, str(error)


@pytest.mark.parametrize("secret", ["", "spring term", "autumn term"])
@pytest.mark.parametrize("task", ORACLE)
def test_the_hidden_oracles_agree_with_pytorch(task, secret, adam, oracle, run_cell, monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", secret)
    error = run_cell(adam.cells[f"test_{task}"].source, dict(oracle))
    assert error is None, str(error)


@pytest.mark.parametrize("task", sorted(ORACLE.keys() - {"gradient_descent"}))
def test_the_gate_fails_when_a_digit_is_wrong(task, adam, oracle, run_cell, monkeypatch):
    monkeypatch.setattr(largemodels.check.comparison, "TOLERANCE", (0.0, 1.5e-10))
    tree = ast.parse(adam.cells[f"test_{task}"].visible)
    # Dictionaries hold the numbers of slips; the data of a check have one decimal.
    todo, changed = [tree], None
    while todo and not changed:
        node = todo.pop(0)
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            if len(repr(node.value).partition(".")[2]) >= 3 and "e" not in repr(node.value):
                node.value += 1e-7
                changed = ast.unparse(tree)
        elif not isinstance(node, ast.Dict):
            todo += ast.iter_child_nodes(node)
    assert run_cell(changed, dict(oracle)) is not None


def test_every_wrong_optimizer_is_named_by_what_a_student_sees(adam, heard):
    silent = [one.name for one in adam.mutants if one.says not in heard[one.name]]
    assert not silent


def test_no_explanation_is_dead(adam, heard):
    written = list(SAID_BY_THE_TOOLS)
    for cell in adam.graded_cells:
        for node in ast.walk(ast.parse(cell.visible)):
            if isinstance(node, ast.keyword) and node.arg == "slips":
                written += [key.value for key in node.value.keys]
    assert len(written) > 60
    dead = [text for text in written if not any(text in message for message in heard.values())]
    assert not dead


def height_of_the_winners(names, angle):
    walks, _ = names["race"](50, angle)
    return {name: names["ravine"](*walk[-1], angle) for name, walk in walks.items()}


def test_turning_the_ravine_hurts_only_those_that_scale_by_coordinate(given):
    names = given()
    straight, turned = (height_of_the_winners(names, angle) for angle in (0, 45))
    for name in ("gradient descent", "momentum"):
        assert turned[name] == pytest.approx(straight[name], rel=1e-6)
    for name in ("RMSProp", "Adam"):
        assert turned[name] > 2 * straight[name]
    for heights in (straight, turned):
        assert heights["Adam"] > min(heights.values())  # "Adam wins neither race."
        assert heights["gradient descent"] == max(heights.values())


def test_gradient_descent_leaves_the_ravine_above_a_rate_of_2_over_50(given):
    names = given()
    below, above = (
        names["descend"](names["GradientDescent"](rate), 200) for rate in (0.039, 0.041)
    )
    assert np.abs(below[-1]).max() < 0.1
    assert np.abs(above[-1]).max() > 10


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_digit_readers_learn_and_those_with_a_memory_sooner(seed, given):
    names = given()
    loss, shares = {}, {}
    for name, optimizer in {
        "gradient descent": names["GradientDescent"](0.3),
        "momentum": names["Momentum"](0.1),
        "RMSProp": names["RMSProp"](0.01),
        "Adam": names["Adam"](0.01),
        "AdamW": names["AdamW"](0.01, weight_decay=0.1),
    }.items():
        network, losses = names["train"](optimizer, seed=seed)
        loss[name] = np.mean(losses[40:60])
        shares[name] = names["accuracy"](network, names["test_images"], names["test_digits"])
    assert min(shares.values()) > 0.93
    assert loss.pop("gradient descent") > 1.2 * max(loss.values())


def test_the_gradients_of_the_given_network_are_those_of_pytorch(given):
    names = given()
    network = names["new_network"](3)
    images, labels = names["train_images"][:7], names["train_digits"][:7]
    loss, slopes = names["loss_and_slopes"](network, images, labels)
    tensors = {key: torch.tensor(value, requires_grad=True) for key, value in network.items()}
    hidden = torch.nn.functional.linear(
        torch.tensor(images), tensors["hidden.weight"], tensors["hidden.bias"]
    ).relu()
    logits = torch.nn.functional.linear(hidden, tensors["output.weight"], tensors["output.bias"])
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-12)
    for key, value in tensors.items():
        np.testing.assert_allclose(slopes[key], value.grad, atol=1e-12)


def test_adam_alone_does_not_notice_that_the_loss_is_summed_and_not_averaged(given):
    names = given()

    def share(optimizer, factor):
        network, _ = names["train"](optimizer, epochs=1, factor=factor)
        return names["accuracy"](network, names["test_images"], names["test_digits"])

    for name, rate, noticed in [
        ("GradientDescent", 0.3, True),
        ("Momentum", 0.1, True),
        ("Adam", 0.01, False),
    ]:
        averaged, summed = (share(names[name](rate), factor) for factor in (1, 32))
        assert averaged > 0.8
        assert (summed < 0.5 * averaged) == noticed, name
        if noticed:  # The best learning rate has moved by the factor.
            assert share(names[name](rate / 32), 32) == averaged


def steps(optimizer, slopes, start=1.0):
    """How far each step goes."""
    now, far = {"w": np.array([start])}, []
    for slope in slopes:
        before = now["w"].copy()
        now = optimizer.step(now, {"w": np.array([slope])})
        far.append(float(before[0] - now["w"][0]))
    return np.array(far)


def test_the_first_step_without_bias_correction_is_3_times_too_long(adam, given):
    [mutant] = [one for one in adam.mutants if one.name == "no_bias_correction"]
    answer = adam.cells["adam"].answer.replace(mutant.replace, mutant.replacement)
    slopes = np.random.default_rng(0).normal(2, 1, size=6000)
    wrong = steps(given({"adam": answer})["Adam"](), slopes)
    right = steps(given()["Adam"](), slopes)
    assert wrong[0] / 0.001 == pytest.approx(3.162, abs=1e-3)
    assert wrong[-1] / right[-1] == pytest.approx(1, abs=2e-3)


def test_a_thousandfold_gradient_changes_only_the_steps_that_the_answer_names(given):
    names = given()
    slopes = np.random.default_rng(1).normal(size=20)
    for name, kept in [
        ("GradientDescent", False),
        ("Momentum", False),
        ("RMSProp", True),
        ("Adam", True),
        ("AdamL2", False),
        ("AdamW", True),
    ]:
        settings = {"weight_decay": 0.1} if name in {"AdamL2", "AdamW"} else {}
        small, large = (steps(names[name](lr=0.01, **settings), k * slopes) for k in (1, 1000))
        assert np.allclose(small, large, rtol=1e-3) == kept, name


def test_decay_in_the_gradient_hangs_on_the_size_of_the_gradients(given):
    names = given()
    noise = np.random.default_rng(0).normal(size=(2000, 2)) * [0.1, 1.0]
    left = {}
    for name in ("AdamL2", "AdamW"):
        optimizer, now = names[name](lr=0.001, weight_decay=0.5), {"w": np.ones(2)}
        for slope in noise:
            now = optimizer.step(now, {"w": slope})
        left[name] = now["w"]
    np.testing.assert_allclose(left["AdamW"], (1 - 0.0005) ** 2000, atol=0.05)
    assert left["AdamL2"][0] < 0.2 * left["AdamL2"][1]

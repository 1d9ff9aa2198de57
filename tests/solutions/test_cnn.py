"""PyTorch works the exercise on convolution, and what its text promises is true.

The numbers in the checks are those of `torch.nn.functional.conv2d`, `max_pool2d`, `unfold`, `fold`
and of PyTorch's own automatic differentiation, in float64.
"""

import ast
import re

import numpy as np
import pytest
import torch
from torch.nn import functional

import largemodels.check.comparison
from coursekit.exercises import find_exercises


@pytest.fixture(scope="module")
def cnn(repository):
    [exercise] = find_exercises(repository, ["03_cnn"])
    return exercise


# PyTorch's answers.


def tensor(array, needs_grad=True):
    array = torch.tensor(np.asarray(array))
    return array.requires_grad_(needs_grad) if array.is_floating_point() else array


def derivative(output, *inputs, upstream):
    """Run PyTorch's backward pass."""
    grads = torch.autograd.grad(output, inputs, tensor(upstream, False))
    return tuple(grad.numpy() for grad in grads)


def pad(x, padding):
    rows, columns = padding
    return functional.pad(tensor(x, False), (columns, columns, rows, rows)).numpy()


def conv2d(x, weight, bias, stride, padding):
    x, weight, bias = (tensor(array, False) for array in (x, weight, bias))
    return functional.conv2d(x, weight, bias, stride=stride, padding=padding).numpy()


def conv2d_loops(*arguments):
    return conv2d(*arguments)


def windows(x, size, stride):
    x = tensor(x, False)
    return x.unfold(2, size[0], stride[0]).unfold(3, size[1], stride[1]).numpy()


def add_windows(grad_windows, shape, stride):
    batch, channels, rows, columns, *size = grad_windows.shape
    # (N, C, rows, columns, KH, KW) -> (N, C * KH * KW, rows * columns)
    flat = tensor(grad_windows, False).permute(0, 1, 4, 5, 2, 3)
    flat = flat.reshape(batch, channels * size[0] * size[1], rows * columns)
    return functional.fold(flat, shape[2:], size, stride=stride).numpy()


def conv2d_backward(grad_output, x, weight, stride, padding):
    x, weight = tensor(x), tensor(weight)
    bias = torch.zeros(len(weight), dtype=weight.dtype, requires_grad=True)
    output = functional.conv2d(x, weight, bias, stride=stride, padding=padding)
    return derivative(output, x, weight, bias, upstream=grad_output)


def max_pool2d(x, size, stride):
    return functional.max_pool2d(tensor(x, False), size, stride).numpy()


def max_pool2d_backward(grad_output, x, size, stride):
    x = tensor(x)
    return derivative(functional.max_pool2d(x, size, stride), x, upstream=grad_output)[0]


def network(parameters):
    """Return the network as a practitioner builds it, with these parameters."""
    filters, _, *size = parameters["conv.weight"].shape
    classes, features = parameters["output.weight"].shape
    model = torch.nn.Sequential()
    model.add_module("conv", torch.nn.Conv2d(1, filters, size, padding=1, dtype=torch.float64))
    model.add_module("relu", torch.nn.ReLU())
    model.add_module("pool", torch.nn.MaxPool2d(2))
    model.add_module("flatten", torch.nn.Flatten())
    model.add_module("output", torch.nn.Linear(features, classes, dtype=torch.float64))
    model.load_state_dict({key: tensor(value, False) for key, value in parameters.items()})
    return model


@torch.no_grad()
def forward(parameters, images):
    model, images = network(parameters), tensor(images, False)
    z = model.conv(images)
    a = model.relu(z)
    return z.numpy(), a.numpy(), model.pool(a).numpy(), model(images).numpy()


def loss_and_gradients(parameters, images, labels):
    model = network(parameters)
    loss = functional.cross_entropy(model(tensor(images, False)), tensor(labels))
    loss.backward()
    return loss.item(), {key: value.grad.numpy() for key, value in model.named_parameters()}


PYTORCH = {
    "conv2d_loops": [pad, conv2d_loops],
    "windows": [windows],
    "conv2d": [conv2d],
    "add_windows": [add_windows],
    "conv2d_backward": [conv2d_backward],
    "max_pool2d": [max_pool2d, max_pool2d_backward],
    "loss_and_gradients": [forward, loss_and_gradients],
}
SECRETS = ["", "spring term", "autumn term", "another"]


@pytest.fixture
def pytorch_names(cnn, namespace):
    # Threads that wait for each other on a busy machine would spoil the measurement of speed.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    functions = {function.__name__: function for task in PYTORCH.values() for function in task}
    yield namespace(cnn) | functions
    torch.set_num_threads(threads)


def test_pytorch_works_every_task(cnn):
    assert {cell.grade_id for cell in cnn.solution_cells} == PYTORCH.keys()


@pytest.mark.parametrize("task", PYTORCH)
def test_the_recorded_numbers_are_those_of_pytorch(task, cnn, pytorch_names, run_cell, monkeypatch):
    # Ten decimals are written down.
    monkeypatch.setattr(largemodels.check.comparison, "TOLERANCE", (0.0, 1.5e-10))
    error = run_cell(cnn.cells[f"test_{task}"].visible, pytorch_names)
    assert error is None, str(error)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("task", PYTORCH)
def test_the_hidden_oracles_agree_with_pytorch(
    task, secret, cnn, pytorch_names, run_cell, monkeypatch
):
    monkeypatch.setenv("COURSE_SECRET", secret)
    error = run_cell(cnn.cells[f"test_{task}"].source, pytorch_names)
    assert error is None, str(error)


def test_the_gate_fails_when_a_digit_is_wrong(cnn, pytorch_names, run_cell, monkeypatch):
    monkeypatch.setattr(largemodels.check.comparison, "TOLERANCE", (0.0, 1.5e-10))
    tried = 0
    for task in ("conv2d_backward", "max_pool2d", "loss_and_gradients"):
        source = cnn.cells[f"test_{task}"].visible
        # Every table of numbers that the checks expect, with its last number changed.
        for match in re.finditer(r"[,:]\s+numbers\(\s*\"{1,3}[^\"]*?(\d)\"", source):
            changed = source[: match.start(1)] + str((int(match[1]) + 5) % 10)
            changed += source[match.end(1) :]
            assert run_cell(changed, dict(pytorch_names)) is not None, match[0][-60:]
            tried += 1
    assert tried == 9


# What the messages say.

# Slips that the visible checks name, beside those of the mutants: cell, text to replace, new text.
SLIPS = {
    "the frame is cut off at the bottom and right only": (
        "conv2d_backward",
        "grad_padded[:, :, top : top + x.shape[2], left : left + x.shape[3]]",
        "grad_padded[:, :, : -top or None, : -left or None]",
    ),
    "only the last image counts": (
        "conv2d_backward",
        'np.einsum("noij,ncijuv->ocuv", grad_output, patches)',
        'np.einsum("noij,ncijuv->ocuv", grad_output[-1:], patches[-1:])',
    ),
}


def complaint(exercise, names, run_cell, cell, old, new):
    """What the checks of a cell say about a slip in it."""
    answer = exercise.cells[cell].answer
    assert answer.count(old) == 1, f"{old!r} occurs {answer.count(old)} times in `{cell}`"
    assert run_cell(answer.replace(old, new), names) is None
    errors = [run_cell(check.source, names) for check in exercise.checks_of(exercise.cells[cell])]
    return " ".join(str(error) for error in errors)


@pytest.mark.parametrize("says", SLIPS)
def test_a_slip_is_named(says, cnn, namespace, run_cell):
    assert says in complaint(cnn, namespace(cnn), run_cell, *SLIPS[says])


def test_no_explanation_in_a_check_is_dead(cnn, namespace, run_cell):
    slips = [*SLIPS.values(), *((one.cell, one.replace, one.replacement) for one in cnn.mutants)]
    heard = [complaint(cnn, namespace(cnn), run_cell, *slip) for slip in slips]
    written = [
        key.value
        for cell in [cnn.cells["shared_checks"], *cnn.graded_cells]
        for node in ast.walk(ast.parse(cell.visible))
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and key.value.endswith(".")
    ]
    assert len(written) > 30
    dead = [text for text in written if not any(text in message for message in heard)]
    assert not dead, "no mutant and no slip here makes a check say: " + "; ".join(dead)


def test_a_fast_answer_passes_beside_any_answer_to_task_1(cnn, namespace, run_cell):
    check = cnn.cells["test_conv2d"]
    right = namespace(cnn)
    # Already vectorised, broken, or not written: the check has a loop of its own.
    for loops in (right["conv2d"], lambda *_: None, NotImplemented):
        assert run_cell(check.source, right | {"conv2d_loops": loops}) is None
    slow = run_cell(check.source, right | {"conv2d": right["conv2d_loops"]})
    assert "conv2d is right but slow" in str(slow)


# What the text promises.


@pytest.fixture(scope="module")
def trained(cnn, namespace, run_cell):
    names = namespace(cnn)
    assert run_cell(cnn.cells["train"].source, names) is None
    return names, {seed: names["train"](seed=seed) for seed in (0, 1)}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_network_reads_more_than_96_of_100_digits(seed, trained):
    _, history = trained[1][seed]
    assert history.validation_accuracy[-1] > 0.96
    assert history.loss[-1] < 0.2 * history.loss[0]


def test_the_model_answer_is_true(trained):
    names, runs = trained
    cnn, _ = runs[0]
    z, _, pooled, logits = names["forward"](cnn, names["test_images"])
    assert cnn["conv.weight"].size + cnn["conv.bias"].size == 80
    assert 64 * z[0].size + z[0].size == 33_280
    assert cnn["output.weight"].size + cnn["output.bias"].size == 1290
    assert 10 * pooled[0].size + 10 == 1290
    assert 10 * z[0].size + 10 == 5130

    # What is drawn may not leave the image.
    fits = ~names["test_images"][:, 0, :, -1].any(axis=1)
    images = names["test_images"][fits]
    assert len(images) > 50
    moved = np.roll(images, 1, axis=3)
    z_moved, _, _, logits_moved = names["forward"](cnn, moved)
    np.testing.assert_allclose(z_moved[:, :, :, 2:-1], z[fits][:, :, :, 1:-2], atol=1e-12)
    assert np.all(np.abs(logits_moved - logits[fits]).max(axis=1) > 0.1)

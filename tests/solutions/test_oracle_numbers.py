"""PyTorch works the exercise: the numbers in the checks are its own, in float64.

The checks hold literal numbers, so that a student needs NumPy only. Here PyTorch answers every task
by its own functions and its own automatic differentiation, and must pass all of them within the
last digit that is written down.
"""

import re

import numpy as np
import pytest
import torch
from torch.nn import functional

import largemodels.check.comparison


def tensor(array, needs_grad=True):
    array = torch.tensor(np.asarray(array))
    return array.requires_grad_(needs_grad) if array.is_floating_point() else array


def derivative(output, *inputs, upstream=None):
    """Run PyTorch's backward pass."""
    grads = torch.autograd.grad(output, inputs, upstream)
    return tuple(grad.numpy() for grad in grads)


def relu(x):
    return torch.relu(tensor(x)).detach().numpy()


def relu_backward(grad_output, x):
    x = tensor(x)
    return derivative(torch.relu(x), x, upstream=tensor(grad_output, False))[0]


def linear(x, weight, bias):
    return functional.linear(tensor(x), tensor(weight), tensor(bias)).detach().numpy()


def linear_backward(grad_output, x, weight):
    x, weight = tensor(x), tensor(weight)
    bias = torch.zeros(len(weight), dtype=weight.dtype, requires_grad=True)
    output = functional.linear(x, weight, bias)
    return derivative(output, x, weight, bias, upstream=tensor(grad_output, False))


def softmax(logits):
    return functional.softmax(tensor(logits), dim=1).detach().numpy()


def cross_entropy(logits, labels):
    return functional.cross_entropy(tensor(logits), tensor(labels)).item()


def cross_entropy_backward(logits, labels):
    logits = tensor(logits)
    return derivative(functional.cross_entropy(logits, tensor(labels)), logits)[0]


def network(parameters):
    """Return the network as a practitioner builds it, with these parameters."""
    hidden, inputs = parameters["hidden.weight"].shape
    classes = len(parameters["output.bias"])
    model = torch.nn.Sequential()
    model.add_module("hidden", torch.nn.Linear(inputs, hidden, dtype=torch.float64))
    model.add_module("relu", torch.nn.ReLU())
    model.add_module("output", torch.nn.Linear(hidden, classes, dtype=torch.float64))
    model.load_state_dict({key: tensor(value, False) for key, value in parameters.items()})
    return model


def forward(parameters, x):
    model, x = network(parameters), tensor(x, False)
    z = model.hidden(x)
    return z.detach().numpy(), model.relu(z).detach().numpy(), model(x).detach().numpy()


def loss_and_gradients(parameters, x, labels):
    model = network(parameters)
    loss = functional.cross_entropy(model(tensor(x, False)), tensor(labels))
    loss.backward()
    return loss.item(), {key: value.grad.numpy() for key, value in model.named_parameters()}


def sgd_step(parameters, gradients, lr):
    updated = {key: torch.nn.Parameter(tensor(value, False)) for key, value in parameters.items()}
    for key, parameter in updated.items():
        parameter.grad = tensor(gradients[key], False)
    torch.optim.SGD(updated.values(), lr=lr).step()
    return {key: parameter.detach().numpy() for key, parameter in updated.items()}


PYTORCH = {
    "relu": [relu, relu_backward],
    "linear": [linear],
    "linear_backward": [linear_backward],
    "softmax": [softmax],
    "cross_entropy": [cross_entropy, cross_entropy_backward],
    "loss_and_gradients": [forward, loss_and_gradients],
    "sgd_step": [sgd_step],
}
# PyTorch has no public function for this one; the check's own numbers are exact (see below).
NOT_PYTORCH = {"numeric_gradient"}


@pytest.fixture(scope="module")
def names(backprop, namespace):
    functions = {function.__name__: function for task in PYTORCH.values() for function in task}
    return namespace(backprop) | functions


def test_pytorch_works_every_task(backprop):
    assert {cell.grade_id for cell in backprop.solution_cells} == PYTORCH.keys() | NOT_PYTORCH


@pytest.mark.parametrize("task", PYTORCH)
def test_the_recorded_numbers_are_those_of_pytorch(task, backprop, names, run_cell, monkeypatch):
    # Ten decimals are written down.
    monkeypatch.setattr(largemodels.check.comparison, "TOLERANCE", (0.0, 1.5e-10))
    error = run_cell(backprop.cells[f"test_{task}"].visible, dict(names))
    assert error is None, str(error)


@pytest.mark.parametrize("task", PYTORCH)
def test_the_hidden_oracles_agree_with_pytorch(task, backprop, names, run_cell):
    error = run_cell(backprop.cells[f"test_{task}"].source, dict(names))
    assert error is None, str(error)


def test_the_gate_fails_when_a_digit_is_wrong(backprop, names, run_cell):
    tried = 0
    for task in ("softmax", "cross_entropy", "loss_and_gradients"):
        source = backprop.cells[f"test_{task}"].visible
        # Only the first number of a check is expected for sure; the others may be those of slips.
        for match in re.finditer(r"check\.close\([^#]*?(\d\.\d{9})(\d)", source):
            changed = source[: match.start(1)] + "7" + source[match.start(1) + 1 :]
            assert run_cell(changed, dict(names)) is not None, match[0][-60:]
            tried += 1
    assert tried >= 3


def test_the_slopes_of_task_1_are_exact(backprop, names, run_cell):
    names = dict(names)
    assert run_cell(backprop.cells["test_numeric_gradient"].visible, names) is None
    x, factors = tensor(names["test_x"]), tensor(names["test_factors"], False)
    slope = derivative((factors * x**3).sum() + x.sum() ** 2, x)[0]
    # For a cubic the central difference is the slope plus h² times a sixth of the third derivative.
    np.testing.assert_allclose(names["expected"], slope + 0.1**2 * factors.numpy(), rtol=1e-12)

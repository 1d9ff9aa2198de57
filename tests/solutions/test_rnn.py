"""PyTorch works the exercise on recurrent networks, and what its text promises is true."""

import ast
import contextlib
import io

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

import largemodels.check.comparison
from coursekit.exercises import find_exercises

KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@pytest.fixture(scope="module")
def rnn(repository):
    [exercise] = find_exercises(repository, ["04_rnn"])
    return exercise


def tensor(array, needs_grad=False):
    return torch.tensor(np.asarray(array), dtype=torch.float64).requires_grad_(needs_grad)


def load(module, parameters, suffix=""):
    """Give a module of PyTorch these parameters."""
    module.double().load_state_dict({key + suffix: tensor(parameters[key]) for key in KEYS})
    return module


def rnn_step(parameters, x, h):
    hidden, inputs = np.shape(parameters["weight_ih"])
    cell = load(torch.nn.RNNCell(inputs, hidden), parameters)
    return cell(tensor(x), tensor(h)).detach().numpy()


def layer(parameters):
    hidden, inputs = np.shape(parameters["weight_ih"])
    return load(torch.nn.RNN(inputs, hidden, batch_first=True), parameters, "_l0")


def rnn_forward(parameters, x, h0):
    states, last = layer(parameters)(tensor(x), tensor(h0)[None])
    return states.detach().numpy(), last[0].detach().numpy()


def rnn_step_backward(parameters, grad_h, x, h_previous, h):
    """The recorded h is rounded; so PyTorch computes it once more."""
    hidden, inputs = np.shape(parameters["weight_ih"])
    cell = load(torch.nn.RNNCell(inputs, hidden), parameters)
    x, h_previous = tensor(x, True), tensor(h_previous, True)
    cell(x, h_previous).backward(tensor(grad_h))
    return (
        {key: getattr(cell, key).grad.numpy() for key in KEYS},
        x.grad.numpy(),
        h_previous.grad.numpy(),
    )


def rnn_backward(parameters, grad_outputs, grad_last, x, h0, outputs):
    module, x, h0 = layer(parameters), tensor(x, True), tensor(h0, True)
    states, last = module(x, h0[None])
    torch.autograd.backward([states, last], [tensor(grad_outputs), tensor(grad_last)[None]])
    return (
        {key: getattr(module, f"{key}_l0").grad.numpy() for key in KEYS},
        x.grad.numpy(),
        h0.grad.numpy(),
    )


def clip_gradients(gradients, max_norm):
    parameters = []
    for gradient in gradients.values():
        parameters.append(torch.nn.Parameter(torch.zeros(gradient.shape, dtype=torch.float64)))
        parameters[-1].grad = tensor(gradient)
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    clipped = (parameter.grad.numpy() for parameter in parameters)
    return dict(zip(gradients, clipped, strict=True)), norm.item()


def state_gradient_norms(weight_hh, outputs):
    """Find inputs that lead through these states, and differentiate the way of the states."""
    weight, states = tensor(weight_hh), tensor(outputs)
    norms = []
    for t in range(len(states)):

        def last_state(h, t=t):
            for k in range(t + 1, len(states)):
                from_input = torch.atanh(states[k]) - weight @ states[k - 1]
                h = torch.tanh(weight @ h + from_input)
            return h

        jacobian = torch.autograd.functional.jacobian(last_state, states[t])
        norms.append(torch.linalg.matrix_norm(jacobian, 2).item())
    return np.array(norms)


def lstm_step(parameters, x, h, c):
    hidden, inputs = np.shape(h)[1], np.shape(x)[1]
    cell = load(torch.nn.LSTMCell(inputs, hidden), parameters)
    return tuple(one.detach().numpy() for one in cell(tensor(x), (tensor(h), tensor(c))))


def temperature_softmax(logits, temperature):
    return torch.softmax(tensor(logits) / temperature, dim=0).numpy()


PYTORCH = [
    rnn_step,
    rnn_forward,
    rnn_step_backward,
    rnn_backward,
    clip_gradients,
    state_gradient_norms,
    lstm_step,
    temperature_softmax,
]


@pytest.fixture(scope="module")
def names(rnn, namespace):
    return namespace(rnn) | {function.__name__: function for function in PYTORCH}


def test_pytorch_works_every_task(rnn):
    assert [cell.grade_id for cell in rnn.solution_cells] == [one.__name__ for one in PYTORCH]


@pytest.mark.parametrize("task", [function.__name__ for function in PYTORCH])
def test_the_recorded_numbers_are_those_of_pytorch(task, rnn, names, run_cell, monkeypatch):
    # Ten decimals are written down, and the states that a backward pass receives are rounded so.
    monkeypatch.setattr(largemodels.check.comparison, "TOLERANCE", (0.0, 1e-9))
    error = run_cell(rnn.cells[f"test_{task}"].visible, dict(names))
    assert error is None, str(error)


@pytest.mark.parametrize("secret", ["", "spring term", "autumn term", "7"])
@pytest.mark.parametrize("task", [function.__name__ for function in PYTORCH])
def test_the_hidden_oracles_agree_with_pytorch(task, secret, rnn, names, run_cell, monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", secret)
    error = run_cell(rnn.cells[f"test_{task}"].source, dict(names))
    assert error is None, str(error)


# Slips that the visible checks name, beside those of the mutants: cell, text to replace, new text.
SLIPS = {
    "this is the state after the first step": ("rnn_forward", "axis=1), h", "axis=1), states[0]"),
    "this is h0, the state before": ("rnn_forward", "axis=1), h", "axis=1), h0"),
    "divide by their sum": (
        "temperature_softmax",
        """(logits - logits.max()) / temperature)
    return exponentials / exponentials.sum()""",
        "logits / temperature)\n    return exponentials",
    ),
}


def complaint(rnn, names, run_cell, cell, old, new):
    """What the checks of a cell say about a slip in it."""
    answer = rnn.cells[cell].answer
    assert answer.count(old) == 1, f"{old!r} occurs {answer.count(old)} times in `{cell}`"
    assert run_cell(answer.replace(old, new), names) is None
    errors = [run_cell(check.source, names) for check in rnn.checks_of(rnn.cells[cell])]
    return " ".join(str(error) for error in errors)


@pytest.mark.parametrize("says", SLIPS)
def test_a_slip_is_named(says, rnn, namespace, run_cell):
    assert says in complaint(rnn, namespace(rnn), run_cell, *SLIPS[says])


def test_no_explanation_in_a_check_is_dead(rnn, namespace, run_cell):
    heard = [
        complaint(rnn, namespace(rnn), run_cell, *slip)
        for slip in [
            *SLIPS.values(),
            *((one.cell, one.replace, one.replacement) for one in rnn.mutants),
        ]
    ]
    written = [
        key.value
        for cell in rnn.graded_cells
        for node in ast.walk(ast.parse(cell.visible))
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and key.value.endswith(".")
    ]
    assert len(written) > 40
    dead = [text for text in written if not any(text in message for message in heard)]
    assert not dead, "no mutant and no slip here makes a check say: " + "; ".join(dead)


@pytest.fixture(scope="module")
def writing(rnn, namespace, run_cell):
    names = namespace(rnn)
    for cell in ("sonnets", "train"):
        assert run_cell(rnn.cells[cell].source, names) is None
    return names


def experiments(rnn):
    """The sources of the cells that a student runs between the tasks, in order."""
    return [
        cell.source
        for cell in rnn.notebook.cells
        if cell.cell_type == "code" and cell.source.startswith("with check.when_ready():")
    ]


def printed(source, names):
    """Run an experiment; return what it prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(source, "<experiment>", "exec"), names)
    return output.getvalue()


def stretches(source, names):
    """The norms that the experiment of Task 6 prints."""
    lines = printed(source, names).splitlines()
    return [float(line.split(" by ")[1].split()[0]) for line in lines]


def test_gradients_vanish_below_a_spectral_radius_of_one_and_explode_above(rnn, namespace):
    [source] = [one for one in experiments(rnn) if "state_gradient_norms" in one]
    last = stretches(source, dict(namespace(rnn)))
    assert len(last) == 5
    assert last == sorted(last)
    # Each step multiplies by about the spectral radius.
    for radius, norm in zip((0.5, 0.8, 1.0, 1.2, 1.5), last, strict=True):
        assert radius**39 / 10 < norm < radius**39 * 10
    # And strong inputs make every gradient shorter.
    assert source.count("1e-6") == 1
    strong = stretches(source.replace("1e-6", "0.3"), dict(namespace(rnn)))
    assert all(one < other / 10 for one, other in zip(strong, last, strict=True))


def test_an_open_forget_gate_keeps_a_nudge_for_100_steps(rnn, namespace):
    [source] = [one for one in experiments(rnn) if "forget_bias" in one]
    text = printed(source, dict(namespace(rnn)))
    first, second, third = (line.split(": ")[1].split(" of")[0] for line in text.splitlines())
    assert first == "less than 1e-12"
    assert float(second) < 1e-4
    # The model answer says: about half.
    assert 0.4 < float(third) < 0.65


def test_the_network_learns_to_write(writing):
    # A fifth of the updates, so that the test is short.
    # One thread: these matrices are small, and two threads that share a busy core wait for another.
    with threadpool_limits(1):
        trained, losses, lengths = writing["train"](updates=240)
    assert losses[0] > 3.5
    assert losses[-20:].mean() < 1.0
    assert np.any(lengths > 1)
    text = writing["write"](trained, 400, 0.3)
    words = set(writing["SONNETS"].split())
    assert np.mean([word in words for word in text.split()]) > 0.5

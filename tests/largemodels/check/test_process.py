"""What a check asks of the student's process: its time, and a place to run."""

import time

import numpy as np
import pytest
import torch

from largemodels import check
from largemodels.check import process


def test_a_function_is_measured_by_the_clock_of_its_process(monkeypatch):
    ticks = iter([10.0, 15.0, 20.0, 22.0, 30.0, 37.0])
    monkeypatch.setattr(process, "clock", lambda: next(ticks))
    assert check.seconds(lambda number: None, lambda: [1], repeats=3) == 2.0


def test_each_call_gets_arguments_of_its_own_which_cost_no_time(monkeypatch):
    now = 0.0
    monkeypatch.setattr(process, "clock", lambda: now)
    numbers = iter([(1, 2), (3, 4), (5, 6)])
    calls = []

    def new_arguments():
        nonlocal now
        now += 100
        return next(numbers)

    def function(*arguments):
        nonlocal now
        now += 2
        calls.append(arguments)

    assert check.seconds(function, new_arguments, repeats=3) == 2.0
    assert calls == [(1, 2), (3, 4), (5, 6)]


def test_a_function_that_remembers_its_answers_gains_nothing():
    known = {}

    def remember(number):
        if number not in known:
            known[number] = sum(range(100_000))
        return known[number]

    numbers = iter(range(3))
    remember(0)
    with pytest.raises(ValueError, match=r"^`repeats` \(=2\) above 1 needs `new_arguments`"):
        check.seconds(lambda: remember(0), repeats=2)
    assert check.seconds(remember, lambda: [next(numbers) + 1], repeats=3) > 1e-4


def test_a_coarse_clock_never_gives_0(monkeypatch):
    monkeypatch.setattr(process, "clock", lambda: 1.0)
    assert check.seconds(lambda: None, repeats=1) > 0


def test_in_a_notebook_only_the_time_of_this_thread_counts():
    assert process.clock is time.thread_time


def test_in_a_notebook_inside_is_a_call():
    assert check.inside(lambda x, y: x - y, 5, 3) == 2


def test_a_grader_may_run_it_elsewhere(monkeypatch):
    monkeypatch.setattr(process, "runner", lambda function, *arguments: (function, arguments))
    function = max
    assert check.inside(function, 1, 2) == (max, (1, 2))


@pytest.fixture
def layer():
    layer = torch.nn.Linear(2, 1)
    layer.load_state_dict({"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([3.0])})
    return layer


def test_the_state_of_a_module_is_copied(layer):
    state = check.state_dict(layer)
    assert state["weight"].tolist() == [[1.0, 2.0]]
    state["bias"][0] = 7
    assert layer.bias.item() == 3.0


def test_gradients_come_by_name(layer):
    assert check.gradients(layer) == {"weight": None, "bias": None}
    layer(torch.tensor([[4.0, 5.0]])).sum().backward()
    found = check.gradients(layer)
    assert found["weight"].tolist() == [[4.0, 5.0]]
    assert found["bias"].tolist() == [1.0]


def test_outputs_have_no_gradient(layer):
    result = check.outputs(layer, np.array([[1.0, 1.0]], dtype=np.float32))
    assert isinstance(result, np.ndarray)
    assert result.tolist() == [[6.0]]


def test_a_stub_in_another_process_is_called_by_the_name_that_the_grader_gives():
    error = NotImplementedError()
    error.student_function = "Adam.step"
    with pytest.raises(check.Mistake) as caught, check.task("Adam"):
        raise error
    assert str(caught.value).startswith("Adam.step is not written yet.")


def test_the_text_of_a_function_is_to_be_had():
    assert check.source(ours) == 'def ours():\n    """A function of this file."""\n'


def ours():
    """A function of this file."""

"""A sequence of states is compared step by step, and slips are named by the whole way."""

import numpy as np
import pytest

from largemodels import check

rng = np.random.default_rng(0)
GRADIENTS = [{"w": rng.normal(size=(2, 3)), "b": rng.normal(size=4)} for _ in range(5)]
START = {"w": rng.normal(size=(2, 3)), "b": rng.normal(size=4)}
INPUTS = rng.normal(size=(5, 3))


def momentum(rule):
    """Follow the gradients by a rule: (velocity, gradient) to (velocity, step)."""
    states, now = [], START
    velocity = {key: np.zeros_like(value) for key, value in now.items()}
    for gradients in GRADIENTS:
        moved = {}
        for key in now:
            velocity[key], step = rule(velocity[key], gradients[key])
            moved[key] = now[key] - step
        now = moved
        states.append(now)
    return states


def right(velocity, gradient):
    velocity = 0.9 * velocity + gradient
    return velocity, 0.1 * velocity


def forgotten(velocity, gradient):
    return velocity, 0.1 * (0.9 * velocity + gradient)


def uphill(velocity, gradient):
    velocity = 0.9 * velocity + gradient
    return velocity, -0.1 * velocity


def nesterov(velocity, gradient):
    velocity = 0.9 * velocity + gradient
    return velocity, 0.1 * (gradient + 0.9 * velocity)


def hidden_states(h):
    """Run a small recurrent network."""
    states = []
    for x in INPUTS:
        h = np.tanh(x + 0.5 * h)
        states.append(h)
    return states


def hidden_states_changed_in_place(h):
    states = []
    for x in INPUTS:
        h *= 0.5
        h += x
        np.tanh(h, out=h)
        states.append(h)
    return states


def hidden_states_stored_before_the_update(h):
    states = []
    for x in INPUTS:
        states.append(h)
        h = np.tanh(x + 0.5 * h)
    return states


def hidden_states_of_the_first_input(h):
    h = np.tanh(INPUTS[0] + 0.5 * h)
    return [h for _ in INPUTS]


HIDDEN = hidden_states(np.ones(3))
SLIPS = {
    "the velocity is forgotten.": momentum(forgotten),
    "you walk uphill.": momentum(uphill),
}


def complaint(actual, expected, **options):
    with pytest.raises(check.Mistake) as caught:
        check.trajectory(actual, expected, **options)
    return str(caught.value)


def test_the_right_way_passes():
    check.trajectory(momentum(right), momentum(right), slips=SLIPS)
    check.trajectory(tuple(HIDDEN), np.array(HIDDEN))
    check.trajectory([np.float32(h) for h in HIDDEN], HIDDEN)


def test_the_first_wrong_step_is_named_with_its_index():
    states = [{key: value.copy() for key, value in state.items()} for state in momentum(right)]
    for state in states[2:]:
        state["w"][1, 0] += 1
    text = complaint(states, momentum(right), name="parameters")
    assert text.startswith("Step 3: parameters['w'] is wrong: 1 of 6 numbers differs, at [1, 0].\n")
    assert "Steps 1 and 2 are right." in text


@pytest.mark.parametrize(("step", "says"), [(1, None), (2, "Step 1 is"), (4, "Steps 1 to 3 are")])
def test_what_is_right_so_far_is_said(step, says):
    wrong = list(range(step - 1)) + [100.5] * (6 - step)
    text = complaint(wrong, range(5))
    assert f" {says} right." in text if says else "right" not in text


@pytest.mark.parametrize(("rule", "says"), [(forgotten, "forgotten"), (uphill, "uphill")])
def test_a_slip_is_named_by_its_whole_way(rule, says):
    text = complaint(momentum(rule), momentum(right), slips=SLIPS)
    assert text.endswith(says + ".")
    assert text.count("Likely cause") == 1


def test_the_slip_counts_even_where_its_first_steps_are_right():
    text = complaint(momentum(forgotten), momentum(right), slips=SLIPS)
    assert text.startswith("Step 2: ")


def test_a_slip_that_leaves_its_way_once_is_not_named():
    states = momentum(forgotten)
    states[-1] = {key: value * 1.1 for key, value in states[-1].items()}
    assert "forgotten" not in complaint(states, momentum(right), slips=SLIPS)


def test_a_slip_may_end_in_nan():
    with np.errstate(all="ignore"):
        wrong = [np.array([1.0]), np.zeros(1) / 0, np.zeros(1) / 0]
    text = complaint(wrong, [[1.0], [2.0], [3.0]], slips={"t starts at 0.": wrong})
    assert text.endswith("Likely cause: t starts at 0.")


def test_a_slip_that_makes_no_difference_explains_nothing():
    text = complaint(momentum(nesterov), momentum(right), slips={"no slip.": momentum(right)})
    assert "no slip" not in text


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (hidden_states_changed_in_place, "Keep copies"),
        (hidden_states_stored_before_the_update, "one step too late"),
        (hidden_states_of_the_first_input, "nothing changes after step 1"),
        (lambda h: hidden_states(h)[::-1], "the steps run backwards"),
        (lambda h: hidden_states(np.tanh(INPUTS[0] + h / 2))[1:], None),
    ],
)
def test_what_goes_wrong_in_time_is_named(wrong, says):
    text = complaint(wrong(np.ones(3)), HIDDEN, name="h")
    assert says in text if says else "Likely cause" not in text


def test_steps_that_are_far_too_small_are_not_called_none():
    tiny = [np.array([1.0 + 1e-10 * step]) for step in range(1, 5)]
    assert "Likely cause" not in complaint(tiny, [[2.7], [3.1], [5.2], [9.8]])


def test_one_step_too_early_is_named():
    longer = [*HIDDEN, np.tanh(HIDDEN[-1])]
    assert "one step too early" in complaint(longer[1:], longer[:-1])


def test_a_slip_inside_one_step_is_named_as_ever():
    assert "twice too large" in complaint([2 * h for h in HIDDEN], HIDDEN)


def test_nothing_is_said_where_nothing_fits():
    assert "Likely cause" not in complaint(momentum(nesterov), momentum(right), slips=SLIPS)
    assert "Likely cause" not in complaint([h**2 for h in HIDDEN], HIDDEN)


def test_two_steps_are_too_few_to_say_what_goes_wrong_in_time():
    assert "Likely cause" not in complaint(HIDDEN[:2][::-1], HIDDEN[:2])


def test_a_state_of_another_form_is_named():
    assert complaint([None], [{"w": [1.0]}]).startswith(
        "Step 1: your result is None, expected a dictionary."
    )
    assert "wrong keys: missing ['w']" in complaint([{}], [{"w": [1.0]}])


@pytest.mark.parametrize("steps", [3, 6])
def test_a_wrong_number_of_steps_is_named(steps):
    states = (HIDDEN + HIDDEN)[:steps]
    assert f"You computed {steps}, expected 5." in complaint(states, HIDDEN)


@pytest.mark.parametrize(("wrong", "says"), [(None, "is None"), ({}, "is a dict"), (1.0, "float")])
def test_something_else_than_a_list_of_steps_is_named(wrong, says):
    text = complaint(wrong, HIDDEN, name="h")
    assert says in text
    assert "expected a list of 5 steps" in text

"""What a student meets around the checks: warnings, stubs, missing cells, the seed."""

import sys

import numpy as np
import pytest

from largemodels import check


def complaint(body):
    with pytest.raises(check.Mistake) as caught, check.task("relu"):
        body()
    return str(caught.value)


def test_success_is_said_and_failure_is_not_called_success(capsys):
    with check.task("relu"):
        pass
    assert capsys.readouterr().out == "✓ relu: all checks passed.\n"
    complaint(lambda: check.close(1.0, 2.0))
    assert capsys.readouterr().out == ""


def test_what_goes_to_stderr_is_shown_on_stdout(capsys):
    with check.task("softmax"):
        print("a line", file=sys.stderr)
    print("another", file=sys.stderr)
    out, err = capsys.readouterr()
    assert out.startswith("a line\n")
    assert err == "another\n"


def test_a_stub_is_called_by_its_name():
    def relu(x):
        raise NotImplementedError

    def network(x):
        return relu(x)

    assert complaint(lambda: network(1.0)).startswith("relu is not written yet.")


def test_a_stub_in_a_class_is_called_by_both_names():
    class Adam:
        def step(self):
            raise NotImplementedError

    assert complaint(Adam().step).startswith("Adam.step is not written yet.")


def test_a_cell_that_was_not_run_is_named():
    with pytest.raises(check.Mistake) as caught, check.task("relu"):
        missing_function(1.0)  # noqa: F821
    assert str(caught.value) == (
        "missing_function does not exist yet.\nIts cell has not run, or ended with an error: "
        "run the cells from the top, and look for the first error."
    )


def test_a_name_missing_in_the_students_code_is_left_to_python():
    def relu(x):
        return y  # noqa: F821

    with pytest.raises(NameError, match="name 'y' is not defined"), check.task("relu"):
        relu(1.0)

    def unbound(x):
        z += x  # noqa: F821
        return z

    with pytest.raises(UnboundLocalError), check.task("relu"):
        unbound(1.0)


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (lambda: np.ones((5, 3)) @ np.ones((4, 3)), ValueError, "two arrays do not fit together"),
        (lambda: np.ones((5, 3)) + np.ones((5, 4)), ValueError, "two arrays do not fit together"),
        (lambda: np.dot(np.ones((5, 3)), np.ones((4, 3))), ValueError, "do not fit together"),
        (lambda: None * np.ones(3), TypeError, "returned None"),
        (lambda: len(None) + 1, TypeError, "returned None"),
        (lambda: np.reshape(np.ones(3), (2, 2)), ValueError, None),
        (lambda: int("x"), ValueError, None),
        (lambda: {}["w"], KeyError, None),
    ],
)
def test_pythons_own_errors_stay_and_two_of_them_get_advice(body, kind, says):
    with pytest.raises(kind) as caught, check.task("linear"):
        body()
    assert type(caught.value) is kind
    if says is None:
        assert "Likely cause" not in str(caught.value)
    else:
        assert says in str(caught.value)


def test_an_experiment_waits_for_a_missing_function(capsys):
    def relu(x):
        raise NotImplementedError

    with check.when_ready():
        relu(1.0)
    assert capsys.readouterr().out.startswith("Later: relu is not written yet.")
    with check.when_ready():
        missing_result + 1  # noqa: F821
    assert capsys.readouterr().out.startswith("Later: missing_result does not exist yet.")


def test_an_experiment_hides_no_other_error():
    def relu(x):
        return y  # noqa: F821

    with pytest.raises(NameError), check.when_ready():
        relu(1.0)
    with pytest.raises(ZeroDivisionError), check.when_ready():
        raise ZeroDivisionError


def test_the_seed_depends_on_name_and_secret_and_on_nothing_else(monkeypatch):
    monkeypatch.delenv("COURSE_SECRET", raising=False)
    plain = check.seed("relu")
    assert plain == 10575101601083268668  # The same on every machine and in every process.
    assert check.seed("linear") != plain
    monkeypatch.setenv("COURSE_SECRET", "spring term")
    assert check.seed("relu") not in (plain, check.seed("linear"))
    np.random.default_rng(check.seed("relu"))

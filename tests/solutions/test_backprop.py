"""What the text of the backpropagation exercise promises is true."""

import ast

import numpy as np
import pytest

# Slips that the visible checks name, beside those of the mutants: cell, text to replace, new text.
SLIPS = {
    "this is x itself": ("relu", "np.maximum(x, 0)", "x"),
    "the bias is subtracted": ("linear", "+ bias", "- bias"),
    "divide each by its sum": (
        "softmax",
        """shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)""",
        "logits)\n    return exponentials",
    ),
    "the logarithm is missing": (
        "cross_entropy",
        "np.mean(log_sum - shifted[np.arange(len(labels)), labels])",
        "-np.mean(softmax(logits)[np.arange(len(labels)), labels])",
    ),
    "subtract 1 at the right class before you divide": (
        "cross_entropy",
        "labels] -= 1",
        "labels] -= len(labels)",
    ),
    "you used that of the whole batch": (
        "cross_entropy",
        "logits.max(axis=1, keepdims=True)",
        "logits.max()",
    ),
    "there is no relu after the last layer": (
        "loss_and_gradients",
        'logits = linear(a, parameters["output.weight"], parameters["output.bias"])',
        'logits = relu(linear(a, parameters["output.weight"], parameters["output.bias"]))',
    ),
    "this is only the step": ("sgd_step", "value - lr", "-lr"),
}


def patched(exercise, cell, old, new):
    answer = exercise.cells[cell].answer
    assert answer.count(old) == 1, f"{old!r} occurs {answer.count(old)} times in `{cell}`"
    return answer.replace(old, new)


def complaint(exercise, names, run_cell, cell, old, new):
    """What the checks of a cell say about a slip in it."""
    assert run_cell(patched(exercise, cell, old, new), names) is None
    errors = [run_cell(check.source, names) for check in exercise.checks_of(exercise.cells[cell])]
    return " ".join(str(error) for error in errors)


@pytest.mark.parametrize("says", SLIPS)
def test_a_slip_is_named(says, backprop, namespace, run_cell):
    assert says in complaint(backprop, namespace(backprop), run_cell, *SLIPS[says])


def test_no_explanation_in_a_check_is_dead(backprop, namespace, run_cell):
    heard = [
        complaint(backprop, namespace(backprop), run_cell, *slip)
        for slip in [
            *SLIPS.values(),
            *((one.cell, one.replace, one.replacement) for one in backprop.mutants),
        ]
    ]
    written = []
    for cell in backprop.graded_cells:
        for node in ast.walk(ast.parse(cell.visible)):
            if isinstance(node, ast.keyword) and node.arg == "slips":
                written += [
                    key.value
                    for inner in ast.walk(node.value)
                    if isinstance(inner, ast.Dict)
                    for key in inner.keys
                    if isinstance(key, ast.Constant) and key.value.endswith(".")
                ]
    assert len(written) > 20
    dead = [text for text in written if not any(text in message for message in heard)]
    assert not dead, "no mutant and no slip here makes a check say: " + "; ".join(dead)


@pytest.fixture
def trained(backprop, namespace, run_cell):
    names = namespace(backprop)
    assert run_cell(backprop.cells["train"].source, names) is None
    return names


def test_the_network_reads_more_than_95_of_100_digits(trained):
    _, history = trained["train"]()
    assert history.validation_accuracy[-1] > 0.95
    assert history.loss[-1] < 0.2 * history.loss[0]


def test_the_result_does_not_hang_on_the_seed(trained):
    last = [trained["train"](seed=seed)[1].validation_accuracy[-1] for seed in (1, 2)]
    assert min(last) > 0.95


def test_the_model_answer_about_zero_weights_is_true(trained):
    shapes = {"hidden.weight": (32, 64), "hidden.bias": 32, "output.weight": (10, 32)}
    mlp = {key: np.zeros(shape) for key, shape in {**shapes, "output.bias": 10}.items()}
    images, digits = trained["train_images"][:500], trained["train_digits"][:500]
    for _ in range(40):
        loss, gradients = trained["loss_and_gradients"](mlp, images, digits)
        moving = {key for key, gradient in gradients.items() if np.any(gradient)}
        assert moving == {"output.bias"}
        mlp = trained["sgd_step"](mlp, gradients, 5.0)
    # All it learns is how frequent each digit is.
    share = np.bincount(digits) / len(digits)
    np.testing.assert_allclose(trained["softmax"](mlp["output.bias"][None])[0], share, atol=1e-3)
    assert loss == pytest.approx(np.log(10), abs=0.01)
    assert trained["accuracy"](mlp, trained["test_images"], trained["test_digits"]) < 0.2

    # And with 0.1 everywhere, all hidden units stay the same unit.
    mlp = {key: np.full_like(value, 0.1) for key, value in mlp.items()}
    for _ in range(5):
        _, gradients = trained["loss_and_gradients"](mlp, images, digits)
        assert np.any(gradients["hidden.weight"])
        mlp = trained["sgd_step"](mlp, gradients, 0.1)
    np.testing.assert_allclose(mlp["hidden.weight"], mlp["hidden.weight"][:1].repeat(32, axis=0))

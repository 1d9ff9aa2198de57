"""PyTorch, SciPy and scikit-learn work the mathematics exercise, and its text tells the truth.

The checks hold literal numbers, so that a student needs NumPy only. Here the libraries answer every
task in float64, and must pass all checks within the last digit that is written down.
"""

import ast
import itertools

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import sklearn.decomposition
import sklearn.linear_model
import torch
from torch.nn import functional

import largemodels.check.comparison
from coursekit.exercises import find_exercises


@pytest.fixture(scope="module")
def mathematics(repository):
    [exercise] = find_exercises(repository, ["07_mathematics"])
    return exercise


def tensor(array):
    return torch.tensor(np.asarray(array, dtype=np.float64))


def affine_parts(function, in_features):
    # The slopes of an affine function are the same everywhere, and no difference is too large.
    weight = scipy.optimize.approx_fprime(np.zeros(in_features), function, 0.5)
    return np.atleast_2d(weight), function(np.zeros(in_features))


def compose(first, second):
    layers = [torch.nn.Linear(*weight.shape[::-1], dtype=float) for weight, _ in (first, second)]
    for layer, (weight, bias) in zip(layers, (first, second), strict=True):
        layer.load_state_dict({"weight": tensor(weight), "bias": tensor(bias)})
    inputs = first[0].shape[1]
    network = torch.nn.Sequential(*layers)
    origin = torch.zeros(inputs, dtype=float)
    weight = torch.autograd.functional.jacobian(network, origin)
    return weight.numpy(), network(origin).detach().numpy()


def network(layers):
    def run(x):
        for weight, bias in layers:
            x = torch.tanh(functional.linear(x, tensor(weight), tensor(bias)))
        return x

    return run


def jacobian(layers, x):
    return torch.autograd.functional.jacobian(network(layers), tensor(x)).numpy()


def jvp(layers, x, direction):
    return torch.func.jvp(network(layers), (tensor(x),), (tensor(direction),))[1].numpy()


def vjp(layers, x, upstream):
    return torch.func.vjp(network(layers), tensor(x))[1](tensor(upstream))[0].numpy()


def product_costs(sizes):
    matrices = [np.ones((m, n)) for n, m in itertools.pairwise(sizes)]

    def cost(products):
        total, result = 0, products[0]
        for factor, on_the_left in products[1:]:
            pair = (factor, result) if on_the_left else (result, factor)
            total += pair[0].shape[0] * pair[0].shape[1] * pair[1].shape[1]
            result = pair[0] @ pair[1]
        return total

    forward = cost([matrices[0], *((matrix, True) for matrix in matrices[1:])])
    backward = cost([matrices[-1], *((matrix, False) for matrix in matrices[-2::-1])])
    return forward, backward


def mean_squared_error(features, targets, theta):
    return functional.mse_loss(tensor(features) @ tensor(theta), tensor(targets)).item()


def mse_gradient(features, targets, theta):
    theta = tensor(theta).requires_grad_()
    loss = functional.mse_loss(tensor(features) @ theta, tensor(targets))
    return torch.autograd.grad(loss, theta)[0].numpy()


def largest_learning_rate(features):
    def loss(theta):
        return functional.mse_loss(tensor(features) @ theta, torch.zeros(len(features)).double())

    origin = torch.zeros(features.shape[1], dtype=float)
    hessian = torch.autograd.functional.hessian(loss, origin)
    return 2 / torch.linalg.eigvalsh(hessian).max().item()


def least_squares(features, targets):
    # With its own cut-off, scikit-learn takes two nearly equal columns for one.
    model = sklearn.linear_model.LinearRegression(tol=1e-12).fit(features, targets)
    return model.intercept_, model.coef_


def ridge(features, targets, strength):
    model = sklearn.linear_model.Ridge(alpha=len(targets) * strength, solver="cholesky")
    model.fit(features, targets)
    return model.intercept_, model.coef_


def gaussian_fit(samples):
    samples = samples.astype(np.float64)
    mean, deviation = np.transpose([scipy.stats.norm.fit(column) for column in samples.T])
    return mean, deviation**2, scipy.stats.tvar(samples, axis=0)


def log_density(samples, mean, variance):
    normal = torch.distributions.Normal(tensor(mean), tensor(variance).sqrt())
    return torch.distributions.Independent(normal, 1).log_prob(tensor(samples)).numpy()


def posterior(log_likelihoods, priors):
    return scipy.special.softmax(log_likelihoods + np.log(priors), axis=1)


def binary_cross_entropy(logits, labels):
    return functional.binary_cross_entropy_with_logits(tensor(logits), tensor(labels)).item()


def kl_divergence(p, q):
    return functional.kl_div(tensor(q).log(), tensor(p), reduction="sum").item()


def projection(basis):
    # What least squares makes of each basis vector of the whole space.
    solution = torch.linalg.lstsq(tensor(basis), torch.eye(len(basis), dtype=float)).solution
    return (tensor(basis) @ solution).numpy()


def fitted_pca(images, count):
    return sklearn.decomposition.PCA(count, svd_solver="full").fit(images)


def pca(images, count):
    model = fitted_pca(images, count)
    return model.mean_, model.components_, model.explained_variance_


def with_components(mean, components):
    model = fitted_pca(np.eye(max(components.shape) + 1, components.shape[1]), len(components))
    model.mean_, model.components_ = mean, components
    return model


def encode(images, mean, components):
    return with_components(mean, components).transform(images)


def decode(codes, mean, components):
    return with_components(mean, components).inverse_transform(codes)


ORACLE = {
    "affine_parts": [affine_parts, compose],
    "jacobian": [jacobian],
    "vjp": [jvp, vjp, product_costs],
    "mse_gradient": [mean_squared_error, mse_gradient, largest_learning_rate],
    "least_squares": [least_squares, ridge],
    "gaussian_fit": [gaussian_fit, log_density, posterior],
    "binary_cross_entropy": [binary_cross_entropy, kl_divergence],
    "pca": [projection, pca, encode, decode],
}


@pytest.fixture
def names(mathematics, namespace):
    functions = {function.__name__: function for task in ORACLE.values() for function in task}
    return namespace(mathematics) | functions


def test_the_libraries_work_every_task(mathematics):
    assert {cell.grade_id for cell in mathematics.solution_cells} == ORACLE.keys()


@pytest.mark.parametrize("task", ORACLE)
def test_the_recorded_numbers_are_those_of_the_libraries(
    task, mathematics, names, run_cell, monkeypatch
):
    # Ten decimals are written down.
    monkeypatch.setattr(largemodels.check.comparison, "TOLERANCE", (0.0, 1.5e-10))
    error = run_cell(mathematics.cells[f"test_{task}"].visible, names)
    assert error is None, str(error)


@pytest.mark.parametrize("secret", ["", "spring term", "autumn term"])
@pytest.mark.parametrize("task", ORACLE)
def test_the_hidden_oracles_agree_with_the_libraries(
    task, secret, mathematics, names, run_cell, monkeypatch
):
    monkeypatch.setenv("COURSE_SECRET", secret)
    error = run_cell(mathematics.cells[f"test_{task}"].source, names)
    assert error is None, str(error)


# Slips that the visible checks name, beside those of the mutants: cell, text to replace, new text.
SLIPS = {
    "this is the root of it": (
        "mse_gradient",
        "np.mean((features @ theta - targets) ** 2)",
        "np.sqrt(np.mean((features @ theta - targets) ** 2))",
    ),
    "(4 + 16 + 36 + 64 + 100) / 5 is another": (
        "mse_gradient",
        "np.mean((features @ theta - targets) ** 2)",
        "2.0",
    ),
    "these are the numbers of the article": (
        "mse_gradient",
        "2 / len(targets) * features.T @ residuals",
        "np.full(5, -2.0)",
    ),
}


def complaint(exercise, names, run_cell, cell, old, new):
    """What the checks of a cell say about a slip in it."""
    answer = exercise.cells[cell].answer
    assert answer.count(old) == 1, f"{old!r} occurs {answer.count(old)} times in `{cell}`"
    assert run_cell(answer.replace(old, new), names) is None
    errors = [run_cell(check.source, names) for check in exercise.checks_of(exercise.cells[cell])]
    return " ".join(" ".join(str(error).split()) for error in errors)


@pytest.mark.parametrize("says", SLIPS)
def test_a_slip_is_named(says, mathematics, namespace, run_cell):
    assert says in complaint(mathematics, namespace(mathematics), run_cell, *SLIPS[says])


def test_no_explanation_in_a_check_is_dead(mathematics, namespace, run_cell):
    heard = [
        complaint(mathematics, namespace(mathematics), run_cell, *slip)
        for slip in [
            *SLIPS.values(),
            *((one.cell, one.replace, one.replacement) for one in mathematics.mutants),
        ]
    ]
    written = []
    for cell in mathematics.graded_cells:
        for node in ast.walk(ast.parse(cell.visible)):
            if isinstance(node, ast.keyword) and node.arg == "slips":
                written += [key.value for key in node.value.keys]
    assert len(written) > 80
    dead = [text for text in written if not any(text in message for message in heard)]
    assert not dead, "no mutant and no slip here makes a check say: " + "; ".join(dead)


@pytest.fixture
def solved(mathematics, namespace, run_cell):
    names = namespace(mathematics)
    assert run_cell(mathematics.cells["rebuild"].source, names) is None
    return names


def test_the_example_of_the_article_diverges_and_half_its_rate_converges(solved):
    features = np.column_stack([np.ones(5), np.arange(1.0, 6.0)])
    targets = 2.0 * np.arange(1.0, 6.0)
    loss = {}
    for rate in (0.1, 0.05, 0.08):
        theta = np.zeros(2)
        for _ in range(1000 if rate < 0.1 else 100):
            theta = theta - rate * solved["mse_gradient"](features, targets, theta)
        loss[rate] = solved["mean_squared_error"](features, targets, theta)
    assert loss[0.1] > 1e28
    assert max(loss[0.05], loss[0.08]) < 1e-9
    assert solved["mean_squared_error"](features, targets, np.array([2.0, 2.0])) == 4


def test_the_singular_equations_really_lose_their_digits():
    # Else the check of the two nearly equal columns would tell nothing.
    steps = np.arange(30) / 30
    columns = np.column_stack([np.ones(30), steps, steps + 1e-7 * np.cos(7 * steps)])
    assert 1e6 < np.linalg.cond(columns) < 1e9
    targets = columns @ [1, 2, -3]
    stable = np.linalg.lstsq(columns, targets)[0]
    lost = np.linalg.inv(columns.T @ columns) @ columns.T @ targets
    assert np.abs(stable - [1, 2, -3]).max() < 1e-6
    assert np.abs(lost - [1, 2, -3]).max() > 1e-2


def test_naive_bayes_reads_and_pca_rebuilds_digits(solved):
    train, labels = solved["train_images"], solved["train_digits"]
    columns = []
    for digit in range(10):
        mean, variance, _ = solved["gaussian_fit"](train[labels == digit])
        columns.append(solved["log_density"](solved["test_images"], mean, variance + 0.03))
    shares = np.bincount(labels) / len(labels)
    guessed = solved["posterior"](np.stack(columns, axis=1), shares).argmax(axis=1)
    assert np.mean(guessed == solved["test_digits"]) > 0.88

    kept = [solved["explained"](solved["rebuild"](count)) for count in (1, 4, 8, 16, 32)]
    assert kept == sorted(kept)
    assert kept[3] > 0.8
    np.testing.assert_allclose(solved["rebuild"](64), solved["test_images"], atol=1e-10)


def test_invented_digits_look_like_their_digit(solved):
    # Each is nearer to the mean of its digit than to most others: chance would be 5 of 50.
    means = [solved["train_images"][solved["train_digits"] == d].mean(axis=0) for d in range(10)]
    right = 0
    for digit in range(10):
        for image in solved["invent"](digit, pieces=5, seed=digit):
            right += np.argmin([np.sum((image - mean) ** 2) for mean in means]) == digit
    assert right >= 40


def test_the_model_answer_about_the_printed_formula_is_true(solved):
    cross_entropy, ones = solved["binary_cross_entropy"], np.ones(5)
    for chances, loss, accuracy in [
        ([0.51] * 5, 0.673, 1.0),
        ([0.99, 0.99, 0.99, 0.49, 0.49], 0.291, 0.6),
    ]:
        logits = np.log(np.divide(chances, np.subtract(1, chances)))
        assert cross_entropy(logits, ones) == pytest.approx(loss, abs=5e-4)
        assert np.mean(logits > 0) == accuracy
    logit = torch.tensor(-10.0, dtype=float, requires_grad=True)
    for loss, slope in [
        (functional.binary_cross_entropy_with_logits(logit, torch.ones(()).double()), -1),
        ((torch.sigmoid(logit) - 1) ** 2, -9e-5),
    ]:
        assert torch.autograd.grad(loss, logit)[0].item() == pytest.approx(slope, rel=0.02)

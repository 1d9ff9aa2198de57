"""Each explanation has the property that defines it, and leaves the model as it was."""

from itertools import permutations, product

import numpy as np
import pytest
import torch
from torch import nn

from largemodels.trust.explanation import (
    integrated_gradients,
    lime,
    saliency,
    shap_values,
    token_attributions,
)
from largemodels.trust.shapley import shapley_values

X = np.random.default_rng(0).standard_normal((5, 4))
TARGET = np.array([2, 0, 1, 1, 2])
BACKGROUND = np.random.default_rng(1).standard_normal((6, 4))


@pytest.fixture
def model():
    """A smooth network with dropout, which no explanation may turn on."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3))
    return model.double()


def scores(model, x, target):
    with torch.no_grad():
        logits = model.eval()(torch.as_tensor(x)).numpy()
    model.train()
    return logits[np.arange(len(x)), target]


def explain(name, model, **options):
    """Call an explanation by name with its usual arguments."""
    return {
        "saliency": lambda: saliency(model, X, TARGET, **options),
        "integrated_gradients": lambda: integrated_gradients(model, X, TARGET, **options),
        "lime": lambda: lime(model, X, TARGET, samples=50, seed=0, **options),
        "shap": lambda: shap_values(model, X, TARGET, BACKGROUND, **options),
    }[name]()


NAMES = ["saliency", "integrated_gradients", "lime", "shap"]


@pytest.mark.parametrize("name", NAMES)
def test_explanation_leaves_model_data_and_random_numbers_as_they_were(name, model):
    model[2].eval()  # One frozen layer inside a model that trains.
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, draw = X.copy(), torch.random.get_rng_state()
    numpy_draw = np.random.get_state()[1].copy()  # noqa: NPY002
    attributions = explain(name, model)
    assert attributions.shape == X.shape
    assert attributions.dtype == np.float64
    assert [module.training for module in model.modules()] == [True, True, True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    np.testing.assert_array_equal(X, x)
    assert torch.equal(torch.random.get_rng_state(), draw)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_draw)  # noqa: NPY002


@pytest.mark.parametrize("name", NAMES)
def test_explanation_of_each_example_does_not_depend_on_the_others(name, model):
    together = explain(name, model)
    options = {"samples": 50, "seed": 0}
    alone = {
        "saliency": lambda i: saliency(model, X[i : i + 1], TARGET[i : i + 1]),
        "integrated_gradients": lambda i: integrated_gradients(
            model, X[i : i + 1], TARGET[i : i + 1]
        ),
        "lime": lambda i: lime(model, X[i : i + 1], TARGET[i : i + 1], **options),
        "shap": lambda i: shap_values(model, X[i : i + 1], TARGET[i : i + 1], BACKGROUND),
    }[name]
    # LIME draws other samples for the second example, so only its first one is comparable.
    for i in range(1 if name == "lime" else len(X)):
        np.testing.assert_allclose(alone(i)[0], together[i], rtol=1e-9, atol=1e-12)


def test_saliency_is_the_size_of_the_gradient(model):
    x = torch.tensor(X, requires_grad=True)
    model.eval()(x)[torch.arange(5), torch.as_tensor(TARGET)].sum().backward()
    np.testing.assert_allclose(saliency(model, X, TARGET), x.grad.abs().numpy(), atol=1e-12)


@pytest.mark.parametrize("baseline", [None, BACKGROUND[0]])
def test_integrated_gradients_are_complete(model, baseline):
    attributions = integrated_gradients(model, X, TARGET, baseline=baseline)
    start = np.zeros(4) if baseline is None else baseline
    change = scores(model, X, TARGET) - scores(model, np.tile(start, (5, 1)), TARGET)
    np.testing.assert_allclose(attributions.sum(axis=1), change, atol=1e-6)
    coarse = integrated_gradients(model, X, TARGET, baseline=baseline, steps=1)
    assert np.abs(coarse.sum(axis=1) - change).max() > 1e-3  # One point is not an integral.


def test_integrated_gradients_equal_the_integral_by_many_small_steps(model):
    model.eval()
    expected = np.zeros_like(X)
    parts = 2000
    for t in (np.arange(parts) + 0.5) / parts:
        x = torch.tensor(t * X, requires_grad=True)
        model(x)[torch.arange(5), torch.as_tensor(TARGET)].sum().backward()
        expected += X * x.grad.numpy() / parts
    np.testing.assert_allclose(integrated_gradients(model, X, TARGET), expected, atol=1e-6)


def test_token_attributions_are_complete_and_blame_no_padding():
    torch.manual_seed(0)
    embedding = nn.Embedding(9, 6)
    model = nn.Sequential(embedding, nn.Flatten(), nn.Linear(24, 5), nn.Tanh(), nn.Linear(5, 2))
    model = model.double()
    tokens, target = np.array([[3, 8, 1, 0], [5, 5, 0, 0]]), np.array([1, 0])
    attributions = token_attributions(model, embedding, tokens, target)
    assert attributions.shape == (2, 4)
    change = scores(model, tokens, target) - scores(model, np.zeros_like(tokens), target)
    np.testing.assert_allclose(attributions.sum(axis=1), change, atol=1e-6)
    np.testing.assert_array_equal(attributions[tokens == 0], 0)
    assert (attributions[tokens > 0] != 0).all()


def local_fit(score, x, baseline, segments, width):
    """Solve equation 2 of the paper over all z instead of a draw of them."""
    count = segments.max() + 1
    z = np.array(list(product([0.0, 1.0], repeat=count)))  # (2^M, M)
    inputs = np.where(z[:, segments] == 1, x, baseline)
    weights = np.exp(-(((1 - np.sqrt(z.mean(axis=1))) / width) ** 2))
    root = np.sqrt(weights)[:, None]
    design = np.hstack([z, np.ones((len(z), 1))])
    return np.linalg.lstsq(root * design, root[:, 0] * score(inputs), rcond=None)[0][:-1]


def test_lime_finds_the_coefficients_of_a_linear_model():
    torch.manual_seed(0)
    model = nn.Linear(4, 3).double()
    baseline = BACKGROUND[0]
    found = lime(model, X, TARGET, baseline=baseline, samples=60, seed=0)
    expected = model.weight.detach().numpy()[TARGET] * (X - baseline)
    np.testing.assert_allclose(found, expected, atol=1e-5)  # Captum fits in float32.


class Interaction(nn.Module):
    """A score that no linear model has: each input counts only with all others."""

    def forward(self, x):
        return (x[:, :3].prod(dim=1) + x[:, 3]).unsqueeze(1)  # (N, 4) -> (N, 1)


@pytest.mark.parametrize("width", [0.1, 0.25, 10.0])
def test_lime_approaches_the_weighted_fit_over_all_perturbations(width):
    segments, x = np.array([0, 1, 2, 0]), np.array([1.0, 2.0, 3.0, 4.0])
    found = lime(
        Interaction(), [x], [0], segments=segments, samples=8000, kernel_width=width, seed=0
    )[0]
    assert found[0] == found[3]  # One segment.

    def score(rows):
        return rows[:, :3].prod(axis=1) + rows[:, 3]

    expected = local_fit(score, x, 0, segments, width)
    np.testing.assert_allclose(found[:3], expected, atol=0.12)


def test_narrow_kernel_sees_what_is_lost_next_to_the_input():
    x = np.array([[1.0, 2.0, 3.0, 4.0]])
    narrow, wide = (
        lime(Interaction(), x, [0], samples=2000, kernel_width=width, seed=0)[0]
        for width in (0.03, 10.0)
    )
    # At the input, each of three is worth 6. Over all perturbations, the other two are there only
    # in a quarter of the cases.
    np.testing.assert_allclose(narrow, [6, 6, 6, 4], atol=0.1)
    np.testing.assert_allclose(wide, [1.5, 1.5, 1.5, 4], atol=0.2)


def test_lime_draws_from_its_seed(model):
    first, again, other = (explain_seed(model, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def explain_seed(model, seed):
    return lime(model, X[:1], TARGET[:1], samples=30, seed=seed)


def shapley_by_orders(model, x, k, background):
    """Average over all orders in which the inputs can become known."""
    total = np.zeros(len(x))
    orders = list(permutations(range(len(x))))
    for order in orders:
        rows = background.copy()
        before = scores(model, rows, np.repeat(k, len(rows))).mean()
        for i in order:
            rows[:, i] = x[i]
            after = scores(model, rows, np.repeat(k, len(rows))).mean()
            total[i] += after - before
            before = after
    return total / len(orders)


def test_shap_equals_the_average_over_all_orders(model):
    expected = [shapley_by_orders(model, x, k, BACKGROUND) for x, k in zip(X, TARGET, strict=True)]
    np.testing.assert_allclose(shap_values(model, X, TARGET, BACKGROUND), expected, atol=1e-10)


@pytest.mark.parametrize("count", [None, 3])
def test_shap_shares_out_the_whole_score(model, count):
    values = shap_values(model, X, TARGET, BACKGROUND, permutations=count)
    averages = [scores(model, BACKGROUND, np.repeat(k, 6)).mean() for k in TARGET]
    change = scores(model, X, TARGET) - averages
    np.testing.assert_allclose(values.sum(axis=1), change, atol=1e-10)


def test_shap_by_orders_approaches_the_exact_values(model):
    exact = shap_values(model, X, TARGET, BACKGROUND)
    errors = [
        np.abs(shap_values(model, X, TARGET, BACKGROUND, permutations=n, seed=0) - exact).max()
        for n in (1, 50)
    ]
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.05


def test_lime_and_shap_of_a_text_are_what_its_words_add():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(9, 2, dtype=torch.float64)

        def forward(self, x):
            return self.embedding(x.long()).sum(dim=1)  # (N, T) -> (N, T, 2) -> (N, 2)

    torch.manual_seed(0)
    model, tokens, padding = Words(), np.array([[3, 8, 1, 3]]), np.zeros((1, 4))
    table = model.embedding.weight.detach().numpy()
    expected = (table[tokens] - table[0])[..., 1]
    coefficients = lime(model, tokens, [1], baseline=padding[0], samples=60, seed=0)
    np.testing.assert_allclose(coefficients, expected, atol=1e-5)
    np.testing.assert_allclose(shap_values(model, tokens, [1], padding), expected, atol=1e-10)


def test_explanations_keep_the_shape_of_images():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3))
    images = np.random.default_rng(2).random((2, 1, 4, 4)).astype(np.float32)
    target = np.array([0, 2])
    patches = np.kron([[0, 1], [2, 3]], np.ones((2, 2), dtype=int))[None]  # (1, 4, 4)
    background = np.zeros((1, 1, 4, 4))
    results = [
        saliency(model, images, target),
        integrated_gradients(model, images, target),
        lime(model, images, target, segments=patches, samples=40, seed=0),
        shap_values(model, images, target, background, permutations=2),
    ]
    for values in results:
        assert values.shape == images.shape
        assert values.dtype == np.float32
    assert len(np.unique(results[2][0])) == 4  # One coefficient for each patch.


def test_shapley_values_of_a_game_equal_the_average_over_all_orders():
    worth = np.random.default_rng(0).random(16)

    def value(team):
        return worth[sum(2**player for player in team)]

    expected = np.zeros(4)
    for order in permutations(range(4)):
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            expected[player] += (value(before | {player}) - value(before)) / 24
    np.testing.assert_allclose(list(shapley_values(value, range(4)).values()), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: saliency(m, X[:0], TARGET[:0]), r"`x` \(of shape \(0, 4\)\) must have shape"),
        (lambda m: saliency(m, X, TARGET[:4]), r"`target` \(of shape \(4,\)\) must .* \(5,\)"),
        (lambda m: saliency(m, X, TARGET + 0.5), r"`target` \(of type float64\) must be integers"),
        (lambda m: integrated_gradients(m, X, TARGET, steps=0), r"`steps` \(=0\) must be at least"),
        (
            lambda m: integrated_gradients(m, X, TARGET, baseline=[0.0]),
            r"`baseline` \(of shape \(1,\)\) must have shape \(4,\)",
        ),
        (
            lambda m: lime(m, X, TARGET, samples=4, seed=0),
            r"`samples` \(=4\) must be more than the number of segments, 4",
        ),
        (
            lambda m: lime(m, X, TARGET, kernel_width=0, seed=0),
            r"`kernel_width` \(=0\) must be positive",
        ),
        (
            lambda m: lime(m, X, TARGET, segments=[0, 1, 3, 3], seed=0),
            r"`segments` \(=\[0, 1, 3\]\) must be 0, 1, … without gaps",
        ),
        (
            lambda m: lime(m, X, TARGET, segments=[0, 1], seed=0),
            r"`segments` \(of shape \(2,\)\) must have shape \(4,\)",
        ),
        (
            lambda m: shap_values(m, X, TARGET, BACKGROUND[:, :3]),
            r"`background` \(of shape \(6, 3\)\) must have shape \(B, 4\)",
        ),
        (
            lambda m: shap_values(m, X, TARGET, BACKGROUND, permutations=0),
            r"`permutations` \(=0\) must be at least 1",
        ),
        (
            lambda m: shap_values(m, np.ones((1, 16)), [0], np.ones((1, 16))),
            r"`x` has 16 inputs an example: 2\^16 subsets are too many",
        ),
        (
            lambda m: token_attributions(m, m, X, TARGET),
            r"`tokens` \(of shape \(5, 4\) and type float64\) must be integers",
        ),
        (lambda m: shapley_values(len, [1, 1]), r"`players` \(=\[1, 1\]\) must be .* different"),
    ],
)
def test_errors_name_argument_and_value(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)

"""PyTorch and scikit-learn work the recommender exercise, and what its text promises is true.

PyTorch answers with `Embedding` and automatic differentiation in float64, scikit-learn with ridge
regression and `ndcg_score`. Both must pass every check, within the last digit that is written down.
"""

import ast

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import ndcg_score, precision_score, recall_score, root_mean_squared_error

import largemodels.check.comparison
from coursekit.exercises import find_exercises

NAMES = ("user_bias", "item_bias", "user_factors", "item_factors")


def split_by_time(ratings, share):
    time = torch.tensor(ratings["time"])
    cut = time.sort().values[round(share * len(time))]
    train, test = (time < cut).nonzero()[:, 0].numpy(), (time >= cut).nonzero()[:, 0].numpy()
    return tuple({name: ratings[name][rows] for name in ratings} for rows in (train, test))


def fit_baseline(train, num_users, num_items, damping):
    mean = np.mean(train["rating"])
    rest, biases = train["rating"] - mean, {}
    for name, size in (("item", num_items), ("user", num_users)):
        one_hot = np.eye(size)[train[name]]
        ridge = Ridge(alpha=damping, fit_intercept=False, solver="cholesky").fit(one_hot, rest)
        biases[f"{name}_bias"] = ridge.coef_
        rest = rest - ridge.predict(one_hot)
    return {"mean": mean, **biases}


def baseline_error(ratings, share, num_users, num_items, damping):
    train, test = split_by_time(ratings, share)
    found = fit_baseline(train, num_users, num_items, damping)
    shift = found["user_bias"][test["user"]] + found["item_bias"][test["item"]]
    return root_mean_squared_error(test["rating"], found["mean"] + shift)


class Factorization(torch.nn.Module):
    """The model as a practitioner builds it, with these parameters."""

    def __init__(self, model):
        super().__init__()
        self.mean = float(model["mean"])
        for name in NAMES:
            weight = torch.tensor(np.array(model[name], dtype=np.float64))
            setattr(
                self,
                name,
                torch.nn.Embedding.from_pretrained(weight.reshape(len(weight), -1), freeze=False),
            )

    def forward(self, users, items):
        users, items = torch.as_tensor(users), torch.as_tensor(items)
        self.looked_up = [self.user_bias(users), self.item_bias(items)]
        self.looked_up += [self.user_factors(users), self.item_factors(items)]
        b_u, b_i, p, q = self.looked_up
        return self.mean + (b_u + b_i)[:, 0] + (p * q).sum(dim=1)

    def loss(self, users, items, targets, l2):
        error = self(users, items) - torch.as_tensor(targets, dtype=torch.float64)
        penalty = sum((part**2).sum(dim=1) for part in self.looked_up)
        return (error**2 + l2 * penalty).mean()


def predict(model, users, items):
    return Factorization(model)(users, items).detach().numpy()


def loss_and_gradients(model, users, items, targets, l2):
    twin = Factorization(model)
    loss = twin.loss(users, items, targets, l2)
    loss.backward()
    grads = {name: getattr(twin, name).weight.grad.numpy() for name in NAMES}
    return loss.item(), {name: grads[name].reshape(np.shape(model[name])) for name in NAMES}


def sgd_epoch(model, train, order, batch_size, lr, l2):
    twin = Factorization(model)
    optimizer = torch.optim.SGD(twin.parameters(), lr=lr)
    for rows in torch.tensor(order).split(batch_size):
        batch = [torch.tensor(train[name])[rows] for name in ("user", "item", "rating")]
        optimizer.zero_grad()
        twin.loss(*batch, l2).backward()
        optimizer.step()
    moved = {name: getattr(twin, name).weight.detach().numpy() for name in NAMES}
    return {
        "mean": model["mean"],
        **{name: moved[name].reshape(np.shape(model[name])) for name in NAMES},
    }


def recommend(scores, seen, k):
    masked = torch.tensor(scores, dtype=torch.float64)
    masked[torch.tensor(seen, dtype=torch.long)] = -torch.inf
    ranking = masked.sort(descending=True, stable=True).indices
    return ranking[: min(k, len(scores) - len(seen))].numpy()


def marks(recommended, relevant, k):
    """Return truth and prediction for each item, as a classifier would have them."""
    first, size = list(recommended)[:k], 1 + max([*recommended, *relevant])
    return np.isin(np.arange(size), relevant), np.isin(np.arange(size), first), len(first)


def precision_at_k(recommended, relevant, k):
    truth, predicted, shown = marks(recommended, relevant, k)
    return precision_score(truth, predicted, zero_division=0) * shown / k


def recall_at_k(recommended, relevant, k):
    return recall_score(*marks(recommended, relevant, k)[:2])


def hit_rate_at_k(lists, relevant_lists, k):
    pairs = zip(lists, relevant_lists, strict=True)
    return np.mean([recall_at_k(*pair, k) > 0 for pair in pairs])


def ndcg_at_k(recommended, relevance, k):
    # Items that are not on the list count as an item without value, in places behind it.
    size = len(relevance)
    truth = np.concatenate([relevance, np.zeros(size)])
    scores = np.full(2 * size, -2.0 * size)
    scores[size:] = -np.arange(size) - size / 2
    scores[recommended] = size - np.arange(len(recommended))
    return ndcg_score([truth], [scores], k=k)


ORACLES = {
    "split_by_time": [split_by_time],
    "fit_baseline": [fit_baseline],
    "baseline_error": [root_mean_squared_error, baseline_error],
    "predict": [predict],
    "loss_and_gradients": [loss_and_gradients],
    "sgd_epoch": [sgd_epoch],
    "recommend": [recommend],
    "metrics": [precision_at_k, recall_at_k, hit_rate_at_k],
    "ndcg": [ndcg_at_k],
}


@pytest.fixture(scope="module")
def recommender(repository):
    [exercise] = find_exercises(repository, ["09_recommender"])
    return exercise


@pytest.fixture(scope="module")
def given(recommender, namespace, run_cell):
    """Everything that the notebook defines, with the reference's answers, before any check."""
    names = namespace(recommender)
    for cell in recommender.notebook.cells:
        source = cell.source
        if cell.cell_type == "code" and "check.task" not in source and "when_ready" not in source:
            assert run_cell(source, names) is None
    return names


@pytest.fixture
def oracle(given):
    functions = {one.__name__: one for task in ORACLES.values() for one in task}
    names = given | functions
    # Its arguments come in another order, which makes no difference to the error.
    return names | {"root_mean_squared_error": lambda predictions, targets: (
        root_mean_squared_error(targets, predictions)
    )}  # fmt: skip


def run_checks(recommender, names, run_cell, until, part):
    for task in ORACLES:
        error = run_cell(getattr(recommender.cells[f"test_{task}"], part), names)
        if task == until:
            return error
    raise AssertionError(until)


def test_the_oracles_work_every_task(recommender):
    assert [cell.grade_id for cell in recommender.solution_cells] == list(ORACLES)


@pytest.mark.parametrize("task", ORACLES)
def test_the_recorded_numbers_are_those_of_the_oracles(
    task, recommender, oracle, run_cell, monkeypatch
):
    # Ten decimals are written down.
    monkeypatch.setattr(largemodels.check.comparison, "TOLERANCE", (0.0, 1.5e-10))
    error = run_checks(recommender, oracle, run_cell, task, "visible")
    assert error is None, str(error)


@pytest.mark.parametrize("secret", ["", "spring term", "autumn term"])
@pytest.mark.parametrize("task", ORACLES)
def test_the_hidden_checks_agree_with_the_oracles(
    task, secret, recommender, oracle, run_cell, monkeypatch
):
    monkeypatch.setenv("COURSE_SECRET", secret)
    error = run_checks(recommender, oracle, run_cell, task, "source")
    assert error is None, str(error)


def test_the_recorded_path_is_that_of_pytorch(recommender, oracle, run_cell):
    assert run_checks(recommender, oracle, run_cell, "sgd_epoch", "visible") is None
    model, rows = oracle["test_start"], oracle["test_train"]
    for order, recorded in zip(
        ([3, 0, 4, 1, 2], [2, 4, 1, 0, 3]), oracle["expected_path"], strict=True
    ):
        model = sgd_epoch(model, rows, np.array(order), 2, 0.2, 0.1)
        path = np.concatenate([np.ravel(model[name]) for name in NAMES])
        np.testing.assert_allclose(path, recorded, rtol=0, atol=1e-10)


def test_a_leaky_evaluation_looks_better_than_it_is(given):
    closest = []
    for seed in (6, 1):
        world, _, _ = given["invent_ratings"](seed=seed)
        history = given["select"](world, world["time"] < 360)
        future = given["select"](world, world["time"] >= 360)
        early, late = given["split_by_time"](history, 0.8)
        pairs = [(history, late), given["split_at_random"](history, 0.8)]
        pairs += [(early, late), (history, future)]
        leaky, drawn, honest, truth = (
            given["train_recommender"](*pair)[1][-1, 1] for pair in pairs
        )
        assert leaky < drawn < honest
        assert leaky < truth - 0.25
        assert drawn < truth - 0.1
        closest.append(abs(honest - truth) < abs(drawn - truth))
    assert all(closest)


def test_the_recommender_beats_baseline_and_popular_list(given):
    early, late = given["split_by_time"](given["history"], 0.8)
    guesses = given["baseline_predictions"](early, late)
    plain = given["root_mean_squared_error"](guesses, late["rating"])
    for seed in (0, 1):
        learnt, errors = given["train_recommender"](early, late, seed=seed)
        assert errors[-1, 1] < plain - 0.08
        results = given["contest"](early, late, learnt)
        for other in ("popular", "baseline"):
            better = np.array(results["yours"]) / np.array(results[other])
            assert (better > 1.15).all(), (seed, other, results)


def test_no_explanation_in_a_check_is_dead(recommender, given, run_cell):
    """Every slip of a visible check differs from the right answer: its mutant is heard."""
    says = [mutant.says for mutant in recommender.mutants]
    written = set()
    for cell in recommender.graded_cells:
        for node in ast.walk(ast.parse(cell.visible)):
            if isinstance(node, ast.keyword) and node.arg == "slips":
                for inner in ast.walk(node.value):
                    if isinstance(inner, ast.Dict):
                        written |= {
                            key.value for key in inner.keys if isinstance(key, ast.Constant)
                        }
    written -= {"mean", "item_bias", "user_bias"}
    assert len(written) > 60
    unheard = {text for text in written if not any(one in text for one in says)}
    assert not unheard

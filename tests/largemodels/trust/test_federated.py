"""Federated averaging is gradient descent where it must be, and learns where data differ."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from largemodels import data
from largemodels.training.loop import evaluate, fit
from largemodels.trust.federated import (
    add_pairwise_masks,
    average_weights,
    federated_fit,
    leaked_input,
    split_dirichlet,
)

LOSS = nn.CrossEntropyLoss()
SIZES = (3, 10, 7)


def network(dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def examples(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(sum(SIZES), 4, generator=generator, dtype=dtype)
    return x, torch.randint(3, (sum(SIZES),), generator=generator)


def clients(dtype=torch.float64):
    x, y = examples(dtype)
    return list(zip(x.split(SIZES), y.split(SIZES), strict=True))


def federate(model, parts, **options):
    settings = {"rounds": 1, "local_epochs": 1, "learning_rate": 0.5, "seed": 0, "progress": False}
    return federated_fit(model, LOSS, parts, **{**settings, **options})


def assert_same_weights(model, other, **tolerance):
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], **tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-6)])
@pytest.mark.parametrize("rounds", [1, 4])
def test_one_local_step_with_full_batches_is_a_step_on_all_data(dtype, tolerance, rounds):
    model, central = network(dtype), network(dtype)
    federate(model, clients(dtype), rounds=rounds)
    optimizer = torch.optim.SGD(central.parameters(), lr=0.5)
    x, y = examples(dtype)
    for _ in range(rounds):
        optimizer.zero_grad()
        LOSS(central(x), y).backward()
        optimizer.step()
    assert_same_weights(model, central, atol=tolerance, rtol=0)


def test_one_client_alone_trains_as_without_a_server():
    model, central = network(), network()
    part = clients()[1]
    federate(model, [part], local_epochs=5)
    optimizer = torch.optim.SGD(central.parameters(), lr=0.5)
    fit(central, LOSS, optimizer, TensorDataset(*part), epochs=5, batch_size=10, seed=9,
        progress=False)  # fmt: skip
    assert_same_weights(model, central)


def test_more_local_steps_are_not_gradient_descent_on_all_data():
    model, central = network(), network()
    federate(model, clients(), local_epochs=4)
    federate(central, [examples()], local_epochs=4)
    assert (model[0].weight - central[0].weight).abs().max() > 1e-3


def test_mean_of_weights_counts_each_client_by_its_data():
    states = [{"w": torch.full((2,), float(k)), "n": torch.tensor(k)} for k in (1, 2, 6)]
    mean = average_weights(states, [1, 2, 5])
    torch.testing.assert_close(mean["w"], torch.full((2,), 35 / 8))
    assert mean["n"].dtype == torch.int64  # As the counter of a batch normalization.
    for count in range(1, 60):  # The shares need not add up to 1 in floating point.
        counters = [{"n": torch.tensor(count)}] * 6
        assert average_weights(counters, [1, 2, 3, 4, 5, 7])["n"] == count


def test_history_has_the_means_of_the_clients_and_the_validation_of_the_mean():
    model, parts = network(), clients()
    x, y = examples()
    history = federate(model, parts, rounds=3, validation=TensorDataset(x, y))
    assert len(history.loss) == len(history.accuracy) == len(history.validation_loss) == 3
    # With one step each, the clients' losses are those before it.
    before, accuracy = evaluate(network(), LOSS, TensorDataset(x, y))
    assert history.loss[0] == pytest.approx(before)
    assert history.accuracy[0] == pytest.approx(accuracy)
    assert history.validation_loss[-1] == pytest.approx(LOSS(model(x), y).item())


def test_seed_draws_the_clients_of_a_round_and_the_order_of_their_data():
    models = [network() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        federate(model, clients(), rounds=2, batch_size=2, share=0.6, seed=seed)
    assert torch.equal(models[0][0].weight, models[1][0].weight)
    assert not torch.equal(models[0][0].weight, models[2][0].weight)


def test_share_lets_so_many_clients_take_part():
    # Each client teaches one class: the bias of the classes that took part has moved.
    parts = [(torch.zeros(1, 4).double(), torch.tensor([k])) for k in range(3)]
    for share, count in [(0.01, 1), (0.67, 2), (1.0, 3)]:
        model = nn.Linear(4, 3, bias=True).double()
        nn.init.zeros_(model.bias)
        federate(model, parts, share=share)
        moved = {1: 1, 2: 2, 3: 0}[count]  # All three together pull equally.
        assert (model.bias > 1e-9).sum() == moved


@pytest.mark.parametrize("concentration", [0.05, 1.0, 1000.0])
def test_split_gives_each_example_to_one_client(concentration):
    labels = np.random.default_rng(0).integers(5, size=500)
    rng = np.random.default_rng(1)
    split = split_dirichlet(labels, 4, concentration=concentration, rng=rng)
    assert len(split) == 4
    assert min(map(len, split)) > 0
    np.testing.assert_array_equal(np.sort(np.concatenate(split)), np.arange(500))


def test_concentration_says_how_alike_the_clients_are():
    labels = np.repeat(np.arange(5), 200)
    largest = []
    for concentration in (0.05, 1.0, 1000.0):
        rng = np.random.default_rng(0)
        split = split_dirichlet(labels, 4, concentration=concentration, rng=rng)
        counts = np.array([np.bincount(labels[part], minlength=5) for part in split])
        # Of each class, the share that the client with most of it has.
        largest.append((counts.max(axis=0) / 200).mean())
    assert largest[0] > 0.85
    assert largest[0] > largest[1] + 0.1 > largest[2] + 0.2
    assert largest[2] < 0.3  # A quarter each.


@pytest.mark.parametrize(("concentration", "least"), [(100.0, 0.9), (0.2, 0.85)])
def test_clients_learn_digits_together_that_none_could_alone(concentration, least):
    digits = data.load("digits")
    x = torch.as_tensor(digits.x_train / 16, dtype=torch.float32).flatten(1)
    y = torch.as_tensor(digits.y_train).long()
    test = TensorDataset(
        torch.as_tensor(digits.x_test / 16, dtype=torch.float32).flatten(1),
        torch.as_tensor(digits.y_test).long(),
    )
    rng = np.random.default_rng(0)
    split = split_dirichlet(digits.y_train, 5, concentration=concentration, rng=rng)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    history = federate(
        model, [(x[part], y[part]) for part in split], rounds=12, local_epochs=2, batch_size=20,
        learning_rate=0.2, validation=test,
    )  # fmt: skip
    assert history.validation_accuracy[-1] > least
    if concentration < 1:
        torch.manual_seed(0)
        alone = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        federate(alone, [(x[split[0]], y[split[0]])], rounds=12, batch_size=20, local_epochs=2)
        assert evaluate(alone, LOSS, test)[1] < least - 0.1


def test_masks_cancel_exactly_and_hide_each_update():
    rng = np.random.default_rng(0)
    updates = np.round(rng.standard_normal((5, 1000)) * 2**24).astype(np.int64)
    masked = add_pairwise_masks(updates, seed=0)
    np.testing.assert_array_equal(masked.sum(axis=0).astype(np.int64), updates.sum(axis=0))
    for update, hidden in zip(updates, masked, strict=True):
        # Uniform over all 64 bits, and no trace of the update.
        assert abs((hidden / 2**64).mean() - 0.5) < 0.05
        assert abs(np.corrcoef(update, hidden.astype(float))[0, 1]) < 0.15
    # Without one client, the sum says nothing.
    rest = masked[1:].sum(axis=0).astype(np.int64)
    assert (rest != updates[1:].sum(axis=0)).all()


def test_gradient_of_one_example_gives_it_away():
    model, (x, y) = network(), examples()
    LOSS(model(x[:1]), y[:1]).backward()
    found = leaked_input(model[0].weight.grad, model[0].bias.grad)
    np.testing.assert_allclose(found, x[0].numpy(), rtol=1e-10)
    # A unit that did not learn anything says nothing, but another one does.
    weight, bias = model[0].weight.grad, model[0].bias.grad
    weight[2], bias[2] = 0, 0
    np.testing.assert_allclose(leaked_input(weight, bias), x[0].numpy(), rtol=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: federate(network(), []), "`clients` is empty"),
        (
            lambda: federate(network(), [(torch.ones(0, 4), torch.ones(0))]),
            "`clients[0]` must have inputs and targets of one length above 0, got 0 and 0",
        ),
        (lambda: federate(network(), clients(), rounds=0), "`rounds` (=0) must be positive"),
        (lambda: federate(network(), clients(), share=0), "`share` (=0) must be in (0, 1]"),
        (lambda: average_weights([], []), "`states` and `sizes` must have one length above 0"),
        (lambda: average_weights([{}], [0]), "`sizes` (=[0]) must be at least 1"),
        (
            lambda: average_weights([{"w": torch.ones(1)}, {}], [1, 1]),
            "`states[1]` has [], expected ['w']",
        ),
        (
            lambda: split_dirichlet([0, 1], 3, concentration=1, rng=None),
            "`clients` (=3) must be from 1 to 2",
        ),
        (
            lambda: split_dirichlet([0, 1], 2, concentration=0, rng=None),
            "`concentration` (=0) must be positive",
        ),
        (
            lambda: split_dirichlet([0] * 9, 9, concentration=1e-3, rng=np.random.default_rng(0)),
            "`concentration` (=0.001) is too small for `clients` (=9)",
        ),
        (lambda: add_pairwise_masks([[1.5], [2.5]], seed=0), "`updates` (of shape (2, 1) and"),
        (lambda: add_pairwise_masks([[1]], seed=0), "`updates` (of shape (1, 1) and"),
        (lambda: leaked_input(np.ones((2, 3)), [1.0]), "`weight_gradient` and `bias_gradient`"),
        (lambda: leaked_input(np.zeros((2, 3)), [0, 0]), "`bias_gradient` is zero everywhere"),
    ],
)
def test_errors_name_argument_and_value(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()

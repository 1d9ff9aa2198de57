"""The noise is of the promised size, each gradient is clipped, and memorizing becomes harder."""

import math

import numpy as np
import pytest
import torch
from opacus.accountants import create_accountant
from opacus.validators.errors import UnsupportedModuleError
from scipy import stats
from torch import nn
from torch.utils.data import TensorDataset

from largemodels import data
from largemodels.trust.membership import example_losses, membership_advantage, membership_auc
from largemodels.trust.privacy import (
    gaussian_mechanism,
    laplace_mechanism,
    private_fit,
    private_gradients,
)

LOSS = nn.CrossEntropyLoss()


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def examples(count=12):
    generator = torch.Generator().manual_seed(1)
    x = 3 * torch.randn(count, 4, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (count,), generator=generator)


def draws(mechanism, value, size=200_000, seed=0, **options):
    rng = np.random.default_rng(seed)
    return mechanism(np.full(size, float(value)), rng=rng, **options)


def test_laplace_noise_has_its_scale_and_shape():
    noise = draws(laplace_mechanism, 0, sensitivity=3, epsilon=0.5)
    assert stats.kstest(noise, stats.laplace(scale=6).cdf).pvalue > 0.01
    rng = np.random.default_rng(0)
    assert laplace_mechanism(np.zeros((2, 3)), sensitivity=1, epsilon=1, rng=rng).shape == (2, 3)


def test_gaussian_noise_has_its_scale():
    noise = draws(gaussian_mechanism, 0, sensitivity=3, epsilon=0.5, delta=1e-5)
    scale = 3 * math.sqrt(2 * math.log(1.25e5)) / 0.5
    assert stats.kstest(noise, stats.norm(scale=scale).cdf).pvalue > 0.01


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_neighbours_stay_within_the_likelihood_ratio_of_laplace(epsilon):
    # A count of 10 or 11 people: each result is at most e^ε times as likely for one of them.
    options = {"sensitivity": 1, "epsilon": epsilon}
    edges = np.arange(8, 13.01, 0.25)
    with_person, _ = np.histogram(draws(laplace_mechanism, 11, seed=0, **options), edges)
    without, _ = np.histogram(draws(laplace_mechanism, 10, seed=1, **options), edges)
    ratios = with_person / without
    error = 4 * np.sqrt(1 / with_person + 1 / without)  # Four standard errors of the logarithm.
    assert (np.abs(np.log(ratios)) <= epsilon + error).all()
    # The bound is tight: above 11 the ratio is e^ε itself, below 10 it is e^−ε.
    np.testing.assert_allclose(np.log(ratios[edges[:-1] >= 11]).mean(), epsilon, atol=0.05)
    np.testing.assert_allclose(np.log(ratios[edges[:-1] < 10]).mean(), -epsilon, atol=0.05)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 0.2), (0.5, 0.05), (0.9, 0.01)])
def test_neighbours_stay_within_epsilon_and_delta_of_the_gaussian_mechanism(epsilon, delta):
    options = {"sensitivity": 2, "epsilon": epsilon, "delta": delta}
    ours = draws(gaussian_mechanism, 2, seed=0, **options)
    others = draws(gaussian_mechanism, 0, seed=1, **options)
    # The worst sets of results are the tails: P(ours > t) − e^ε P(others > t) ≤ δ for each t.
    for t in np.linspace(-10, 40, 101):
        assert (ours > t).mean() - math.exp(epsilon) * (others > t).mean() <= delta
    # A hundredth of the noise would not do, so the test can fail.
    ours, others = 2 + (ours - 2) / 100, others / 100
    assert (ours > 1).mean() - math.exp(epsilon) * (others > 1).mean() > delta


def clipped_by_hand(model, x, y, bound):
    """Add up the clipped gradients of one example after the other."""
    total = [torch.zeros_like(parameter) for parameter in model.parameters()]
    for i in range(len(x)):
        gradients = torch.autograd.grad(LOSS(model(x[i : i + 1]), y[i : i + 1]), model.parameters())
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        for sum_, gradient in zip(total, gradients, strict=True):
            sum_ += gradient / max(1.0, norm / bound)
    return total


@pytest.mark.parametrize("bound", [0.1, 1.0, 100.0])
def test_private_gradients_without_noise_are_the_clipped_ones(bound):
    model, (x, y) = network(), examples()
    found = private_gradients(model, LOSS, x, y, max_grad_norm=bound, noise_multiplier=0.0)
    expected = clipped_by_hand(model, x, y, bound)
    for gradient, total in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(gradient, total / 12, rtol=1e-10, atol=1e-12)
    assert list(found) == [name for name, _ in model.named_parameters()]
    if bound == 100.0:  # Nothing to clip: the ordinary gradient.
        plain = torch.autograd.grad(LOSS(model(x), y), model.parameters())
        for gradient, value in zip(found.values(), plain, strict=True):
            torch.testing.assert_close(gradient, value)


def test_one_example_cannot_move_the_gradients_further_than_the_bound():
    model, (x, y) = network(), examples()
    options = {"max_grad_norm": 0.5, "noise_multiplier": 0.0, "batch_size": 12}
    all_of_them = private_gradients(model, LOSS, x, y, **options)
    for i in range(12):
        rest = torch.arange(12) != i
        others = private_gradients(model, LOSS, 1e6 * x[rest], y[rest], **options)
        assert all(gradient.isfinite().all() for gradient in others.values())
        others = private_gradients(model, LOSS, x[rest], y[rest], **options)
        moved = sum((all_of_them[name] - others[name]).square().sum() for name in others)
        assert moved.sqrt() * 12 <= 0.5 + 1e-9


def test_noise_of_private_gradients_has_its_size():
    model, (x, y) = network(), examples()
    options = {"max_grad_norm": 0.5, "batch_size": 4}
    clean = private_gradients(model, LOSS, x, y, noise_multiplier=0.0, **options)
    generator = torch.Generator().manual_seed(0)
    noise = []
    for _ in range(300):
        noisy = private_gradients(
            model, LOSS, x, y, noise_multiplier=3.0, generator=generator, **options
        )
        noise += [(noisy[name] - clean[name]).flatten() for name in clean]
    noise = torch.cat(noise)
    assert abs(noise.mean()) < 0.02
    assert noise.std().item() == pytest.approx(3.0 * 0.5 / 4, rel=0.02)


def test_one_step_of_opacus_is_the_step_by_hand():
    x, y = examples()
    model, twin = network(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.7)
    # A batch as large as the data: every example is drawn with probability 1.
    training = private_fit(
        model, LOSS, optimizer, TensorDataset(x, y), epochs=1, batch_size=12, max_grad_norm=0.5,
        noise_multiplier=0.0, delta=1e-3, seed=0, progress=False,
    )  # fmt: skip
    gradients = private_gradients(twin, LOSS, x, y, max_grad_norm=0.5, noise_multiplier=0.0)
    for name, parameter in twin.named_parameters():
        expected = parameter - 0.7 * gradients[name]
        # Opacus adds 1e-6 to the norms.
        torch.testing.assert_close(model.get_parameter(name), expected, rtol=1e-5, atol=1e-7)
    assert training.epsilon == math.inf
    assert training.loss == [pytest.approx(LOSS(twin(x), y).item())]


def test_noise_of_one_step_of_opacus_has_its_size():
    moves = []
    for seed in range(30):
        model, twin = network(), network()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        private_fit(
            model, LOSS, optimizer, TensorDataset(*examples()), epochs=1, batch_size=12,
            max_grad_norm=0.01, noise_multiplier=50.0, delta=1e-3, seed=seed, progress=False,
        )  # fmt: skip
        pairs = zip(model.parameters(), twin.parameters(), strict=True)
        moves += [(after - before).flatten() for after, before in pairs]
    # The clipped gradients add at most 0.01 to a noise of 50 · 0.01 / 12.
    assert torch.cat(moves).std().item() == pytest.approx(50 * 0.01 / 12, rel=0.06)


def fit_briefly(model=None, **options):
    model = network() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    settings = {
        "epochs": 3, "batch_size": 20, "max_grad_norm": 1.0, "delta": 1e-3, "seed": 0,
        "progress": False, **options,
    }  # fmt: skip
    return private_fit(model, LOSS, optimizer, TensorDataset(*examples(100)), **settings)


def test_epsilon_is_that_of_the_accountant():
    accountant = create_accountant("prv")
    for _ in range(3 * 5):
        accountant.step(noise_multiplier=1.3, sample_rate=0.2)
    spent = fit_briefly(noise_multiplier=1.3).epsilon
    assert spent == pytest.approx(accountant.get_epsilon(1e-3), rel=1e-6)
    assert fit_briefly(noise_multiplier=1.3, epochs=6).epsilon > spent
    assert fit_briefly(noise_multiplier=2.6).epsilon < spent


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_noise_for_an_epsilon_spends_it_and_not_more(epsilon):
    training = fit_briefly(epsilon=epsilon)
    assert 0.95 * epsilon <= training.epsilon <= epsilon
    assert training.epsilon == fit_briefly(noise_multiplier=training.noise_multiplier).epsilon


def test_seed_repeats_the_training_and_nothing_of_opacus_stays():
    models = [network() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        assert len(fit_briefly(model, noise_multiplier=1.0, seed=seed).loss) == 3
    first, again, other = (torch.cat([p.flatten() for p in m.parameters()]) for m in models)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    for module in models[0].modules():
        assert not module._forward_hooks
        assert not module._backward_hooks
    assert not any(hasattr(parameter, "grad_sample") for parameter in models[0].parameters())


def test_batch_normalization_is_refused():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).double()
    with pytest.raises(UnsupportedModuleError, match="BatchNorm"):
        fit_briefly(model, noise_multiplier=1.0)


@pytest.fixture(scope="module")
def attacks():
    """The attack on a network that learns random labels by heart, without and with noise."""
    digits = data.load("digits")
    x = torch.as_tensor(digits.x_train[:600] / 16, dtype=torch.float32).flatten(1)
    y = torch.randint(10, (600,), generator=torch.Generator().manual_seed(0))
    measures = {}
    for noise in (0.0, 1.0, 20.0):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        private_fit(
            model, LOSS, optimizer, TensorDataset(x[:300], y[:300]), epochs=40, batch_size=60,
            max_grad_norm=1.0, noise_multiplier=noise, delta=1e-3, seed=0, progress=False,
        )  # fmt: skip
        losses = example_losses(model, x[:300], y[:300]), example_losses(model, x[300:], y[300:])
        measures[noise] = membership_auc(*losses), membership_advantage(*losses)
    return measures


def test_attack_finds_members_of_a_network_that_learned_by_heart(attacks):
    auc, advantage = attacks[0.0]
    assert auc > 0.65
    assert advantage > 0.2


def test_noise_takes_the_success_of_the_attack_away(attacks):
    aucs = [auc for auc, _ in attacks.values()]
    assert aucs[0] > aucs[1] + 0.03 > aucs[2]
    assert abs(aucs[2] - 0.5) < 0.07
    assert attacks[20.0][1] < 0.15


def test_auc_counts_pairs_and_ties():
    rng = np.random.default_rng(0)
    members, others = rng.integers(5, size=20), rng.integers(7, size=30)
    pairs = (members[:, None] < others) + 0.5 * (members[:, None] == others)
    assert membership_auc(members, others) == pytest.approx(pairs.mean())


def test_advantage_is_counted_at_the_mean_loss_of_the_members():
    members, others = [0.0, 0.0, 0.0, 4.0], [0.5, 1.0, 2.0, 3.0, 9.0]  # The mean is 1.
    assert membership_advantage(members, others) == pytest.approx(3 / 4 - 2 / 5)
    assert membership_advantage(others, others) == pytest.approx(0)


def test_example_losses_have_the_mean_of_the_loss():
    model, (x, y) = network(), examples()
    model.insert(1, nn.Dropout(0.5))
    losses = example_losses(model, x.numpy(), y.numpy())
    assert losses.shape == (12,)
    assert losses.mean() == pytest.approx(LOSS(model.eval()(x), y).item())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: draws(laplace_mechanism, 0, sensitivity=0, epsilon=1),
            r"`sensitivity` \(=0\) must be positive",
        ),
        (
            lambda: draws(laplace_mechanism, 0, sensitivity=1, epsilon=-1),
            r"`epsilon` \(=-1\) must be positive",
        ),
        (
            lambda: draws(gaussian_mechanism, 0, sensitivity=1, epsilon=1.5, delta=0.1),
            r"`epsilon` \(=1.5\) must be below 1",
        ),
        (
            lambda: draws(gaussian_mechanism, 0, sensitivity=1, epsilon=0.5, delta=1),
            r"`delta` \(=1\) must be between 0 and 1",
        ),
        (lambda: fit_briefly(), r"Exactly one of `epsilon` \(=None\) and `noise_multiplier`"),
        (lambda: fit_briefly(epsilon=1.0, noise_multiplier=1.0), r"Exactly one of `epsilon`"),
        (lambda: fit_briefly(noise_multiplier=-1.0), r"`noise_multiplier` \(=-1.0\) must be at"),
        (lambda: fit_briefly(epsilon=0.0), r"`epsilon` \(=0.0\) must be positive"),
        (lambda: fit_briefly(epsilon=1.0, delta=0.0), r"`delta` \(=0.0\) must be between"),
        (lambda: fit_briefly(epsilon=1.0, max_grad_norm=0), r"`max_grad_norm` \(=0\) must be pos"),
        (
            lambda: private_gradients(
                network(), LOSS, *examples(0), max_grad_norm=1.0, noise_multiplier=1.0
            ),
            r"`x` and `y` must have the same length above 0, got 0, 0",
        ),
        (lambda: membership_auc([], [1.0]), r"`member_losses` \(of shape \(0,\)\)"),
        (lambda: membership_advantage([1.0], [np.nan]), r"`other_losses`"),
    ],
)
def test_errors_name_argument_and_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_diverging_training_names_its_place_and_nothing_of_opacus_stays():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    x = torch.randn(64, 3)
    x[7] = torch.nan
    with pytest.raises(
        FloatingPointError, match=r"(diverged after|stopped before) .*: the loss is nan"
    ):
        private_fit(model, nn.CrossEntropyLoss(), optimizer, TensorDataset(x, torch.arange(64) % 2),
                    epochs=3, batch_size=16, max_grad_norm=1.0, noise_multiplier=1.0, delta=1e-3,
                    seed=0, progress=False)  # fmt: skip
    assert type(model) is nn.Linear
    assert not model._forward_hooks
    assert not hasattr(model.weight, "grad_sample")

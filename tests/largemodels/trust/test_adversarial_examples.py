"""Attacks stay in their ball and raise the loss; training on them makes a model robust."""

import re
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from largemodels import data
from largemodels.training.loop import evaluate, fit
from largemodels.trust.adversarial_examples import (
    accuracy_under_attack,
    adversarial_fit,
    fgsm,
    pgd,
)

LOSS = nn.CrossEntropyLoss()
ATTACKS = [fgsm, pgd]


def network(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Dropout(0.5), nn.Linear(20, 3))
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model.double()


def examples(count=50):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(count, 6, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (count,), generator=generator)


def losses(model, x, y):
    with torch.no_grad():
        return functional.cross_entropy(model.eval()(x), y, reduction="none")


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.7])
def test_attack_stays_in_its_ball_and_in_the_range_of_inputs(attack, epsilon):
    model, (x, y) = network(), examples()
    before = x.clone()
    moved = attack(model, x, y, epsilon=epsilon)
    assert (moved - x).abs().max() <= epsilon + 1e-12
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert moved.shape == x.shape
    assert not moved.requires_grad
    assert torch.equal(x, before)
    if epsilon == 0:
        assert torch.equal(moved, x)
    else:  # Some input is at the border: of the ball, and for the large ball of the range.
        assert (moved - x).abs().max() > 0.99 * epsilon


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_raises_the_loss_more_than_noise_and_pgd_most(attack):
    model, (x, y) = network(), examples()
    noise = 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()
    plain = losses(model, x, y)
    noisy = losses(model, (x + noise).clamp(0, 1), y)
    moved = losses(model, attack(model, x, y, epsilon=0.05), y)
    assert (moved > plain).all()
    assert moved.mean() - plain.mean() > 3 * (noisy.mean() - plain.mean())
    if attack is pgd:
        assert moved.mean() > losses(model, fgsm(model, x, y, epsilon=0.05), y).mean()


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_on_two_classes_of_a_linear_model_is_the_closed_form(attack):
    # The loss grows along the difference of the two rows of weights, whatever the input is.
    torch.manual_seed(0)
    model = nn.Linear(6, 2).double()
    x, y = examples()
    y = y % 2
    rows = model.weight.detach()
    expected = (x + 0.1 * (rows[1 - y] - rows[y]).sign()).clamp(0, 1)
    moved = attack(model, x, y, epsilon=0.1)
    torch.testing.assert_close(moved, expected, atol=1e-12, rtol=0)


def test_one_step_of_fgsm_follows_the_sign_of_the_gradient():
    model, (x, y) = network(), examples()
    leaf = x.clone().requires_grad_()
    LOSS(model.eval()(leaf), y).backward()
    expected = (x + 0.05 * leaf.grad.sign()).clamp(0, 1)
    torch.testing.assert_close(fgsm(model.train(), x, y, epsilon=0.05), expected)


def test_pgd_repeats_its_generator_and_takes_the_steps_it_is_told():
    model, (x, y) = network(), examples()

    def moved(seed, **options):
        generator = torch.Generator().manual_seed(seed)
        return pgd(model, x, y, epsilon=0.2, generator=generator, **options)

    assert torch.equal(moved(0), moved(0))
    assert not torch.equal(moved(0, steps=1), moved(1, steps=1))
    start = moved(0, steps=1, step_size=0.0)
    # One step of 0.01 from the start, wherever no border is in the way.
    step = moved(0, steps=1, step_size=0.01) - start
    inner = ((start - x).abs() < 0.18) & (start > 0.02) & (start < 0.98)
    torch.testing.assert_close(step.abs()[inner], torch.full_like(step[inner], 0.01))


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_leaves_the_model_as_it_was(attack):
    model, (x, y) = network().train(), examples()
    attack(model, x, y, epsilon=0.1)
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():  # Also where gradients are off around it.
        attack(model, x, y, epsilon=0.1)


@pytest.mark.parametrize("attack", ATTACKS)
def test_example_is_attacked_alike_alone_and_in_a_batch(attack):
    model, (x, y) = network(), examples(4)
    alone = attack(model, x[:1], y[:1], epsilon=0.1)
    together = attack(model, x, y, epsilon=0.1)
    if attack is fgsm:
        torch.testing.assert_close(alone[0], together[0])
    assert losses(model, alone, y[:1])[0] > losses(model, x, y)[0]


@pytest.fixture(scope="module")
def digits():
    digits = data.load("digits")
    arrays = digits.x_train[:1000], digits.x_test
    train, test = (torch.as_tensor(x / 16, dtype=torch.float32).flatten(1) for x in arrays)
    return (
        train,
        torch.as_tensor(digits.y_train[:1000]).long(),
        test,
        torch.as_tensor(digits.y_test).long(),
    )


def classifier():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def test_attack_breaks_a_digit_model_and_training_against_it_helps(digits):
    x, y, x_test, y_test = digits
    plain, robust = classifier(), classifier()
    options = {"epochs": 20, "batch_size": 50, "seed": 0, "progress": False}
    train = TensorDataset(x, y)
    fit(plain, LOSS, torch.optim.Adam(plain.parameters(), lr=0.005), train, **options)
    strong = partial(pgd, epsilon=0.15, steps=10, generator=torch.Generator().manual_seed(0))
    quick = partial(pgd, epsilon=0.15, steps=4)
    history = adversarial_fit(
        robust, torch.optim.Adam(robust.parameters(), lr=0.005), train, quick, **options
    )
    test = TensorDataset(x_test, y_test)
    clean = [evaluate(model, LOSS, test)[1] for model in (plain, robust)]
    attacked = [accuracy_under_attack(model, strong, x_test, y_test) for model in (plain, robust)]
    assert min(clean) > 0.85
    assert attacked[0] < clean[0] - 0.3
    assert attacked[1] > attacked[0] + 0.15
    assert history.loss[-1] < history.loss[0] / 2
    assert len(history.loss) == len(history.accuracy) == 20
    assert history.seconds > 0


def test_accuracy_without_an_attack_is_the_accuracy(digits):
    _, _, x, y = digits
    model = classifier()
    found = accuracy_under_attack(model, lambda model, x, y: x, x, y, batch_size=100)
    assert found == pytest.approx(evaluate(model, LOSS, TensorDataset(x, y))[1])


def test_adversarial_fit_takes_ordinary_steps_on_the_changed_inputs():
    model, twin, (x, y) = network(), network(), examples()
    model[2], twin[2] = nn.Identity(), nn.Identity()
    attack = partial(fgsm, epsilon=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = adversarial_fit(
        model, optimizer, TensorDataset(x, y), attack, epochs=1, batch_size=50, seed=0,
        progress=False,
    )  # fmt: skip
    loss = LOSS(twin(attack(twin, x, y)), y)
    gradients = torch.autograd.grad(loss, list(twin.parameters()))
    assert history.loss == [pytest.approx(loss.item())]
    for parameter, old, gradient in zip(
        model.parameters(), twin.parameters(), gradients, strict=True
    ):
        torch.testing.assert_close(parameter, old - 0.1 * gradient)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x, y: fgsm(m, x, y, epsilon=-0.1), "`epsilon` (=-0.1) must be at least 0"),
        (lambda m, x, y: fgsm(m, 2 * x + 1, y, epsilon=0.1), "`x` must be from 0 to 1, got 1."),
        (lambda m, x, y: pgd(m, x - 3, y, epsilon=0.1), "`x` must be from 0 to 1, got -"),
        (lambda m, x, y: pgd(m, x, y, epsilon=0.1, steps=0), "`steps` (=0) must be at least 1"),
        (
            lambda m, x, y: pgd(m, x, y, epsilon=0.1, step_size=-1),
            "`step_size` (=-1) must be at least 0",
        ),
        (
            lambda m, x, y: accuracy_under_attack(m, fgsm, x[:0], y[:0]),
            "`x` and `y` must have one length above 0, got 0 and 0",
        ),
        (
            lambda m, x, y: adversarial_fit(m, None, None, None, epochs=0, batch_size=1, seed=0),
            "`epochs` (=0) must be at least 1",
        ),
    ],
)
def test_errors_name_argument_and_value(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(network(), *examples())


@pytest.mark.parametrize(
    ("lr", "message"),
    [
        (0.0, "stopped before the first step: the loss is nan"),
        (
            1e38,
            r"diverged after step \d of epoch \d: .* rate is 1e\+38, the largest gradient .* in `",
        ),
    ],
)
def test_a_diverging_training_names_step_learning_rate_and_largest_gradient(lr, message):
    torch.manual_seed(0)
    model, x = nn.Linear(3, 2), torch.rand(8, 3)
    if lr == 0:
        model.bias.data[0] = torch.nan
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    data = TensorDataset(x, torch.arange(8) % 2)
    with pytest.raises(FloatingPointError, match=message):
        adversarial_fit(model, optimizer, data, partial(fgsm, epsilon=0.1), epochs=3,
                        batch_size=8, seed=0, progress=False)  # fmt: skip

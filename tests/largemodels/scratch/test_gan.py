"""The training of a GAN: PyTorch's numbers, one network changed at a time, no mode forgotten."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from largemodels.scratch import (
    MLP,
    SGD,
    Adam,
    GANHistory,
    LeakyReLU,
    Linear,
    Tanh,
    discriminator_step,
    fit_gan,
    generator_step,
)


def networks(seed: int = 0, dtype: type = np.float64) -> tuple[MLP, MLP]:
    rng = np.random.default_rng(seed)
    generator = MLP([3, 5, 2], Tanh, rng, dtype=dtype)
    return generator, MLP([2, 7, 4, 1], LeakyReLU, rng, dtype=dtype)


def samples(n: int = 11, dtype: type = np.float64) -> np.ndarray:
    return np.random.default_rng(9).standard_normal((n, 2)).astype(dtype)


def train(generator: MLP, discriminator: MLP, x: np.ndarray, **options: object) -> GANHistory:
    settings = {"latent_dim": 3, "epochs": 2, "batch_size": 4} | options
    return fit_gan(
        generator,
        discriminator,
        Adam(generator.parameters(), lr=0.02),
        SGD(discriminator.parameters(), lr=0.1, momentum=0.5),
        x,
        rng=np.random.default_rng(5),
        **{"progress": False, **settings},
    )


def twin(network: MLP, activation: nn.Module) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, layer in enumerate(network.layers):
        if i % 2 == 0:
            layers.append(nn.Linear(layer.in_features, layer.out_features, dtype=torch.float64))
        else:
            layers.append(activation)
    model = nn.Sequential(*layers)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in network.state_dict().items()})
    return model


def cross_entropy(logits: torch.Tensor, label: float) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


@pytest.mark.parametrize("saturating", [False, True])
def test_fit_gan_equals_a_loop_in_pytorch(saturating: bool) -> None:
    (generator, discriminator), x = networks(), samples()
    torch_generator, torch_discriminator = (
        twin(generator, nn.Tanh()),
        twin(discriminator, nn.LeakyReLU()),
    )
    history = train(generator, discriminator, x, saturating=saturating)

    rng = np.random.default_rng(5)
    generator_optimizer = torch.optim.Adam(torch_generator.parameters(), lr=0.02)
    discriminator_optimizer = torch.optim.SGD(torch_discriminator.parameters(), 0.1, 0.5)
    expected = GANHistory()
    for _ in range(2):
        sums = [0.0, 0.0]
        for real in torch.from_numpy(x[rng.permutation(11)]).split(4):
            noise = torch.from_numpy(rng.standard_normal((2, len(real), 3)))
            discriminator_optimizer.zero_grad()
            fake = torch_generator(noise[0]).detach()
            loss = cross_entropy(torch_discriminator(real), 1)
            loss = loss + cross_entropy(torch_discriminator(fake), 0)
            loss.backward()
            discriminator_optimizer.step()
            sums[0] += loss.item() * len(real)

            generator_optimizer.zero_grad()
            logits = torch_discriminator(torch_generator(noise[1]))
            loss = -cross_entropy(logits, 0) if saturating else cross_entropy(logits, 1)
            loss.backward()
            generator_optimizer.step()
            sums[1] += loss.item() * len(real)
        expected.discriminator_loss.append(sums[0] / 11)
        expected.generator_loss.append(sums[1] / 11)
    np.testing.assert_allclose(
        history.discriminator_loss, expected.discriminator_loss, rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(
        history.generator_loss, expected.generator_loss, rtol=1e-10, atol=1e-10
    )
    for ours, theirs in [(generator, torch_generator), (discriminator, torch_discriminator)]:
        for name, tensor in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[name], tensor, rtol=1e-10, atol=1e-10)
    assert history.seconds > 0


def test_each_step_changes_one_network_only() -> None:
    generator, discriminator = networks()
    noise = np.random.default_rng(1).standard_normal((6, 3))
    before = copy.deepcopy((generator, discriminator))

    def is_unchanged(now: MLP, then: MLP) -> bool:
        pairs = zip(now.parameters(), then.parameters(), strict=True)
        return all(
            np.array_equal(a.data, b.data)
            and (a.grad is b.grad is None or np.array_equal(a.grad, b.grad))
            for a, b in pairs
        )

    optimizer = SGD(discriminator.parameters(), lr=0.1)
    discriminator_step(generator, discriminator, optimizer, samples(), noise)
    assert is_unchanged(generator, before[0])
    assert not is_unchanged(discriminator, before[1])
    before = copy.deepcopy((generator, discriminator))
    generator_step(generator, discriminator, SGD(generator.parameters(), lr=0.1), noise)
    assert not is_unchanged(generator, before[0])
    assert is_unchanged(discriminator, before[1])


def test_each_step_lowers_the_loss_that_it_returns() -> None:
    generator, discriminator = networks()
    noise, real = np.random.default_rng(1).standard_normal((6, 3)), samples()
    optimizer = SGD(discriminator.parameters(), lr=0.05)
    losses = [
        discriminator_step(generator, discriminator, optimizer, real, noise) for _ in range(20)
    ]
    assert (np.diff(losses) < 0).all()
    optimizer = SGD(generator.parameters(), lr=0.05)
    losses = [generator_step(generator, discriminator, optimizer, noise) for _ in range(20)]
    assert (np.diff(losses) < 0).all()


def test_the_seed_decides_everything_and_float32_stays() -> None:
    pairs = [networks(dtype=np.float32) for _ in range(2)]
    first, again = (train(*pair, samples(dtype=np.float32)) for pair in pairs)
    assert first.discriminator_loss == again.discriminator_loss
    assert first.generator_loss == again.generator_loss
    for parameter in pairs[0][0].parameters() + pairs[0][1].parameters():
        assert parameter.data.dtype == np.float32


def ring(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return samples of eight Gaussians on a circle, and the eight centers."""
    angles = np.arange(8) * 2 * np.pi / 8
    centers = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x = centers[rng.integers(0, 8, n)] + 0.1 * rng.standard_normal((n, 2))
    return x.astype(np.float32), centers


def test_a_ring_of_gaussians_is_learnt_with_all_its_modes() -> None:
    rng = np.random.default_rng(3)
    x, centers = ring(5000, rng)
    generator = MLP([2, 64, 64, 2], rng=rng)
    discriminator = MLP([2, 64, 64, 1], LeakyReLU, rng)
    fit_gan(
        generator,
        discriminator,
        Adam(generator.parameters(), lr=0.001, betas=(0.5, 0.999)),
        Adam(discriminator.parameters(), lr=0.001, betas=(0.5, 0.999)),
        x,
        latent_dim=2,
        epochs=30,
        batch_size=100,
        rng=rng,
        progress=False,
    )
    fake = generator(rng.standard_normal((2000, 2)).astype(np.float32))
    distances = np.linalg.norm(fake[:, None] - centers, axis=2)  # (N, 1, 2) - (8, 2) -> (N, 8)
    near = distances.min(axis=1) < 0.5
    shares = np.bincount(distances.argmin(axis=1)[near], minlength=8) / len(fake)
    assert near.mean() > 0.7
    assert shares.min() > 0.03  # A mode that collapsed has nearly nothing; a fair share is 0.125.


def test_progress_bar_shows_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    train(*networks(), samples(), progress=True)
    error = capsys.readouterr().err
    assert "6/6" in error
    assert "discriminator=" in error
    train(*networks(), samples())
    assert capsys.readouterr() == ("", "")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("culprit", ["discriminator", "generator"])
def test_divergence_names_step_learning_rates_and_largest_gradients(culprit: str) -> None:
    generator, discriminator = networks()
    rates = {"generator": 0.01, "discriminator": 0.02} | {culprit: 1e308}
    with pytest.raises(FloatingPointError) as error:
        fit_gan(
            generator,
            discriminator,
            SGD(generator.parameters(), lr=rates["generator"]),
            SGD(discriminator.parameters(), lr=rates["discriminator"]),
            samples(),
            latent_dim=3,
            epochs=5,
            batch_size=4,
            rng=np.random.default_rng(0),
            progress=False,
        )
    message = str(error.value)
    # The discriminator learns first, and spoils the loss of the generator in the same step.
    assert message.startswith(f"Training diverged in step {1 + (culprit == 'generator')}: the loss")
    assert f"The learning rate of the discriminator is {rates['discriminator']}" in message
    assert f"that of the generator is {rates['generator']}" in message
    parameters = dict(discriminator.named_parameters())
    largest = max(parameters, key=lambda name: np.abs(parameters[name].grad).max())
    assert f"{np.abs(parameters[largest].grad).max():.3g}, in `{largest}`" in message


@pytest.mark.filterwarnings("error")
def test_an_update_that_no_loss_has_seen_is_caught_too() -> None:
    generator, discriminator = networks()
    with pytest.raises(FloatingPointError, match="in step 1: a parameter of the generator is not"):
        fit_gan(
            generator,
            discriminator,
            SGD(generator.parameters(), lr=math.inf),
            SGD(discriminator.parameters(), lr=0.1),
            samples(),
            latent_dim=3,
            epochs=1,
            batch_size=11,
            rng=np.random.default_rng(0),
            progress=False,
        )


@pytest.mark.filterwarnings("error")
def test_bad_data_stop_the_training_before_anything_changes() -> None:
    (generator, discriminator), x = networks(), samples()
    before, x[3] = discriminator.state_dict(), np.nan
    with pytest.raises(FloatingPointError, match="the loss of the discriminator is nan") as error:
        train(generator, discriminator, x, batch_size=11)
    assert str(error.value).count("its largest gradient is not computed yet") == 2
    for name, array in discriminator.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_errors_name_argument_and_value() -> None:
    x = samples()
    for name in ("latent_dim", "batch_size"):
        with pytest.raises(ValueError, match=rf"`{name}` \(=0\) must be at least 1"):
            train(*networks(), x, **{name: 0})
    with pytest.raises(ValueError, match="`x` is empty"):
        train(*networks(), x[:0])
    with pytest.raises(ValueError, match=r"`x` is float32 and `0.weight` is float64"):
        train(*networks(), x.astype(np.float32))
    with pytest.raises(ValueError, match="`x` must hold floating-point numbers, got int64"):
        train(*networks(), x.astype(np.int64))
    discriminator = networks()[1]
    with pytest.raises(ValueError, match=r"samples of shape \(2,\), got \(4,\)"):
        train(Linear(3, 4, dtype=np.float64), discriminator, x)

"""The Boltzmann machine equals its definition, summed up over all states of a tiny machine."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neural_network import BernoulliRBM

from largemodels import data
from largemodels.scratch import SGD, RestrictedBoltzmannMachine

sizes = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 1)


def random_machine(seed: int, num_visible: int = 4, num_hidden: int = 3, scale: float = 1.0):
    rng = np.random.default_rng(seed)
    rbm = RestrictedBoltzmannMachine(num_visible, num_hidden, rng=rng, dtype=np.float64)
    for parameter in rbm.parameters():
        parameter.data[...] = scale * rng.standard_normal(parameter.data.shape)
    return rbm


def all_states(size: int) -> np.ndarray:
    return np.array(list(itertools.product([0.0, 1.0], repeat=size)))


def joint_probabilities(rbm: RestrictedBoltzmannMachine) -> np.ndarray:
    """Return p(v, h) from the energy, for all states, shape (2^V, 2^H)."""
    v, h = all_states(rbm.num_visible)[:, None], all_states(rbm.num_hidden)[None]
    energy = -(v * rbm.visible_bias.data).sum(-1) - (h * rbm.hidden_bias.data).sum(-1)
    energy = energy - ((h @ rbm.weight.data) * v).sum(-1)
    return np.exp(-energy) / np.exp(-energy).sum()


def log_likelihood(rbm: RestrictedBoltzmannMachine, v: np.ndarray) -> float:
    """Return the exact mean of log p(v)."""
    log_z = np.logaddexp.reduce(-rbm.free_energy(all_states(rbm.num_visible)))
    return float((-rbm.free_energy(v) - log_z).mean())


def transitions(rbm: RestrictedBoltzmannMachine) -> np.ndarray:
    """Return the probability of each step of Gibbs sampling, v to v′, shape (2^V, 2^V)."""
    joint = joint_probabilities(rbm)
    h_given_v = joint / joint.sum(axis=1, keepdims=True)
    v_given_h = joint / joint.sum(axis=0)
    return h_given_v @ v_given_h.T


def expected_gradients(
    rbm: RestrictedBoltzmannMachine, v: np.ndarray, samples: np.ndarray
) -> list[np.ndarray]:
    """Return the gradients of contrastive divergence if its chains end with these probabilities."""
    states = all_states(rbm.num_visible)
    at_states, at_data = rbm.hidden_probabilities(states), rbm.hidden_probabilities(v)
    weighted = samples[:, None] * at_states
    return [
        weighted.T @ states - at_data.T @ v / len(v),
        samples @ states - v.mean(axis=0),
        weighted.sum(axis=0) - at_data.mean(axis=0),
    ]


@given(num_visible=sizes, num_hidden=sizes, seed=seeds)
@settings(deadline=None, max_examples=50)
def test_probabilities_follow_from_the_energy(num_visible: int, num_hidden: int, seed: int) -> None:
    rbm = random_machine(seed, num_visible, num_hidden)
    joint = joint_probabilities(rbm)
    v, h = all_states(num_visible), all_states(num_hidden)
    minus_free_energy = -rbm.free_energy(v)
    of_v = np.exp(minus_free_energy - np.logaddexp.reduce(minus_free_energy))
    np.testing.assert_allclose(of_v, joint.sum(axis=1), rtol=1e-10, atol=1e-10)
    hidden, visible = rbm.hidden_probabilities(v), rbm.visible_probabilities(h)
    expected = joint @ h / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(hidden, expected, rtol=1e-10, atol=1e-10)
    expected = joint.T @ v / joint.sum(axis=0)[:, None]
    np.testing.assert_allclose(visible, expected, rtol=1e-10, atol=1e-10)


class SameDraw:
    """A generator of the very numbers that scikit-learn draws."""

    def __init__(self, seed: int) -> None:
        self.state = np.random.RandomState(seed)

    def integers(self, low: int, high: int, size: int) -> np.ndarray:
        return self.state.randint(low, high, size)


@given(num_visible=sizes, num_hidden=sizes, seed=seeds)
@settings(deadline=None, max_examples=50)
def test_free_energy_and_pseudo_likelihood_equal_scikit_learn(
    num_visible: int, num_hidden: int, seed: int
) -> None:
    rbm = random_machine(seed, num_visible, num_hidden)
    v = np.random.default_rng(seed).integers(0, 2, (6, num_visible)).astype(float)
    twin = BernoulliRBM(num_hidden, n_iter=1, random_state=0).fit(v)
    twin.components_ = rbm.weight.data
    twin.intercept_visible_, twin.intercept_hidden_ = rbm.visible_bias.data, rbm.hidden_bias.data
    np.testing.assert_allclose(rbm.free_energy(v), twin._free_energy(v), rtol=1e-10, atol=1e-10)
    hidden = rbm.hidden_probabilities(v)
    np.testing.assert_allclose(hidden, twin.transform(v), rtol=1e-10, atol=1e-10)
    rbm.rng = SameDraw(0)
    result, expected = rbm.pseudo_log_likelihood(v), twin.score_samples(v)
    np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-10)


def test_pseudo_likelihood_estimates_the_sum_over_all_units() -> None:
    rbm = random_machine(0)
    v, probabilities = np.array([1.0, 0, 1, 1]), joint_probabilities(rbm).sum(axis=1)
    states, exact = all_states(4), 0.0
    for i in range(4):
        others_equal = (np.delete(states, i, 1) == np.delete(v, i)).all(axis=1)
        itself = (states == v).all(axis=1)
        exact += np.log(probabilities[itself].sum() / probabilities[others_equal].sum())
    estimate = rbm.pseudo_log_likelihood(np.tile(v, (20_000, 1))).mean()
    assert estimate == pytest.approx(exact, abs=0.05)


@given(num_visible=sizes, num_hidden=sizes, n=st.integers(1, 4), m=st.integers(1, 4), seed=seeds)
@settings(deadline=None, max_examples=50)
def test_gradients_are_those_of_two_free_energies(
    num_visible: int, num_hidden: int, n: int, m: int, seed: int
) -> None:
    rbm, rng = random_machine(seed, num_visible, num_hidden), np.random.default_rng(seed)
    v, start = rng.random((n, num_visible)), rng.random((m, num_visible))
    end = rbm.contrastive_divergence(v, 2, start)
    assert end.shape == start.shape
    assert np.isin(end, [0, 1]).all()

    twins = [torch.from_numpy(p.data).requires_grad_() for p in rbm.parameters()]
    weight, visible_bias, hidden_bias = twins

    def free_energy(v: torch.Tensor) -> torch.Tensor:
        hidden = torch.nn.functional.softplus(v @ weight.T + hidden_bias)
        return -v @ visible_bias - hidden.sum(1)

    (free_energy(torch.from_numpy(v)).mean() - free_energy(torch.from_numpy(end)).mean()).backward()
    for parameter, twin in zip(rbm.parameters(), twins, strict=True):
        np.testing.assert_allclose(parameter.grad, twin.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("steps", [1, 2])
def test_mean_of_many_chains_is_the_expectation_after_exactly_so_many_steps(steps: int) -> None:
    rbm = random_machine(0, scale=3)  # Large weights, so that the chains forget slowly.
    v = np.array([[1.0, 1, 0, 0], [0, 1, 1, 1]])
    starts = (all_states(4)[:, None] == v).all(axis=2).mean(axis=1)
    rbm.contrastive_divergence(np.tile(v, (75_000, 1)), steps)
    # 150,000 chains: the standard error of a mean of zeros and ones is at most 0.0013.
    ends = starts @ np.linalg.matrix_power(transitions(rbm), steps)
    for parameter, expected in zip(rbm.parameters(), expected_gradients(rbm, v, ends), strict=True):
        np.testing.assert_allclose(parameter.grad, expected, atol=0.006)
    # And one step more or less would show.
    for other in (steps - 1, steps + 1):
        ends = starts @ np.linalg.matrix_power(transitions(rbm), other)
        wrong = expected_gradients(rbm, v, ends)[0]
        assert rbm.weight.grad is not None
        assert np.abs(rbm.weight.grad - wrong).max() > 0.009


def test_a_persistent_chain_finds_the_gradient_of_the_likelihood() -> None:
    rbm = random_machine(2)
    v = np.array([[1.0, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1]])
    chain = np.zeros((50_000, 4))
    for _ in range(30):
        chain = rbm.contrastive_divergence(v, 1, chain)

    # The exact gradient of −log p(v), by central differences of the enumerated likelihood.
    for parameter in rbm.parameters():
        assert parameter.grad is not None
        for index in np.ndindex(parameter.data.shape):
            original, values = parameter.data[index], []
            for change in (1e-5, -1e-5):
                parameter.data[index] = original + change
                values.append(-log_likelihood(rbm, v))
            parameter.data[index] = original
            exact = (values[0] - values[1]) / 2e-5
            assert parameter.grad[index] == pytest.approx(exact, abs=0.01)


def bars_and_stripes(size: int = 3) -> np.ndarray:
    """Return all images whose rows, or whose columns, are each full or empty."""
    bars = np.array([np.tile(row, (size, 1)) for row in all_states(size)])
    return np.concatenate([bars, bars.swapaxes(1, 2)]).reshape(-1, size * size)


@pytest.mark.parametrize("persistent", [False, True])
def test_it_learns_bars_and_stripes(persistent: bool) -> None:
    v, steps = bars_and_stripes(), 2000
    rbm = RestrictedBoltzmannMachine(9, 12, rng=np.random.default_rng(0), dtype=np.float64)
    optimizer, chain = SGD(rbm.parameters(), lr=0.5), rbm.rng.random((100, 9))
    before = log_likelihood(rbm, v), rbm.pseudo_log_likelihood(v).mean()
    for step in range(steps):
        optimizer.lr = 0.5 * (1 - step / steps)
        chain = rbm.contrastive_divergence(v, chain=chain if persistent else None)
        optimizer.step()
    # 14 of 512 images, two of them twice: no machine gets above −2.60.
    assert before[0] == pytest.approx(-9 * np.log(2), abs=0.05)
    assert log_likelihood(rbm, v) > -3.6
    assert rbm.pseudo_log_likelihood(v).mean() > before[1] / 3
    # A sampler that begins anywhere ends with a bar or a stripe.
    samples = rbm.sample(rbm.rng.random((500, 9)), 300)
    legal = (samples[:, None] == v).all(axis=2).any(axis=1)
    assert legal.mean() > 0.6


def test_it_reconstructs_digits_that_it_has_not_seen() -> None:
    digits = data.load("digits")
    train, test = ((x.reshape(-1, 64) / 16) for x in (digits.x_train, digits.x_test))
    rng = np.random.default_rng(0)
    rbm = RestrictedBoltzmannMachine(64, 32, rng=rng)
    optimizer = SGD(rbm.parameters(), lr=0.1, momentum=0.5)
    before = rbm.reconstruction_error(test)
    for _ in range(10):
        for rows in np.array_split(rng.permutation(len(train)), 70):
            rbm.contrastive_divergence(train[rows])
            optimizer.step()
    assert rbm.reconstruction_error(test) < before / 4


def test_the_seed_decides_everything_and_pickling_keeps_it() -> None:
    v = np.eye(5)
    first, second = (
        RestrictedBoltzmannMachine(5, 3, rng=np.random.default_rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.sample(v, 3), second.sample(v, 3))
    copy = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(first.sample(v, 3), copy.sample(v, 3))
    assert repr(first) == "RestrictedBoltzmannMachine(num_visible=5, num_hidden=3)"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("data_type", [bool, np.uint8, np.float32, np.float64])
def test_type_is_kept_and_the_data_stay_untouched(dtype: type, data_type: type) -> None:
    rbm = RestrictedBoltzmannMachine(4, 3, dtype=dtype)
    v = np.eye(4).astype(data_type)
    v.flags.writeable = False  # A write raises.
    chain = rbm.contrastive_divergence(v, 2)
    results = [chain, rbm.free_energy(v), rbm.pseudo_log_likelihood(v), rbm.hidden_probabilities(v)]
    results += [parameter.grad for parameter in rbm.parameters()]
    assert {result.dtype for result in results} == {np.dtype(dtype)}
    assert rbm.reconstruction_error(v) == pytest.approx(0.25, abs=0.02)


def test_large_weights_do_not_overflow() -> None:
    rbm = random_machine(0, scale=1e4)
    with np.errstate(all="raise", under="ignore"):
        chain = rbm.contrastive_divergence(all_states(4), 2)
        values = [chain, rbm.free_energy(chain), rbm.pseudo_log_likelihood(chain)]
    assert all(np.isfinite(value).all() for value in values)


def test_errors_name_argument_and_value() -> None:
    for name in ("num_visible", "num_hidden"):
        with pytest.raises(ValueError, match=rf"`{name}` \(=0\) must be at least 1"):
            RestrictedBoltzmannMachine(**{"num_visible": 2, "num_hidden": 3, name: 0})
    rbm = RestrictedBoltzmannMachine(3, 2)
    with pytest.raises(ValueError, match=r"`v` must have shape \(N, 3\), got \(3,\)"):
        rbm.free_energy(np.zeros(3))
    with pytest.raises(ValueError, match=r"`v` must have shape \(5, 3\), got \(5, 2\)"):
        rbm.hidden_probabilities(np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"`h` must have shape \(5, 2\), got \(5, 3\)"):
        rbm.visible_probabilities(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="`v` must be from 0 to 1, got 0 to 16"):
        rbm.contrastive_divergence(np.array([[0, 16, 1]]))
    with pytest.raises(ValueError, match="`v` must be from 0 to 1, got nan to nan"):
        rbm.free_energy(np.full((1, 3), np.nan))
    with pytest.raises(ValueError, match="`v` is empty"):
        rbm.contrastive_divergence(np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"`steps` \(=0\) must be at least 1"):
        rbm.sample(np.zeros((1, 3)), 0)

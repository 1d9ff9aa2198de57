"""The matrix factorization equals PyTorch's embeddings, and finds the factors it should find."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.models import pytorch
from largemodels.scratch import SGD, Adam, MatrixFactorization, MSELoss, evaluate, fit


def assert_equal(ours: np.ndarray | None, theirs: torch.Tensor | None) -> None:
    assert ours is not None
    assert theirs is not None
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)


class Twin(torch.nn.Module):
    """The same model on PyTorch's embeddings, with the loss written as in the paper."""

    def __init__(self, model: MatrixFactorization) -> None:
        super().__init__()
        self.l2 = model.l2
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        for name, table in model.named_children():
            rows, columns = table.weight.data.shape
            self.add_module(name, torch.nn.Embedding(rows, columns, dtype=torch.float64))
        self.load_state_dict({k: torch.from_numpy(v) for k, v in model.state_dict().items()})

    def forward(self, pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        users, items = pairs[..., 0], pairs[..., 1]
        p, q = self.user_factors(users), self.item_factors(items)
        b_u, b_i = self.user_bias(users), self.item_bias(items)
        prediction = self.mean + (b_u + b_i + (p * q).sum(-1, keepdim=True)).squeeze(-1)
        return prediction, sum((part**2).sum(-1) for part in (p, q, b_u, b_i))

    def loss(self, pairs: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        prediction, penalty = self(pairs)
        return ((ratings - prediction) ** 2 + self.l2 * penalty).mean()


def random_model(rng: np.random.Generator, *sizes: int, l2: float) -> MatrixFactorization:
    model = MatrixFactorization(*sizes, mean=3.3, l2=l2, rng=rng, dtype=np.float64)
    for parameter in model.parameters():  # Biases start at zero; here they must count.
        parameter.data[...] = rng.standard_normal(parameter.data.shape)
    return model


@given(
    num_users=st.integers(1, 6),
    num_items=st.integers(1, 6),
    factors=st.integers(1, 4),
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=2).map(tuple),
    l2=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_predictions_and_gradients_equal_pytorch(
    num_users: int, num_items: int, factors: int, shape: tuple[int, ...], l2: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, num_users, num_items, factors, l2=l2)
    pairs = rng.integers(0, [num_users, num_items], (*shape, 2))
    ratings = rng.uniform(1, 5, shape)
    loss = MSELoss()
    prediction = model(pairs)
    loss(prediction, ratings)
    model.backward(loss.backward())

    twin = Twin(model)
    assert_equal(prediction, twin(torch.from_numpy(pairs))[0])
    twin.loss(torch.from_numpy(pairs), torch.from_numpy(ratings)).backward()
    gradients = {name: parameter.grad for name, parameter in twin.named_parameters()}
    assert len(gradients) == 4
    for name, parameter in model.named_parameters():
        assert_equal(parameter.grad, gradients[name])


def test_parameters_and_mean_move_to_the_model_in_pytorch() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, 7, 5, 3, l2=0)
    twin = pytorch.MatrixFactorization(7, 5, factors=3).double()
    twin.load_state_dict({k: torch.from_numpy(v) for k, v in model.state_dict().items()})
    pairs = rng.integers(0, [7, 5], (20, 2))
    assert_equal(model(pairs), twin(torch.from_numpy(pairs)))


def test_fit_equals_a_loop_in_pytorch() -> None:
    rng = np.random.default_rng(0)
    model = random_model(rng, 7, 5, 3, l2=0.1)
    twin = Twin(model)
    pairs, ratings = rng.integers(0, [7, 5], (50, 2)), rng.uniform(1, 5, 50)
    fit(
        model,
        MSELoss(),
        SGD(model.parameters(), lr=0.1, momentum=0.5),
        pairs,
        ratings,
        epochs=3,
        batch_size=16,
        rng=np.random.default_rng(5),
        progress=False,
    )
    rng, optimizer = np.random.default_rng(5), torch.optim.SGD(twin.parameters(), 0.1, 0.5)
    for _ in range(3):
        for rows in torch.from_numpy(rng.permutation(50)).split(16):
            optimizer.zero_grad()
            twin.loss(torch.from_numpy(pairs)[rows], torch.from_numpy(ratings)[rows]).backward()
            optimizer.step()
    expected = twin.state_dict()
    for name, array in model.state_dict().items():
        assert_equal(array, expected[name])


def test_it_finds_planted_factors_unless_the_penalty_forbids() -> None:
    rng = np.random.default_rng(0)
    planted = random_model(rng, 40, 30, 2, l2=0)
    every = np.stack(np.meshgrid(np.arange(40), np.arange(30)), axis=-1).reshape(-1, 2)
    every = rng.permutation(every)
    ratings = planted(every) + 0.1 * rng.standard_normal(len(every))
    known, unknown = slice(0, 900), slice(900, None)
    rmse = {}
    for factors, l2 in [(2, 0.001), (2, 1e3)]:
        model = MatrixFactorization(
            40, 30, factors, ratings[known].mean(), l2=l2, rng=rng, dtype=np.float64
        )
        fit(
            model,
            MSELoss(),
            Adam(model.parameters(), lr=0.02),
            every[known],
            ratings[known],
            epochs=60,
            batch_size=50,
            rng=rng,
            progress=False,
        )
        rmse[l2] = evaluate(model, MSELoss(), every[unknown], ratings[unknown])[0] ** 0.5
    assert rmse[0.001] < 0.2  # The noise alone is 0.1.
    assert rmse[1e3] == pytest.approx(ratings.std(), rel=0.1)  # All is pulled to the mean.


def test_first_predictions_are_about_the_mean() -> None:
    model = MatrixFactorization(100, 80, 16, mean=3.5, rng=np.random.default_rng(0))
    assert not model.user_bias.weight.data.any()
    assert not model.item_bias.weight.data.any()
    assert model.user_factors.weight.data.std() == pytest.approx(0.1, abs=0.01)
    pairs = np.stack([np.arange(80), np.arange(80)], axis=1)
    assert np.abs(model(pairs) - 3.5).max() < 0.3


def test_inputs_stay_untouched_and_an_empty_batch_has_no_gradient() -> None:
    model = MatrixFactorization(3, 4, l2=0.5)
    pairs = np.array([[0, 3], [2, 1]], np.uint16)
    pairs.flags.writeable = False  # A write raises.
    assert model(pairs).dtype == np.float32
    assert model(np.zeros((0, 2), int)).shape == (0,)
    model.backward(np.zeros(0, np.float32))
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()


def test_errors_name_argument_and_value() -> None:
    for name in ("num_users", "num_items", "factors"):
        with pytest.raises(ValueError, match=rf"`{name}` \(=0\) must be at least 1"):
            MatrixFactorization(**{"num_users": 2, "num_items": 3, name: 0})
    with pytest.raises(ValueError, match=r"`l2` \(=-1\) must be at least 0"):
        MatrixFactorization(2, 3, l2=-1)
    model = MatrixFactorization(2, 3)
    with pytest.raises(ValueError, match="`pairs` must hold integers, got float64"):
        model(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"`pairs` must have shape \(..., 2\), got \(4, 3\)"):
        model(np.zeros((4, 3), int))
    with pytest.raises(ValueError, match="`pairs` must hold users from 0 to 1, got 0 to 2"):
        model(np.array([[0, 0], [2, 0]]))
    with pytest.raises(ValueError, match="`pairs` must hold items from 0 to 2, got -1 to 0"):
        model(np.array([[0, 0], [1, -1]]))
    model(np.array([[0, 0], [1, 2]]))
    with pytest.raises(ValueError, match=r"`grad_output` must have shape \(2,\), got \(2, 1\)"):
        model.backward(np.zeros((2, 1)))

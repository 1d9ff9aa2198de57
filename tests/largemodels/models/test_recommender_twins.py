"""Recommenders: PyTorch and Keras give the same ratings, and both find planted tastes."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.utils.data import TensorDataset

from largemodels import scratch
from largemodels.models import keras as keras_models
from largemodels.models import pytorch
from largemodels.models.weights import copy_to_keras, copy_to_pytorch
from largemodels.training.loop import fit

USERS, ITEMS = 60, 40


def planted_ratings() -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs in random order, and their ratings from two hidden tastes with noise."""
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(USERS, 2)), rng.normal(size=(ITEMS, 2))
    user_bias, item_bias = rng.normal(size=(USERS, 1)) / 2, rng.normal(size=(1, ITEMS)) / 2
    noise = rng.normal(scale=0.2, size=(USERS, ITEMS))
    ratings = 3.5 + user_bias + item_bias + users @ items.T + noise
    pairs = np.argwhere(np.ones((USERS, ITEMS), dtype=bool))
    order = rng.permutation(len(pairs))
    return pairs[order], ratings.ravel()[order].astype(np.float32)


def some_pairs() -> np.ndarray:
    return np.array([[0, 1], [4, 0], [2, 5], [4, 5], [0, 1]])  # One pair occurs twice.


def predict(model: torch.nn.Module | keras.Model, pairs: np.ndarray) -> np.ndarray:
    if isinstance(model, torch.nn.Module):
        with torch.no_grad():
            return model(torch.from_numpy(pairs)).numpy()
    return keras.ops.convert_to_numpy(model(pairs))


def test_matrix_factorization_twins_agree(compare_twins: Callable[..., None]) -> None:
    compare_twins(
        pytorch.MatrixFactorization(5, 6, factors=3),
        keras_models.MatrixFactorization(5, 6, factors=3),
        some_pairs(),
    )


def test_neural_recommender_twins_agree(compare_twins: Callable[..., None]) -> None:
    sizes = 5, 6, 3, (8, 7, 4)
    compare_twins(
        pytorch.NeuralRecommender(*sizes), keras_models.NeuralRecommender(*sizes), some_pairs()
    )


@pytest.mark.parametrize("package", [pytorch, keras_models])
def test_a_rating_is_the_mean_two_biases_and_a_product(package: object) -> None:
    model = package.MatrixFactorization(2, 3, factors=2, mean=3.0)
    tables = {
        "user_factors": [[0, 0], [1, 2]],
        "item_factors": [[0, 0], [0, 0], [3, 5]],
        "user_bias": [[0], [0.25]],
        "item_bias": [[0], [0], [0.5]],
    }
    for name, rows in tables.items():
        table, rows = getattr(model, name), np.array(rows, dtype=np.float32)
        if package is pytorch:
            table.weight.data = torch.from_numpy(rows)
        else:
            table.set_weights([rows])
    pairs = np.array([[1, 2], [0, 2], [1, 0]])
    np.testing.assert_allclose(predict(model, pairs), [3 + 0.25 + 0.5 + 13, 3.5, 3.25])


@pytest.mark.parametrize("package", [pytorch, keras_models])
def test_factors_start_small_and_biases_at_zero(package: object) -> None:
    keras.utils.set_random_seed(0)  # Seeds NumPy, PyTorch and TensorFlow.
    model = package.MatrixFactorization(300, 200, mean=3.5)
    pairs = np.random.default_rng(0).integers(0, 200, (1000, 2))
    ratings = predict(model, pairs)
    # 16 products of two factors with standard deviation 0.1: √16 · 0.1².
    assert ratings.mean() == pytest.approx(3.5, abs=0.01)
    assert ratings.std() == pytest.approx(0.04, rel=0.1)


def test_the_mean_is_saved_but_not_learnt() -> None:
    model = pytorch.MatrixFactorization(5, 6, mean=3.5)
    assert "mean" not in dict(model.named_parameters())
    assert model.state_dict()["mean"] == 3.5
    twin = keras_models.MatrixFactorization(5, 6, mean=3.5)
    assert [weight.name for weight in twin.non_trainable_weights] == ["mean"]


def test_matrix_factorization_finds_planted_tastes() -> None:
    pairs, ratings = planted_ratings()
    train, test = slice(0, 1800), slice(1800, None)
    torch.manual_seed(0)
    model = pytorch.MatrixFactorization(USERS, ITEMS, 2, mean=ratings[train].mean())
    data = TensorDataset(torch.from_numpy(pairs[train]), torch.from_numpy(ratings[train]))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    loss = torch.nn.MSELoss()
    fit(model, loss, optimizer, data, epochs=40, batch_size=100, seed=0, progress=False)
    error = predict(model, pairs[test]) - ratings[test]
    assert ratings[test].std() > 1.5  # The error of the best constant.
    # Nothing can predict the noise of 0.2; measured: 0.210 to 0.212
    # with four seeds.
    assert np.sqrt(np.mean(error**2)) < 0.23


def test_a_neural_recommender_ranks_what_a_user_takes_first() -> None:
    pairs, ratings = planted_ratings()
    taken = (ratings > 3.5).astype(np.float32)
    train, test = slice(0, 1800), slice(1800, None)
    keras.utils.set_random_seed(0)
    model = keras_models.NeuralRecommender(USERS, ITEMS)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(pairs[train], taken[train], batch_size=100, epochs=20, verbose=0)
    auc = roc_auc_score(taken[test], predict(model, pairs[test]))
    assert auc > 0.93  # Measured: 0.948 to 0.958 with four seeds; chance is 0.5.


@pytest.mark.parametrize("package", [pytorch, keras_models])
def test_wrong_sizes_are_named(package: object) -> None:
    with pytest.raises(ValueError, match=r"`num_items` \(=0\) must be at least 1"):
        package.MatrixFactorization(5, 0)
    with pytest.raises(ValueError, match=r"`factors` \(=0\) must be at least 1"):
        package.NeuralRecommender(5, 6, 0)
    with pytest.raises(ValueError, match=r"`mlp_sizes` \(=\[7, 4\]\) must start with an even"):
        package.NeuralRecommender(5, 6, 3, (7, 4))


@pytest.mark.parametrize(
    ("name", "settings"),
    [("MatrixFactorization", (5, 6, 3, 3.5)), ("NeuralRecommender", (5, 6, 3, (8, 7, 4)))],
)
def test_keras_recommenders_can_be_saved(
    name: str, settings: tuple[object, ...], tmp_path: Path
) -> None:
    model = getattr(keras_models, name)(*settings)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(some_pairs()), model(some_pairs()))
    assert type(loaded) is type(model)
    assert loaded.get_config() == model.get_config()


def test_the_scratch_twin_moves_to_both() -> None:
    rng = np.random.default_rng(0)
    scratch_model = scratch.MatrixFactorization(5, 6, 3, mean=3.5, rng=rng)
    torch_model = pytorch.MatrixFactorization(5, 6, 3)
    keras_model = keras_models.MatrixFactorization(5, 6, 3)
    copy_to_pytorch(scratch_model, torch_model)
    copy_to_keras(scratch_model, keras_model)
    for model in (torch_model, keras_model):
        np.testing.assert_allclose(
            predict(model, some_pairs()), scratch_model(some_pairs()), rtol=1e-5
        )

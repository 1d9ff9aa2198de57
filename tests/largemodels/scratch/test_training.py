"""The training loop: every row once an epoch, PyTorch's numbers, and a clear end when it fails."""

import math
from collections.abc import Callable
from itertools import chain

import numpy as np
import pytest
import torch

from largemodels.scratch import (
    GPT,
    MLP,
    SGD,
    Adam,
    BCEWithLogitsLoss,
    CharRNN,
    CrossEntropyLoss,
    HingeLoss,
    History,
    Identity,
    Layer,
    Linear,
    Loss,
    MSELoss,
    Tanh,
    evaluate,
    fit,
)


def quadrants(rng: np.random.Generator, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that no straight line separates."""
    x = rng.standard_normal((203, 2)).astype(dtype)
    return x, (x[:, 0] * x[:, 1] > 0).astype(np.int64)


def train(
    model: Layer,
    x: np.ndarray,
    y: np.ndarray,
    loss: Loss | None = None,
    lr: float = 0.05,
    **options: object,
) -> History:
    settings = {
        "epochs": 3,
        "batch_size": 20,
        "rng": np.random.default_rng(1),
        "progress": False,
    } | options
    return fit(model, loss or CrossEntropyLoss(), SGD(model.parameters(), lr), x, y, **settings)


def test_fit_equals_a_loop_in_pytorch() -> None:
    x, y = quadrants(np.random.default_rng(0))
    model = MLP([2, 8, 2], Tanh, np.random.default_rng(0), dtype=np.float64)
    torch_model = torch.nn.Sequential(
        torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)
    ).double()
    torch_model.load_state_dict({k: torch.from_numpy(v) for k, v in model.state_dict().items()})
    history = fit(
        model,
        CrossEntropyLoss(),
        Adam(model.parameters(), lr=0.02),
        x,
        y,
        epochs=4,
        batch_size=32,
        rng=np.random.default_rng(5),
        progress=False,
    )

    rng = np.random.default_rng(5)
    optimizer = torch.optim.Adam(torch_model.parameters(), lr=0.02)
    losses, accuracies = [], []
    for _ in range(4):
        order, loss_sum, correct = torch.from_numpy(rng.permutation(len(x))), 0.0, 0
        for rows in order.split(32):
            logits = torch_model(torch.from_numpy(x)[rows])
            target = torch.from_numpy(y)[rows]
            loss = torch.nn.functional.cross_entropy(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(rows)
            correct += int((logits.argmax(1) == target).sum())
        losses.append(loss_sum / len(x))
        accuracies.append(correct / len(x))
    np.testing.assert_allclose(history.loss, losses, rtol=1e-10)
    np.testing.assert_allclose(history.accuracy, accuracies)
    for name, tensor in torch_model.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], tensor, rtol=1e-8, atol=1e-10)


def test_every_row_is_seen_once_an_epoch_in_a_new_order() -> None:
    seen: list[list[float]] = []

    class Spy(Linear):
        def forward(self, x: np.ndarray) -> np.ndarray:
            seen.append(x[:, 0].tolist())
            return super().forward(x)

    x = np.arange(10, dtype=np.float32)[:, None] / 10
    train(Spy(1, 1), x, x, MSELoss(), lr=0, epochs=2, batch_size=4)
    assert [len(rows) for rows in seen] == [4, 4, 2, 4, 4, 2]
    first, second = [*chain(*seen[:3])], [*chain(*seen[3:])]
    assert sorted(first) == sorted(second) == x[:, 0].tolist()
    assert first != second


def test_it_learns_and_the_seed_decides_everything() -> None:
    x, y = quadrants(np.random.default_rng(0), np.float32)
    models = [MLP([2, 16, 2], rng=np.random.default_rng(0)) for _ in range(2)]
    first, again = (train(model, x, y, lr=0.5, epochs=60) for model in models)
    assert first.accuracy[-1] > 0.95
    assert first.loss[-1] < first.loss[0] / 3
    assert first.loss == again.loss
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert a.data.dtype == np.float32
        np.testing.assert_array_equal(a.data, b.data)
    assert first.seconds > 0


def test_validation_is_measured_after_each_epoch_and_teaches_nothing() -> None:
    rng = np.random.default_rng(0)
    (x, y), validation = quadrants(rng), quadrants(rng)
    with_validation, without = (
        MLP([2, 4, 2], rng=np.random.default_rng(3), dtype=np.float64) for _ in range(2)
    )
    history = train(with_validation, x, y, validation=validation)
    plain = train(without, x, y)
    assert history.loss == plain.loss
    assert (plain.validation_loss, plain.validation_accuracy) == ([], [])
    assert len(history.validation_loss) == len(history.validation_accuracy) == 3
    loss, accuracy = evaluate(with_validation, CrossEntropyLoss(), *validation)
    assert (history.validation_loss[-1], history.validation_accuracy[-1]) == (loss, accuracy)


def test_evaluate_weighs_the_last_batch_by_its_rows_and_restores_the_mode() -> None:
    modes = []

    class Spy(Identity):
        def forward(self, x: np.ndarray) -> np.ndarray:
            modes.append(self.training)
            return super().forward(x)

    rng = np.random.default_rng(0)
    logits, y = rng.standard_normal((10, 3)), rng.integers(0, 3, 10)
    for training in (True, False):
        model = Spy().train(training)
        loss, accuracy = evaluate(model, CrossEntropyLoss(), logits, y, batch_size=4)
        assert loss == pytest.approx(CrossEntropyLoss()(logits, y))
        assert accuracy == (logits.argmax(axis=1) == y).mean()
        assert model.training is training
    assert modes == [False] * 6


def test_training_mode_is_on_after_a_validation() -> None:
    model = MLP([2, 2], dtype=np.float64).eval()
    x, y = quadrants(np.random.default_rng(0))
    train(model, x, y, validation=(x, y))
    assert model.training


def test_a_regression_has_no_accuracy_and_a_binary_loss_has_one() -> None:
    x, y = quadrants(np.random.default_rng(0))
    target = y[:, None].astype(float)
    regression = train(MLP([2, 1], dtype=np.float64), x, target, MSELoss(), validation=(x, target))
    assert math.isnan(regression.accuracy[-1])
    assert math.isnan(regression.validation_accuracy[-1])
    model = MLP([2, 1], dtype=np.float64)
    _, accuracy = evaluate(model, BCEWithLogitsLoss(), x, target)
    assert accuracy == ((model(x) > 0) == target).mean()


def test_accuracy_of_probabilities_and_of_signed_labels() -> None:
    rng = np.random.default_rng(0)
    logits, y = rng.standard_normal((10, 3)), rng.integers(0, 3, 10)
    one_hot = np.eye(3)[y]
    assert evaluate(Identity(), CrossEntropyLoss(), logits, one_hot) == pytest.approx(
        evaluate(Identity(), CrossEntropyLoss(), logits, y)
    )
    scores, labels = np.array([[2.0], [-3.0], [1.0], [-1.0]]), np.array([[1], [-1], [-1], [-1]])
    assert evaluate(Identity(), HingeLoss(), scores, labels)[1] == 0.75


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: CharRNN(4, 8, 16, rng=rng),
        lambda rng: GPT(4, 8, d_model=16, nhead=2, num_layers=1, dropout=0.0, rng=rng),
    ],
    ids=["CharRNN", "GPT"],
)
def test_a_language_model_learns_from_fit(make: Callable) -> None:
    rng = np.random.default_rng(0)
    # 0 1 2 3 0 1 2 3 …, from any place: after the first token, all others are certain.
    text = (rng.integers(0, 4, (64, 1)) + np.arange(9)) % 4
    model, loss = make(rng), CrossEntropyLoss(class_axis=-1)
    x, y = text[:, :-1], text[:, 1:]
    untrained, guesses = evaluate(model, loss, x, y)
    assert untrained == pytest.approx(math.log(4), abs=0.3)
    assert guesses == (model(x).argmax(axis=2) == y).mean() < 0.6
    optimizer = Adam(model.parameters(), lr=0.02)
    options = {"epochs": 20, "batch_size": 16, "rng": rng, "progress": False}
    history = fit(model, loss, optimizer, x, y, validation=(x[:5], y[:5]), **options)
    assert history.loss[0] > history.loss[-1] < 0.1
    assert history.accuracy[-1] == history.validation_accuracy[-1] == 1
    one_hot = np.eye(4)[y]
    assert evaluate(model, loss, x, one_hot) == pytest.approx(evaluate(model, loss, x, y), 1e-5)


def test_progress_bar_shows_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = quadrants(np.random.default_rng(0))
    train(MLP([2, 2], dtype=np.float64), x, y, epochs=1, progress=True)
    assert "11/11" in capsys.readouterr().err
    train(MLP([2, 2], dtype=np.float64), x, y, epochs=1, progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.filterwarnings("error")
def test_divergence_names_step_learning_rate_and_largest_gradient() -> None:
    x = np.random.default_rng(0).standard_normal((40, 3))
    model = MLP([3, 4, 1], rng=np.random.default_rng(0), dtype=np.float64)
    with pytest.raises(FloatingPointError) as error:
        train(model, x, x[:, :1], MSELoss(), lr=1e3, epochs=100)
    message = str(error.value)
    assert "Training diverged after step " in message
    assert "the loss is inf" in message or "the loss is nan" in message
    assert "The learning rate is 1000.0" in message
    largest = max(model.named_parameters(), key=lambda pair: np.abs(pair[1].grad).max())[0]
    assert f"in `{largest}`" in message


@pytest.mark.filterwarnings("error")
def test_an_update_that_no_loss_has_seen_is_caught_too() -> None:
    model = Linear(1, 1, dtype=np.float64)
    x = np.array([[1e200]])
    with pytest.raises(FloatingPointError, match="after step 1: a parameter is not finite"):
        train(model, x, 0 * x, _Steep(), lr=1e308, epochs=1)


class _Steep(MSELoss):
    """A finite loss with a gradient that overflows the update."""

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        self.saved = np.ones_like(prediction)
        return 1.0


def test_bad_data_is_not_blamed_on_the_learning_rate() -> None:
    x = np.array([[1.0], [np.nan]])
    with pytest.raises(FloatingPointError, match="before the first step: the loss is nan"):
        train(Linear(1, 1, dtype=np.float64), x, np.zeros((2, 1)), MSELoss())


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (np.ones((3, 2)), np.zeros(2, int), {}, "`x` and `y` .* got 3 and 2"),
        (np.ones((0, 2)), np.zeros(0, int), {}, "`x` is empty"),
        (np.ones((3, 2)), np.zeros(3, int), {"batch_size": 0}, r"`batch_size` \(=0\)"),
        (np.ones((3, 2), np.float32), np.zeros(3, int), {}, r"`x` is float32 and `0.weight` is"),
    ],
)
def test_wrong_input_is_named(x: np.ndarray, y: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(MLP([2, 2], dtype=np.float64), x, y, **options)

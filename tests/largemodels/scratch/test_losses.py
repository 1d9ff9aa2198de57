"""Losses equal PyTorch's, in value and gradient, also for extreme logits."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels import scratch

LOSSES = {
    "MSELoss": (scratch.MSELoss, torch.nn.MSELoss),
    "CrossEntropyLoss": (scratch.CrossEntropyLoss, torch.nn.CrossEntropyLoss),
    "BCEWithLogitsLoss": (scratch.BCEWithLogitsLoss, torch.nn.BCEWithLogitsLoss),
}
sizes = st.lists(st.integers(1, 9), min_size=2, max_size=2, unique=True)


def make_target(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name == "CrossEntropyLoss":
        return rng.integers(0, shape[1], shape[0])
    if name == "BCEWithLogitsLoss":
        return rng.uniform(size=shape)
    return rng.standard_normal(shape)


@pytest.mark.parametrize("name", LOSSES)
@given(
    size=sizes,
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 1e3]),
)
@settings(deadline=None)
def test_loss_equals_pytorch(name: str, size: list[int], seed: int, scale: float) -> None:
    ours, theirs = LOSSES[name]
    rng = np.random.default_rng(seed)
    prediction = scale * rng.standard_normal(size)
    target = make_target(name, (size[0], size[1]), rng)
    loss = ours()
    value, grad = loss(prediction, target), loss.backward()

    torch_prediction = torch.from_numpy(prediction).requires_grad_()
    torch_value = theirs()(torch_prediction, torch.from_numpy(target))
    torch_value.backward()
    assert isinstance(value, float)
    np.testing.assert_allclose(value, torch_value.item(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(grad, torch_prediction.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loss_is_finite_and_silent_at_extremes(name: str, dtype: type) -> None:
    prediction = np.array([[1e3, -1e3, 0], [-1e3, 1e3, 1e3]], dtype=dtype)
    # The worst answers: the right class has the smallest logit.
    classes = name == "CrossEntropyLoss"
    target = np.array([1, 0]) if classes else np.array([[0, 1, 1], [1, 0, 0]], dtype=dtype)
    loss = LOSSES[name][0]()
    with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise"):
        warnings.simplefilter("error")
        value, grad = loss(prediction, target), loss.backward()
    assert np.isfinite(value)
    assert np.isfinite(grad).all()
    assert value == pytest.approx(
        LOSSES[name][1]()(torch.from_numpy(prediction), torch.from_numpy(target)).item()
    )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loss_keeps_the_type_and_leaves_its_inputs_alone(name: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    prediction = rng.standard_normal((4, 3)).astype(dtype)
    target = make_target(name, (4, 3), rng)
    target = target if name == "CrossEntropyLoss" else target.astype(dtype)
    before = prediction.copy(), target.copy()
    loss = LOSSES[name][0]()
    loss(prediction, target)
    grad = loss.backward()
    assert grad.dtype == dtype
    np.testing.assert_array_equal(grad, loss.backward())  # The second call finds the same numbers.
    np.testing.assert_array_equal(prediction, before[0])
    np.testing.assert_array_equal(target, before[1])


@pytest.mark.parametrize("name", LOSSES)
def test_backward_before_forward_is_an_error(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"{name}: call forward before backward"):
        LOSSES[name][0]().backward()


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_check_of_the_loss_passes(name: str) -> None:
    rng = np.random.default_rng(1)
    prediction = rng.standard_normal((5, 3))
    result = scratch.gradient_check_loss(
        LOSSES[name][0](), prediction, make_target(name, (5, 3), rng)
    )
    assert result, result


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_classes_may_be_any_integers(dtype: type) -> None:
    prediction = np.random.default_rng(0).standard_normal((3, 300))
    target = np.array([0, 7, 255], dtype=dtype)
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(prediction), torch.from_numpy(target).long()
    )
    assert scratch.CrossEntropyLoss()(prediction, target) == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("name", "prediction", "target", "message"),
    [
        ("MSELoss", np.ones((2, 3)), np.ones((2, 1)), r"`target` .* \(2, 3\), got \(2, 1\)"),
        ("MSELoss", np.ones((0, 3)), np.ones((0, 3)), "`prediction` must not be empty"),
        ("BCEWithLogitsLoss", np.ones((2, 1)), np.ones(2), r"\(2, 1\), got \(2,\)"),
        ("BCEWithLogitsLoss", np.ones(2), np.array([0, 2]), r"`target` .* 0 to 1, got 0 to 2"),
        ("CrossEntropyLoss", np.ones(3), np.array([0]), r"`prediction` .*\(N, C\), got \(3,\)"),
        ("CrossEntropyLoss", np.ones((0, 3)), np.array([], int), "must not be empty"),
        ("CrossEntropyLoss", np.ones((2, 3)), np.array([[0], [1]]), r"\(2,\), got \(2, 1\)"),
        ("CrossEntropyLoss", np.ones((2, 3)), np.ones(2), "integer classes, got float64"),
        ("CrossEntropyLoss", np.ones((2, 3)), np.array([0, 3]), "from 0 to 2, got 0 to 3"),
        ("CrossEntropyLoss", np.ones((2, 3)), np.array([-1, 1]), "from 0 to 2, got -1 to 1"),
    ],
)
def test_wrong_input_is_named(
    name: str, prediction: np.ndarray, target: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LOSSES[name][0]()(prediction, target)


def test_classes_are_the_decisions() -> None:
    logits = np.array([[1.0, 3.0, 2.0], [5.0, -1.0, 0.0]])
    np.testing.assert_array_equal(scratch.CrossEntropyLoss().classes(logits), [1, 0])
    binary = scratch.BCEWithLogitsLoss().classes(np.array([-0.1, 0.1]))
    np.testing.assert_array_equal(binary, [False, True])
    assert scratch.MSELoss().classes(logits) is None

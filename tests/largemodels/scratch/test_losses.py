"""Losses equal PyTorch's, in value and gradient, also for extreme logits."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from largemodels import scratch


def hinge(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the hinge loss of labels ±1, which PyTorch does not have."""
    return torch.relu(1 - target * prediction).mean()


def focal(
    gamma: float, alpha: float | None
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the focal loss as equation 5 of the paper has it, over log-probabilities."""

    def loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        log_q = torch.where(
            target == 1, functional.logsigmoid(prediction), functional.logsigmoid(-prediction)
        )
        weight = torch.ones_like(target)
        if alpha is not None:
            weight = alpha * target + (1 - alpha) * (1 - target)
        return -(weight * (-torch.expm1(log_q)) ** gamma * log_q).mean()

    return loss


LOSSES: dict[str, tuple[Callable[[], scratch.Loss], Callable[[], Callable]]] = {
    "MSELoss": (scratch.MSELoss, torch.nn.MSELoss),
    "L1Loss": (scratch.L1Loss, torch.nn.L1Loss),
    "HuberLoss": (scratch.HuberLoss, torch.nn.HuberLoss),
    "HuberLoss, 0.3": (lambda: scratch.HuberLoss(0.3), lambda: torch.nn.HuberLoss(delta=0.3)),
    "CrossEntropyLoss": (scratch.CrossEntropyLoss, torch.nn.CrossEntropyLoss),
    "BCEWithLogitsLoss": (scratch.BCEWithLogitsLoss, torch.nn.BCEWithLogitsLoss),
    "BCEWithLogitsLoss, weighted": (
        lambda: scratch.BCEWithLogitsLoss(pos_weight=3.5),
        lambda: (
            lambda p, t: functional.binary_cross_entropy_with_logits(
                p, t, pos_weight=torch.tensor(3.5, dtype=p.dtype)
            )
        ),
    ),
    "HingeLoss": (scratch.HingeLoss, lambda: hinge),
    "FocalLoss": (scratch.FocalLoss, lambda: focal(2, 0.25)),
    "FocalLoss, 3.5": (lambda: scratch.FocalLoss(3.5, None), lambda: focal(3.5, None)),
    "FocalLoss, 0": (lambda: scratch.FocalLoss(0, 0.9), lambda: focal(0, 0.9)),
}
sizes = st.lists(st.integers(1, 9), min_size=2, max_size=2, unique=True)


def make_target(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name == "CrossEntropyLoss":
        return rng.integers(0, shape[1], shape[0])
    if name.startswith("BCEWithLogitsLoss"):
        return rng.uniform(size=shape)
    if name == "HingeLoss":
        return rng.choice([-1.0, 1.0], shape)
    if name.startswith("FocalLoss"):
        return rng.choice([0.0, 1.0], shape)
    return rng.standard_normal(shape)


@pytest.mark.parametrize("name", LOSSES)
@given(
    size=sizes,
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 1e3]),
)
@settings(deadline=None, max_examples=40)
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
    target = 2 * target - 1 if name == "HingeLoss" else target
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
    with pytest.raises(RuntimeError, match=f"{name.split(',')[0]}: call forward before backward"):
        LOSSES[name][0]().backward()


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_check_of_the_loss_passes(name: str) -> None:
    rng = np.random.default_rng(1)
    prediction = rng.standard_normal((5, 3))
    result = scratch.gradient_check_loss(
        LOSSES[name][0](), prediction, make_target(name, (5, 3), rng)
    )
    assert result, result


@given(
    size=sizes,
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 1e3]),
    weighted=st.booleans(),
    probabilities=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_cross_entropy_with_weights_and_probabilities_equals_pytorch(
    size: list[int], seed: int, scale: float, weighted: bool, probabilities: bool
) -> None:
    rng = np.random.default_rng(seed)
    n, c = size
    prediction = scale * rng.standard_normal(size)
    target = rng.dirichlet(np.full(c, 0.5), n) if probabilities else rng.integers(0, c, n)
    weight = rng.uniform(0.1, 5, c) if weighted else None
    loss = scratch.CrossEntropyLoss(weight)
    value, grad = loss(prediction, target), loss.backward()

    torch_prediction = torch.from_numpy(prediction).requires_grad_()
    torch_weight = None if weight is None else torch.from_numpy(weight)
    torch_value = functional.cross_entropy(
        torch_prediction, torch.from_numpy(target), weight=torch_weight
    )
    torch_value.backward()
    np.testing.assert_allclose(value, torch_value.item(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(grad, torch_prediction.grad, rtol=1e-10, atol=1e-10)
    assert scratch.gradient_check_loss(scratch.CrossEntropyLoss(weight), prediction / scale, target)


@given(
    size=st.lists(st.integers(1, 7), min_size=3, max_size=4, unique=True),
    seed=st.integers(0, 2**32 - 1),
    class_axis=st.sampled_from([1, -1]),
    weighted=st.booleans(),
    probabilities=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_cross_entropy_of_many_decisions_equals_pytorch(
    size: list[int], seed: int, class_axis: int, weighted: bool, probabilities: bool
) -> None:
    rng = np.random.default_rng(seed)
    prediction, classes = rng.standard_normal(size), size[class_axis]
    shape = [n for axis, n in enumerate(size) if axis != class_axis % len(size)]
    if probabilities:
        target = np.moveaxis(rng.dirichlet(np.full(classes, 0.5), shape), -1, class_axis)
    else:
        target = rng.integers(0, classes, shape)
    weight = rng.uniform(0.1, 5, classes) if weighted else None
    loss = scratch.CrossEntropyLoss(weight, class_axis=class_axis)
    value, grad = loss(prediction, target), loss.backward()

    torch_prediction = torch.from_numpy(prediction).requires_grad_()
    torch_target = torch.from_numpy(target)
    torch_value = functional.cross_entropy(
        torch_prediction.movedim(class_axis, 1),
        torch_target.movedim(class_axis, 1) if probabilities else torch_target,
        weight=None if weight is None else torch.from_numpy(weight),
    )
    torch_value.backward()
    np.testing.assert_allclose(value, torch_value.item(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(grad, torch_prediction.grad, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(loss.classes(prediction), prediction.argmax(class_axis))


def test_one_hot_targets_and_classes_are_the_same_and_float32_stays() -> None:
    rng = np.random.default_rng(0)
    prediction = rng.standard_normal((5, 3)).astype(np.float32)
    classes = rng.integers(0, 3, 5)
    values, grads = [], []
    for target in [classes, np.eye(3)[classes]]:
        loss = scratch.CrossEntropyLoss()
        values.append(loss(prediction, target))
        grads.append(loss.backward())
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-6)
    weighted = scratch.CrossEntropyLoss(np.array([1.0, 2.0, 3.0]))
    weighted(prediction, classes)
    assert {grad.dtype for grad in [*grads, weighted.backward()]} == {np.dtype("f4")}


def test_an_impossible_class_that_is_not_asked_for_costs_nothing() -> None:
    loss = scratch.CrossEntropyLoss()
    assert loss(np.array([[0.0, 0.0, -np.inf]]), np.array([1])) == pytest.approx(np.log(2))
    np.testing.assert_allclose(loss.backward(), [[0.5, -0.5, 0]])


def test_many_classes_need_no_square_table() -> None:
    # A table of 200,000² numbers would take 160 GB.
    assert scratch.CrossEntropyLoss()(np.zeros((1, 200_000), np.float32), np.array([7])) > 12


def test_hinge_takes_zero_as_its_derivative_at_the_margin() -> None:
    loss = scratch.HingeLoss()
    assert loss(np.array([1.0, -1.0]), np.array([1, -1])) == 0
    np.testing.assert_array_equal(loss.backward(), [0, 0])


def test_focal_loss_without_focus_is_the_binary_cross_entropy() -> None:
    rng = np.random.default_rng(0)
    prediction, target = rng.standard_normal((4, 3)), rng.integers(0, 2, (4, 3))
    losses = [scratch.FocalLoss(0, None), scratch.BCEWithLogitsLoss()]
    assert losses[0](prediction, target) == pytest.approx(losses[1](prediction, target))
    np.testing.assert_allclose(losses[0].backward(), losses[1].backward())


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
        ("CrossEntropyLoss", np.ones((2, 3)), np.ones((2, 2)), r"\(2, 3\), got \(2, 2\)"),
        ("CrossEntropyLoss", np.ones((1, 2)), np.array([[1.5, -0.5]]), "0 to 1, got -0.5 to 1.5"),
        ("CrossEntropyLoss", np.ones((2, 2)), np.eye(2) / [[1], [2]], r"1 .* 0.5 in row \(1,\)"),
        ("CrossEntropyLoss", np.ones((2, 3, 4)), np.ones((2, 3), int), r"\(2, 4\), got \(2, 3\)"),
        ("CrossEntropyLoss", np.ones((2, 3, 4)), np.full((2, 4), 3), "from 0 to 2, got 3 to 3"),
        ("HingeLoss", np.ones(2), np.array([1, 0]), "`target` must be -1 or 1 everywhere, got 0"),
        ("HingeLoss", np.ones((2, 1)), np.ones(2), r"`target` .* \(2, 1\), got \(2,\)"),
        ("HingeLoss", np.ones(0), np.ones(0), "`prediction` must not be empty"),
        ("FocalLoss", np.ones(2), np.array([1, -1]), "`target` must be 0 or 1 everywhere, got -1"),
        ("FocalLoss", np.ones(2), np.array([1, np.nan]), "everywhere, got nan"),
    ],
)
def test_wrong_input_is_named(
    name: str, prediction: np.ndarray, target: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LOSSES[name][0]()(prediction, target)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: scratch.CrossEntropyLoss(np.array([1, -1])), r"`weight` \(=\[ 1 -1\]\) must"),
        (lambda: scratch.CrossEntropyLoss(np.ones((2, 2))), r"must have shape \(C,\)"),
        (lambda: scratch.CrossEntropyLoss(class_axis=0), r"`class_axis` \(=0\) must be 1 or -1"),
        (lambda: scratch.BCEWithLogitsLoss(-1), r"`pos_weight` \(=-1\) must be at least 0"),
        (lambda: scratch.FocalLoss(gamma=-1), r"`gamma` \(=-1\) must be at least 0"),
        (lambda: scratch.FocalLoss(alpha=1.5), r"`alpha` \(=1.5\) must be from 0 to 1"),
    ],
)
def test_wrong_settings_are_named(make: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_class_weights_must_fit_the_batch() -> None:
    prediction, target = np.zeros((1, 3)), np.array([0])
    with pytest.raises(ValueError, match=r"`weight` must have shape \(3,\), got \(2,\)"):
        scratch.CrossEntropyLoss(np.ones(2))(prediction, target)
    with pytest.raises(ValueError, match="is 0 for all classes of the batch"):
        scratch.CrossEntropyLoss(np.array([0, 1, 1]))(prediction, target)


def test_classes_are_the_decisions() -> None:
    logits = np.array([[1.0, 3.0, 2.0], [5.0, -1.0, 0.0]])
    np.testing.assert_array_equal(scratch.CrossEntropyLoss().classes(logits), [1, 0])
    binary = scratch.BCEWithLogitsLoss().classes(np.array([-0.1, 0.1]))
    np.testing.assert_array_equal(binary, [False, True])
    focal_classes = scratch.FocalLoss().classes(np.array([-0.1, 0.1]))
    np.testing.assert_array_equal(focal_classes, [False, True])
    np.testing.assert_array_equal(scratch.HingeLoss().classes(np.array([-0.1, 0.1])), [-1, 1])
    assert scratch.MSELoss().classes(logits) is None

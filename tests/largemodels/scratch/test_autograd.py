"""Automatic differentiation equals PyTorch's: each operation, random graphs and a whole network."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from largemodels import scratch
from largemodels.scratch import autograd_functions as functions
from largemodels.scratch.autograd import Tensor, no_grad, record


def assert_close(actual: np.ndarray, expected: torch.Tensor) -> None:
    # Shapes are compared, too: assert_allclose alone would broadcast.
    assert actual.shape == tuple(expected.shape)
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-10, atol=1e-10 * scale)


def compare(ours: Callable, theirs: Callable, *arrays: np.ndarray) -> None:
    """Compare value and all gradients in float64, for an upstream gradient that is not uniform."""
    before = [array.copy() for array in arrays]
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    torch_tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    y, torch_y = ours(*tensors), theirs(*torch_tensors)
    assert_close(y.data, torch_y.detach())
    grad = np.random.default_rng(99).standard_normal(y.shape)
    y.backward(grad)
    torch_y.backward(torch.tensor(grad))
    for tensor, torch_tensor, array in zip(tensors, torch_tensors, before, strict=True):
        assert_close(tensor.grad, torch_tensor.grad)
        assert isinstance(tensor.grad, np.ndarray)
        np.testing.assert_array_equal(tensor.data, array)
        assert not any(np.shares_memory(tensor.grad, other) for other in (tensor.data, grad))


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


INTEGERS = np.array([2, 0, 2, 2])
OPERATIONS: dict[str, tuple[Callable, Callable | None, list[tuple[int, ...]]]] = {
    # name: (ours, PyTorch's or None where the code is the same, shapes)
    "add": (lambda x, y: x + y, None, [(2, 3), (3,)]),
    "add_number": (lambda x: 2 + x + 3.5, None, [(2, 3)]),
    "add_column_to_row": (lambda x, y: x + y, None, [(3, 1), (1, 4)]),
    "sub": (lambda x, y: x - y, None, [(4, 2, 3), (2, 1)]),
    "sub_from_number": (lambda x: 2 - x, None, [(2, 3)]),
    "mul": (lambda x, y: x * y, None, [(3, 1), (2, 1, 4)]),
    "mul_number": (lambda x: 2 * x * 3.5, None, [()]),
    "div": (lambda x, y: x / y, None, [(2, 3), (4, 1, 1)]),
    "div_number": (lambda x: 2 / x / 3, None, [(2, 3)]),
    "neg": (lambda x: -x, None, [(2, 3)]),
    "square": (lambda x: x**2, None, [(2, 3)]),
    "cube": (lambda x: x**3, None, [(2, 3)]),
    "power_minus_2": (lambda x: x**-2, None, [(2, 3)]),
    "power_0": (lambda x: (x - x) ** 0, None, [(2, 3)]),
    "power_half": (lambda x: (x * x + 1) ** 0.5, None, [(2, 3)]),
    "matmul": (lambda x, y: x @ y, None, [(2, 3), (3, 4)]),
    "matmul_batched": (lambda x, y: x @ y, None, [(5, 2, 3), (5, 3, 4)]),
    "matmul_broadcast_left": (lambda x, y: x @ y, None, [(2, 3), (6, 5, 3, 4)]),
    "matmul_broadcast_right": (lambda x, y: x @ y, None, [(6, 1, 2, 3), (5, 3, 4)]),
    "matmul_vector_right": (lambda x, y: x @ y, None, [(5, 2, 3), (3,)]),
    "matmul_vector_left": (lambda x, y: x @ y, None, [(3,), (5, 3, 4)]),
    "matmul_vectors": (lambda x, y: x @ y, None, [(3,), (3,)]),
    "sum": (lambda x: x.sum(), None, [(2, 3, 4)]),
    "sum_axis": (lambda x: x.sum(axis=1), None, [(2, 3, 4)]),
    "sum_axes": (lambda x: x.sum(axis=(0, -1)), None, [(2, 3, 4)]),
    "sum_keepdims": (lambda x: x.sum(axis=-1, keepdims=True), None, [(2, 3, 4)]),
    "mean": (lambda x: x.mean(), None, [(2, 3, 4)]),
    "mean_axes": (lambda x: x.mean(axis=(0, 2)), None, [(2, 3, 4)]),
    "mean_keepdims": (lambda x: x.mean(axis=1, keepdims=True), None, [(2, 3, 4)]),
    "max": (lambda x: x.max(), None, [(2, 3, 4)]),
    "max_axis": (lambda x: x.max(axis=1), lambda x: x.amax(1), [(2, 3, 4)]),
    "max_axes_keepdims": (
        lambda x: x.max(axis=(0, 2), keepdims=True),
        lambda x: x.amax((0, 2), keepdim=True),
        [(2, 3, 4)],
    ),
    "max_ties": (
        lambda x: (x[:, [0, 1, 0, 0]]).max(axis=1),
        lambda x: (x[:, [0, 1, 0, 0]]).amax(1),
        [(5, 2)],
    ),
    "reshape": (lambda x: x.reshape(4, -1), None, [(2, 3, 4)]),
    "permute": (lambda x: x.permute(2, 0, -2), None, [(2, 3, 4)]),
    "transpose": (lambda x: x.transpose(0, -1), None, [(2, 3, 4)]),
    "T": (lambda x: x.T, None, [(2, 3)]),
    "index": (lambda x: x[1], None, [(2, 3, 4)]),
    "index_negative": (lambda x: x[-1, :, -2], None, [(2, 3, 4)]),
    "slice": (lambda x: x[:, 1:, ::2], None, [(2, 3, 4)]),
    "new_axis": (lambda x: x[..., None, 1:], None, [(2, 3, 4)]),
    "repeated_integers": (lambda x: x[INTEGERS], None, [(3, 4)]),
    "repeated_pairs": (lambda x: x[INTEGERS, INTEGERS + 1], None, [(3, 4)]),
    "repeated_after_a_slice": (lambda x: x[:, [1, 1]], None, [(3, 4)]),
    "mask": (lambda x: x[[True, False, True]], None, [(3, 4)]),
    "exp": (functions.exp, torch.exp, [(2, 3)]),
    "log": (lambda x: functions.log(x * x), lambda x: torch.log(x * x), [(2, 3)]),
    "tanh": (functions.tanh, torch.tanh, [(2, 3)]),
    "sigmoid": (functions.sigmoid, torch.sigmoid, [(2, 3)]),
    "relu": (functions.relu, torch.relu, [(2, 3)]),
    "relu_at_0": (
        lambda x: functions.relu(x - x.detach()),
        lambda x: torch.relu(x - x.detach()),
        [(2, 3)],
    ),
    "softmax": (functions.softmax, lambda x: torch.softmax(x, -1), [(2, 3, 4)]),
    "softmax_axis": (lambda x: functions.softmax(x, 1), lambda x: torch.softmax(x, 1), [(2, 3, 4)]),
    "log_softmax": (functions.log_softmax, lambda x: torch.log_softmax(x, -1), [(2, 3, 4)]),
    "log_softmax_axis": (
        lambda x: functions.log_softmax(x, 0),
        lambda x: torch.log_softmax(x, 0),
        [(2, 3, 4)],
    ),
    "maximum": (functions.maximum, torch.maximum, [(2, 3), (4, 1, 3)]),
    "maximum_ties": (
        lambda x, y: functions.maximum(x, x.detach()) + functions.maximum(y.detach(), y),
        lambda x, y: torch.maximum(x, x.detach()) + torch.maximum(y.detach(), y),
        [(2, 3), (2, 3)],
    ),
    "where": (
        lambda x, y: functions.where(normal(2, 3) > 0, x, y),
        lambda x, y: torch.where(torch.tensor(normal(2, 3) > 0), x, y),
        [(2, 3), (4, 1, 1)],
    ),
    "concatenate": (
        lambda x, y, z: functions.concatenate([x, y, x, z], axis=-1),
        lambda x, y, z: torch.concatenate([x, y, x, z], dim=-1),
        [(2, 3), (2, 1), (2, 4)],
    ),
    "stack": (
        lambda x, y: functions.stack([x, y, x], axis=1),
        lambda x, y: torch.stack([x, y, x], dim=1),
        [(2, 3), (2, 3)],
    ),
    "stack_last": (
        lambda x, y: functions.stack([x, y], axis=-1),
        lambda x, y: torch.stack([x, y], dim=-1),
        [(2, 3), (2, 3)],
    ),
    "conv2d": (functions.conv2d, functional.conv2d, [(2, 3, 6, 7), (4, 3, 2, 3), (4,)]),
    "conv2d_without_bias": (functions.conv2d, functional.conv2d, [(1, 2, 5, 4), (3, 2, 1, 2)]),
    "conv2d_settings": (
        lambda x, w, b: functions.conv2d(x, w, b, (2, 1), (1, 0), (1, 2)),
        lambda x, w, b: functional.conv2d(x, w, b, (2, 1), (1, 0), (1, 2)),
        [(2, 3, 6, 7), (4, 3, 2, 3), (4,)],
    ),
    "cross_entropy": (
        lambda x: functions.cross_entropy(x, INTEGERS),
        lambda x: functional.cross_entropy(x, torch.tensor(INTEGERS)),
        [(4, 3)],
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_equals_pytorch(name: str) -> None:
    ours, theirs, shapes = OPERATIONS[name]
    rng = np.random.default_rng(0)
    compare(ours, theirs or ours, *[rng.standard_normal(shape) for shape in shapes])


def test_every_function_is_compared() -> None:
    assert set(functions.__all__) <= set(OPERATIONS)


# Random graphs. All values keep a shape that broadcasts with the others, and stay small. A random
# constant before each kink makes sure that rounding does not decide on which side a number lies.
SHAPES = [(), (1,), (3,), (2, 1), (2, 3), (4, 1, 1), (4, 2, 3)]
Step = Callable[[Any, Any, Any, Any], Any]  # (functions, x, y, constant of x's shape) -> result


def product_of_matrices(f: Any, x: Any, y: Any, c: Any) -> Any:
    z = f.tanh(x + y)
    return z @ z.transpose(-1, -2) @ (x + y) if len(z.shape) >= 2 else z


def repeat_indices(f: Any, x: Any, y: Any, c: Any) -> Any:
    return x[..., [-1] + [0] * (x.shape[-1] - 1)] if x.shape else x


def shift_by_one(f: Any, x: Any, y: Any, c: Any) -> Any:
    return f.concatenate([x, x + y.mean()], -1)[..., 1 : 1 + x.shape[-1]] if x.shape else x


STEPS: list[Step] = [
    lambda f, x, y, c: x + y,
    lambda f, x, y, c: x - y,
    lambda f, x, y, c: f.tanh(x) * y,
    lambda f, x, y, c: x / (y * y + 1),
    lambda f, x, y, c: (x * x + 1) ** 0.5 - y,
    lambda f, x, y, c: f.exp(f.tanh(x)) * 0.5,
    lambda f, x, y, c: f.log(x * x + 1),
    lambda f, x, y, c: f.sigmoid(x - y),
    lambda f, x, y, c: f.relu(x + c) + f.relu(c - x),
    lambda f, x, y, c: f.maximum(x + c, y),
    lambda f, x, y, c: f.where(f.condition(c), x, y),
    lambda f, x, y, c: f.softmax(x, -1) if x.shape else x,
    lambda f, x, y, c: f.log_softmax(f.tanh(x), -1) if x.shape else x,
    lambda f, x, y, c: x.sum(axis=-1, keepdims=True) / 3 if x.shape else x,
    lambda f, x, y, c: x.mean(axis=0, keepdims=True) if x.shape else x,
    lambda f, x, y, c: (x + c).max(),
    lambda f, x, y, c: (
        f.stack([x, y * 0 + x.sum() / 10 + x * 0]).mean(axis=0) if x.shape == y.shape else -x
    ),
    lambda f, x, y, c: x.reshape(-1)[::2].sum() / 5 - y,
    product_of_matrices,
    repeat_indices,
    shift_by_one,
]


class OurFunctions:
    condition = staticmethod(lambda c: c.data > 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(functions, name)


class TorchFunctions:
    condition = staticmethod(lambda c: c > 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


numbers = st.integers(0, 1000)


@given(
    shapes=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4),
    program=st.lists(
        st.tuples(st.integers(0, len(STEPS) - 1), numbers, numbers), min_size=1, max_size=15
    ),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=200)
def test_random_graphs_equal_pytorch(
    shapes: list[tuple[int, ...]], program: list[tuple[int, int, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    leaves = [rng.standard_normal(shape) for shape in shapes]
    constants = [rng.standard_normal(24) for _ in program]

    def run(f: Any, make: Callable, variables: list) -> Any:
        values = list(variables)
        for (step, i, j), constant in zip(program, constants, strict=True):
            # Small numbers point to the newest values, so the graphs grow deep and not only wide.
            x, y = values[-1 - i % len(values)], values[-1 - j % len(values)]
            # A constant of x's shape, cut from one that is as large as any.
            shape = tuple(x.shape)
            c = make(constant[: int(np.prod(shape))].reshape(shape))
            values.append(STEPS[step](f, x, y, c))
        # Every value counts, each with its own weight.
        return sum(((k + 1) * f.tanh(value * 0.1)).sum() for k, value in enumerate(values))

    ours = [Tensor(leaf, requires_grad=True) for leaf in leaves]
    theirs = [torch.tensor(leaf, requires_grad=True) for leaf in leaves]
    y, torch_y = run(OurFunctions(), Tensor, ours), run(TorchFunctions(), torch.tensor, theirs)
    assert_close(y.data, torch_y.detach())
    y.backward()
    torch_y.backward()
    for tensor, torch_tensor in zip(ours, theirs, strict=True):
        assert_close(tensor.grad, torch_tensor.grad)


# The walk through the graph.


def test_a_chain_of_20000_operations_needs_no_recursion() -> None:
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1
    y.backward()
    assert x.grad == 1
    del y  # Nor does freeing the record.


def test_each_rule_runs_once() -> None:
    calls = 0

    def double(y: Tensor) -> Tensor:
        def rule(g: np.ndarray) -> np.ndarray:
            nonlocal calls
            calls += 1
            return g

        return record("double", y.data + y.data, (y, rule), (y, rule))

    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(60):
        y = double(y)
    y.backward()
    assert x.grad == 2.0**60  # There are that many paths from y to x.
    assert calls == 2 * 60


def test_y_plus_y_doubles() -> None:
    x = Tensor([1.0, -2.0], requires_grad=True)
    y = x
    for _ in range(50):
        y = y + y
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0**50, 2.0**50])


def test_a_diamond_whose_top_is_no_leaf() -> None:
    compare(
        lambda x: (lambda z: z * functions.tanh(z) + z[::-1] @ z)(x * x),
        lambda x: (lambda z: z * torch.tanh(z) + z.flip(0) @ z)(x * x),
        normal(3),
    )


def test_an_early_value_that_is_used_late() -> None:
    # Whoever walks breadth-first gives x's rule a gradient that still lacks the long way.
    def network(x: Any) -> Any:
        early = x * 3
        late = early
        for _ in range(5):
            late = late * late + early
        return late + early

    compare(network, network, 0.1 * normal(3))


def test_a_leaf_is_its_own_result() -> None:
    x = Tensor(3.0, requires_grad=True)
    x.backward()
    np.testing.assert_array_equal(x.grad, 1.0)


# Gradients.


def test_gradients_add_up_over_backward_calls_as_in_pytorch() -> None:
    def run(x: Any, **options: Any) -> Any:
        y = (x * x * x).sum()
        y.backward(**options)
        y.backward()  # The record is still there.
        (2 * x).sum().backward()
        return x.grad

    x, torch_x = (make([1.0, 2.0], requires_grad=True) for make in (Tensor, torch.tensor))
    assert_close(run(x), run(torch_x, retain_graph=True).double())
    x.grad = None
    x.sum().backward()
    np.testing.assert_array_equal(x.grad, [1, 1])


def test_no_gradient_shares_memory_with_anything() -> None:
    x, y = (Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    upstream = np.array([3.0, 4.0])
    (x + y).backward(upstream)
    x.backward(upstream)
    x.grad[...] = 0
    np.testing.assert_array_equal(y.grad, [3, 4])
    np.testing.assert_array_equal(upstream, [3, 4])
    np.testing.assert_array_equal(x.data, [1, 2])
    first = y.grad
    (x + y).backward(upstream)
    np.testing.assert_array_equal(first, [3, 4])  # Who kept the old array keeps its numbers.


def test_only_leaves_that_ask_for_it_get_a_gradient() -> None:
    x, constant = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 4.0])
    y = x * constant
    y.sum().backward()
    assert constant.grad is None
    assert y.grad is None
    assert y.requires_grad
    assert not (constant * 2).requires_grad
    assert (constant * 2).inputs == ()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_types_are_kept(dtype: type) -> None:
    x = Tensor(np.array([[1, 2, 3]], dtype), requires_grad=True)
    y = functions.cross_entropy(
        (1 - functions.relu(2 * x / 3 + 1.5)).max(axis=0, keepdims=True), np.array([0])
    )
    y = y + functions.where(x.data > 1, x, 0.0).mean() + functions.maximum(x, 0.5).sum() ** 2
    y.backward()
    assert y.data.dtype == dtype
    assert x.grad.dtype == dtype


def test_a_float32_leaf_in_a_float64_graph_gets_a_float32_gradient() -> None:
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    y = (x * np.array([2.0, 3.0])).sum()
    y.backward()
    assert y.data.dtype == np.float64
    assert x.grad.dtype == np.float32


def test_arrays_and_numpy_numbers_may_stand_on_the_left() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = np.array([3.0, 4.0]) * x + np.float64(2) * x + np.eye(2) @ x
    assert isinstance(y, Tensor)
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [6, 7])


# Recording, and changes in place.


def test_no_grad_records_nothing_and_ends_with_an_error() -> None:
    x = Tensor(1.0, requires_grad=True)
    with no_grad():
        with no_grad():
            pass
        assert not (x * 2).requires_grad
    with pytest.raises(ZeroDivisionError), no_grad():
        _ = 1 / 0
    assert (x * 2).requires_grad


def test_detach_cuts_the_history() -> None:
    x = Tensor([2.0, 3.0], requires_grad=True)
    y = x * x
    (y.detach() * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [4, 9])
    assert y.detach().data is y.data


def test_in_place_inside_of_no_grad() -> None:
    x = Tensor([8.0, 4.0], requires_grad=True)
    data = x.data
    with no_grad():
        x += np.array([1, 2])
        x -= 1
        x *= 2
        x /= np.array([4.0, 5.0])
    assert x.data is data
    assert x.requires_grad
    np.testing.assert_array_equal(x.data, [4, 2])


def test_in_place_outside_of_no_grad() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"only in `no_grad\(\)`"):
        x += 1
    total = start = Tensor(0.0)
    for k in range(3):
        total += k * x.sum()
    total.backward()
    np.testing.assert_array_equal(x.grad, [3, 3])
    assert start.item() == 0


def test_the_record_is_freed_with_its_result() -> None:
    gc.disable()  # So the record must not refer to itself.
    try:
        x = vector()
        hidden = x * 2
        y = functions.softmax(hidden[::-1]).max()
        seen = weakref.ref(hidden)
        y.backward()
        del hidden
        assert seen() is not None
        del y
        assert seen() is None
    finally:
        gc.enable()


def test_the_data_are_copied() -> None:
    array = np.zeros(2)
    x = Tensor(array, requires_grad=True)
    with no_grad():
        x += 1
    np.testing.assert_array_equal(array, [0, 0])


# Errors and texts.


def in_place_mismatch() -> None:
    x = Tensor([1.0, 2.0])
    with no_grad():
        x += np.ones((3, 2))


def wrong_grad() -> None:
    Tensor([1.0, 2.0]).grad = np.ones((2, 1))


def vector() -> Tensor:
    return Tensor([1.0, 2.0], requires_grad=True)


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        (lambda: vector().backward(), ValueError, r"`grad` \(=None\) .* shape \(2,\)"),
        (lambda: vector().backward(np.ones(3)), ValueError, r"`grad` .* \(2,\), got \(3,\)"),
        (lambda: vector().backward(1.0), ValueError, r"`grad` .* \(2,\), got \(\)"),
        (lambda: Tensor(1.0).backward(), RuntimeError, "requires a gradient"),
        (in_place_mismatch, ValueError, r"`result` must have shape \(2,\), got \(3, 2\)"),
        (wrong_grad, ValueError, r"`grad` must have shape \(2,\), got \(2, 1\)"),
        (lambda: Tensor([1, 2], requires_grad=True), ValueError, r"\(=True\) .* got int64"),
        (lambda: Tensor(["a"]), ValueError, "`data` must hold real numbers"),
        (lambda: Tensor(vector()), ValueError, "`data` must hold real numbers, got object"),
        (lambda: vector() + None, TypeError, r"operand \(=None\)"),
        (lambda: vector() ** vector(), TypeError, r"`exponent` \(=tensor\(\[1., 2.\]"),
        (lambda: vector().item(), ValueError, "size 1"),
        (lambda: bool(vector()), ValueError, "ambiguous"),
        (lambda: np.exp(vector()), TypeError, "ufunc"),
        (lambda: vector()[2], IndexError, "out of bounds"),
        (lambda: functions.conv2d(Tensor(normal(1, 2, 3, 3)), vector()), ValueError, "`weight`"),
        (
            lambda: functions.conv2d(Tensor(normal(1, 2, 3, 3)), Tensor(normal(4, 3, 1, 1))),
            ValueError,
            r"`x` must have shape \(N, 3, H, W\), got \(1, 2, 3, 3\)",
        ),
        (
            lambda: functions.conv2d(
                Tensor(normal(1, 2, 3, 3)), Tensor(normal(4, 2, 1, 1)), stride=0
            ),
            ValueError,
            r"`stride` \(=0\)",
        ),
        (
            lambda: functions.cross_entropy(Tensor(normal(2, 3)), np.array([0, 3])),
            ValueError,
            "`target` must be from 0 to 2, got 0 to 3",
        ),
    ],
)
def test_errors_name_argument_and_value(
    run: Callable, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run()


def test_repr_is_pytorchs() -> None:
    for values in (2.0, [1.0, 3.0], [[1.0, 2.0], [3.0, 4.0]]):
        for requires_grad in (False, True):
            theirs = torch.tensor(values, requires_grad=requires_grad)
            assert repr(Tensor(values, requires_grad)) == repr(theirs)
    assert repr(vector() * 2) == "tensor([2., 4.], grad_fn=<mul>)"
    with no_grad():
        assert repr(vector() * 2) == "tensor([2., 4.])"
    assert repr(Tensor(np.float32(1))) == "tensor(1., dtype=float32)"


# A whole network.


def test_an_mlp_gets_the_gradients_that_the_scratch_mlp_computes_by_hand() -> None:
    rng = np.random.default_rng(0)
    model = scratch.MLP([5, 7, 6, 3], activation=scratch.Tanh, rng=rng, dtype=np.float64)
    loss, optimizer = scratch.CrossEntropyLoss(), scratch.SGD(model.parameters(), lr=0.3)
    tensors = {name: Tensor(data, requires_grad=True) for name, data in model.state_dict().items()}
    x, target = rng.standard_normal((20, 5)), rng.integers(0, 3, 20)
    losses = []
    for _ in range(10):
        h = Tensor(x)
        for layer in ("0", "2", "4"):
            h = h @ tensors[f"{layer}.weight"].T + tensors[f"{layer}.bias"]
            h = functions.tanh(h) if layer != "4" else h
        value = functions.cross_entropy(h, target)
        value.backward()

        losses.append(loss(model(x), target))
        model.backward(loss.backward())
        assert value.item() == pytest.approx(losses[-1], rel=1e-12)
        for name, parameter in model.named_parameters():
            np.testing.assert_allclose(
                tensors[name].grad, parameter.grad, rtol=1e-10, atol=1e-12, err_msg=name
            )
        optimizer.step()
        with no_grad():
            for tensor in tensors.values():
                tensor -= 0.3 * tensor.grad
                tensor.grad = None
    assert losses[-1] < 0.8 * losses[0]

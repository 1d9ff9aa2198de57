"""Automatic differentiation: write the forward pass, and get the backward pass for free.

Each operation on tensors records its inputs, and for each input a rule: how ∂L/∂input follows from
∂L/∂output. `backward` walks through this record in reverse and applies the chain rule. The
functions that are not operators or methods are in `largemodels.scratch.autograd_functions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from largemodels.scratch.layer import check_shape

__all__ = ["Tensor", "no_grad", "record"]

Rule = Callable[[np.ndarray], np.ndarray]
Axis = int | tuple[int, ...] | None

_recording = ContextVar("_recording", default=True)


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside of the `with` block, as for an evaluation or an optimizer's step.

    Example:
        >>> weight = Tensor([1.0, 2.0], requires_grad=True)
        >>> with no_grad():
        ...     weight -= 0.5  # Inside of the block, this changes the weight in place.
        >>> weight
        tensor([0.5, 1.5], requires_grad=True)

    Taught in: book/algorithms/automatic_differentiation.md
    """
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


class Tensor:
    """An array that remembers which operation made it, so that it can be differentiated.

    forward:   y = f(x₁, x₂, …) is computed at once; y remembers its inputs and their rules
    backward:  ∂L/∂xᵢ = Σ (∂L/∂y) · (∂y/∂xᵢ), over all y that xᵢ is an input of

    The record lives as long as a tensor needs it: `backward` may be called again, and adds to the
    gradients. Rules read the data of their inputs: do not change these before `backward`.

    Args:
        data: the numbers, of any shape. They are copied.
        requires_grad: whether `backward` shall fill `grad`.

    Attributes:
        data: the numbers, a NumPy array.
        grad: the gradient, of the shape of `data`; `None` before `backward`, and on all tensors
            that an operation made.
        inputs: the record, a pair of input and rule for each input that requires a gradient.
        operation: the name of the operation that made the tensor, or an empty text.

    Raises:
        ValueError: if `data` holds no numbers, or none that could require a gradient.

    Source:
        Linnainmaa, "Taylor expansion of the accumulated rounding error", BIT 16, 1976;
        Griewank and Walther, "Evaluating Derivatives", 2nd edition, SIAM 2008, chapter 3;
        Baydin, Pearlmutter, Radul and Siskind, "Automatic differentiation in machine learning:
        a survey", JMLR 18(153), 2018, section 3.2.

    Example:
        >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> y = (x * x).sum()
        >>> y
        tensor(14., grad_fn=<sum>)
        >>> y.backward()
        >>> x.grad
        array([2., 4., 6.])

    Taught in: book/algorithms/automatic_differentiation.md
    """

    # NumPy leaves `array * tensor` to `Tensor.__rmul__`, and refuses `np.exp(tensor)`.
    __array_ufunc__ = None

    def __init__(self, data: ArrayLike, requires_grad: bool = False) -> None:
        self.data = np.array(data)
        if self.data.dtype.kind not in "fiub":
            raise ValueError(f"`data` must hold real numbers, got {self.data.dtype}.")
        if requires_grad and self.data.dtype.kind != "f":
            raise ValueError(
                f"`requires_grad` (=True) needs floating-point numbers, got {self.data.dtype}."
            )
        self.requires_grad = requires_grad
        self.inputs: tuple[tuple[Tensor, Rule], ...] = ()
        self.operation = ""
        self._grad: np.ndarray | None = None

    @property
    def grad(self) -> np.ndarray | None:
        """The sum of the gradients of all backward passes since it was `None`."""
        return self._grad

    @grad.setter
    def grad(self, grad: np.ndarray | None) -> None:
        if grad is not None:
            check_shape("grad", grad, self.shape)
        self._grad = grad

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of `data`."""
        return self.data.shape

    def backward(self, grad: ArrayLike | None = None) -> None:
        """Add ∂L/∂x to `x.grad` for each x that this tensor was computed from.

        Args:
            grad: ∂L/∂(this tensor), of its shape; a single number is L itself and needs none.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: nothing that made this tensor requires a gradient.")
        if grad is None:
            if self.data.size != 1:
                raise ValueError(
                    f"`grad` (=None) must be given for a tensor of shape {self.shape}; "
                    "only a single number needs none."
                )
            grad = np.ones(self.shape)
        check_shape("grad", np.asarray(grad), self.shape)
        grads = {self: np.asarray(grad, self.data.dtype)}
        # In this order, the gradient of a tensor is complete before its own rules see it.
        for tensor in reversed(self._topological_order()):
            grad_output = grads.pop(tensor)
            if not tensor.inputs:
                total = grad_output if tensor.grad is None else tensor.grad + grad_output
                tensor.grad = np.array(total)  # A copy, as a rule may return an array of others.
            for x, rule in tensor.inputs:
                grad_input = np.asarray(sum_to_shape(rule(grad_output), x.shape), x.data.dtype)
                grads[x] = grads[x] + grad_input if x in grads else grad_input

    def _topological_order(self) -> list[Tensor]:
        """Return all tensors that this one was computed from, each one after its inputs."""
        order: list[Tensor] = []
        seen: set[Tensor] = set()
        # A stack of our own, as a recursion would end at Python's limit of 1000 calls.
        stack = [(self, False)]
        while stack:
            tensor, inputs_are_done = stack.pop()
            if inputs_are_done:
                order.append(tensor)
            elif tensor not in seen:
                seen.add(tensor)
                stack.append((tensor, True))
                stack += [(x, False) for x, _ in tensor.inputs]
        return order

    def item(self) -> float:
        """Return the only number as a Python number."""
        return self.data.item()

    def detach(self) -> Tensor:
        """Return a tensor of the same data, without its history."""
        return record("", self.data)

    def __add__(self, other: Any) -> Tensor:
        x, y = as_tensors(self, other)
        return record("add", x.data + y.data, (x, lambda g: g), (y, lambda g: g))

    def __sub__(self, other: Any) -> Tensor:
        x, y = as_tensors(self, other)
        return record("sub", x.data - y.data, (x, lambda g: g), (y, lambda g: -g))

    def __mul__(self, other: Any) -> Tensor:
        x, y = as_tensors(self, other)
        return record("mul", x.data * y.data, (x, lambda g: g * y.data), (y, lambda g: g * x.data))

    def __truediv__(self, other: Any) -> Tensor:
        x, y = as_tensors(self, other)
        z = x.data / y.data
        return record("div", z, (x, lambda g: g / y.data), (y, lambda g: -g * z / y.data))

    def __neg__(self) -> Tensor:
        return record("neg", -self.data, (self, lambda g: -g))

    def __pow__(self, exponent: float) -> Tensor:
        if not isinstance(exponent, Real):
            raise TypeError(f"`exponent` (={exponent!r}) must be a number.")

        def rule(g: np.ndarray) -> np.ndarray:
            # The derivative of x⁰ is 0 also at x = 0, where the formula would give 0 · ∞.
            return g * exponent * self.data ** (exponent - 1) if exponent else 0 * g

        return record("pow", self.data**exponent, (self, rule))

    def __matmul__(self, other: Any) -> Tensor:
        x, y = as_tensors(self, other)
        if y.data.ndim == 1:
            return (x @ y.reshape(-1, 1))[..., 0]  # (..., M, K) @ (K, 1) -> (..., M)
        if x.data.ndim == 1:
            return (x.reshape(1, -1) @ y)[..., 0, :]  # (1, K) @ (..., K, N) -> (..., N)
        return record(
            "matmul",
            x.data @ y.data,  # (..., M, K) @ (..., K, N) -> (..., M, N)
            (x, lambda g: g @ y.data.swapaxes(-1, -2)),  # (..., M, N) @ (..., N, K)
            (y, lambda g: x.data.swapaxes(-1, -2) @ g),  # (..., K, M) @ (..., M, N)
        )

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Tensor:
        x, y = as_tensors(other, self)
        return x - y

    def __rtruediv__(self, other: Any) -> Tensor:
        x, y = as_tensors(other, self)
        return x / y

    def __rmatmul__(self, other: Any) -> Tensor:
        x, y = as_tensors(other, self)
        return x @ y

    def _in_place(self, result: Tensor) -> Tensor:
        """Return what `x += y` assigns to x; in a recording, a new tensor as `x = x + y` does."""
        if _recording.get():
            if self.requires_grad and not self.inputs:
                raise RuntimeError("Change a tensor that requires a gradient only in `no_grad()`.")
            return result
        check_shape("result", result.data, self.shape)
        self.data[...] = result.data
        return self

    def __iadd__(self, other: Any) -> Tensor:
        return self._in_place(self + other)

    def __isub__(self, other: Any) -> Tensor:
        return self._in_place(self - other)

    def __imul__(self, other: Any) -> Tensor:
        return self._in_place(self * other)

    def __itruediv__(self, other: Any) -> Tensor:
        return self._in_place(self / other)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the sum along `axis`, or of all numbers."""
        total = self.data.sum(axis, keepdims=True)
        return self._reduce("sum", total, axis, keepdims, lambda g: np.broadcast_to(g, self.shape))

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the mean along `axis`, or of all numbers."""
        total = self.sum(axis, keepdims)
        return total / (self.data.size // max(total.data.size, 1))

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the largest number along `axis`, or of all; equal ones share the gradient."""
        largest = self.data.max(axis, keepdims=True)
        mask = self.data == largest
        share = mask / mask.sum(axis, keepdims=True)
        return self._reduce("max", largest, axis, keepdims, lambda g: g * share)

    def _reduce(
        self, operation: str, data: np.ndarray, axis: Axis, keepdims: bool, rule: Rule
    ) -> Tensor:
        """Record a reduction; `data` and `rule` keep the reduced axes, with size 1."""
        output = data if keepdims else data.squeeze(axis)
        return record(operation, output, (self, lambda g: rule(g.reshape(data.shape))))

    def reshape(self, *shape: int) -> Tensor:
        """Return the same numbers in another shape; −1 stands for the size that is left over."""
        return record("reshape", self.data.reshape(shape), (self, lambda g: g.reshape(self.shape)))

    def permute(self, *axes: int) -> Tensor:
        """Return the same numbers with the axes in another order."""
        inverse = np.argsort([axis % self.data.ndim for axis in axes])
        return record("permute", self.data.transpose(axes), (self, lambda g: g.transpose(inverse)))

    def transpose(self, axis0: int, axis1: int) -> Tensor:
        """Return the same numbers with two axes exchanged."""
        return record(
            "transpose",
            self.data.swapaxes(axis0, axis1),
            (self, lambda g: g.swapaxes(axis0, axis1)),
        )

    @property
    def T(self) -> Tensor:  # noqa: N802  (the name is PyTorch's)
        """The transposed matrix: all axes in reverse order."""
        return self.permute(*reversed(range(self.data.ndim)))

    def __getitem__(self, index: Any) -> Tensor:
        def rule(g: np.ndarray) -> np.ndarray:
            grad = np.zeros(self.shape, g.dtype)
            np.add.at(grad, index, g)  # `grad[index] += g` would count a repeated index once.
            return grad

        return record("getitem", self.data[index], (self, rule))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __repr__(self) -> str:
        text = "tensor" + repr(self.data)[len("array") : -1].replace("\n", "\n ")
        if self.operation:
            return f"{text}, grad_fn=<{self.operation}>)"
        return f"{text}, requires_grad=True)" if self.requires_grad else f"{text})"


def record(operation: str, data: ArrayLike, *inputs: tuple[Tensor, Rule]) -> Tensor:
    """Return the output of an operation, which remembers its inputs and their rules.

    Args:
        operation: the name of the operation.
        data: the output. It is not copied.
        *inputs: each input with its rule, which turns ∂L/∂output into ∂L/∂input. A rule need not
            undo broadcasting: `backward` sums its result to the shape of the input.

    Example:
        >>> def sin(x):
        ...     return record("sin", np.sin(x.data), (x, lambda g: g * np.cos(x.data)))
        >>> x = Tensor(0.0, requires_grad=True)
        >>> sin(x).backward()
        >>> x.grad
        array(1.)

    Taught in: book/algorithms/automatic_differentiation.md
    """
    output = Tensor(0.0)
    output.data = np.asarray(data)
    if _recording.get():
        output.inputs = tuple((x, rule) for x, rule in inputs if x.requires_grad)
        output.requires_grad = bool(output.inputs)
        output.operation = operation if output.inputs else ""
    return output


def as_tensors(*values: Any) -> list[Tensor]:
    """Return tensors; a plain number takes the type of its company, so float32 stays float32."""
    arrays = [value.data if isinstance(value, Tensor) else value for value in values]
    for array in arrays:
        if not isinstance(array, int | float | np.ndarray | np.generic):
            raise TypeError(f"An operand (={array!r}) must be a tensor, an array or a number.")
    dtype = np.result_type(*arrays)
    return [
        value if isinstance(value, Tensor) else Tensor(np.asarray(value, dtype)) for value in values
    ]


def sum_to_shape(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Undo broadcasting to `shape`: a number that was used often sums up its gradients."""
    if grad.shape == shape:
        return grad
    added = grad.ndim - len(shape)  # Broadcasting adds axes on the left,
    stretched = [added + axis for axis, size in enumerate(shape) if size == 1]  # and fills these.
    return grad.sum((*range(added), *stretched)).reshape(shape)

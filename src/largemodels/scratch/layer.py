"""What every layer has in common: parameters, a forward pass and a backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

__all__ = ["Differentiable", "Layer", "Parameter", "check_shape"]


def check_shape(name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    """Raise a `ValueError` that names both shapes, unless `array` has the expected one.

    Args:
        name: the name of the argument.
        array: the array.
        expected: the shape that it must have.

    Raises:
        ValueError: if the shape is another one.

    Example:
        >>> check_shape("x", np.zeros((2, 3)), (2, 4))
        Traceback (most recent call last):
        ValueError: `x` must have shape (2, 4), got (2, 3).

    Taught in: book/algorithms/backpropagation.md
    """
    if np.shape(array) != expected:
        raise ValueError(f"`{name}` must have shape {expected}, got {np.shape(array)}.")


class Parameter:
    """An array that is learned, and the gradient of the loss with respect to it.

    Args:
        data: the values, floating-point numbers. They are copied.

    Attributes:
        data: the values. An optimizer changes them in place.
        grad: the gradient, of the shape of `data`; `None` before the first backward pass.

    Raises:
        ValueError: if `data` holds no floating-point numbers, or if a gradient of another shape
            is assigned.

    Example:
        >>> weight = Parameter(np.zeros((2, 3)))
        >>> weight
        Parameter(shape=(2, 3), dtype=float64)
        >>> weight.grad is None
        True

    Taught in: book/algorithms/backpropagation.md
    """

    def __init__(self, data: np.ndarray) -> None:
        self.data = np.array(data)
        if not np.issubdtype(self.data.dtype, np.floating):
            raise ValueError(f"`data` must hold floating-point numbers, got {self.data.dtype}.")
        self._grad: np.ndarray | None = None

    @property
    def grad(self) -> np.ndarray | None:
        """The gradient that the last backward pass assigned."""
        return self._grad

    @grad.setter
    def grad(self, grad: np.ndarray | None) -> None:
        # A gradient of another shape could broadcast, and the optimizer would not notice.
        if grad is not None:
            check_shape("grad", grad, self.data.shape)
        self._grad = grad

    def __repr__(self) -> str:
        return f"Parameter(shape={self.data.shape}, dtype={self.data.dtype})"


class Differentiable:
    """A computation that remembers, on the way forward, what it needs on the way back.

    `forward` assigns to `self.saved`, `backward` reads it. Arrays are remembered and not copied:
    do not change an input between the two passes.

    Example:
        >>> class Square(Differentiable):
        ...     def forward(self, x):
        ...         self.saved = x
        ...         return x**2
        ...     def backward(self, grad_output):
        ...         return 2 * self.saved * grad_output
        >>> square = Square()
        >>> square(3.0), square.backward(1.0)
        (9.0, 6.0)

    Taught in: book/algorithms/backpropagation.md
    """

    _saved: Any = None

    @property
    def saved(self) -> Any:
        """What the last forward pass left for the backward pass."""
        if self._saved is None:
            raise RuntimeError(
                f"{type(self).__name__}: call forward before backward. "
                "The backward pass needs what the forward pass computed."
            )
        return self._saved

    @saved.setter
    def saved(self, value: Any) -> None:
        self._saved = value

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Compute the output."""
        raise NotImplementedError(f"{type(self).__name__} has no forward pass.")

    def backward(self, *grads: Any, **options: Any) -> Any:
        """Compute the gradient with respect to the input."""
        raise NotImplementedError(f"{type(self).__name__} has no backward pass.")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Call `forward`."""
        return self.forward(*inputs, **options)

    def __getstate__(self) -> dict[str, Any]:
        # A pickled or copied layer keeps its parameters, and drops the last batch that it saw.
        return {name: value for name, value in vars(self).items() if name != "_saved"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Layer(Differentiable):
    """The base of every layer.

    forward:   y = f(x; θ)
    backward:  from ∂L/∂y compute ∂L/∂θ, kept in each parameter's `grad`, and return ∂L/∂x

    A new layer assigns its `Parameter`s and its inner layers to attributes and defines `forward`
    and `backward`. `backward` assigns gradients and does not add to older ones. Arrays that are
    state but not learned, such as running statistics, are attributes named in `buffer_names`.

    Attributes:
        training: `True` while the network learns, `False` while it is evaluated.
        buffer_names: the names of the layer's own buffers.

    Shape:
        as the layer says; the gradient of an input has the shape of the input

    Raises:
        RuntimeError: if `backward` is called before `forward`.
        ValueError: if a `state_dict` to load has other names or shapes.

    Example:
        >>> class Scale(Layer):
        ...     def __init__(self):
        ...         self.factor = Parameter(np.array([2.0]))
        ...     def forward(self, x):
        ...         self.saved = x
        ...         return self.factor.data * x
        ...     def backward(self, grad_output):
        ...         self.factor.grad = np.array([(grad_output * self.saved).sum()])
        ...         return self.factor.data * grad_output
        >>> layer = Scale()
        >>> layer(np.array([1.0, 3.0]))
        array([2., 6.])
        >>> layer.backward(np.array([1.0, 1.0]))
        array([2., 2.])
        >>> layer.factor.grad
        array([4.])

    Taught in: book/algorithms/backpropagation.md
    """

    training = True
    buffer_names: tuple[str, ...] = ()

    def named_children(self) -> list[tuple[str, Layer]]:
        """Return the inner layers with their names."""
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Layer)]

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """Return all parameters with their names: first the layer's own, then the inner layers'."""
        own = [(name, value) for name, value in vars(self).items() if isinstance(value, Parameter)]
        inner = [
            (f"{child_name}.{name}", parameter)
            for child_name, child in self.named_children()
            for name, parameter in child.named_parameters()
        ]
        return own + inner

    def parameters(self) -> list[Parameter]:
        """Return all parameters, in the order of `named_parameters`."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self) -> list[tuple[str, np.ndarray]]:
        """Return all buffers with their names, in the order of `named_parameters`."""
        own = [(name, getattr(self, name)) for name in self.buffer_names]
        inner = [
            (f"{child_name}.{name}", buffer)
            for child_name, child in self.named_children()
            for name, buffer in child.named_buffers()
        ]
        return own + inner

    def _named_arrays(self) -> dict[str, np.ndarray]:
        """Return what `state_dict` copies: the parameters' values and the buffers."""
        parameters = {name: parameter.data for name, parameter in self.named_parameters()}
        return parameters | dict(self.named_buffers())

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return a copy of all parameters' values and all buffers, with PyTorch's names."""
        return {name: array.copy() for name, array in self._named_arrays().items()}

    def load_state_dict(self, state_dict: Mapping[str, np.ndarray]) -> None:
        """Overwrite all parameters and buffers; nothing changes if a name or a shape is wrong."""
        arrays = self._named_arrays()
        missing = sorted(arrays.keys() - state_dict.keys())
        unexpected = sorted(state_dict.keys() - arrays.keys())
        if missing or unexpected:
            raise ValueError(f"`state_dict` lacks {missing} and has the unexpected {unexpected}.")
        for name, array in arrays.items():
            check_shape(name, state_dict[name], array.shape)
        for name, array in arrays.items():
            array[...] = state_dict[name]

    def train(self, mode: bool = True) -> Self:
        """Switch this layer and its inner layers to training, and return the layer."""
        self.training = mode
        for _, child in self.named_children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Switch this layer and its inner layers to evaluation, and return the layer."""
        return self.train(False)

    def extra_repr(self) -> str:
        """Return what stands between the brackets of `repr`: the layer's settings."""
        return ""

    def __repr__(self) -> str:
        children = [
            f"  ({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()
        ]
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        return "\n".join([f"{type(self).__name__}(", *children, ")"])

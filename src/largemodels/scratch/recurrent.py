"""Recurrent layers: read a sequence step by step, and remember.

This file holds what all recurrent layers share, and the plain recurrent network; `lstm.py` and
`gru.py` hold the two with gates.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.layer import Layer, Parameter, check_shape

__all__ = ["RNN", "RecurrentLayer"]


class RecurrentLayer(Layer):
    """The base of RNN, LSTM and GRU: one layer, one direction, the batch first.

    aₜ = W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh

    Each layer turns the numbers aₜ into its next state in its own way. Only W_hh hₜ₋₁ has to wait
    for the step before, so all other products are computed for all steps at once. Inside, the time
    comes first, because the numbers of one step then lie side by side: (T, N, features).

    Names, shapes, order of the gates and initial distribution are those of PyTorch's layers with
    `batch_first=True`, so a `state_dict` moves to PyTorch and back. As there, a state has a first
    axis for the number of layers, which is 1 here.

    Args:
        input_size: the size I of an input xₜ.
        hidden_size: the size H of the state hₜ.
        bias: whether there are b_ih and b_hh.
        rng: the random generator of the initial parameters; `None` takes a new one.
        dtype: the type of the parameters.

    Attributes:
        weight_ih_l0: W_ih, shape (gates · H, I); the blocks of H rows belong to one gate each.
        weight_hh_l0: W_hh, shape (gates · H, H).
        bias_ih_l0: b_ih, shape (gates · H,), or `None`.
        bias_hh_l0: b_hh, shape (gates · H,), or `None`.

    Shape:
        x (N, T, I), states (1, N, H) -> (N, T, H), and the last state in the shape of the first

    Raises:
        ValueError: if a size is below 1, or an input, a state or a gradient has a wrong shape.

    Example:
        >>> issubclass(RNN, RecurrentLayer), RNN.gates
        (True, 1)
        >>> RNN(2, 3)
        RNN(2, 3, batch_first=True)

    Taught in: book/algorithms/recurrent_networks.md
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if input_size < 1:
            raise ValueError(f"`input_size` (={input_size}) must be at least 1.")
        if hidden_size < 1:
            raise ValueError(f"`hidden_size` (={hidden_size}) must be at least 1.")
        rng = np.random.default_rng(rng)
        self.input_size = input_size
        self.hidden_size = hidden_size
        rows = self.gates * hidden_size
        limit = 1 / math.sqrt(hidden_size)

        def uniform(*shape: int) -> Parameter:
            return Parameter(rng.uniform(-limit, limit, shape).astype(dtype))

        self.weight_ih_l0 = uniform(rows, input_size)
        self.weight_hh_l0 = uniform(rows, hidden_size)
        self.bias_ih_l0 = uniform(rows) if bias else None
        self.bias_hh_l0 = uniform(rows) if bias else None

    def extra_repr(self) -> str:
        """Return the sizes, as PyTorch prints them."""
        bias = "" if self.bias_ih_l0 is not None else "bias=False, "
        return f"{self.input_size}, {self.hidden_size}, {bias}batch_first=True"

    def _time_first(self, x: np.ndarray) -> np.ndarray:
        """Check an input, and return it with the time first."""
        if x.ndim != 3 or x.shape[2] != self.input_size:
            raise ValueError(f"`x` must have shape (N, T, {self.input_size}), got {x.shape}.")
        if x.shape[1] == 0:
            raise ValueError(f"`x` must have at least one step, got shape {x.shape}.")
        return np.ascontiguousarray(x.swapaxes(0, 1))  # (N, T, I) -> (T, N, I)

    def _biases(self) -> tuple[np.ndarray, np.ndarray]:
        """Return b_ih and b_hh, zeros where there are none."""
        if self.bias_ih_l0 is None or self.bias_hh_l0 is None:
            zeros = np.zeros(len(self.weight_ih_l0.data), self.weight_ih_l0.data.dtype)
            return zeros, zeros
        return self.bias_ih_l0.data, self.bias_hh_l0.data

    def _project(self, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Return W_ih xₜ + bias for all steps at once, shape (T, N, gates · H)."""
        steps, n, input_size = x.shape
        rows = x.reshape(steps * n, input_size)  # (T, N, I) -> (T N, I)
        a = rows @ self.weight_ih_l0.data.T  # (T N, I) @ (I, G) -> (T N, G)
        a += bias
        return a.reshape(steps, n, len(bias))  # (T N, G) -> (T, N, G)

    def _states(self, name: str, initial: np.ndarray | None, a: np.ndarray) -> np.ndarray:
        """Return room for T + 1 states, shape (T + 1, N, H); the first one is the initial state."""
        steps, n, _ = a.shape
        states = np.empty((steps + 1, n, self.hidden_size), a.dtype)
        if initial is None:
            states[0] = 0
        else:
            check_shape(name, initial, (1, n, self.hidden_size))
            states[0] = initial[0]
        return states

    def _blocks(self, a: np.ndarray) -> np.ndarray:
        """Return a view with one block for each gate, (T, N, gates · H) -> (gates, T, N, H)."""
        return np.moveaxis(a.reshape(*a.shape[:2], self.gates, self.hidden_size), 2, 0)

    def _grad_output(self, grad_output: np.ndarray | None, h: np.ndarray) -> np.ndarray:
        """Check ∂L/∂output, and return it with the time first; `None` counts as zeros."""
        steps, n, hidden_size = len(h) - 1, *h.shape[1:]
        if grad_output is None:
            return np.broadcast_to(np.zeros((), h.dtype), (steps, n, hidden_size))
        check_shape("grad_output", grad_output, (n, steps, hidden_size))
        return grad_output.swapaxes(0, 1)  # (N, T, H) -> (T, N, H)

    def _grad_state(self, name: str, grad: np.ndarray | None, h: np.ndarray) -> np.ndarray:
        """Return a copy of the gradient of a last state, (1, N, H) -> (N, H); `None` is zeros."""
        if grad is None:
            return np.zeros_like(h[0])
        check_shape(name, grad, (1, *h.shape[1:]))
        return grad[0].astype(h.dtype)

    def _backward_products(
        self, x: np.ndarray, h: np.ndarray, grad_ih: np.ndarray, grad_hh: np.ndarray
    ) -> np.ndarray:
        """Set the gradients of all parameters, and return ∂L/∂x, shape (N, T, I).

        A parameter serves every step, so its gradient is a sum over all steps: one product.

        Args:
            x: the inputs, shape (T, N, I).
            h: all states from h₀ to h_T, shape (T + 1, N, H).
            grad_ih: ∂L/∂(W_ih xₜ + b_ih), shape (T, N, gates · H).
            grad_hh: ∂L/∂(W_hh hₜ₋₁ + b_hh), the same shape.
        """
        shape = x.shape
        x, h_before, grad_ih, grad_hh = (
            array.reshape(shape[0] * shape[1], array.shape[2])  # (T, N, ...) -> (T N, ...)
            for array in (x, h[:-1], grad_ih, grad_hh)
        )
        self.weight_ih_l0.grad = grad_ih.T @ x  # (G, T N) @ (T N, I) -> (G, I)
        self.weight_hh_l0.grad = grad_hh.T @ h_before  # (G, T N) @ (T N, H) -> (G, H)
        if self.bias_ih_l0 is not None and self.bias_hh_l0 is not None:
            self.bias_ih_l0.grad = grad_ih.sum(axis=0)  # (T N, G) -> (G,)
            self.bias_hh_l0.grad = grad_hh.sum(axis=0)
        grad_x = grad_ih @ self.weight_ih_l0.data  # (T N, G) @ (G, I) -> (T N, I)
        return grad_x.reshape(shape).swapaxes(0, 1)  # (T N, I) -> (T, N, I) -> (N, T, I)


def sigmoid_(x: np.ndarray) -> None:
    """Replace every number by its sigmoid, without a new array.

    σ(x) = (1 + tanh(x / 2)) / 2
    """
    x *= 0.5
    np.tanh(x, out=x)
    x += 1
    x *= 0.5


class RNN(RecurrentLayer):
    """The plain recurrent layer: the new state depends on the input and on the state before.

    forward:   hₜ = tanh(aₜ),  aₜ = W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh
    backward:  ∂L/∂hₜ = ∂L/∂outputₜ + W_hhᵀ ∂L/∂aₜ₊₁,  from the last step to the first
               ∂L/∂aₜ = ∂L/∂hₜ · (1 − hₜ²),  ∂L/∂xₜ = W_ihᵀ ∂L/∂aₜ
               ∂L/∂W_hh = Σₜ ∂L/∂aₜ hₜ₋₁ᵀ,  ∂L/∂W_ih = Σₜ ∂L/∂aₜ xₜᵀ,  ∂L/∂b = Σₜ ∂L/∂aₜ

    Equal to `torch.nn.RNN(input_size, hidden_size, batch_first=True)`.

    Args:
        input_size: the size I of an input xₜ.
        hidden_size: the size H of the state hₜ.
        bias: whether there are b_ih and b_hh.
        rng: the random generator of the initial parameters; `None` takes a new one.
        dtype: the type of the parameters.

    Attributes:
        weight_ih_l0: W_ih, shape (H, I).
        weight_hh_l0: W_hh, shape (H, H).
        bias_ih_l0: b_ih, shape (H,), or `None`.
        bias_hh_l0: b_hh, shape (H,), or `None`.

    Shape:
        x (N, T, I), h₀ (1, N, H) -> (N, T, H), and the last state in the shape of the first

    Raises:
        ValueError: if a size is below 1, or an input, a state or a gradient has a wrong shape.

    Source:
        Elman, "Finding structure in time", Cognitive Science 14, 1990. Back-propagation through
        time: Werbos, "Backpropagation through time: what it does and how to do it", Proceedings of
        the IEEE 78, 1990.

    Example:
        >>> layer = RNN(1, 1, bias=False, dtype=np.float64)
        >>> layer.weight_ih_l0.data[...] = 1
        >>> layer.weight_hh_l0.data[...] = 1
        >>> output, h_n = layer(np.array([[[0.5], [0.0], [0.0]]]))  # One input, then an echo.
        >>> output.round(3)
        array([[[0.462],
                [0.432],
                [0.407]]])
        >>> grad_x, grad_h0 = layer.backward(None, np.ones((1, 1, 1)))
        >>> grad_x.round(3)  # What the last state would gain from a larger input at each step.
        array([[[0.534],
                [0.679],
                [0.834]]])

    Taught in: book/algorithms/recurrent_networks.md
    """

    def forward(self, x: np.ndarray, h0: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the states of all steps and the last one.

        Args:
            x: the sequences, shape (N, T, I).
            h0: the state before the first step, shape (1, N, H); `None` is zeros.

        Returns:
            The states h₁ … h_T, shape (N, T, H), and h_T, shape (1, N, H).
        """
        x = self._time_first(x)
        b_ih, b_hh = self._biases()
        a = self._project(x, b_ih + b_hh)  # (T, N, H)
        h = self._states("h0", h0, a)  # (T + 1, N, H)
        w_hh = np.ascontiguousarray(self.weight_hh_l0.data.T)  # In order in memory, for T products.
        for t in range(len(x)):
            a[t] += h[t] @ w_hh  # (N, H) @ (H, H) -> (N, H)
            np.tanh(a[t], out=h[t + 1])
        self.saved = x, h
        return h[1:].swapaxes(0, 1).copy(), h[-1:].copy()  # (T, N, H) -> (N, T, H)

    def backward(
        self, grad_output: np.ndarray | None, grad_h_n: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Set the gradients of all parameters, and return those of the two inputs.

        Args:
            grad_output: ∂L/∂output, shape (N, T, H); `None` if the loss does not use the output.
            grad_h_n: ∂L/∂h_T, shape (1, N, H); `None` if the loss does not use the last state.

        Returns:
            ∂L/∂x, shape (N, T, I), and ∂L/∂h₀, shape (1, N, H).
        """
        x, h = self.saved
        grad_output = self._grad_output(grad_output, h)
        grad_h = self._grad_state("grad_h_n", grad_h_n, h)
        grad_a = np.empty_like(h[1:])
        w_hh = self.weight_hh_l0.data
        for t in reversed(range(len(x))):
            grad_h += grad_output[t]
            np.multiply(grad_h, 1 - h[t + 1] ** 2, out=grad_a[t])
            grad_h = grad_a[t] @ w_hh  # (N, H) @ (H, H) -> (N, H)
        return self._backward_products(x, h, grad_a, grad_a), grad_h[None]

"""Long short-term memory: a cell that keeps what it knows until a gate opens."""

from __future__ import annotations

import numpy as np

from largemodels.scratch.recurrent import RecurrentLayer, sigmoid_

__all__ = ["LSTM"]

State = tuple[np.ndarray, np.ndarray]
StateGradient = tuple[np.ndarray | None, np.ndarray | None]


class LSTM(RecurrentLayer):
    """Long short-term memory: gates decide what the cell takes in, forgets and shows.

    forward:   iₜ = σ(W_ii xₜ + b_ii + W_hi hₜ₋₁ + b_hi)       the input gate
               fₜ = σ(W_if xₜ + b_if + W_hf hₜ₋₁ + b_hf)       the forget gate
               gₜ = tanh(W_ig xₜ + b_ig + W_hg hₜ₋₁ + b_hg)    the candidate
               oₜ = σ(W_io xₜ + b_io + W_ho hₜ₋₁ + b_ho)       the output gate
               cₜ = fₜ cₜ₋₁ + iₜ gₜ                            the cell
               hₜ = oₜ tanh(cₜ)                                the state
    backward:  ∂L/∂hₜ = ∂L/∂outputₜ + W_hhᵀ ∂L/∂aₜ₊₁,  from the last step to the first
               ∂L/∂cₜ = ∂L/∂cₜ₊₁ fₜ₊₁ + ∂L/∂hₜ oₜ (1 − tanh²(cₜ))
               ∂L/∂a_i = ∂L/∂cₜ gₜ iₜ (1 − iₜ),    ∂L/∂a_f = ∂L/∂cₜ cₜ₋₁ fₜ (1 − fₜ)
               ∂L/∂a_g = ∂L/∂cₜ iₜ (1 − gₜ²),      ∂L/∂a_o = ∂L/∂hₜ tanh(cₜ) oₜ (1 − oₜ)

    Here aₜ are the four numbers in the brackets of σ and tanh, and products are element by element.
    On the way back through the cell, the gradient is multiplied by fₜ and by no matrix: while the
    forget gate is open, it does not vanish.

    Equal to `torch.nn.LSTM(input_size, hidden_size, batch_first=True)`.

    Args:
        input_size: the size I of an input xₜ.
        hidden_size: the size H of the state hₜ and of the cell cₜ.
        bias: whether there are b_ih and b_hh.
        rng: the random generator of the initial parameters; `None` takes a new one.
        dtype: the type of the parameters.

    Attributes:
        weight_ih_l0: W_ii, W_if, W_ig, W_io, one above the other, shape (4 H, I).
        weight_hh_l0: W_hi, W_hf, W_hg, W_ho, one above the other, shape (4 H, H).
        bias_ih_l0: b_ii, b_if, b_ig, b_io, shape (4 H,), or `None`.
        bias_hh_l0: b_hi, b_hf, b_hg, b_ho, shape (4 H,), or `None`.

    Shape:
        x (N, T, I), h₀ and c₀ (1, N, H) -> (N, T, H), and the last state in the shape of the first

    Raises:
        ValueError: if a size is below 1, or an input, a state or a gradient has a wrong shape.

    Source:
        Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9, 1997. The forget
        gate: Gers, Schmidhuber and Cummins, "Learning to forget", Neural Computation 12, 2000.

    Example:
        >>> layer = LSTM(1, 1, dtype=np.float64)
        >>> for parameter in layer.parameters():
        ...     parameter.data[...] = 0
        >>> layer.bias_ih_l0.data[:] = [-9, 9, 0, 9]  # Take nothing in, forget nothing, show all.
        >>> x = np.random.default_rng(0).standard_normal((1, 100, 1))
        >>> output, (h_n, c_n) = layer(x, (np.zeros((1, 1, 1)), np.full((1, 1, 1), 0.5)))
        >>> c_n.round(3)  # 0.5 · σ(9)¹⁰⁰
        array([[[0.494]]])
        >>> grad_x, (grad_h0, grad_c0) = layer.backward(None, (None, np.ones((1, 1, 1))))
        >>> grad_c0.round(3)  # σ(9)¹⁰⁰
        array([[[0.988]]])

    Taught in: book/algorithms/recurrent_networks.md
    """

    gates = 4

    def forward(self, x: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
        """Return the states of all steps, and the last state with the last cell.

        Args:
            x: the sequences, shape (N, T, I).
            state: h0 and c0, state and cell before the first step, each of shape (1, N, H);
                `None` is zeros.

        Returns:
            The states h₁ … h_T, shape (N, T, H), and the pair of h_T and c_T, each (1, N, H).
        """
        h0, c0 = _pair("state", "(h0, c0)", state)
        x = self._time_first(x)
        b_ih, b_hh = self._biases()
        a = self._project(x, b_ih + b_hh)  # (T, N, 4 H)
        # The gates take the place of the numbers aₜ, which no one needs again.
        i, f, g, o = self._blocks(a)
        h = self._states("h0", h0, a)  # (T + 1, N, H)
        c = self._states("c0", c0, a)
        tanh_c = np.empty_like(c[1:])
        w_hh = np.ascontiguousarray(self.weight_hh_l0.data.T)  # In order in memory, for T products.
        for t in range(len(x)):
            a[t] += h[t] @ w_hh  # (N, H) @ (H, 4 H) -> (N, 4 H)
            sigmoid_(i[t])
            sigmoid_(f[t])
            np.tanh(g[t], out=g[t])
            sigmoid_(o[t])
            np.multiply(f[t], c[t], out=c[t + 1])
            c[t + 1] += i[t] * g[t]
            np.tanh(c[t + 1], out=tanh_c[t])
            np.multiply(o[t], tanh_c[t], out=h[t + 1])
        self.saved = x, h, c, a, tanh_c
        output = h[1:].swapaxes(0, 1).copy()  # (T, N, H) -> (N, T, H)
        return output, (h[-1:].copy(), c[-1:].copy())

    def backward(
        self, grad_output: np.ndarray | None, grad_state: StateGradient | None = None
    ) -> tuple[np.ndarray, State]:
        """Set the gradients of all parameters, and return those of the inputs.

        Args:
            grad_output: ∂L/∂output, shape (N, T, H); `None` if the loss does not use the output.
            grad_state: ∂L/∂h_T and ∂L/∂c_T, each of shape (1, N, H); `None` for each that the
                loss does not use.

        Returns:
            ∂L/∂x, shape (N, T, I), and the pair of ∂L/∂h₀ and ∂L/∂c₀, each (1, N, H).
        """
        x, h, c, a, tanh_c = self.saved
        i, f, g, o = self._blocks(a)
        grad_h_n, grad_c_n = _pair("grad_state", "(grad_h_n, grad_c_n)", grad_state)
        grad_output = self._grad_output(grad_output, h)
        grad_h = self._grad_state("grad_h_n", grad_h_n, h)
        grad_c = self._grad_state("grad_c_n", grad_c_n, c)
        grad_a = np.empty_like(a)
        grad_i, grad_f, grad_g, grad_o = self._blocks(grad_a)
        w_hh = self.weight_hh_l0.data
        for t in reversed(range(len(x))):
            grad_h += grad_output[t]
            grad_c += grad_h * o[t] * (1 - tanh_c[t] ** 2)
            grad_i[t] = grad_c * g[t] * i[t] * (1 - i[t])
            grad_f[t] = grad_c * c[t] * f[t] * (1 - f[t])  # c[t] is cₜ₋₁: c[0] is c₀.
            grad_g[t] = grad_c * i[t] * (1 - g[t] ** 2)
            grad_o[t] = grad_h * tanh_c[t] * o[t] * (1 - o[t])
            grad_c *= f[t]
            grad_h = grad_a[t] @ w_hh  # (N, 4 H) @ (4 H, H) -> (N, H)
        grad_x = self._backward_products(x, h, grad_a, grad_a)
        return grad_x, (grad_h[None], grad_c[None])


def _pair(name: str, parts: str, pair: StateGradient | None) -> StateGradient:
    """Check that an argument is a pair; `None` is a pair of them."""
    if pair is None:
        return None, None
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ValueError(f"`{name}` must be the pair {parts}, got {type(pair).__name__}.")
    return pair

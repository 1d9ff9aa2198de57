"""The gated recurrent unit: the gates of an LSTM with one memory instead of two."""

from __future__ import annotations

import numpy as np

from largemodels.scratch.recurrent import RecurrentLayer, sigmoid_

__all__ = ["GRU"]


class GRU(RecurrentLayer):
    """The gated recurrent unit: a gate decides how much of the old state stays.

    forward:   rₜ = σ(W_ir xₜ + b_ir + W_hr hₜ₋₁ + b_hr)       the reset gate
               zₜ = σ(W_iz xₜ + b_iz + W_hz hₜ₋₁ + b_hz)       the update gate
               mₜ = W_hn hₜ₋₁ + b_hn
               nₜ = tanh(W_in xₜ + b_in + rₜ mₜ)               the candidate
               hₜ = (1 − zₜ) nₜ + zₜ hₜ₋₁                      the state
    backward:  ∂L/∂hₜ = ∂L/∂outputₜ + zₜ₊₁ ∂L/∂hₜ₊₁ + W_hhᵀ ∂L/∂(W_hh hₜ + b_hh)
               ∂L/∂a_n = ∂L/∂hₜ (1 − zₜ) (1 − nₜ²),  ∂L/∂mₜ = rₜ ∂L/∂a_n
               ∂L/∂a_z = ∂L/∂hₜ (hₜ₋₁ − nₜ) zₜ (1 − zₜ)
               ∂L/∂a_r = ∂L/∂a_n mₜ rₜ (1 − rₜ)

    Here a are the numbers in the brackets of σ and tanh, and products are element by element.
    As in PyTorch, the reset gate acts after the product with W_hn, and z is the share of the old
    state; the paper has the gate before the product.

    Equal to `torch.nn.GRU(input_size, hidden_size, batch_first=True)`.

    Args:
        input_size: the size I of an input xₜ.
        hidden_size: the size H of the state hₜ.
        bias: whether there are b_ih and b_hh.
        rng: the random generator of the initial parameters; `None` takes a new one.
        dtype: the type of the parameters.

    Attributes:
        weight_ih_l0: W_ir, W_iz, W_in, one above the other, shape (3 H, I).
        weight_hh_l0: W_hr, W_hz, W_hn, one above the other, shape (3 H, H).
        bias_ih_l0: b_ir, b_iz, b_in, shape (3 H,), or `None`.
        bias_hh_l0: b_hr, b_hz, b_hn, shape (3 H,), or `None`.

    Shape:
        x (N, T, I), h₀ (1, N, H) -> (N, T, H), and the last state in the shape of the first

    Raises:
        ValueError: if a size is below 1, or an input, a state or a gradient has a wrong shape.

    Source:
        Cho et al., "Learning phrase representations using RNN encoder–decoder for statistical
        machine translation", EMNLP 2014, equations 5 to 8.

    Example:
        >>> layer = GRU(1, 1, dtype=np.float64)
        >>> for parameter in layer.parameters():
        ...     parameter.data[...] = 0
        >>> layer.bias_ih_l0.data[:] = [0, 9, 0]  # The update gate keeps the old state.
        >>> x = np.random.default_rng(0).standard_normal((1, 100, 1))
        >>> output, h_n = layer(x, np.full((1, 1, 1), 0.5))
        >>> h_n.round(3)  # 0.5 · σ(9)¹⁰⁰
        array([[[0.494]]])

    Taught in: book/algorithms/recurrent_networks.md
    """

    gates = 3

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
        a = self._project(x, b_ih)  # (T, N, 3 H)
        # The gates take the place of the numbers aₜ, which no one needs again.
        r, z, n = self._blocks(a)
        h = self._states("h0", h0, a)  # (T + 1, N, H)
        m = np.empty_like(h[1:])
        w_hh = np.ascontiguousarray(self.weight_hh_l0.data.T)  # In order in memory, for T products.
        for t in range(len(x)):
            from_state = h[t] @ w_hh  # (N, H) @ (H, 3 H) -> (N, 3 H)
            from_state += b_hh
            from_r, from_z, m[t] = np.split(from_state, 3, axis=1)  # (N, 3 H) -> 3 × (N, H)
            r[t] += from_r
            sigmoid_(r[t])
            z[t] += from_z
            sigmoid_(z[t])
            n[t] += r[t] * m[t]
            np.tanh(n[t], out=n[t])
            np.subtract(h[t], n[t], out=h[t + 1])  # (1 − z) n + z h = n + z (h − n)
            h[t + 1] *= z[t]
            h[t + 1] += n[t]
        self.saved = x, h, a, m
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
        x, h, a, m = self.saved
        r, z, n = self._blocks(a)
        grad_output = self._grad_output(grad_output, h)
        grad_h = self._grad_state("grad_h_n", grad_h_n, h)
        # The two differ at the candidate: the reset gate stands between state and candidate.
        grad_ih = np.empty_like(a)
        grad_hh = np.empty_like(a)
        grad_r, grad_z, grad_n = self._blocks(grad_ih)
        _, _, grad_m = self._blocks(grad_hh)
        w_hh = self.weight_hh_l0.data
        for t in reversed(range(len(x))):
            grad_h += grad_output[t]
            grad_n[t] = grad_h * (1 - z[t]) * (1 - n[t] ** 2)
            grad_z[t] = grad_h * (h[t] - n[t]) * z[t] * (1 - z[t])  # h[t] is hₜ₋₁: h[0] is h₀.
            grad_r[t] = grad_n[t] * m[t] * r[t] * (1 - r[t])
            grad_hh[t] = grad_ih[t]
            grad_m[t] *= r[t]
            grad_h *= z[t]
            grad_h += grad_hh[t] @ w_hh  # (N, 3 H) @ (3 H, H) -> (N, H)
        return self._backward_products(x, h, grad_ih, grad_hh), grad_h[None]

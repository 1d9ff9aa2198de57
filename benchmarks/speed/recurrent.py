"""The recurrent layers, forward and backward through all steps."""

from collections.abc import Callable
from functools import partial

import numpy as np

from speed import Case

N, STEPS, IN, HIDDEN = 64, 32, 128, 128


def arrays(gates: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return the input, the upstream gradient and the parameters, equal for both sides."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, STEPS, IN), dtype=np.float32)
    # Sums over so many numbers, and still of size 1: the sides can be compared.
    grad_output = rng.standard_normal((N, STEPS, HIDDEN), dtype=np.float32) / (N * STEPS) ** 0.5
    shapes = {
        "weight_ih_l0": (gates * HIDDEN, IN),
        "weight_hh_l0": (gates * HIDDEN, HIDDEN),
        "bias_ih_l0": (gates * HIDDEN,),
        "bias_hh_l0": (gates * HIDDEN,),
    }
    limit = HIDDEN**-0.5
    parameters = {
        name: rng.uniform(-limit, limit, shape).astype(np.float32) for name, shape in shapes.items()
    }
    return x, grad_output.astype(np.float32), parameters


def scratch(name: str, gates: int) -> Callable[[], list]:
    from largemodels import scratch

    x, grad_output, parameters = arrays(gates)
    layer = getattr(scratch, name)(IN, HIDDEN)
    layer.load_state_dict(parameters)

    def forward_and_backward() -> list:
        output, _ = layer(x)
        grad_x, _ = layer.backward(grad_output)
        return [output, grad_x, *(p.grad for p in layer.parameters())]

    return forward_and_backward


def pytorch(name: str, gates: int) -> Callable[[], list]:
    import torch

    x, grad_output, parameters = arrays(gates)
    x, grad_output = torch.from_numpy(x).requires_grad_(), torch.from_numpy(grad_output)
    layer = getattr(torch.nn, name)(IN, HIDDEN, batch_first=True)
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in parameters.items()})

    def forward_and_backward() -> list:
        x.grad = None
        layer.zero_grad()
        output, _ = layer(x)
        output.backward(grad_output)
        return [output.detach(), x.grad, *(p.grad for p in layer.parameters())]

    return forward_and_backward


CASES = [
    Case(
        f"{name}, {N} × {STEPS} steps × {IN} → {HIDDEN} units, forward + backward",
        2.5,
        partial(scratch, name, gates),
        partial(pytorch, name, gates),
    )
    for name, gates in (("RNN", 1), ("LSTM", 4), ("GRU", 3))
]

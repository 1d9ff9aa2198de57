"""The fully connected layer, forward and backward."""

from collections.abc import Callable

import numpy as np

from speed import Case

N, IN, OUT = 256, 784, 256


def arrays() -> tuple[np.ndarray, ...]:
    """Return the input, the weight, the bias and the upstream gradient, equal for both sides."""
    rng = np.random.default_rng(0)
    shapes = [(N, IN), (OUT, IN), (OUT,), (N, OUT)]
    x, weight, bias, grad_output = (rng.standard_normal(s, dtype=np.float32) for s in shapes)
    return x, weight / np.float32(IN**0.5), bias, grad_output


def scratch() -> Callable[[], list]:
    from largemodels.scratch import Linear

    x, weight, bias, grad_output = arrays()
    layer = Linear(IN, OUT)
    layer.load_state_dict({"weight": weight, "bias": bias})

    def forward_and_backward() -> list:
        y = layer(x)
        return [y, layer.backward(grad_output), *(p.grad for p in layer.parameters())]

    return forward_and_backward


def pytorch() -> Callable[[], list]:
    import torch

    x, weight, bias, grad_output = (torch.from_numpy(array) for array in arrays())
    layer = torch.nn.Linear(IN, OUT)
    layer.load_state_dict({"weight": weight, "bias": bias})
    x.requires_grad_()

    def forward_and_backward() -> list:
        x.grad = None
        layer.zero_grad()
        y = layer(x)
        y.backward(grad_output)
        return [y.detach(), x.grad, *(p.grad for p in layer.parameters())]

    return forward_and_backward


CASES = [Case(f"linear layer, {N} × {IN} → {OUT}, forward + backward", 1.5, scratch, pytorch)]

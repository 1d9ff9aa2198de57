"""The convolution, forward and backward."""

from collections.abc import Callable
from functools import partial

import numpy as np

from speed import Case

N, CHANNELS, SIZE, FILTERS, KERNEL = 64, 16, 28, 32, 3


def arrays(padding: int) -> tuple[np.ndarray, ...]:
    """Return the input, the weight, the bias and the upstream gradient, equal for both sides."""
    rng = np.random.default_rng(0)
    out = SIZE + 2 * padding - KERNEL + 1
    shapes = [
        (N, CHANNELS, SIZE, SIZE),
        (FILTERS, CHANNELS, KERNEL, KERNEL),
        (FILTERS,),
        (N, FILTERS, out, out),
    ]
    x, weight, bias, grad_output = (rng.standard_normal(s, dtype=np.float32) for s in shapes)
    # Sums over so many numbers, and still of size 1: the sides can be compared.
    weight /= weight[0].size ** 0.5
    grad_output /= grad_output[:, 0].size ** 0.5
    return x, weight, bias, grad_output


def scratch(padding: int) -> Callable[[], list]:
    from largemodels.scratch import Conv2d

    x, weight, bias, grad_output = arrays(padding)
    layer = Conv2d(CHANNELS, FILTERS, KERNEL, padding=padding)
    layer.load_state_dict({"weight": weight, "bias": bias})

    def forward_and_backward() -> list:
        y = layer(x)
        return [y, layer.backward(grad_output), *(p.grad for p in layer.parameters())]

    return forward_and_backward


def pytorch(padding: int) -> Callable[[], list]:
    import torch

    x, weight, bias, grad_output = (torch.from_numpy(array) for array in arrays(padding))
    layer = torch.nn.Conv2d(CHANNELS, FILTERS, KERNEL, padding=padding)
    layer.load_state_dict({"weight": weight, "bias": bias})
    x.requires_grad_()

    def forward_and_backward() -> list:
        x.grad = None
        layer.zero_grad()
        y = layer(x)
        y.backward(grad_output)
        return [y.detach(), x.grad, *(p.grad for p in layer.parameters())]

    return forward_and_backward


CASES = [
    Case(
        f"convolution, {N} × {CHANNELS} × {SIZE} × {SIZE}, {FILTERS} filters {KERNEL} × {KERNEL}, "
        f"padding {padding}, forward + backward",
        3.0,
        partial(scratch, padding),
        partial(pytorch, padding),
    )
    for padding in (0, 1)
]

"""Max and average pooling, forward and backward."""

from collections.abc import Callable
from functools import partial

import numpy as np

from speed import Case

SHAPE = (64, 16, 28, 28)
# The name of the layer, the kernel size and the stride; the windows of the second one overlap.
SETTINGS = [("MaxPool2d", 2, 2), ("MaxPool2d", 3, 2), ("AvgPool2d", 2, 2)]


def arrays(kernel_size: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the input and the upstream gradient, equal for both sides."""
    rng = np.random.default_rng(0)
    out = (SHAPE[2] - kernel_size) // stride + 1
    x = rng.standard_normal(SHAPE, dtype=np.float32)
    return x, rng.standard_normal((*SHAPE[:2], out, out), dtype=np.float32)


def scratch(name: str, kernel_size: int, stride: int) -> Callable[[], list]:
    import largemodels.scratch

    x, grad_output = arrays(kernel_size, stride)
    layer = getattr(largemodels.scratch, name)(kernel_size, stride)

    def forward_and_backward() -> list:
        return [layer(x), layer.backward(grad_output)]

    return forward_and_backward


def pytorch(name: str, kernel_size: int, stride: int) -> Callable[[], list]:
    import torch

    x, grad_output = (torch.from_numpy(array) for array in arrays(kernel_size, stride))
    layer = getattr(torch.nn, name)(kernel_size, stride)
    x.requires_grad_()

    def forward_and_backward() -> list:
        x.grad = None
        y = layer(x)
        y.backward(grad_output)
        return [y.detach(), x.grad]

    return forward_and_backward


CASES = [
    Case(
        f"{'max' if name == 'MaxPool2d' else 'average'} pooling, "
        f"{' × '.join(map(str, SHAPE))}, windows {kernel_size} × {kernel_size}, stride {stride}, "
        "forward + backward",
        4.0,
        partial(scratch, name, kernel_size, stride),
        partial(pytorch, name, kernel_size, stride),
    )
    for name, kernel_size, stride in SETTINGS
]

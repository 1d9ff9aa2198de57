"""Multi-head self-attention, forward and backward.

PyTorch is not asked for the attention weights (`need_weights=False`, its faster way). Scratch keeps
them in any case, because its backward pass needs them.
"""

from collections.abc import Callable

import numpy as np

from speed import Case

N, STEPS, FEATURES, HEADS = 32, 64, 128, 4


def arrays() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return the input, the upstream gradient and the parameters, equal for both sides."""
    rng = np.random.default_rng(0)
    x, grad_output = rng.standard_normal((2, N, STEPS, FEATURES), dtype=np.float32)
    shapes = {
        "in_proj_weight": (3 * FEATURES, FEATURES),
        "in_proj_bias": (3 * FEATURES,),
        "out_proj.weight": (FEATURES, FEATURES),
        "out_proj.bias": (FEATURES,),
    }
    # Sums over so many numbers, and still of size 1: the sides can be compared.
    grad_output /= np.float32((N * STEPS) ** 0.5)
    scale = np.float32(FEATURES**-0.5)
    parameters = {
        name: scale * rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()
    }
    return x, grad_output, parameters


def scratch() -> Callable[[], list]:
    from largemodels.scratch import MultiHeadAttention

    x, grad_output, parameters = arrays()
    layer = MultiHeadAttention(FEATURES, HEADS)
    layer.load_state_dict(parameters)

    def forward_and_backward() -> list:
        y = layer(x, x, x)
        grad_query, grad_key, grad_value = layer.backward(grad_output)
        grad_x = grad_query + grad_key + grad_value
        return [y, grad_x, *(p.grad for p in layer.parameters())]

    return forward_and_backward


def pytorch() -> Callable[[], list]:
    import torch

    x, grad_output, parameters = arrays()
    x, grad_output = torch.from_numpy(x).requires_grad_(), torch.from_numpy(grad_output)
    layer = torch.nn.MultiheadAttention(FEATURES, HEADS, batch_first=True)
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in parameters.items()})

    def forward_and_backward() -> list:
        x.grad = None
        layer.zero_grad()
        y, _ = layer(x, x, x, need_weights=False)
        y.backward(grad_output)
        return [y.detach(), x.grad, *(p.grad for p in layer.parameters())]

    return forward_and_backward


CASES = [
    Case(
        f"multi-head attention, {N} × {STEPS} × {FEATURES}, {HEADS} heads, forward + backward",
        2.5,
        scratch,
        pytorch,
    )
]

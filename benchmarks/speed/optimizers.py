"""One step of an optimizer on a million parameters."""

from collections.abc import Callable

import numpy as np

from speed import Case

SHAPE = (1000, 1000)


def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Return a parameter and its gradient, equal for both sides."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((2, *SHAPE), dtype=np.float32)


def scratch_adam() -> Callable[[], list]:
    from largemodels.scratch import Adam, Parameter

    data, grad = arrays()
    parameter = Parameter(data)
    parameter.grad = grad
    optimizer = Adam([parameter])

    def step() -> list:
        optimizer.step()
        return [parameter.data]

    return step


def pytorch_adam() -> Callable[[], list]:
    import torch

    data, grad = arrays()
    parameter = torch.nn.Parameter(torch.from_numpy(data))
    parameter.grad = torch.from_numpy(grad)
    optimizer = torch.optim.Adam([parameter])

    def step() -> list:
        optimizer.step()
        return [parameter.detach()]

    return step


CASES = [Case("Adam step, 1 million parameters", 3.0, scratch_adam, pytorch_adam)]

"""What a check asks of the process in which the student's code runs: time, and a place to run.

In a notebook that is this process. A grader may run the student's code in another one and set the
two hooks below; checks and exercises stay as they are.
"""

import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from numpy.typing import NDArray

Result = TypeVar("Result")

# Seconds that the student's code and the check have computed so far.
clock: Callable[[], float] = time.thread_time
# How much of a second on the wall counts at least. Work that was handed to a process which ended
# without a trace is on no other clock.
wall = 0.0
# Runs a function beside the student's code.
runner: Callable[..., Any] | None = None

# Some clocks are too coarse for one short call.
SHORTEST = 1e-6


def seconds(
    function: Callable[..., object],
    new_arguments: Callable[[], Iterable[Any]] | None = None,
    *,
    repeats: int,
) -> float:
    """Measure how long a function computes, best of several.

    Each call gets arguments that the function has not seen, so that one which remembers its answers
    gains nothing. Neither making them counts, nor time in which the machine does something else.

    Args:
        function: What to measure.
        new_arguments: Makes other arguments of the same size each time. Without it, `function` is
            called without arguments.
        repeats: How often to call it.

    Returns:
        Seconds, more than 0.

    Raises:
        ValueError: Several calls are to have the same arguments, that is none.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> seconds(np.sort, lambda: [rng.normal(size=1000)], repeats=3) > 0
        True
    """
    if new_arguments is None and repeats > 1:
        raise ValueError(f"`repeats` (={repeats}) above 1 needs `new_arguments` for each call.")
    times = []
    for _ in range(repeats):
        arguments = tuple(new_arguments()) if new_arguments else ()
        start, began = clock(), time.perf_counter()
        function(*arguments)
        times.append(max(clock() - start, wall * (time.perf_counter() - began)))
    return max(min(times), SHORTEST)


def inside(function: Callable[..., Result], *arguments: Any) -> Result:
    """Run a function beside the student's code, and return plain data: numbers, texts, arrays.

    A grader may call the student's functions in another process. Numbers and arrays cross between
    the two; modules, tensors with gradients and the like do not. So what must hold them runs
    inside, and what decides stays outside, where no student's code can touch it.

    Args:
        function: Defined in the cell that calls this. Of the global names it uses those of the
            notebook's own cells only, no name that the check itself made.
        arguments: Plain data, functions or objects of the student.

    Example:
        >>> inside(lambda x: x + 1, 2)
        3
    """
    if runner is None:
        return function(*arguments)
    result: Result = runner(function, *arguments)
    return result


def state_dict(module: Any) -> dict[str, NDArray]:
    """Return copies of the parameters and buffers of a PyTorch module, by name.

    Args:
        module: A module that the student's code made.
    """
    return inside(_state_dict, module)


def gradients(module: Any) -> dict[str, NDArray | None]:
    """Return copies of the gradients of the parameters of a PyTorch module, by name.

    Args:
        module: A module that the student's code made. A parameter without gradient gives None.
    """
    return inside(_gradients, module)


def outputs(module: Any, *inputs: Any) -> NDArray:
    """Return what a PyTorch module computes, without gradients.

    Args:
        module: A module that the student's code made.
        inputs: Arrays; each becomes a tensor of the same type.
    """
    return inside(_outputs, module, *inputs)


def source(function: Callable[..., Any]) -> str:
    """Return the text of a function, as the student wrote it.

    Args:
        function: A function or class of the student's code.

    Raises:
        OSError: Its text is nowhere to be found.
    """
    return inside(inspect.getsource, function)


def _state_dict(module: Any) -> dict[str, NDArray]:
    named: Mapping[str, Any] = module.state_dict()
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in named.items()}


def _gradients(module: Any) -> dict[str, NDArray | None]:
    return {
        name: None if parameter.grad is None else parameter.grad.detach().cpu().numpy().copy()
        for name, parameter in module.named_parameters()
    }


def _outputs(module: Any, *inputs: Any) -> NDArray:
    import torch

    with torch.no_grad():
        result: NDArray = module(*map(torch.as_tensor, inputs)).cpu().numpy()
    return result

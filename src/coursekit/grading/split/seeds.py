"""Global generators of random numbers: what a test seeds is seeded beside the student's code, too.

Each process has its own. A test that seeds one of them and then calls a student's function means
both, for in one process they are the same.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["passing_on", "seed"]

# Module and name of each function that seeds a global generator.
_SEEDS = {("random", "seed"), ("numpy.random", "seed"), ("torch", "manual_seed")}


@contextlib.contextmanager
def passing_on(seed_there: Callable[[str, str, Any], object]) -> Iterator[None]:
    """Let the seeds that a test sets be set in the other process as well.

    Args:
        seed_there: Called with the module, the name of the function, and the seed.
    """
    kept = [
        (module, name, getattr(module, name))
        for path, name in _SEEDS
        if (module := sys.modules.get(path)) is not None
    ]
    for module, name, here in kept:
        setattr(module, name, _both(here, seed_there, module.__name__, name))
    try:
        yield
    finally:
        for module, name, here in kept:
            setattr(module, name, here)


def _both(
    here: Callable[..., Any], there: Callable[[str, str, Any], object], module: str, name: str
) -> Callable[..., Any]:
    def seed_both(*arguments: Any, **options: Any) -> Any:
        result = here(*arguments, **options)
        # Without a seed, each process may draw one of its own.
        if value := [*arguments, *options.values()][:1]:
            there(module, name, value[0])
        return result

    return seed_both


def seed(module: str, name: str, value: Any) -> None:
    """Seed a global generator of this process, if it is there.

    Args:
        module: Name of the module.
        name: Name of its function.
        value: The seed.
    """
    if (module, name) in _SEEDS and module in sys.modules:
        getattr(sys.modules[module], name)(value)

"""Minibatches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def batches(
    x: np.ndarray,
    y: np.ndarray,
    batch_size: int = 128,
    rng: np.random.Generator | None = None,
    *,
    drop_last: bool = False,
    progress: bool | str = False,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Go once through the examples, a minibatch at a time.

    With `rng`, every call shuffles anew, as training needs it; without, the order stays, as
    evaluation needs it, and the minibatches are views into `x` and `y`.

    Args:
        x: The examples; shape (N, ...).
        y: What belongs to them; shape (N, ...).
        batch_size: Number of examples in a minibatch; the last one may be smaller.
        rng: The generator to shuffle with.
        drop_last: Leave out the last minibatch if it is smaller.
        progress: Show a progress bar; a `str` is written before it.

    Raises:
        ValueError: `x` and `y` differ in length, or `batch_size` is not at least 1.

    Example:
        >>> x, y = np.arange(5), np.arange(5) ** 2
        >>> for xb, yb in batches(x, y, batch_size=2):
        ...     print(xb, yb)
        [0 1] [0 1]
        [2 3] [4 9]
        [4] [16]
        >>> for xb, yb in batches(x, y, batch_size=2, rng=np.random.default_rng(0)):
        ...     print(xb, yb)
        [2 4] [ 4 16]
        [3 0] [9 0]
        [1] [1]
    """
    if len(x) != len(y):
        raise ValueError(f"`x` and `y` must be equally long; got {len(x)} and {len(y)}.")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer):
        raise ValueError(f"`batch_size` (={batch_size!r}) must be an integer.")
    if batch_size < 1:
        raise ValueError(f"`batch_size` (={batch_size}) must be at least 1.")
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise ValueError(f"`rng` (={rng!r}) must be a NumPy Generator: np.random.default_rng(0).")
    return _generate(x, y, batch_size, rng, drop_last, progress)


def _generate(
    x: np.ndarray,
    y: np.ndarray,
    batch_size: int,
    rng: np.random.Generator | None,
    drop_last: bool,
    progress: bool | str,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    stop = len(x) - len(x) % batch_size if drop_last else len(x)
    starts: Iterable[int] = range(0, stop, batch_size)
    order = None if rng is None else rng.permutation(len(x))
    if progress:
        from tqdm.auto import tqdm

        title = progress if isinstance(progress, str) else None
        starts = tqdm(starts, desc=title, leave=False)
    for start in starts:
        chosen = slice(start, start + batch_size)
        if order is not None:
            yield x[order[chosen]], y[order[chosen]]
        else:
            yield x[chosen], y[chosen]

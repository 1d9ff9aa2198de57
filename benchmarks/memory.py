"""The memory that a convolution from scratch needs for a moment, against that of its windows.

The windows of an image repeat its pixels KH · KW times. The matrix product needs them as a copy;
everything else together should stay small beside it.
"""

import tracemalloc
from collections.abc import Callable
from typing import TYPE_CHECKING

from speed.convolution import CHANNELS, FILTERS, KERNEL, SIZE, N, arrays

from largemodels.scratch import Conv2d

if TYPE_CHECKING:
    from report import Report

LIMIT = 1.3


def measure(report: "Report") -> None:
    """Measure the peaks of both passes and report them."""
    rows = []
    for padding in (0, 1):
        x, _, _, grad_output = arrays(padding)
        layer = Conv2d(CHANNELS, FILTERS, KERNEL, padding=padding)
        windows = CHANNELS * KERNEL**2 * grad_output[:, 0].nbytes  # One column for each place.
        passes = {
            "forward": lambda layer=layer, x=x: layer(x),
            "backward": lambda layer=layer, grad=grad_output: layer.backward(grad),
        }
        for name, run in passes.items():
            extra = peak(run)
            rows.append(
                [
                    f"convolution, {N} × {CHANNELS} × {SIZE} × {SIZE}, "
                    f"{FILTERS} filters {KERNEL} × {KERNEL}, padding {padding}, {name}",
                    f"{extra / 1e6:.1f}",
                    f"{windows / 1e6:.1f}",
                    f"{extra / windows:.2f}",
                    f"{LIMIT:.1f}" + (" (missed)" if extra > LIMIT * windows else ""),
                ]
            )
    report.table(
        "Memory: the peak of a pass from scratch against its windows, float32",
        ["work", "peak [MB]", "windows [MB]", "ratio", "at most"],
        rows,
        "Counted by tracemalloc, on top of input, parameters and upstream gradient; the result is "
        "part of it.",
    )


def peak(run: Callable[[], object]) -> int:
    """Return how many bytes more than before are in use at the worst moment of a call."""
    tracemalloc.start()
    run()
    _, largest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return largest

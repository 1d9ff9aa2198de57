"""What the processes of a job use, as the kernel counts it."""

import contextlib
import os
import time
from pathlib import Path

__all__ = ["cpu_seconds", "family", "memory", "open_files"]


def family(root: int) -> list[int]:
    """A process and all that descend from it, as far as they still run."""
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        found.append(process)
        try:
            for task in Path(f"/proc/{process}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:  # It ended meanwhile.
            continue
    return found


def memory(processes: list[int], enough: int) -> int:
    """Bytes of memory that processes hold together.

    Args:
        processes: Their ids.
        enough: From here on it is counted exactly. That takes time: else what they share is counted
            once for each of them.
    """
    roughly = sum(_fields(process, "status", _ROUGHLY) for process in processes)
    if roughly < enough:
        return roughly
    return sum(
        _fields(process, "smaps_rollup", _EXACTLY) + _fields(process, "status", _TABLES)
        for process in processes
    )


# What is in memory or swapped, and the tables of pages, which a process can make large.
_ROUGHLY = ("VmRSS:", "VmSwap:", "VmPTE:")
# Here what n processes share counts as an n-th for each.
_EXACTLY, _TABLES = ("Pss:", "SwapPss:"), ("VmPTE:",)


def _fields(process: int, file: str, names: tuple[str, ...]) -> int:
    """Add up bytes that the kernel tells in kB."""
    try:
        lines = Path(f"/proc/{process}/{file}").read_text().splitlines()
    except OSError:  # It ended meanwhile.
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))


def open_files(processes: list[int]) -> int:
    """How many files, pipes and sockets processes hold open together."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError):
            total += len(list(Path(f"/proc/{process}/fd").iterdir()))
    return total


def cpu_seconds(processes: list[int]) -> float:
    """Processor time of processes that run, and of the children that they waited for."""
    return sum(map(_cpu_seconds, processes))


def _cpu_seconds(process: int) -> float:
    try:
        # The clock of another process: CLOCK_PROCESS_CPUTIME_ID with its id in the upper bits.
        seconds = time.clock_gettime(~process << 3 | 2)
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return seconds + (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

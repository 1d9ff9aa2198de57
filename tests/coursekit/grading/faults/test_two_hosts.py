"""Two machines, each in a network of its own; one is cut off in the middle."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

STUDENTS = 60
HERE, THERE = "10.99.71.1", "10.99.71.2"
RIGHTS = [] if os.geteuid() == 0 else ["sudo", "-n"]
# A machine that is silent for so long is lost; Dask itself waits longer.
HASTE = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "8s",
}


def ip(*arguments: str) -> None:
    subprocess.run([*RIGHTS, "ip", *arguments], check=True, capture_output=True)


@contextmanager
def two_networks() -> Iterator[tuple[str, str]]:
    """Two network namespaces, joined by a cable that is called `cable` at both ends."""
    names = [f"grading-{end}-{os.getpid()}" for end in ("here", "there")]
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip(
            "-n",
            names[0],
            "link",
            "add",
            "cable",
            "type",
            "veth",
            "peer",
            "cable",
            "netns",
            names[1],
        )
        for name, address in zip(names, (HERE, THERE), strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
        yield names[0], names[1]
    finally:
        for name in names:
            subprocess.run([*RIGHTS, "ip", "netns", "delete", name], check=False)


@pytest.mark.slow
def test_a_machine_that_is_cut_off_costs_no_grade(
    storms: ModuleType,
    machines: ModuleType,
    calm: Callable[[int], tuple[Any, ...]],
    tmp_path: Path,
) -> None:
    expected = calm(STUDENTS)
    room = storms.Room.make(tmp_path, storms.many(STUDENTS))
    with two_networks() as (here, there):
        inside_here = [*RIGHTS, "ip", "netns", "exec", here]
        inside_there = [*RIGHTS, "ip", "netns", "exec", there]
        with machines.Machines(settings=HASTE, inside=inside_here, host=HERE) as cluster:
            cluster.start_worker("--host", HERE)
            cluster.start_worker("--host", THERE, inside=inside_there)
            both = f"Client({cluster.address!r}).wait_for_workers(2, timeout=60)"
            program = [sys.executable, "-c", f"from distributed import Client; {both}"]
            subprocess.run([*inside_here, *program], check=True, timeout=120)
            options = [str(room.submissions), "--cluster", cluster.address]
            engine = room.start(*options, inside=inside_here)
            # The first batches are graded, the next are on their way.
            machines.wait_until(lambda: counts(room)["finished"] > 0, "a first result")
            ip("-n", here, "link", "set", "cable", "down")
            said, _ = engine.communicate(timeout=300)
            assert engine.returncode == 0, said
    storms.compare(room.result(), expected)
    # What the machine had when it was cut off was begun anew; nothing was graded twice.
    assert counts(room)["started"] > STUDENTS
    assert counts(room)["finished"] == STUDENTS


def counts(room: Any) -> Counter[str]:
    """How many events of each kind the journal has."""
    return Counter(entry["event"] for entry in room.events())

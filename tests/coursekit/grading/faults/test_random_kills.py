"""Whatever is killed, and whenever: the grade book ends as if nothing had happened."""

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

# A sample for every run of the tests; `LARGEMODELS_KILLS=180` and more is for a quiet machine.
KILLS_HERE = int(os.environ.get("LARGEMODELS_KILLS", "50"))
KILLS_IN_A_CLUSTER = KILLS_HERE // 6
ROLES = ("engine", "worker", "writer", "parent", "sandbox", "zygote", "job", "checker")
STUDENTS = 60
Calm = Callable[[int], tuple[Any, ...]]


@pytest.mark.slow
def test_kills_on_one_machine_change_no_grade(
    storms: ModuleType, calm: Calm, tmp_path: Path
) -> None:
    expected = calm(STUDENTS)
    room = storms.Room.make(tmp_path, storms.many(STUDENTS))
    killed: Counter[str] = Counter()
    seed = 0
    with storms.adopting() as earlier:
        while killed.total() < KILLS_HERE or min(killed[role] for role in ROLES) < 1:
            seed += 1
            killer = storms.Killer(seed, rarely={"engine": 0.2, "writer": 0.5, "tracker": 0.2})
            room.forget()
            survive(storms, room, killer, earlier)
            killed += killer.killed
            print(f"seed {seed}: {dict(killer.killed)}")
            storms.compare(room.result(), expected)
    print(f"{killed.total()} kills: {dict(killed)}")


def survive(storms: ModuleType, room: Any, killer: Any, earlier: Sequence[psutil.Process]) -> None:
    """Grade a class through a storm, until everybody is graded."""
    for _ in range(50):
        engine = room.start()
        killer.storm(room, engine, lambda engine=engine: [engine.pid])
        said = finish(engine)
        assert storms.left_behind(earlier) == [], f"seed {killer.seed}: after {said}"
        if engine.returncode == 0:
            return
    raise AssertionError(f"seed {killer.seed}: the class is not graded after 50 runs")


def finish(engine: "subprocess.Popen[str]") -> str:
    """What an engine said, which it said well if it was not killed."""
    said, _ = engine.communicate(timeout=60)
    assert engine.returncode in (0, 1, -9), said
    assert "Traceback" not in said
    if engine.returncode == 1:
        last = said.strip().splitlines()[-1]
        assert last.startswith("course: "), said
    return said


@pytest.mark.slow
def test_kills_in_a_cluster_change_no_grade(
    storms: ModuleType, machines: ModuleType, calm: Calm, tmp_path: Path
) -> None:
    expected = calm(STUDENTS)
    room = storms.Room.make(tmp_path, storms.many(STUDENTS))
    killed: Counter[str] = Counter()
    # What a slot is made of is hit often enough in the test above.
    rarely = dict.fromkeys(("parent", "sandbox", "zygote", "job", "checker"), 0.5)
    rarely |= {"engine": 0.6, "scheduler": 0.6, "nanny": 0.3, "writer": 0.3, "tracker": 0.1}
    seed = 100
    with storms.adopting() as earlier, machines.Machines() as cluster:
        cluster.start_worker("--nworkers", "2")
        while (
            killed.total() < KILLS_IN_A_CLUSTER
            or min(killed[role] for role in ("scheduler", "dask worker")) < 1
        ):
            seed += 1
            killer = storms.Killer(seed, lines=8, early=0.2, rarely=rarely)
            room.forget()
            survive_in_cluster(storms, room, killer, cluster, earlier)
            killed += killer.killed
            print(f"seed {seed}: {dict(killer.killed)}")
            storms.compare(room.result(), expected)
    assert storms.left_behind(earlier) == []
    print(f"{killed.total()} kills: {dict(killed)}")


def survive_in_cluster(
    storms: ModuleType,
    room: Any,
    killer: Any,
    cluster: SimpleNamespace,
    earlier: Sequence[psutil.Process],
) -> None:
    """Grade a class through a storm over a cluster, which is set up again where it broke."""
    for _ in range(50):
        if cluster.scheduler.poll() is not None:
            cluster.restart()
            cluster.start_worker("--nworkers", "2")
        elif not any(one.poll() is None for one in cluster.nannies):
            cluster.start_worker("--nworkers", "2")
        engine = room.start(str(room.submissions), "--cluster", cluster.address)
        killer.storm(
            room,
            engine,
            lambda engine=engine: [engine.pid, *(one.pid for one in cluster.processes)],
        )
        said = finish(engine)
        spare = [psutil.Process(one.pid) for one in cluster.processes if one.poll() is None]
        assert storms.left_behind([*spare, *earlier]) == [], f"seed {killer.seed}: after {said}"
        assert storms.slots_of(spare) == [], f"seed {killer.seed}: after {said}"
        if engine.returncode == 0:
            return
    raise AssertionError(f"seed {killer.seed}: the class is not graded after 50 runs")

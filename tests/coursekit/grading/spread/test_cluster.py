"""A cluster does what the pool does, with workers elsewhere; their deaths cost little."""

import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from distributed import Client, Scheduler

from coursekit.errors import CourseError
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.spread import batch
from coursekit.grading.spread.cluster import Cluster
from coursekit.grading.spread.pool import DEATHS, Died, Event, Finished, Job, Started

FAKES = Path(__file__).parents[1] / "fakes"
Answered = Callable[[str], bytes]


@pytest.fixture
def slots(slots: ModuleType) -> ModuleType:
    """Those of the pool, and some more."""
    return importlib.import_module("cluster_slots")


@pytest.fixture(scope="module")
def make_machines() -> Iterator[Callable[..., SimpleNamespace]]:
    """What starts a cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FAKES))
        yield importlib.import_module("machines").Machines


@pytest.fixture(scope="module")
def machines(
    make_machines: Callable[..., SimpleNamespace], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimpleNamespace]:
    """A scheduler and one machine with two workers, which come back when they die."""
    log = tmp_path_factory.mktemp("machines") / "slots.log"
    log.touch()

    def lines(text: str) -> int:
        return log.read_text().splitlines().count(text)

    with make_machines(settings={"FAKE_SLOT_LOG": str(log)}) as cluster:
        cluster.start_worker("--nworkers", "2")
        yield SimpleNamespace(address=cluster.address, lines=lines)


def run(
    machines: SimpleNamespace,
    package: Package,
    slots: ModuleType,
    jobs: list[Job],
    limits: Limits | None = None,
    slot: str = "FakeSlot",
) -> list[Event]:
    with Cluster(machines.address, package, limits, make_slot=getattr(slots, slot)) as cluster:
        return list(cluster.run(jobs))


def python(
    program: str, address: str, content: object, settings: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program; its standard input is a pickle."""
    path = os.pathsep.join([str(FAKES), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", program, address],
        input=pickle.dumps(content).decode("latin-1"),
        encoding="latin-1",
        env={**os.environ, "PYTHONPATH": path, **(settings or {})},
        capture_output=True,
        check=False,
    )


def wait_until(condition: Callable[[], bool], what: str) -> None:
    importlib.import_module("machines").wait_until(condition, what)


def outcomes(events: list[Event]) -> dict[str, str]:
    return {event.key: event.result.outcome for event in events if isinstance(event, Finished)}


def test_each_job_is_started_and_finished_once(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    jobs = [Job(f"job-{number}", answered("right")) for number in range(130)]
    events = run(machines, package, slots, jobs)
    for job in jobs:
        assert [type(event) for event in events if event.key == job.key] == [Started, Finished]
    results = [event.result for event in events if isinstance(event, Finished)]
    assert {result.score for result in results} == {10}
    assert results[0].notebook == json.loads(json.dumps(results[0].notebook))
    assert results[0].outputs["mean"][0]["text"] == "right\n"


def test_two_workers_grade_side_by_side(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    assert machines.lines("meet") == 0
    with Client(machines.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)  # One of them may be slow to start.
    # The two wait for each other.
    events = run(machines, package, slots, [Job(name, answered("meet")) for name in "ab"])
    assert outcomes(events) == {"a": "graded", "b": "graded"}


def test_jobs_are_read_no_earlier_than_they_are_needed(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    read = finished = 0
    most = 0

    def jobs() -> Iterator[Job]:
        nonlocal read, most
        for number in range(1000):
            read += 1
            most = max(most, read - finished)
            yield Job(str(number), answered("right"))

    with Cluster(machines.address, package, make_slot=slots.FakeSlot) as cluster:
        for event in cluster.run(jobs()):
            finished += isinstance(event, Finished)
    assert finished == 1000
    assert most <= 2 * 2 * 50, "more than two rounds of batches in memory"


def test_no_submission_stays_in_memory_after_it_was_sent(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    def sent(dask_scheduler: Scheduler) -> list[int]:
        """Messages to workers that the scheduler keeps."""
        return [len(one.recent_message_log) for one in dask_scheduler.stream_comms.values()]

    with Cluster(machines.address, package, make_slot=slots.FakeSlot) as cluster:
        events = list(cluster.run(Job(str(n), answered("right")) for n in range(40)))
        assert set(outcomes(events).values()) == {"graded"}
        assert cluster._client.run_on_scheduler(sent) == [0, 0]
        assert len(cluster._client.scheduler_comm.recent_message_log) == 0


def test_a_submission_that_kills_its_worker_is_set_aside(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    jobs = [Job(str(number), answered("right")) for number in range(12)]
    jobs[3] = Job("poison", answered("kill"))
    events = run(machines, package, slots, jobs)
    expected = {job.key: "person" if job.key == "poison" else "graded" for job in jobs}
    assert outcomes(events) == expected
    deaths = [event for event in events if isinstance(event, Died)]
    assert sum(event.key == "poison" for event in deaths) == DEATHS
    # The others were in its first batch, and then each was alone.
    assert all(sum(event.key == job.key for event in deaths) <= 1 for job in jobs if job != jobs[3])
    [end] = [e for e in events if isinstance(e, Finished) and e.key == "poison"]
    assert end.result.reason.startswith(f"killed its grader {DEATHS} times; the last time: its w")


def test_a_submission_that_breaks_its_slot_costs_nobody_else_anything(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    jobs = [Job(str(number), answered("right")) for number in range(12)]
    jobs[3] = Job("poison", answered("raise"))
    events = run(machines, package, slots, jobs)
    assert outcomes(events)["poison"] == "person"
    assert sorted(outcomes(events).values()) == ["graded"] * 11 + ["person"]
    deaths = [event for event in events if isinstance(event, Died)]
    assert [event.key for event in deaths] == ["poison"] * DEATHS
    assert "the slot broke" in deaths[0].reason
    for job in jobs:
        assert sum(isinstance(e, Started) and e.key == job.key for e in events) <= DEATHS


def test_a_batch_whose_worker_died_by_accident_is_graded(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    events = run(machines, package, slots, [Job("unlucky", answered("kill once"))])
    assert [type(event) for event in events] == [Started, Died, Started, Finished]
    assert outcomes(events) == {"unlucky": "graded"}


def test_deaths_of_earlier_runs_count(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    jobs = [Job("old", answered("never tried"), DEATHS), Job("new", answered("right"))]
    assert outcomes(run(machines, package, slots, jobs)) == {"old": "person", "new": "graded"}
    assert machines.lines("never tried") == 0
    events = run(machines, package, slots, [Job("old", answered("raise"), DEATHS - 1)])
    assert [type(event) for event in events] == [Started, Died, Finished]


def test_a_slot_that_hangs_is_ended(
    package: Package, slots: ModuleType, answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_GRACE_SECONDS", 0.2)
    limits = Limits(notebook_seconds=0.1)
    order = batch.Order(package, limits, False, batch.environment(limits), slots.HangingSlot)
    answer = batch.grade(order, [answered("right")])
    assert (answer.results, answer.broke) == ((), "RuntimeError: ended while it hung")


def test_a_batch_ends_when_its_time_is_up(
    package: Package, slots: ModuleType, answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits()
    order = batch.Order(package, limits, False, batch.environment(limits), slots.FakeSlot)
    five = [answered("right")] * 5
    assert len(batch.grade(order, five).results) == 5
    monkeypatch.setattr(batch, "_SECONDS", 0.0)
    assert len(batch.grade(order, five).results) == 1
    monkeypatch.undo()
    monkeypatch.setattr(batch, "_BYTES", 0)
    assert len(batch.grade(order, five).results) == 1


def test_what_a_batch_gives_back_is_graded_in_the_next(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    # Two of them are more than a batch gives back.
    jobs = [Job(str(number), answered("right")) for number in range(6)]
    events = run(machines, package, slots, jobs, slot="LargeSlot")
    assert [type(event) for event in events].count(Started) == 6
    assert outcomes(events) == {job.key: "graded" for job in jobs}
    assert machines.lines("large") == 6


def test_slots_end_when_the_run_is_over(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    run(machines, package, slots, [Job("one", answered("right"))], slot="OpenSlot")
    assert machines.lines("opened") > 0
    wait_until(lambda: machines.lines("ended") == machines.lines("opened"), "slots are closed")


def test_slots_end_when_the_run_is_killed(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    opened = machines.lines("opened")
    program = """
import os, pickle, sys
from cluster_slots import OpenSlot
from coursekit.grading.spread.cluster import Cluster
from coursekit.grading.spread.pool import Finished
package, jobs = pickle.load(sys.stdin.buffer)
with Cluster(sys.argv[1], package, make_slot=OpenSlot) as cluster:
    for event in cluster.run(jobs):
        if isinstance(event, Finished):
            os.kill(os.getpid(), 9)
"""
    jobs = [Job(str(number), answered("right")) for number in range(9)]
    assert python(program, machines.address, (package, jobs)).returncode == -signal.SIGKILL
    assert machines.lines("opened") > opened
    wait_until(lambda: machines.lines("ended") == machines.lines("opened"), "slots are closed")


def test_a_batch_that_comes_after_the_end_of_its_run_keeps_no_slot(
    package: Package, slots: ModuleType, answered: Answered
) -> None:
    limits = Limits()
    order = batch.Order(package, limits, False, batch.environment(limits), slots.FakeSlot, "gone")
    assert len(batch.grade(order, [answered("right")]).results) == 1
    assert len(batch._SLOTS.idle) == 1
    batch.close_slots("gone")
    wait_until(lambda: not batch._SLOTS.idle, "the slot is closed")
    assert batch.grade(order, [answered("right")]).results == ()
    assert batch._SLOTS.idle == []


def test_a_worker_that_cannot_grade_is_told_in_one_sentence(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    with pytest.raises(CourseError, match=r"cannot grade: .*: bubblewrap is not installed"):
        run(machines, package, slots, [Job("0", answered("right"))], slot="NoSlot")


def test_slots_that_do_not_start_end_the_run(
    machines: SimpleNamespace, package: Package, slots: ModuleType, answered: Answered
) -> None:
    with pytest.raises(CourseError, match=r"no grader starts there \(.*: RuntimeError: no memory"):
        run(machines, package, slots, [Job("0", answered("right"))], slot="WeakSlot")


def test_a_worker_with_other_versions_is_refused(
    machines: SimpleNamespace,
    package: Package,
    slots: ModuleType,
    answered: Answered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coursekit.grading.spread.cluster.environment", lambda *_, **__: "another")
    with pytest.raises(CourseError, match=r"has other versions of Python.*constraints\.txt"):
        run(machines, package, slots, [Job("0", answered("right"))])


def test_another_version_of_dask_is_refused(
    machines: SimpleNamespace, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distributed.versions._version_cached", lambda name: "1.0")
    sentence = r"the scheduler has dask .*, and this computer 1\.0; install the same"
    with pytest.raises(CourseError, match=sentence):
        Cluster(machines.address, package).__enter__()


def test_a_machine_without_the_course_is_refused(
    make_machines: Callable[..., SimpleNamespace], package: Package, tmp_path: Path
) -> None:
    (tmp_path / "coursekit.py").write_text("raise ModuleNotFoundError('no coursekit here')")
    with (
        make_machines(settings={"PYTHONPATH": str(tmp_path)}) as cluster,
        pytest.raises(CourseError, match=r"the scheduler cannot take part .*install the course"),
    ):
        Cluster(cluster.address, package).__enter__()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("tcp://127.0.0.1:9", "no Dask scheduler answers there"),
        ("127.0.0.1", "is no address of a Dask scheduler"),
        ("nonsense://127.0.0.1:9", "is no address of a Dask scheduler"),
        ("tcp://no.such.host.invalid:8786", "no Dask scheduler answers there"),
        ("", "is no address of a Dask scheduler"),
        ("tls://127.0.0.1:9", "name your certificates to Dask"),
    ],
)
def test_a_scheduler_that_is_not_there_is_told_in_one_sentence(
    package: Package, address: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coursekit.grading.spread.cluster._CONNECT_SECONDS", 1.0)
    with pytest.raises(CourseError, match=sentence) as raised:
        Cluster(address, package).__enter__()
    assert "\n" not in str(raised.value)


def test_a_scheduler_without_workers_is_told_in_one_sentence(
    make_machines: Callable[..., SimpleNamespace], package: Package
) -> None:
    with (
        make_machines() as cluster,
        pytest.raises(CourseError, match=r"no worker came within 1 seconds; start some with `dask"),
    ):
        Cluster(cluster.address, package, patience=1).__enter__()


def test_workers_that_are_gone_for_good_are_told_in_one_sentence(
    make_machines: Callable[..., SimpleNamespace],
    package: Package,
    slots: ModuleType,
    answered: Answered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with make_machines() as cluster:
        worker = cluster.start_worker("--no-nanny")
        with Cluster(cluster.address, package, make_slot=slots.FakeSlot) as graders:
            monkeypatch.setattr(graders, "_patience", 3)
            sentence = r"all workers are gone for 3 seconds.*is kept"
            with pytest.raises(CourseError, match=sentence):
                interrupt(graders, answered("right"), lambda: cluster.kill(worker))


def test_a_scheduler_that_dies_is_told_in_one_sentence(
    make_machines: Callable[..., SimpleNamespace],
    package: Package,
    slots: ModuleType,
    answered: Answered,
) -> None:
    with make_machines() as cluster:
        cluster.start_worker()
        graders = Cluster(cluster.address, package, make_slot=slots.FakeSlot)
        sentence = r"the scheduler went away; .*is kept"
        with graders, pytest.raises(CourseError, match=sentence):
            interrupt(graders, answered("right"), lambda: cluster.kill(cluster.scheduler))


def interrupt(graders: Cluster, submission: bytes, do: Callable[[], None]) -> None:
    """Do something when the first of many submissions is graded."""
    events = graders.run(Job(str(number), submission) for number in range(400))
    assert any(isinstance(event, Finished) for event in events)
    do()
    list(events)


def test_a_machine_whose_workers_keep_dying_ends_the_run(
    machines: SimpleNamespace,
    package: Package,
    slots: ModuleType,
    answered: Answered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coursekit.grading.spread.cluster._DEATHS_OF_A_HOST", 2)
    jobs = [Job(str(number), answered("kill")) for number in range(4)]
    with pytest.raises(CourseError, match=r"workers on 127\.0\.0\.1 died 2 times in a row"):
        run(machines, package, slots, jobs)


def test_the_settings_of_dask_encrypt_everything(
    make_machines: Callable[..., SimpleNamespace], package: Package, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=grading -keyout"
    subprocess.run(
        [*command.split(), str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    settings = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(certificate)}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        settings[f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT"] = str(certificate)
        settings[f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY"] = str(key)
    program = """
import pickle, sys
from coursekit.errors import CourseError
from coursekit.grading.spread import cluster
try:
    with cluster.Cluster(sys.argv[1], pickle.load(sys.stdin.buffer)): print("connected")
except CourseError as error:
    print(error)
"""
    with make_machines(settings=settings, protocol="tls") as cluster:
        assert cluster.address.startswith("tls://")
        cluster.start_worker()
        assert python(program, cluster.address, package, settings).stdout == "connected\n"
        refused = python(program, cluster.address, package)
        assert "name your certificates to Dask" in refused.stdout
        assert refused.stderr == ""

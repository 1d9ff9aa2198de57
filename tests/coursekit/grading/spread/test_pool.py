"""A worker's death costs the submission that it is at, and that one only for a while."""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from coursekit.errors import CourseError
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.spread.pool import DEATHS, Died, Event, Finished, Job, Pool, Started

Answered = Callable[[str], bytes]


def run(package: Package, slots: ModuleType, jobs: list[Job], workers: int = 2) -> list[Event]:
    with Pool(package, workers=workers, make_slot=slots.FakeSlot) as pool:
        return list(pool.run(jobs))


def outcomes(events: list[Event]) -> dict[str, str]:
    return {event.key: event.result.outcome for event in events if isinstance(event, Finished)}


def test_each_job_is_started_and_finished_once(
    package: Package, slots: ModuleType, answered: Answered
) -> None:
    jobs = [
        Job(f"job-{number}", answered("meet" if number < 2 else "right")) for number in range(7)
    ]
    events = run(package, slots, jobs)
    keys = sorted(job.key for job in jobs)
    for kind in (Started, Finished):
        assert sorted(event.key for event in events if isinstance(event, kind)) == keys
    for key in keys:
        mine = [type(event) for event in events if event.key == key]
        assert mine == [Started, Finished]
    # Two submissions that wait for each other were graded side by side.
    assert len({event.worker for event in events if isinstance(event, Started)}) == 2


def test_jobs_are_read_no_earlier_than_a_worker_is_free(
    package: Package, slots: ModuleType, answered: Answered
) -> None:
    read = finished = 0

    def jobs() -> Iterator[Job]:
        nonlocal read
        for number in range(20):
            read += 1
            assert read <= finished + 4, "more submissions in memory than workers can hold"
            yield Job(str(number), answered("right"))

    with Pool(package, workers=2, make_slot=slots.FakeSlot) as pool:
        for event in pool.run(jobs()):
            finished += isinstance(event, Finished)
    assert (read, finished) == (20, 20)


@pytest.mark.parametrize(("answer", "reason"), [("kill", "SIGKILL"), ("raise", "the slot broke")])
def test_a_submission_that_kills_its_grader_is_set_aside(
    package: Package, slots: ModuleType, answered: Answered, answer: str, reason: str
) -> None:
    jobs = [Job("poison", answered(answer))]
    jobs += [Job(str(number), answered("right")) for number in range(4)]
    events = run(package, slots, jobs)
    assert outcomes(events) == {"poison": "person"} | dict.fromkeys("0123", "graded")
    assert sum(isinstance(event, Died) for event in events) == DEATHS
    [end] = [e for e in events if isinstance(e, Finished) and e.key == "poison"]
    assert end.result.reason.startswith(f"killed its grader {DEATHS} times")
    assert reason in end.result.reason


def test_a_submission_whose_grader_died_by_accident_is_graded(
    package: Package, slots: ModuleType, answered: Answered
) -> None:
    events = run(package, slots, [Job("unlucky", answered("kill once"))], workers=1)
    assert [type(event) for event in events] == [Started, Died, Started, Finished]
    assert outcomes(events) == {"unlucky": "graded"}


def test_deaths_of_earlier_runs_count(
    package: Package, slots: ModuleType, answered: Answered
) -> None:
    events = run(package, slots, [Job("old", answered("right"), DEATHS)], workers=1)
    assert outcomes(events) == {"old": "person"}
    assert slots.calls("right") == 0, "a submission that killed three graders was tried again"
    events = run(package, slots, [Job("old", answered("kill"), DEATHS - 1)], workers=1)
    assert [type(event) for event in events] == [Started, Died, Finished]


def test_an_idle_worker_that_dies_is_replaced(
    package: Package, slots: ModuleType, answered: Answered
) -> None:
    with Pool(package, workers=1, make_slot=slots.FakeSlot) as pool:
        assert len(list(pool.run([Job("first", answered("right"))]))) == 2
        os.kill(pool._workers[0].process.pid or 0, signal.SIGKILL)
        events = list(pool.run([Job("second", answered("right"))]))
    assert outcomes(events) == {"second": "graded"}


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process can be kept on a core")
def test_each_worker_has_a_core_if_there_are_as_many(
    package: Package, slots: ModuleType, answered: Answered
) -> None:
    all_cores = os.sched_getaffinity(0)
    cores = sorted(all_cores)[:2]

    def used(pool: Pool) -> list[set[int]]:
        assert len(list(pool.run([Job(str(number), answered("right")) for number in range(9)])))
        while not all(worker.ready for worker in pool._workers):
            pool._listen(deque())
        return [os.sched_getaffinity(worker.process.pid or 0) for worker in pool._workers]

    try:
        os.sched_setaffinity(0, cores)
        with Pool(package, workers=len(cores), make_slot=slots.FakeSlot) as pool:
            assert sorted(map(list, used(pool))) == [[core] for core in cores]
            os.kill(pool._workers[0].process.pid or 0, signal.SIGKILL)
            assert sorted(map(list, used(pool))) == [[core] for core in cores]
        with Pool(package, workers=len(cores) + 1, make_slot=slots.FakeSlot) as pool:
            assert all(one == set(cores) for one in used(pool))
    finally:
        os.sched_setaffinity(0, all_cores)


def test_a_slot_that_hangs_is_ended(
    package: Package, slots: ModuleType, answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coursekit.grading.spread.pool._GRACE_SECONDS", 0.2)
    limits = Limits(notebook_seconds=0.1)
    with Pool(package, limits, workers=1, make_slot=slots.FakeSlot) as pool:
        events = list(pool.run([Job("slow", answered("hang"))]))
    assert outcomes(events) == {"slow": "person"}
    assert "no answer for" in events[-1].result.reason  # type: ignore[union-attr]


def test_no_process_is_left_when_the_reader_gives_up(
    package: Package, slots: ModuleType, answered: Answered
) -> None:
    before = set(psutil.Process().children(recursive=True))
    with Pool(package, workers=2, make_slot=slots.FakeSlot) as pool:
        next(pool.run([Job("0", answered("hang")), Job("1", answered("hang"))]))
        workers = set(psutil.Process().children(recursive=True)) - before
        assert len(workers) >= 2
    left = [
        one for one in workers if one.is_running() and "resource_tracker" not in str(one.cmdline())
    ]
    assert left == []


def test_a_machine_without_sandbox_is_told_in_one_sentence(
    package: Package, slots: ModuleType, answered: Answered
) -> None:
    with (
        Pool(package, workers=2, make_slot=slots.NoSlot) as pool,
        pytest.raises(CourseError, match="bubblewrap is not installed"),
    ):
        list(pool.run([Job("0", answered("right"))]))


def test_a_worker_that_is_ended_at_its_end_says_nothing(
    package: Package,
    slots: ModuleType,
    answered: Answered,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with (
        Pool(package, workers=1, make_slot=slots.LateSlot) as pool,
        pytest.raises(CourseError, match="bubblewrap is not installed"),
    ):
        list(pool.run([Job("0", answered("right"))]))
    assert capfd.readouterr().err == ""


def test_graders_that_die_at_their_start_end_the_run(
    package: Package, slots: ModuleType, answered: Answered
) -> None:
    with (
        Pool(package, workers=1, make_slot=slots.DeadSlot) as pool,
        pytest.raises(
            CourseError, match=r"died 3 times before their first submission \(.*status 7"
        ),
    ):
        list(pool.run([Job("0", answered("right"))]))


def test_workers_end_with_the_process_that_made_them(
    package: Package, slots: ModuleType, answered: Answered, tmp_path: Path
) -> None:
    child = os.fork()
    if child == 0:  # The engine, killed while a submission is graded.
        pool = Pool(package, workers=1, make_slot=slots.FakeSlot).__enter__()
        events = pool.run([Job("0", answered("hang"))])
        next(events)
        (tmp_path / "worker").write_text(str(pool._workers[0].process.pid))
        pool._workers[0].give(Job("0", answered("hang")), 600)
        os.kill(os.getpid(), 9)
    assert os.waitpid(child, 0)[1] == 9
    pid = int((tmp_path / "worker").read_text())
    with_deadline = psutil.Process(pid) if psutil.pid_exists(pid) else None
    assert with_deadline is None or with_deadline.wait(timeout=20) is None

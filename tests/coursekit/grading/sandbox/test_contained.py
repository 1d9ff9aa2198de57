import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Starts a program in a namespace, says so, and waits.
STARTER = """
import os, subprocess, sys
program = [sys.executable, "-m", "coursekit.grading.sandbox.contained"]
command = [*program, str(os.getpid()), *sys.argv[1:]]
process = subprocess.Popen(command)
print(process.pid, flush=True)
sys.exit(process.wait())
"""


@pytest.fixture
def start():
    """Start a program through a starter; the starter, and the process that stands by."""
    started = []

    def start(*program: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, "-c", STARTER, *program], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def _named(mark: str) -> list[int]:
    """Processes with a word in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in path.joinpath("cmdline").read_text():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def _wait_until_gone(mark: str) -> None:
    end = time.monotonic() + 60
    while (left := _named(mark)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not left


def _wait_for(mark: str, count: int) -> list[int]:
    end = time.monotonic() + 60
    while len(found := _named(mark)) < count and time.monotonic() < end:
        time.sleep(0.01)
    assert len(found) >= count
    return found


@pytest.fixture
def mark() -> str:
    """A number of seconds to sleep that no other process sleeps."""
    return f"9{random.randrange(10**9):09}"


def test_a_program_ends_with_its_status(start):
    process, _ = start("sh", "-c", "exit 7")
    assert process.wait() == 7


def test_it_sees_the_processes_of_its_namespace_alone(start):
    process, _ = start("sh", "-c", "echo /proc/[0-9]*; echo $$")
    seen, own = process.stdout.read().splitlines()
    assert seen.split() == ["/proc/1", f"/proc/{own}"]


def test_it_has_no_rights_unless_root_started_it(start):
    process, _ = start("grep", "CapEff", "/proc/self/status")
    rights = int(process.stdout.read().split()[1], 16)
    assert bool(rights) == (os.geteuid() == 0)


@pytest.mark.parametrize("victim", ["the starter", "who stands by", "the first process"])
def test_whoever_is_killed_takes_all_others_along(start, mark, victim):
    # Two that detach themselves as daemons do, and one that stays.
    daemon = f"setsid setsid sleep {mark} &"
    process, standing_by = start("sh", "-c", f"{daemon} {daemon} sleep {mark}; :")
    _wait_for(mark, 7)
    children = Path(f"/proc/{standing_by}/task/{standing_by}/children").read_text()
    victims = {
        "the starter": process.pid,
        "who stands by": standing_by,
        "the first process": int(children),
    }
    os.kill(victims[victim], 9)
    _wait_until_gone(mark)


def test_a_starter_that_dies_at_any_moment_leaves_nothing_behind(start, mark):
    for _ in range(20):
        process, _ = start("sh", "-c", f"setsid sleep {mark} & sleep {mark}")
        time.sleep(random.random() * 0.1)
        process.kill()
    _wait_until_gone(mark)


def test_one_whose_starter_is_dead_does_not_start(mark):
    gone = subprocess.Popen(["true"])
    gone.wait()
    program = [sys.executable, "-m", "coursekit.grading.sandbox.contained"]
    command = [*program, str(gone.pid), "sleep", mark]
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 1


def test_all_of_this_holds_for_a_user_without_rights(as_unprivileged):
    done = as_unprivileged(
        *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__),
        *("-k", "not without_rights"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout

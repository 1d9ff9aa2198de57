"""A disk that is full, a folder that cannot be written, a database that is held, files that go."""

import os
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

STUDENTS = 16
Calm = Callable[[int], tuple[Any, ...]]


@pytest.fixture
def room(storms: ModuleType, tmp_path: Path) -> Any:
    """A class that is not graded yet."""
    return storms.Room.make(tmp_path, storms.many(STUDENTS))


def one_sentence(said: str) -> str:
    """What `course` said in the end: one sentence that begins with its name, and no traceback."""
    assert "Traceback" not in said, said
    last = said.strip().splitlines()[-1]
    assert last.startswith("course: "), said
    return last


def graded(room: Any) -> Counter[str]:
    """How often each submission got a result, by its key."""
    return Counter(entry["key"] for entry in room.events() if entry["event"] == "finished")


def with_mounts(script: str, *arguments: str) -> list[str]:
    """A command that mounts what nobody else sees, and then runs another command."""
    # A user without rights is root in a user namespace of its own.
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", "--mount", *rights, "sh", "-euc", script, "sh", *arguments]


def trust() -> list[str]:
    """Where this is not root, the sandbox would stand in a namespace that cannot hold it."""
    return [] if os.geteuid() == 0 else ["--trust-submissions"]


@pytest.mark.slow
@pytest.mark.parametrize("free", [60, 250, 400])
def test_a_full_disk_loses_nothing(
    storms: ModuleType, calm: Calm, room: Any, tmp_path: Path, free: int
) -> None:
    expected = calm(STUDENTS)
    disk, saved, status = tmp_path / "disk", tmp_path / "saved", tmp_path / "status"
    disk.mkdir()
    # Two runs on a small disk: the first with so many KiB free, the second with plenty.
    script = """
    disk=$1 class=$2 free=$3 status=$4 saved=$5; shift 5
    mount -t tmpfs -o size=64m none "$disk"
    cp -a "$class/." "$disk"
    cd "$disk"
    used=$(du -sk . | cut -f1)
    mount -o remount,size=$((used + free))k "$disk"
    "$@" && code=0 || code=$?
    echo $code > "$status"
    mount -o remount,size=64m "$disk"
    "$@"
    cp -a "$disk" "$saved"
    """
    inside = [str(disk), str(room.root), str(free), str(status), str(saved)]
    code, said = room.grade(
        str(room.submissions), "--workers", "2", *trust(), inside=with_mounts(script, *inside)
    )
    assert status.read_text().strip() == "1", said
    assert "Traceback" not in said
    first = [line for line in said.splitlines() if line.startswith("course: ")]
    assert len(first) == 1, said
    assert "No space left on device" in first[0] or "full" in first[0], first
    assert code == 0, said
    after = storms.Room(saved)
    storms.compare(after.result()[:2], expected[:2])
    assert set(graded(after).values()) == {1}, "something was graded twice"
    assert not list(saved.rglob(".part-*")), "half a file was left"


@pytest.mark.parametrize("part", [".", "grading", "autograded"])
def test_a_folder_that_cannot_be_written_loses_nothing(
    storms: ModuleType, calm: Calm, room: Any, part: str
) -> None:
    expected = calm(STUDENTS)
    folder = room.root / part
    folder.mkdir(exist_ok=True)
    script = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; exec "$@"'
    options = [str(room.submissions), "--workers", "2", *trust()]
    code, said = room.grade(*options, inside=with_mounts(script, str(folder)))
    assert code == 1
    assert "Read-only file system" in one_sentence(said)
    code, said = room.grade(*options)
    assert code == 0, said
    storms.compare(room.result()[:2], expected[:2])
    assert set(graded(room).values()) == {1}


def test_a_database_that_is_held_for_a_while_is_waited_for(
    storms: ModuleType, calm: Calm, room: Any
) -> None:
    expected = calm(STUDENTS)
    engine = room.start()
    wait_until(lambda: room.gradebook.exists(), engine)
    with hold(room.gradebook) as held:
        # The class is graded all the same; then only the grade book is missing.
        wait_until(lambda: room.lines() == 2 * STUDENTS, engine)
        held.execute("ROLLBACK")
    said, _ = engine.communicate(timeout=120)
    assert engine.returncode == 0, said
    storms.compare(room.result(), expected)


@pytest.mark.slow
def test_a_database_that_is_held_for_long_is_told_in_one_sentence(
    storms: ModuleType, calm: Calm, room: Any
) -> None:
    expected = calm(STUDENTS)
    assert room.grade()[0] == 0
    shutil.rmtree(room.grading)
    shutil.rmtree(room.root / "autograded")
    with hold(room.gradebook):
        code, said = room.grade()
    assert code == 1
    assert "another program held it" in one_sentence(said)
    code, said = room.grade("--resume", "--workers", "2")
    assert code == 0, said
    storms.compare(room.result(), expected)
    assert set(graded(room).values()) == {1}


def hold(database: Path) -> sqlite3.Connection:
    """Keep a database to oneself, until the connection is rolled back or closed."""
    connection = sqlite3.connect(database, timeout=60, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def wait_until(condition: Callable[[], bool], engine: "subprocess.Popen[str]") -> None:
    """Wait for something that an engine does."""
    end = time.monotonic() + 120
    while not condition():
        assert engine.poll() is None, engine.communicate()[0]
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


def test_submissions_that_go_after_they_were_collected_are_graded(
    storms: ModuleType, calm: Calm, room: Any
) -> None:
    engine = room.start()
    wait_until(lambda: room.lines() > 0, engine)
    shutil.rmtree(room.submissions)
    said, _ = engine.communicate(timeout=120)
    assert engine.returncode == 0, said
    storms.compare(room.result(), calm(STUDENTS))


def test_submissions_that_go_while_they_are_collected_are_told_and_nothing_else_is_lost(
    storms: ModuleType, calm: Calm, room: Any
) -> None:
    expected = calm(STUDENTS)
    script = """
    ( for folder in "$1"/student-*; do rm -rf "$folder"; sleep 0.002; done ) &
    shift; exec "$@"
    """
    code, said = room.grade(inside=["sh", "-euc", script, "sh", str(room.submissions)])
    assert "Traceback" not in said
    assert code in (0, 1)
    for student, content in storms.many(STUDENTS).items():
        room.hand_in(student, content)
    code, said = room.grade()
    assert code == 0, said
    storms.compare(room.result(), expected)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_store_that_is_damaged_is_mended_by_the_submissions(
    storms: ModuleType, calm: Calm, room: Any, damage: str
) -> None:
    expected = calm(STUDENTS)
    assert room.grade()[0] == 0
    storms_journal = room.grading / "journal.jsonl"
    storms_journal.unlink()
    victim = max((room.grading / "store").rglob("*"), key=lambda path: path.is_file())
    if damage == "cut":
        victim.chmod(0o600)
        victim.write_bytes(victim.read_bytes()[:100])
    else:
        victim.unlink()
    code, said = room.grade("--resume", "--workers", "2")
    assert code == 1
    assert "collect" in one_sentence(said)
    code, said = room.grade()
    assert code == 0, said
    storms.compare(room.result(), expected)

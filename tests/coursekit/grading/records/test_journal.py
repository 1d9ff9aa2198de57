"""What the journal says stands, whatever its writer died of."""

import json
import os
import resource
import signal
from dataclasses import asdict
from pathlib import Path

import pytest

from coursekit.errors import CourseError
from coursekit.grading.records.journal import Journal, Record, Records, key_of
from coursekit.grading.results import CellResult, Result

GRADED = Result("graded", cells=(CellResult("a", 3, 4, "off by one"),), notes=("Look.",))
ASIDE = Result("person", "killed its grader 3 times")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "grading" / "journal.jsonl"


def test_a_result_comes_back_as_it_was(path: Path) -> None:
    odd = Result("graded", outputs={"a": [{"text": "Zoë \ud800 \u2028\n"}]}, seconds=0.25)
    with Journal(path) as journal:
        for key, result in {"one": GRADED, "two": ASIDE, "odd": odd}.items():
            journal.started(key, "worker-1")
            journal.finished(key, result)
    records = Records(path)
    assert [records.result(key) for key in ("one", "two", "odd")] == [GRADED, ASIDE, odd]
    assert records.record("two").reason == ASIDE.reason
    assert records.record("one").score == 3
    assert records.record("never") == Record()


def test_the_last_result_counts(path: Path) -> None:
    with Journal(path) as journal:
        journal.finished("one", ASIDE)
        journal.again(["one"])
        assert journal.records.record("one").outcome is None
        journal.finished("one", GRADED)
    assert Records(path).result("one") == GRADED


def test_only_a_start_without_an_end_is_a_death(path: Path) -> None:
    with Journal(path) as journal:
        for key in ("finished", "stopped", "killed", "killed", "anew"):
            journal.started(key, "worker-1")
        journal.finished("finished", GRADED)
        journal.stopped(["stopped"])
        journal.again(["anew"])
    records = Records(path)
    deaths = {key: records.record(key).deaths for key in ("finished", "stopped", "killed", "anew")}
    assert deaths == {"finished": 0, "stopped": 0, "killed": 2, "anew": 0}


@pytest.mark.parametrize("left", [1, 20, -1])
def test_half_a_line_at_the_end_is_cut_off(path: Path, left: int) -> None:
    with Journal(path) as journal:
        journal.finished("one", GRADED)
        whole = path.stat().st_size
        journal.finished("two", ASIDE)
    data = path.read_bytes()
    path.write_bytes(data[: whole + left] if left > 0 else data[:left])
    assert set(Records(path).known) == {"one"}, "a reader takes what is whole"
    with Journal(path) as journal:
        assert path.stat().st_size == whole
        journal.finished("two", GRADED)
    assert set(Records(path).known) == {"one", "two"}


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"\0\0\0",
        b"[1]",
        b'{"event": "born", "key": "x"}',
        b'{"event": "finished", "key": "x", "result": {"outcome": "graded"}}',
        b'{"event": "started", "key": 3}',
    ],
)
def test_a_damaged_line_in_the_middle_is_named(path: Path, line: bytes) -> None:
    with Journal(path) as journal:
        journal.finished("one", GRADED)
        journal.finished("two", GRADED)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + line + b"\n" + second)
    with pytest.raises(CourseError, match=r"line 2 is damaged \(.+\); delete that line"):
        Journal(path).__enter__()
    path.write_bytes(first + second)
    with Journal(path) as journal:  # The lock was given back.
        assert len(journal.records.known) == 2


def test_a_second_grader_is_kept_away(path: Path) -> None:
    with Journal(path), pytest.raises(CourseError, match="another `course grade` is at work"):
        Journal(path).__enter__()
    with Journal(path) as journal:
        journal.finished("one", GRADED)


def test_a_killed_writer_keeps_nobody_away_and_loses_nothing(path: Path) -> None:
    child = os.fork()
    if child == 0:
        with Journal(path) as journal:
            journal.finished("one", GRADED)
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    with Journal(path) as journal:
        assert journal.records.result("one") == GRADED


def test_a_full_disk_leaves_whole_lines(path: Path) -> None:
    with Journal(path) as journal:
        journal.finished("one", GRADED)
    size = path.stat().st_size
    child = os.fork()
    if child == 0:  # A limit on the size of files ends a write in the middle, as a full disk does.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, size + 50))
        try:
            with Journal(path) as journal:
                journal.finished("two", GRADED)
        except CourseError as error:
            os._exit(0 if "cannot be written (the disk is full)" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert path.stat().st_size == size
    with Journal(path) as journal:
        journal.finished("two", GRADED)
    assert len(Records(path).known) == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "grading").touch()  # A file where the folder should be, also for root.
    with pytest.raises(CourseError, match=r"grading.*cannot be written \(.+\); mend that"):
        Journal(tmp_path / "grading" / "journal.jsonl").__enter__()


def test_a_reader_follows_a_writer(path: Path) -> None:
    with Journal(path) as journal:
        records = Records(path)
        assert records.known == {}
        journal.finished("one", GRADED)
        records.refresh()
        assert records.result("one") == GRADED


def test_results_stay_in_the_file(path: Path) -> None:
    with Journal(path) as journal:
        for number in range(50):
            text = {"text": "x" * 100_000}
            journal.finished(str(number), Result("graded", outputs={"a": [text]}))
        held = len(json.dumps({key: asdict(one) for key, one in journal.records.known.items()}))
    assert path.stat().st_size > 5_000_000
    assert held < 50 * 500


def test_a_key_depends_on_each_part() -> None:
    keys = {key_of(*parts) for parts in (("a", "b", "c"), ("x", "b", "c"), ("a", "x", "c"))}
    assert len(keys | {key_of("a", "b", "x")}) == 4
    assert key_of("a", "b", "c") == key_of("a", "b", "c")

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from coursekit.errors import CourseError
from coursekit.grading.limits import Limits
from coursekit.grading.results import Result
from coursekit.grading.runner.runners import imports
from coursekit.grading.runner.slot import Slot, SlotError
from coursekit.grading.sandbox import usage

LIMITS = Limits(
    cell_seconds=4.0,
    notebook_seconds=12.0,
    memory_bytes=400 * 2**20,
    processes=20,
    disk_bytes=16 * 2**20,
    cell_output_bytes=10_000,
)


@pytest.fixture(scope="module")
def slot(lesson: Any) -> Iterator[Slot]:
    """One slot for all tests here: what a submission does to it, the next would feel."""
    with Slot(lesson, LIMITS) as slot:
        yield slot


@pytest.fixture
def grade(slot: Slot, hand_in: Callable[..., bytes]) -> Iterator[Callable[..., Result]]:
    """Grade answers; afterwards an honest submission gets what it deserves."""

    def grade(**answers: str) -> Result:
        return slot.grade(hand_in(**answers))

    yield grade
    assert slot.grade(hand_in()).score == 10.0


def _scores(result: Result) -> list[float]:
    return [cell.score for cell in result.cells]


def test_honest_answers_get_all_points(grade, lesson):
    result = grade()
    assert result.outcome == "graded"
    assert _scores(result) == [6.0, 3.0, 1.0]
    assert {cell.message for cell in result.cells} == {""}
    assert result.trust == "split"
    assert result.notes == ()


def test_wrong_answers_lose_their_points_and_no_others(grade):
    result = grade(half="def half(x):\n    return x")
    assert _scores(result) == [6.0, 1.5, 1.0]


def test_hidden_tests_count(grade):
    result = grade(double="def double(x):\n    return 4")
    assert _scores(result)[0] == 0.0
    assert result.cells[0].message.startswith("AssertionError")


def test_the_notebook_holds_the_answers_and_the_instructors_tests(grade, lesson):
    notebook = grade().notebook
    sources = {cell["id"]: cell["source"] for cell in notebook["cells"]}
    assert "return 2 * x" in sources["double"]
    assert sources["test_double"] == lesson.source["cells"][2]["source"]
    assert json.loads(json.dumps(notebook)) == notebook


def test_what_a_cell_prints_is_in_its_outputs(grade):
    result = grade(double="print('hello')\ndef double(x):\n    return 2 * x")
    assert result.outputs["double"] == [
        {"output_type": "stream", "name": "stdout", "text": "hello\n"}
    ]


def test_what_is_no_notebook_fails_with_its_reason(slot):
    result = slot.grade(b"no notebook")
    assert (result.outcome, result.reason) == ("failed", "not JSON; the file is damaged")
    assert result.cells == ()


def test_an_edit_of_a_test_is_noted_and_does_not_count(slot, hand_in):
    notebook = json.loads(hand_in(double="def double(x):\n    return 0"))
    notebook["cells"][2]["source"] = "pass"
    result = slot.grade(json.dumps(notebook).encode())
    assert _scores(result)[0] == 0.0
    assert result.notes == ("`test_double` was changed; the released cell counts.",)


def test_a_crash_keeps_what_was_earned_and_scores_the_rest_0(grade):
    result = grade(half="import os\nos._exit(0)")
    assert result.outcome == "graded"
    assert _scores(result) == [6.0, 0.0, 0.0]
    reason = "The code of this notebook ended its own process, with status 0."
    assert [cell.message for cell in result.cells] == ["", reason, reason]
    assert result.notes == (reason,)
    assert result.outputs["half"][0]["evalue"] == reason


def test_a_crash_of_the_interpreter_is_one_as_well(grade):
    result = grade(half="import ctypes\nctypes.string_at(0)")
    assert (result.outcome, _scores(result)) == ("graded", [6.0, 0.0, 0.0])
    assert result.notes == ("The process of this notebook crashed (SIGSEGV).",)


def test_an_endless_loop_costs_its_own_points(grade):
    result = grade(half="def half(x):\n    while True: pass")
    assert _scores(result) == [6.0, 0.0, 1.0]


def test_an_endless_loop_that_ignores_signals_ends_within_its_limits(grade):
    code = """
import signal
for number in set(range(1, 65)) - {9, 19, 32, 33}:
    signal.signal(number, signal.SIG_IGN)
def half(x):
    while True:
        try:
            while True: pass
        except BaseException:
            pass
"""
    result = grade(half=code)
    assert result.outcome == "graded"
    assert _scores(result) == [6.0, 0.0, 0.0]
    assert result.cells[1].message == "A cell ran for 4 seconds and let nothing stop it."


def test_a_slow_notebook_ends_within_its_limit(grade):
    slow = "import time\nfor _ in range(10): time.sleep(3.5)"
    code = "def double(x):\n    return 2 * x\n"
    result = grade(double=code + slow, half=slow, sum=slow)
    assert result.outcome == "graded"
    assert _scores(result)[1:] == [0.0, 0.0]


def test_memory_of_all_processes_together_is_limited(grade):
    code = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        kept = b'x' * (100 * 2**20)
        time.sleep(1000)
time.sleep(1000)
"""
    result = grade(half=code)
    assert _scores(result) == [6.0, 0.0, 0.0]
    reason = "It used more than 0.391 GiB of memory."
    assert [cell.message for cell in result.cells] == ["", reason, reason]
    assert result.notes == (reason,)


def test_memory_of_one_process_is_limited_without_its_end(grade):
    result = grade(half="x = bytearray(2**30)")
    assert _scores(result) == [6.0, 0.0, 1.0]
    assert result.outputs["half"][0]["ename"] == "MemoryError"


def test_open_files_of_all_processes_together_are_limited(grade):
    code = """
import os, socket, time
for _ in range(15):
    if os.fork() == 0:
        kept = [socket.socketpair() for _ in range(100)]
        time.sleep(1000)
time.sleep(1000)
"""
    result = grade(half=code)
    assert result.notes == ("It opened more than 1024 files.",)
    assert _scores(result) == [6.0, 0.0, 0.0]


def test_a_fork_bomb_ends_with_its_submission(grade, slot):
    before = set(usage.family(slot._process.pid))
    grade(half="import os\nwhile True:\n    try: os.fork()\n    except OSError: pass")
    assert set(usage.family(slot._process.pid)) == before


def test_a_full_disk_is_the_submissions_own(grade):
    code = "for n in range(100):\n    open(f'/tmp/{n}', 'wb').write(bytes(2**20))"
    result = grade(half=code)
    assert _scores(result) == [6.0, 0.0, 1.0]
    assert "No space left" in result.outputs["half"][0]["evalue"]


def test_endless_output_is_cut(grade):
    result = grade(half="while True:\n    print('x' * 1000)")
    text = "".join(one.get("text", "") for one in result.outputs["half"])
    assert 0 < len(text) < 2 * LIMITS.cell_output_bytes
    assert _scores(result) == [6.0, 0.0, 1.0]


def test_a_warning_costs_nothing(grade):
    code = "import warnings\ndef half(x):\n    warnings.warn('careful')\n    return x / 2"
    assert grade(half=code).score == 10.0


def test_the_secret_is_not_in_the_sandbox(grade):
    code = "import os\nprint(dict(os.environ))"
    result = grade(half=code)
    assert "COURSE_SECRET" not in result.outputs["half"][0]["text"]


def test_a_result_says_how_long_it_took(grade):
    result = grade()
    assert result.seconds > 0
    assert sum(cell.seconds for cell in result.cells) <= result.seconds


def test_with_trust_nothing_is_locked_in_and_every_cell_says_so(lesson, hand_in):
    with Slot(lesson, LIMITS, trust_submissions=True) as slot:
        daemon = "import subprocess\nsubprocess.Popen(['setsid', 'sleep', '1000'])"
        before = set(usage.family(slot._process.pid))
        result = slot.grade(hand_in(half=daemon))
        assert _scores(result)[0] == 6.0
        assert {cell.trust for cell in result.cells} == {"unsandboxed"}
        assert set(usage.family(slot._process.pid)) == before


def test_without_bubblewrap_nothing_is_graded(lesson, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CourseError, match="bubblewrap is not installed"):
        Slot(lesson, LIMITS)


def test_a_broken_release_is_no_fault_of_a_submission(lesson, hand_in):
    cells = [*lesson.release["cells"], lesson.release["cells"][1]]
    broken = replace(lesson, release={**lesson.release, "cells": cells})
    with Slot(broken, LIMITS) as slot, pytest.raises(CourseError, match="names two cells `double`"):
        slot.grade(hand_in())


def test_what_a_notebook_imports_is_found_without_running_it():
    cells = [
        "import a, b.c\nfrom d import e",
        "%pip install f\nimport g",
        "import (",
        "x = 'import h'",
    ]
    notebook = new_notebook(cells=[*map(new_code_cell, cells), new_markdown_cell("import i")])
    assert imports(notebook) == ["a", "b.c", "d", "d.e", "g"]


class Members:
    """The processes of a slot, by what they are."""

    def __init__(self, slot: Slot) -> None:
        self.standing_by = slot._process.pid
        (self.parent,) = self._children(self.standing_by)
        found = self._children(self.parent)
        (self.bubblewrap,) = (one for one in found if "bwrap" in self._command(one))
        self.checkers = [one for one in found if one != self.bubblewrap]
        (self.first,) = self._children(self.bubblewrap)
        (self.zygote,) = self._children(self.first)
        self.jobs = usage.family(self.zygote)[1:]

    @staticmethod
    def _children(process: int) -> list[int]:
        text = Path(f"/proc/{process}/task/{process}/children").read_text()
        return [int(word) for word in text.split()]

    @staticmethod
    def _command(process: int) -> str:
        return Path(f"/proc/{process}/cmdline").read_text()


WAITING = "import time\ntime.sleep(2)\ndef half(x):\n    return x / 2"


def _in_the_middle(slot: Slot, submission: bytes) -> tuple[Thread, list[Any]]:
    """Start to grade, and come back when the job and its checker run."""
    answers: list[Any] = []

    def grade() -> None:
        try:
            answers.append(slot.grade(submission))
        except SlotError as error:
            answers.append(error)

    thread = Thread(target=grade)
    thread.start()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            members = Members(slot)
        except ValueError:
            continue
        if members.checkers and members.jobs:
            return thread, answers
    raise AssertionError("no job runs")


@pytest.mark.parametrize("victim", ["bubblewrap", "first", "zygote", "checker", "job"])
def test_a_submission_whose_processes_are_killed_is_graded_again(lesson, hand_in, victim):
    with Slot(lesson, LIMITS) as slot:
        thread, answers = _in_the_middle(slot, hand_in(half=WAITING))
        members = Members(slot)
        victims = {"checker": members.checkers, "job": members.jobs[-1:]}
        for process in victims.get(victim) or [getattr(members, victim)]:
            os.kill(process, signal.SIGKILL)
        thread.join()
        assert answers[0].score == 10.0
        assert slot.grade(hand_in()).score == 10.0


@pytest.fixture
def fragile(lesson: Any) -> Callable[[str], Any]:
    """The lesson with these lines before the test of `half`."""

    def fragile(lines: str) -> Any:
        source = json.loads(json.dumps(lesson.source))
        source["cells"][4]["source"] = f"import os\nfrom pathlib import Path\n{lines}\n3.0"
        return replace(lesson, source=source)

    return fragile


END_AS_TOLD = "if half(4) != 2:\n    os.kill(os.getpid(), half(4))"


@pytest.mark.parametrize("ending", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_crash_of_a_test_keeps_what_was_earned_and_scores_the_rest_0(fragile, hand_in, ending):
    with Slot(fragile(END_AS_TOLD), LIMITS) as slot:
        result = slot.grade(hand_in(half=f"def half(x):\n    return {int(ending)}"))
        assert result.outcome == "graded"
        assert _scores(result) == [6.0, 0.0, 0.0]
        reason = f"crashed the test ({ending.name}), and the tests after it did not run."
        assert [reason in cell.message for cell in result.cells] == [False, True, True]
        assert reason in result.notes[-1]
        assert slot.grade(hand_in()).score == 10.0


def test_a_test_that_is_killed_from_outside_is_no_verdict(fragile, hand_in):
    killed = hand_in(half=f"def half(x):\n    return {int(signal.SIGKILL)}")
    killing = pytest.raises(SlotError, match="the checker was killed")
    with Slot(fragile(END_AS_TOLD), LIMITS) as slot, killing:
        slot.grade(killed)


def test_a_crash_that_does_not_come_again_costs_nothing(fragile, hand_in, tmp_path):
    mark = tmp_path / "mark"
    once = f"if not Path({str(mark)!r}).exists():\n    Path({str(mark)!r}).touch()\n    os.abort()"
    with Slot(fragile(once), LIMITS) as slot:
        assert slot.grade(hand_in()).score == 10.0
        assert mark.exists()


@pytest.mark.parametrize("victim", ["standing_by", "parent"])
def test_a_slot_whose_heart_is_killed_says_so_and_leaves_nothing(
    lesson, hand_in, victim, is_running
):
    with Slot(lesson, LIMITS) as slot:
        thread, answers = _in_the_middle(slot, hand_in(half=WAITING))
        family, folder = usage.family(slot._process.pid), _folder_of(slot)
        assert len(family) >= 7
        assert folder.exists()
        os.kill(getattr(Members(slot), victim), signal.SIGKILL)
        thread.join()
        assert isinstance(answers[0], SlotError)
        _wait_until_gone(family, is_running)
        if victim == "parent":  # Else nobody is left to do it.
            assert not folder.exists()
        with pytest.raises(SlotError):
            slot.grade(hand_in())


WORKER = """
import json, sys
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.runner.slot import Slot

package, limits, submission = json.loads(sys.stdin.readline())
print("begin", flush=True)
slot = Slot(Package(**package), Limits(**limits))
print(slot._process.pid, flush=True)
while True:
    slot.grade(submission.encode())
"""


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3, 0.6, None])
def test_the_death_of_a_worker_at_any_moment_leaves_nothing(lesson, hand_in, moment, is_running):
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with worker:
        assert worker.stdin
        assert worker.stdout
        submission = hand_in(half="import time\ntime.sleep(0.3)").decode()
        worker.stdin.write(json.dumps([lesson.to_json(), asdict(LIMITS), submission]) + "\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == "begin\n"
        folders = []
        if moment is None:
            standing_by = int(worker.stdout.readline())
            folders.append(Path(f"/proc/{standing_by}/cwd").readlink())
            moment = random.random()
        time.sleep(moment)
        family = usage.family(worker.pid)
        worker.kill()
    _wait_until_gone(family, is_running)
    assert not any(folder.exists() for folder in folders)


def _wait_until_gone(processes: list[int], is_running: Callable[[int], bool]) -> None:
    end = time.monotonic() + 60
    while any(map(is_running, processes)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not [one for one in processes if is_running(one)]


# Containers that forbid what a sandbox is made of: to nest one, and to show its own processes.
NO_NAMESPACES = ("--unshare-user", "--disable-userns")
NO_PROC = ("--unshare-user", "--unshare-pid", "--proc", "/proc", "--ro-bind", "/sys", "/proc/sys")

ONE = """
import json, sys
from coursekit.errors import CourseError
from coursekit.grading.package import Package
from coursekit.grading.runner.slot import Slot

package, submission, trust = json.loads(sys.stdin.readline())
try:
    with Slot(Package(**package), trust_submissions=trust) as slot:
        print(slot.grade(submission.encode()).score)
except CourseError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("container", "trust", "says"),
    [
        (NO_NAMESPACES, False, "the sandbox does not work here ([Errno 28] unshare"),
        (NO_PROC, False, "the sandbox does not work here ([Errno 1] mount"),
        (NO_PROC, True, "the sandbox does not work here ([Errno 1] mount"),
        (NO_NAMESPACES, True, "10.0"),
    ],
)
def test_a_container_that_forbids_a_sandbox_is_told_and_nothing_is_graded_without_trust(
    lesson, hand_in, as_unprivileged, container, trust, says
):
    words = ["bwrap", "--die-with-parent", "--dev-bind", "/", "/", *container]
    question = json.dumps([lesson.to_json(), hand_in().decode(), trust])
    done = as_unprivileged(*words, sys.executable, "-c", ONE, input=question + "\n")
    assert done.stdout.startswith(says), done.stdout + done.stderr
    assert done.stdout.count("\n") == 1


def _folder_of(slot: Slot) -> Path:
    return Path(f"/proc/{slot._process.pid}/cwd").readlink()


def test_a_closed_slot_leaves_nothing(lesson, is_running):
    slot = Slot(lesson, LIMITS)
    family = usage.family(slot._process.pid)
    folder = _folder_of(slot)
    slot.close()
    assert not any(map(is_running, family))
    assert not folder.exists()


def test_all_of_this_holds_for_a_user_without_rights(as_unprivileged):
    done = as_unprivileged(
        *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__),
        *("-k", "not without_rights"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout

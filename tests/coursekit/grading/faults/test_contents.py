"""Files that are none of a notebook, names that are hard to live with, work that kills its grader.

None of them costs anybody else anything.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from coursekit.grading.assignment import Classroom, load_package
from coursekit.grading.environment import environment
from coursekit.grading.intake.collection import Collection
from coursekit.grading.records.journal import key_of

STUDENTS = 16
Calm = Callable[[int], tuple[Any, ...]]
SCORES = "grade double-check", "grade largest-check"
# Names from the corners of what a file system takes.
NAMES = (
    "anna [1]",
    'o\'neill, "the" second',
    "{braces}",
    "a*b?c",
    "100%",
    "$(touch here)",
    "; rm -rf .",
    "-n",
    "--resume",
    "..hidden",
    "two.dots.",
    " leading and trailing ",
    "tab\tinside",
    "line\nbreak",
    "back\\slash",
    "Zoë Ünïcode",
    "李小龍",
    "مريم",
    "🎓",
    "name:colon",
    "NUL",
    "x" * 200,
)


def recorded(name: str) -> str:
    """The name in the grade book: longer than nbgrader can show, or with quotes that it cannot."""
    return name[:128].replace("'", "=27").replace('"', "=22")


def scores(room: Any) -> dict[str, tuple[float | None, ...]]:
    """Automatic points of the two checks, by student."""
    return {
        one["who"][1] or name: tuple(one[cell][0] for cell in SCORES)
        for name, one in room.book().items()
    }


def test_what_is_no_notebook_harms_nobody(storms: ModuleType, calm: Calm, tmp_path: Path) -> None:
    expected = calm(STUDENTS)
    good = json.dumps(storms.submission(storms.RIGHT)).encode()
    accented = json.dumps(
        storms.submission({**storms.RIGHT, "largest": "largest = max  # né"}), ensure_ascii=False
    )
    large = storms.submission(storms.RIGHT)
    large["cells"][0]["source"] += "x" * 5 * 2**20
    many_cells = storms.submission(storms.RIGHT)
    many_cells["cells"] += [many_cells["cells"][0] | {"id": f"x{n}"} for n in range(20_000)]
    harmless = {
        "with BOM": b"\xef\xbb\xbf" + good,
        "accented": accented.encode(),
        "large": json.dumps(large).encode(),
    }
    broken = {
        "empty": b"",
        "blank": b" \n",
        "cut off": good[: len(good) // 2],
        "latin-1": accented.encode("latin-1"),
        "UTF-16": accented.encode("utf-16"),
        "zeros": bytes(100_000),
        "a list": b"[]",
        "a number": b"1e999",
        "deep": b"[" * 100_000,
        "no cells": b'{"nbformat": 4}',
        "old": b'{"nbformat": 3, "worksheets": []}',
        "wrong cells": b'{"nbformat": 4, "cells": [1, null]}',
        "too many cells": json.dumps(many_cells).encode(),
        "huge": good + b" " * 33 * 2**20,
    }
    room = storms.Room.make(tmp_path, {**storms.many(STUDENTS), **harmless, **broken})
    code, said = room.grade()
    assert code == 1
    assert "Traceback" not in said
    book = room.book()
    for student in expected[0]:
        assert book[student] == expected[0][student]
    found = scores(room)
    assert {student: found[student] for student in harmless} == dict.fromkeys(harmless, (6.0, 4.0))
    assert {student: found[student] for student in broken} == dict.fromkeys(broken, (None, None))
    for student in broken:
        assert sum(f" {student}: " in line for line in said.splitlines()) >= 1, student
    total = len(harmless) + len(broken) + STUDENTS
    assert f"{total} students = {STUDENTS + len(harmless)} graded" in said


def test_every_student_is_graded_whatever_the_name(storms: ModuleType, tmp_path: Path) -> None:
    kinds = list(storms.ANSWERS)
    kind_of = {name: kinds[number % len(kinds)] for number, name in enumerate(NAMES)}
    room = storms.Room.make(
        tmp_path,
        {
            name: storms.submission(storms.ANSWERS[kind], number)
            for number, (name, kind) in enumerate(kind_of.items())
        },
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    code, said = room.grade()
    assert code == 0, said
    due = {"double-check": {"right", "half", "slow", "stops", "ends"}}
    due["largest-check"] = {"right", "other half", "slow"}
    found = scores(room)
    assert found == {
        # As the grade book can hold it.
        recorded(name): (
            6.0 if kind in due["double-check"] else 0.0,
            4.0 if kind in due["largest-check"] else 0.0,
        )
        for name, kind in kind_of.items()
    }
    assert len(room.notebooks()) == len(NAMES)
    assert sorted(path.name for path in tmp_path.iterdir()) == before, "a name became a command"
    lines = room.lines()
    assert room.grade()[0] == 0
    assert (scores(room), room.lines()) == (found, lines), "a second run did something"


def test_work_that_kills_its_grader_each_time_is_set_aside(
    storms: ModuleType, calm: Calm, tmp_path: Path
) -> None:
    expected = calm(STUDENTS)
    # Long enough for its killer, which lies in wait.
    patient = {**storms.RIGHT, "double": f"import time\ntime.sleep(5)\n{storms.RIGHT['double']}"}
    poison = {"poison": storms.submission(patient)}
    room = storms.Room.make(tmp_path, {**storms.many(STUDENTS), **poison})
    assert grade_with_poison(storms, room, "poison") == (1, 3)
    book = room.book()
    assert book.pop("poison")["grade double-check"][:2] == (None, None)
    assert book == expected[0]
    [aside] = [one for one in room.records().known.values() if one.outcome == "person"]
    assert aside.reason.startswith("killed its grader 3 times")
    # It stays aside until somebody asks for it again.
    lines = room.lines()
    code, said = room.grade("--resume", "--workers", "1")
    assert code == 1
    assert "person: poison: killed its grader 3 times" in said
    assert room.lines() == lines
    code, said = room.grade("--again", "--workers", "2")
    assert code == 0, said
    book = room.book()
    assert book.pop("poison")["grade double-check"][0] == 6
    assert book == expected[0]


def grade_with_poison(storms: ModuleType, room: Any, student: str) -> tuple[int, int]:
    """Grade a class, and kill the slot whenever it is at the work of this student."""
    engine: subprocess.Popen[str] = room.start(str(room.submissions), "--workers", "1")
    key, deaths = "", 0
    while engine.poll() is None:
        with suppress(OSError):
            key = key or key_of_student(room, student)
            if key and starts(room, key) > deaths:
                deaths += kill_slot(storms, engine.pid)
        time.sleep(0.01)
    engine.communicate()
    return engine.returncode, deaths


def starts(room: Any, key: str) -> int:
    """How often the submission with this key was begun."""
    return sum((entry["event"], entry["key"]) == ("started", key) for entry in room.events())


def key_of_student(room: Any, student: str) -> str:
    """The key of the work of a student in the journal; empty while it was not collected."""
    collection = Collection.open(room.grading / "collection.json")
    if student not in collection.participants:
        return ""
    package = load_package(Classroom.find(room.root), "01_storm")
    return key_of(collection.participants[student].digest, package.fingerprint, environment())


def kill_slot(storms: ModuleType, engine: int) -> int:
    """Kill the heart of the only slot; how many there were."""
    hearts = [one for one in storms.family(psutil.Process(engine)) if storms.role(one) == "parent"]
    for one in hearts:
        with suppress(psutil.Error):
            os.kill(one.pid, signal.SIGKILL)
    return len(hearts)

"""Grades are comparable where everything that decides them is the same, and only there."""

import subprocess
import sys
from pathlib import Path

import pytest

from coursekit.grading import environment as module
from coursekit.grading.environment import environment
from coursekit.grading.imports import imported
from coursekit.grading.limits import Limits

FOLDER = Path(module.__file__).parent


@pytest.fixture(autouse=True)
def fresh() -> None:
    """What is installed is looked up once a process."""
    module._machine.cache_clear()


def test_the_same_machine_is_the_same_environment() -> None:
    program = "from coursekit.grading.environment import environment; print(environment())"
    command = [sys.executable, "-c", program]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert environment() == environment(Limits()) == other
    assert len(other) == 64


def test_limits_trust_and_versions_are_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        environment(),
        environment(Limits(cell_seconds=1)),
        environment(trust_submissions=True),
    }
    module._machine.cache_clear()
    monkeypatch.setattr(module.metadata, "version", lambda name: "0.0")
    assert len(known | {environment()}) == 4


def test_what_gives_verdicts_is_part_of_it_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[Path] = []
    whole = Path.read_bytes

    def changed(path: Path) -> bytes:
        read.append(path)
        return whole(path)

    before = environment()
    module._machine.cache_clear()
    monkeypatch.setattr(Path, "read_bytes", changed)
    assert environment() == before
    names = {path.stem for path in read}
    assert {"checker", "codec", "rebuild", "bubblewrap", "seccomp", "comparison"} <= names
    assert not {"gradebook", "feedback", "export", "engine", "journal", "cluster"} & names

    for name in ("checker", "comparison"):
        module._machine.cache_clear()

        def other(path: Path, name: str = name) -> bytes:
            return whole(path) + (b"# changed" if path.stem == name else b"")

        monkeypatch.setattr(Path, "read_bytes", other)
        assert environment() != before, f"a change of {name} changes nothing"


def test_the_modules_of_the_programs_are_found_without_importing_them() -> None:
    program = """
import sys
import coursekit.grading.runner.slot, coursekit.grading.runner.parent
import coursekit.grading.sandbox.zygote
import coursekit.grading.split.agent, coursekit.grading.split.checker
own = "coursekit.grading"
print(*[one.__file__ for name, one in sys.modules.items() if name.startswith(own)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    files = {str(Path(file).relative_to(FOLDER)) for file in done.stdout.split()}
    programs = ["runner.slot", "runner.parent", "sandbox.zygote", "split.agent", "split.checker"]
    assert "split/checker.py" in files
    assert files <= imported(*programs)

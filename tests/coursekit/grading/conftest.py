"""A small release, submissions of it as files, and a user without rights."""

import copy
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from coursekit.classroom import CONFIGURATION
from coursekit.grading.assignment import Classroom, load_package
from coursekit.grading.package import Package


def _known(kind: str, name: str, source: str, **roles: Any) -> NotebookNode:
    new = new_code_cell if kind == "code" else new_markdown_cell
    plain = {"grade": False, "locked": False, "solution": False, "task": False}
    return new(
        source,
        id=name,
        metadata={"nbgrader": {"schema_version": 3, "grade_id": name, **plain, **roles}},
    )


@pytest.fixture(scope="session")
def release() -> NotebookNode:
    """Imports, two answers with their tests, a locked reader, a question for a person."""
    notebook = new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[
            new_code_cell("import math", id="imports"),
            _known("code", "mean", "raise NotImplementedError()", solution=True),
            _known("code", "test_mean", "assert mean([1]) == 1", grade=True, locked=True, points=6),
            new_markdown_cell("## Next", id="next"),
            _known("code", "centre", "raise NotImplementedError()", solution=True),
            _known("code", "test_centre", "assert centre", grade=True, locked=True, points=4),
            _known("code", "reader", "rows = [1, 2]", locked=True),
            _known("markdown", "why", "YOUR ANSWER HERE", grade=True, solution=True, points=5),
        ],
    )
    return notebook


@pytest.fixture
def work(release: NotebookNode) -> dict[str, Any]:
    """What an honest student hands in, as plain JSON."""
    answers = {"mean": "mean = 1", "centre": "centre = 2", "why": "Because."}
    notebook = json.loads(json.dumps(copy.deepcopy(release)))
    for cell in notebook["cells"]:
        cell["source"] = answers.get(cell["id"], cell["source"])
    return notebook


ASSIGNMENT, TOPIC = "01_small", "small"


@pytest.fixture(scope="session")
def source(release: NotebookNode) -> NotebookNode:
    """The release as the instructor wrote it: with solutions and hidden tests."""
    notebook = copy.deepcopy(release)
    cells = {cell.id: cell for cell in notebook.cells}
    for name in ("mean", "centre"):
        cells[name].source = f"### BEGIN SOLUTION\n{name} = 7\n### END SOLUTION"
    cells["why"].source = "Because."
    cells["test_mean"].source += "\n### BEGIN HIDDEN TESTS\nassert secret\n### END HIDDEN TESTS"
    return notebook


@pytest.fixture
def classroom(tmp_path: Path, release: NotebookNode, source: NotebookNode) -> Classroom:
    """The folder of a class that has released one assignment."""
    root = tmp_path / "spring"
    for step, notebook in (("source", source), ("release", release)):
        folder = root / step / ASSIGNMENT
        folder.mkdir(parents=True)
        (folder / f"{TOPIC}.ipynb").write_text(json.dumps(notebook))
    (root / "nbgrader_config.py").write_text(CONFIGURATION)
    return Classroom.find(root)


@pytest.fixture
def package(classroom: Classroom) -> Package:
    """Its assignment."""
    return load_package(classroom, ASSIGNMENT)


@pytest.fixture
def answered(work: dict[str, Any]) -> Callable[[str], bytes]:
    """A submission with this first answer, by which a fake slot knows what to do."""

    def answered(mean: str) -> bytes:
        notebook = copy.deepcopy(work)
        next(cell for cell in notebook["cells"] if cell["id"] == "mean")["source"] = mean
        return json.dumps(notebook).encode()

    return answered


@pytest.fixture
def slots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Fake slots, in a module that worker processes find as well."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "fakes"))
    log = tmp_path / "slots.log"
    log.touch()
    monkeypatch.setenv("FAKE_SLOT_LOG", str(log))
    return importlib.import_module("fake_slot")


@pytest.fixture(scope="session")
def as_unprivileged() -> Iterator[Callable[..., Any]]:
    """Run a command as a user without any right, who can read this repository and this Python.

    Called with the words of the command; gives what `subprocess.run` gives, as text. Where the
    tests themselves run without rights, it only runs the command.
    """

    def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        prefix = _without_rights() if os.geteuid() == 0 else []
        environment = {**os.environ, "HOME": home, "XDG_CACHE_HOME": f"{home}/cache"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        settings = {"capture_output": True, "text": True, "env": environment, "cwd": _ROOT}
        return subprocess.run([*prefix, *words], **{**settings, **options})

    # The folders of pytest are closed to others.
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        Path(home).chmod(0o777)
        yield run


_ROOT = Path(__file__).resolve().parents[3]
_NOBODY = "60900"  # A number that no system gives to a user.


def _without_rights() -> list[str]:
    """Begin a command that runs without rights, where this Python may lie in root's own home."""
    needed = {_ROOT, Path(sys.prefix), Path(sys.base_prefix)}
    closed = {above for path in needed if (above := _closed(path))}
    words = ["bwrap", "--die-with-parent", "--dev-bind", "/", "/"]
    for folder in sorted(closed):
        # An empty folder that anybody may pass through, with only what is needed in it.
        words += ["--perms", "0755", "--tmpfs", str(folder)]
    for path in sorted(needed):
        if closed & set(path.parents):
            for folder in reversed(path.parents):
                if closed & set(folder.parents):
                    words += ["--perms", "0755", "--dir", str(folder)]
            words += ["--ro-bind", str(path), str(path)]
    user = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    return [*words, "--", "setpriv", *user, "--inh-caps=-all", "--bounding-set=-all", "--"]


def _closed(path: Path) -> Path | None:
    """The first folder above a path that others may not pass through."""
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & 1), None)


@pytest.fixture(scope="session")
def lesson() -> Any:
    """An assignment with three graded cells, of which the middle one gives partial credit."""
    hidden = "### BEGIN HIDDEN TESTS\nassert double(21) == 42\n### END HIDDEN TESTS"
    cells = [
        new_code_cell("import numpy as np\nstart = 1", id="imports"),
        _known("code", "double", "def double(x):\n    raise NotImplementedError()", solution=True),
        _test("test_double", f"assert double(2) == 4\n{hidden}", 6),
        _known("code", "half", "def half(x):\n    raise NotImplementedError()", solution=True),
        _test("test_half", "3.0 if half(4) == 2 else 1.5", 3),
        _known("code", "sum", "def total(x):\n    raise NotImplementedError()", solution=True),
        _test("test_total", "assert float(total(np.ones(3))) == 3.0", 1),
    ]
    source = json.loads(json.dumps(new_notebook(cells=cells)))
    release = json.loads(json.dumps(source))
    release["cells"][2]["source"] = "assert double(2) == 4"
    return Package("01_lesson", "lesson", source, release, "a secret")


HONEST = {
    "double": "def double(x):\n    return 2 * x",
    "half": "def half(x):\n    return x / 2",
    "sum": "def total(x):\n    return x.sum()",
}


@pytest.fixture(scope="session")
def hand_in(lesson: Any) -> Callable[..., bytes]:
    """Give a submission of the lesson: honest answers, but for those that are named."""

    def hand_in(**answers: str) -> bytes:
        notebook = json.loads(json.dumps(lesson.release))
        for cell in notebook["cells"]:
            cell["source"] = (HONEST | answers).get(cell["id"], cell["source"])
        return json.dumps(notebook).encode()

    return hand_in


def _test(name: str, source: str, points: float) -> NotebookNode:
    return _known("code", name, source, grade=True, locked=True, points=points)


def _is_running(process: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        status = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status not in "ZX"


@pytest.fixture(scope="session")
def is_running() -> Callable[[int], bool]:
    """Say whether a process runs."""
    return _is_running

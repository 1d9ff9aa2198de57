"""`course collect` and `course grade`: a class from its zip file to nbgrader, and every misuse."""

import io
import json
import os
import re
import socket
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from rich.console import Console

from coursekit import grading_commands
from coursekit.classroom import open_class
from coursekit.exercises import Exercise
from coursekit.grading.assignment import Classroom
from coursekit.notebook_files import to_text
from coursekit.release import release_notebook, source_notebook
from coursekit.repository import Repository
from coursekit.variants import submission, variants

Answered = Callable[[str], bytes]
Done = subprocess.CompletedProcess[str]
PROGRAMS = str(Path(sys.executable).parent)


def course(folder: Path, *arguments: object, **environment: str) -> Done:
    """Run `course` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "coursekit", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PATH": os.pathsep.join([PROGRAMS, os.environ["PATH"]]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as writer:
        for name, data in files.items():
            writer.writestr(name, data)
    return path


@pytest.fixture
def spring(classroom: Classroom, tmp_path: Path, answered: Answered) -> Path:
    """A class, and beside it `class.zip` with one submission."""
    archive(tmp_path / "class.zip", {"ann_1_2_small.ipynb": answered("mean = min")})
    return classroom.root


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name the SUBMISSIONS, or --resume to go on with what was collected."),
        (["../class.zip", "--workers", "0"], "--workers (=0) must be at least 1."),
        (["../class.zip", "--workers", "-3"], "--workers (=-3) must be at least 1."),
        (
            ["../class.zip", "--workers", "2", "--cluster", "tcp://a:1"],
            "--workers is for this machine, --cluster for others; drop one.",
        ),
        (
            ["../class.zip", "--assignment", "02"],
            "02: no such assignment in {root}/source; there are: 01_small.",
        ),
        (["../nowhere.zip"], "../nowhere.zip: no such file or folder."),
        (["../empty"], "../empty: empty; there is nothing to collect."),
        (["../spring/nbgrader_config.py"], "../spring/nbgrader_config.py: neither a folder nor a"),
        (["--resume"], "01_small: nothing was collected yet; name the folder or the zip file"),
        (
            ["../class.zip", "--database", "sqlite:////no/where/x.db"],
            "sqlite:////no/where/x.db: its folder is not there; make it first.",
        ),
        (
            ["../class.zip", "--database", "postgresql+psycopg://me:pw@/x?host=/nowhere"],
            "postgresql+psycopg://me:***@/x?host=%2Fnowhere: the grade book cannot be used",
        ),
        (["../class.zip", "--database", "grades"], "grades: the grade book cannot be used"),
    ],
)
def test_misuse_is_one_sentence(spring: Path, arguments: list[str], sentence: str) -> None:
    (spring.parent / "empty").mkdir()
    done = course(spring, "grade", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"course: {sentence.format(root=spring)}")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "students" not in done.stdout, "something was graded"


@pytest.mark.parametrize("command", ["report", "feedback", "export"])
def test_what_needs_grades_says_so_where_there_are_none(spring: Path, command: str) -> None:
    done = course(spring, command, *(["--to", "csv"] if command == "export" else []))
    assert done.returncode == 1
    assert done.stderr.startswith("course: ")
    assert "run `course grade`" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["grade", "collect"])
def test_outside_of_a_class(tmp_path: Path, command: str) -> None:
    done = course(tmp_path, command, "class.zip")
    assert done.returncode == 1
    assert done.stderr.startswith(f"course: {tmp_path}: not the folder of a class")
    assert done.stderr.count("\n") == 1


def test_a_release_that_changed_is_told(spring: Path) -> None:
    path = spring / "release" / "01_small" / "small.ipynb"
    path.write_text(path.read_text().replace("assert centre", "assert not centre"))
    done = course(spring, "grade", "../class.zip")
    assert done.returncode == 1
    assert "01_small: changed since it was handed out: cell `test_centre`" in done.stderr
    path.unlink()
    done = course(spring, "grade", "../class.zip")
    assert "01_small: not released yet" in done.stderr


def test_nothing_is_graded_without_a_sandbox(spring: Path) -> None:
    done = course(spring, "grade", "../class.zip", PATH=PROGRAMS)
    assert done.returncode == 1
    assert done.stderr.startswith("course: bubblewrap is not installed")
    assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_told(spring: Path) -> None:
    (spring / "grading").touch()  # Root may write everywhere, but not below a file.
    done = course(spring, "grade", "../class.zip")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_full_disk_is_told_and_the_next_run_goes_on(spring: Path) -> None:
    # A limit on the size of a file ends a write as a full disk does.
    line = 'ulimit -f 1; exec "$0" -m coursekit grade ../class.zip'
    done = subprocess.run(
        ["bash", "-c", line, sys.executable],
        cwd=spring,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("course: ")
    assert "cannot be" in done.stderr
    assert "Traceback" not in done.stderr
    assert course(spring, "grade", "../class.zip").returncode == 0


def test_collect_tells_how_every_entry_ended(spring: Path, answered: Answered) -> None:
    archive(
        spring.parent / "more.zip",
        {
            "ann_1_2_small.ipynb": answered("a"),
            "bob_3_4_small.ipynb": b"",
            "x/small.ipynb": answered("x"),
            "evil\x1b[31m[bold]_5_6_small.ipynb": b"\xff",
            "notes.txt": b"",
        },
    )
    done = course(spring, "collect", "../more.zip", "--from", "canvas")
    assert done.returncode == 1
    assert done.stdout == "5 entries = 1 accepted + 0 superseded + 3 refused + 1 ignored\n"
    assert sorted(done.stderr.splitlines()) == [
        "ignored: notes.txt: not a notebook",
        "refused: bob_3_4_small.ipynb: empty",
        "refused: evil\N{REPLACEMENT CHARACTER}[31m[bold]_5_6_small.ipynb: not UTF-8 (byte 0)",
        "refused: x/small.ipynb: its name tells no student",
    ]
    done = course(spring, "collect", "../class.zip")
    assert (done.returncode, done.stderr) == (0, "")
    done = course(spring, "collect", "../class.zip", "--from", "blackboard")
    assert done.returncode == 2
    assert "'canvas', 'moodle', 'folder'" in done.stderr


@pytest.fixture
def tiny_class(
    course: Repository, tiny: Exercise, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, NotebookNode]:
    """The class of a real exercise, and what it hands out."""
    root = tmp_path_factory.mktemp("classes") / "spring"
    open_class(course, [tiny], root)
    source = source_notebook(course, tiny)
    release = release_notebook(source, tiny)
    folder = root / "release" / tiny.name
    folder.mkdir(parents=True)
    (folder / f"{tiny.topic}.ipynb").write_text(to_text(release))
    return root, release


@pytest.mark.slow
def test_a_class_is_graded_and_nbgrader_goes_on_with_it(
    tiny_class: tuple[Path, NotebookNode], tiny: Exercise, tmp_path: Path
) -> None:
    root, release = tiny_class
    work = {one.name: one for one in variants(tiny)}
    mutant = next(one for one in variants(tiny) if one.kind == "mutant")
    packed = archive(
        tmp_path / "class.zip",
        {
            "ada_1_2_tiny.ipynb": to_text(submission(release, work["reference"])).encode(),
            "bob_LATE_3_4_tiny-2.ipynb": to_text(submission(release, mutant)).encode(),
            "bob_3_4_tiny.ipynb": to_text(submission(release, work["untouched"])).encode(),
            "anna [1]_5_6_tiny.ipynb": to_text(submission(release, work["untouched"])).encode(),
            "cid_7_8_tiny.ipynb": b"{}",
        },
    )
    done = run("grade", root, packed, "--workers", 2)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "5 entries = 3 accepted + 1 superseded + 1 refused + 0 ignored",
        "4 students = 3 graded + 1 failed + 0 person",
    ]
    reason = "not a notebook: it names no `nbformat`"
    assert done.stderr.splitlines() == [
        f"refused: cid_7_8_tiny.ipynb: {reason}",
        f"failed: cid: {reason}",
    ]
    scores = {"ada": 100.0, "bob": 60.0, "anna =5B1=5D": 0.0, "cid": 0.0}
    assert formgrader(root) == scores

    again = run("grade", root, "--resume")
    assert again.stdout == "4 students = 3 graded + 1 failed + 0 person\n"
    assert formgrader(root) == scores

    for command in (["generate_feedback", "01_tiny"], ["export", "--to", "grades.csv"]):
        nbgrader = subprocess.run(
            [f"{PROGRAMS}/nbgrader", *command],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert nbgrader.returncode == 0, nbgrader.stderr
    for student in ("ada", "bob", "anna =5B1=5D"):
        page = (root / "feedback" / student / "01_tiny" / "tiny.html").read_text()
        assert f"(Score: {scores[student]} / 110.0)" in page
    assert "the mean is added" in (root / "feedback" / "bob" / "01_tiny" / "tiny.html").read_text()
    assert (root / "grades.csv").read_text().count("\n") == 5


def test_a_cluster_that_is_not_there_is_told(spring: Path) -> None:
    with socket.socket() as free:  # Nobody listens at it.
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        done = course(spring, "grade", "../class.zip", "--cluster", address)
    assert done.returncode == 1
    assert done.stderr.startswith(f"course: {address}: ")
    assert done.stderr.count("\n") == 1


def test_the_bar_shows_how_fast_it_is_and_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(grading_commands, "err", console)
    with grading_commands._bar("01_small") as report:
        for done in range(11):
            report(done, 10)
    shown = screen.getvalue()
    assert "01_small" in shown
    assert "10/10" in shown
    assert re.search(r"\d+\.\d/s", shown)
    assert re.search(r"\d:\d\d:\d\d", shown)


def run(command: str, root: Path, *arguments: object) -> Done:
    return course(root, command, *arguments)


def formgrader(root: Path) -> dict[str, float]:
    """Scores as Formgrader lists them, after it has opened every notebook that there is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nbgrader.apps import NbGraderAPI
        from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    config = Config()
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.course_id = "large-models"
    config.Exchange.root = str(root / "exchange")
    (root / "exchange").mkdir(exist_ok=True)
    api = NbGraderAPI(CourseDirectory(config=config), config=config)
    assert api.get_submitted_students("01_tiny") == api.get_autograded_students("01_tiny")
    scores = {}
    for one in api.get_submissions("01_tiny"):
        scores[one["student"]] = one["score"]
    for path in root.glob("autograded/*/01_tiny/tiny.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert json.loads(path.read_text())["cells"]
    with api.gradebook as book:
        for student in book.students:
            scores.setdefault(student.id, book.find_submission("01_tiny", student.id).score)
    return scores


@pytest.mark.slow
def test_trusted_submissions_are_told_apart(
    tiny_class: tuple[Path, NotebookNode], tiny: Exercise, tmp_path: Path
) -> None:
    root, release = tiny_class
    work = next(one for one in variants(tiny) if one.kind == "reference")
    packed = archive(
        tmp_path / "class.zip", {"ada/tiny.ipynb": to_text(submission(release, work)).encode()}
    )
    done = run("grade", root, packed, "--trust-submissions")
    assert done.returncode == 0, done.stderr
    assert "1 of these grades could have been forged" in done.stdout
    done = run("grade", root, "--resume")
    assert done.returncode == 0, done.stderr
    assert "forged" not in done.stdout, "a grade from outside the sandbox was taken for one inside"

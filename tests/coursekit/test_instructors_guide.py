"""The shell commands of the instructor's guide work, in their order, on a class of four."""

import csv
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from coursekit.exercises import find_exercises
from coursekit.release import release_notebook, source_notebook
from coursekit.repository import Repository
from coursekit.variants import submission, variants

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "book" / "instructors" / "guide.md"
# A name as Canvas gives it, one that is late and handed in twice, and three as Moodle does: with
# folders, as older ones have them, and without.
NAMES = {
    "doejane_12345_678901_backprop.ipynb": "reference",
    "smithjohn_LATE_12346_678902_backprop-2.ipynb": "untouched",
    "Ada Lovelace_1234567_assignsubmission_file/backprop.ipynb": "uphill",
    "Grace Hopper_1234569_assignsubmission_file_/backprop.ipynb": "uphill",
    "Alan Turing_1234568_assignsubmission_file_backprop.ipynb": "loops",
}


def commands() -> str:
    """The shell of the guide, as one script that stops at the first failure."""
    blocks = re.findall(r"^```bash\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    return "set -eu\n" + "\n".join(blocks)


@pytest.fixture(scope="module")
def classroom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the class after all commands have run, in a home of its own."""
    home = tmp_path_factory.mktemp("home")
    clone = home / "clone"
    clone.mkdir()
    shutil.copy(ROOT / "pyproject.toml", clone)
    built = shutil.ignore_patterns("_build", "vendor", "node_modules")
    for room in ("solutions", "exercises", "book"):
        shutil.copytree(ROOT / room, clone / room, ignore=built)
    repository = Repository.find(clone)
    [exercise] = find_exercises(repository, ["01_backprop"])
    release = release_notebook(source_notebook(repository, exercise), exercise)
    plan = {one.name: one for one in variants(exercise)}
    (home / "Downloads").mkdir()
    with zipfile.ZipFile(home / "Downloads" / "submissions.zip", "w") as archive:
        for name, variant in NAMES.items():
            archive.writestr(name, nbformat.writes(submission(release, plan[variant])))
        archive.writestr("notes.txt", "not a notebook")
    # The check at the end has its own tests, and takes a minute: here it only has to start.
    script = commands().replace("course check 01", "course check --quick 01")
    programs = str(Path(sys.executable).parent)
    environment = os.environ | {
        "HOME": str(home),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }
    command = ["bash", "-c", script]
    done = subprocess.run(
        command, cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all gates hold" in done.stdout
    return home / "spring"


@pytest.mark.slow
def test_every_student_gets_the_points_that_are_due(classroom: Path) -> None:
    with (classroom / "grades.csv").open() as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores == {
        "doejane": 100,
        "smithjohn": 0,
        "Ada Lovelace": 90,
        "Grace Hopper": 90,
        "Alan Turing": 100,
    }


@pytest.mark.slow
def test_feedback_names_the_slip(classroom: Path) -> None:
    page = classroom / "feedback" / "Ada Lovelace" / "01_backprop" / "backprop.html"
    assert "you walk uphill" in page.read_text()


@pytest.mark.slow
def test_students_get_what_lies_in_exercises(classroom: Path) -> None:
    def sources(path: Path) -> list[str]:
        return [cell.source for cell in nbformat.read(path, as_version=4).cells]

    name = Path("01_backprop") / "backprop.ipynb"
    assert sources(classroom / "release" / name) == sources(ROOT / "exercises" / name)


def test_a_class_in_the_clone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "largemodels"\n')
    (tmp_path / "solutions").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "coursekit", "class", "spring"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "grades must not be published" in done.stderr
    assert not (tmp_path / "spring").exists()

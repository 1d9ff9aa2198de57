"""The commands for people: what they write, what they print, and what they refuse."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COURSE = [sys.executable, "-m", "coursekit"]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COURSE, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(spring, tmp_path: Path) -> Path:
    """A copy of the class."""
    return Path(shutil.copytree(spring.classroom.root, tmp_path / "class"))


def test_feedback_says_who_has_no_page(folder: Path) -> None:
    done = run(folder, "feedback", "01_backprop")
    assert done.returncode == 0, done.stderr
    assert "60 pages in" in done.stdout
    assert "no page: poison: person: killed 3 graders" in done.stderr
    assert len(list(folder.glob("feedback/*/01_backprop/backprop.html"))) == 60


def test_report_writes_a_page_and_prints_a_summary_that_adds_up(folder: Path) -> None:
    done = run(folder, "report")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "64 students: 49 graded, 11 graded but for the written answers, 3 failed, 1" in said
    assert "of 100 checked points on average" in said
    assert "10 points wait for a person" in said
    assert (folder / "grading/01_backprop/report/index.html").is_file()
    assert run(folder, "report", "01_backprop", "--anonymous").returncode == 0
    page = folder / "grading/01_backprop/report-anonymous/index.html"
    assert "student07" not in page.read_text(encoding="utf-8")


def test_export_fills_a_roster_and_lists_who_has_no_place(folder: Path) -> None:
    roster = folder / "canvas.csv"
    roster.write_text(
        "Student,ID,SIS Login ID,Section,Backprop (7)\n    Points Possible,,,,110\n"
        '"Doe, Jane",1,doejane,A,\n"Later, Lea",2,lea,A,\n'
    )
    done = run(folder, "export", "--to", "canvas", "--roster", "canvas.csv", "-o", "out.csv")
    assert done.returncode == 1
    assert "1 scores in out.csv, 5 empty, 59 without a place" in done.stdout
    assert "no place: student00: in no line of the file" in done.stderr
    assert "empty: Later, Lea: in the file, but not in the grade book" in done.stderr
    with (folder / "out.csv").open(newline="") as file:
        rows = {row["ID"]: row["Backprop (7)"] for row in csv.DictReader(file)}
    assert rows == {"": "110", "1": "0", "2": ""}


def test_export_to_csv_holds_everybody(folder: Path) -> None:
    done = run(folder, "export", "--to", "csv", "--assignment", "01_backprop")
    assert (done.returncode, done.stdout) == (
        0,
        "60 scores in grades-csv.csv, 4 empty, 0 without a place\n",
    )
    with (folder / "grades-csv.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 64


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["feedback", "02_adam"], "02_adam"),
        (["report", "--database", "sqlite:///nowhere.db"], "no grade book is here yet"),
        (["report", "--database", "nonsense"], "nonsense: the grade book cannot be used"),
        (["export", "--to", "csv", "--assignment", "02_adam"], "02_adam: not in the grade book"),
        (["export", "--to", "moodle"], "name it with --roster"),
        (["export", "--to", "canvas", "--roster", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["export", "--to", "canvas", "--roster", "a.csv", "-o", "a.csv"], "is the roster itself"),
    ],
)
def test_misuse_is_one_sentence(folder: Path, arguments: list[str], reason: str) -> None:
    done = run(folder, *arguments)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["feedback", "report", "export --to csv"])
def test_outside_of_a_class_is_one_sentence(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, *command.split())
    assert done.returncode == 1
    assert "not the folder of a class" in done.stderr

"""A class with attackers in it, graded by the commands that an instructor types."""

import csv
import json
import re
from pathlib import Path

import pytest
from attack import CORPUS, load
from nbgrader.api import Gradebook
from proving_ground import HONEST, ProvingGround, active

from coursekit.classroom import CONFIGURATION
from coursekit.commands import run

# Attacks that end by themselves: a class is graded with generous limits.
CHOSEN = ("05", "15", "31", "38", "60", "91", "92", "104", "108", "117", "118", "121", "122")
# A page that a browser opens at once.
LONGEST_PAGE = 2**22


@pytest.fixture
def class_folder(ground: ProvingGround, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A class of Alice, Zoe and all the others, who hand in one folder each."""
    assignment = ground.assignment("target")
    (tmp_path / "nbgrader_config.py").write_text(CONFIGURATION)
    for step, notebook in (("source", assignment.source), ("release", assignment.release)):
        path = tmp_path / step / "target" / "target.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(notebook))
    [honest] = HONEST.submissions(assignment.template)
    for student in ("alice", "zoe"):
        path = tmp_path / "handed-in" / student / "target.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(honest))
    for number in (*CHOSEN, "106", "107"):
        attack = load(next(CORPUS.glob(f"{number}_*")))
        ground.lay_out(attack, assignment, tmp_path / "handed-in", f"mallory {number}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_SECRET", ground.canaries["course secret"])
    return tmp_path


def course(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["course", *words])
    try:
        return run()
    except SystemExit as end:
        return int(end.code or 0)


def test_a_class_with_attackers_is_graded_to_its_end(
    class_folder: Path,
    ground: ProvingGround,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = course(monkeypatch, "grade", "handed-in", "--assignment", "target", "--workers", "2")
    said = capsys.readouterr()
    assert ended == 1, "some were refused, which the exit code must tell"
    assert "Traceback" not in said.out + said.err
    assert "\x1b" not in said.out + said.err, "a name speaks to the terminal"
    for words in (
        ("feedback", "target"),
        ("report", "target"),
        ("report", "target", "--anonymous"),
        *(("export", "--to", platform) for platform in ("csv", "canvas", "moodle")),
    ):
        ended = course(monkeypatch, *words)
        said = capsys.readouterr()
        # Moodle knows nobody of this class: its export says so, and ends with 1.
        assert ended <= (words[0] == "export"), (words, said.err)
        assert "Traceback" not in said.out + said.err, words
        assert "\x1b" not in said.out + said.err, f"{words}: a text speaks to the terminal"

    with Gradebook(f"sqlite:///{class_folder / 'gradebook.db'}") as book:
        scores = {one.student.id: one.score for one in book.assignment_submissions("target")}
    assert scores["alice"] == scores["zoe"] == 10
    assert len(scores) > 20, scores

    pages = list(class_folder.rglob("feedback/**/*.html"))
    assert len(pages) > 20
    for path in [*pages, *class_folder.rglob("grading/**/*.html")]:
        page = path.read_text(encoding="utf-8")
        assert len(page) < LONGEST_PAGE, path
        assert active(page) == [], path
        for place, canary in ground.canaries.items():
            assert canary not in page, f"{place} in {path}"

    tables = [*class_folder.glob("grades-*.csv"), *class_folder.rglob("grading/**/*.csv")]
    assert len(tables) > 6
    for path in tables:
        text = path.read_text(encoding="utf-8-sig")
        assert "\x1b" not in text, path
        cells = [cell for row in csv.reader(text.splitlines(keepends=True)) for cell in row]
        # One with semicolons or tabs between its cells cuts the same text elsewhere.
        cells += [part.strip(' "') for part in re.split(r"[,;\t\n]", text)]
        # A spreadsheet takes such a cell for a formula, and runs it.
        assert [c for c in cells if re.match(r"[=+@\t\r]|-(?!\d)", c)] == [], path

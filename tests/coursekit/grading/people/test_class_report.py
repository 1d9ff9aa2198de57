"""The class report: its numbers add up and agree with others, and it gives nobody away."""

import csv
import io
import json
import re
import time
import tracemalloc
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console
from scipy import stats

import coursekit.grading.people.class_report as class_report_module
from coursekit.grading.people.answers import digest_of_answers
from coursekit.grading.people.causes import Sayings
from coursekit.grading.people.class_report import Ended, Report, class_report
from coursekit.grading.people.feedback import Template
from coursekit.grading.people.report_files import (
    cells_figure,
    print_summary,
    report_page,
    write_report,
)
from coursekit.grading.records.marks import Mark, Marks, Sheet
from coursekit.grading.results import CellResult, Result


@pytest.fixture(scope="session")
def report(spring):
    """The report on the class."""
    standing = spring.standing
    return class_report(standing.template, standing.ended, standing.marks, standing.strays)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Numbers.


def test_everybody_is_counted_once(spring, report) -> None:
    assert report.counts == {
        "graded": 49,
        "waiting": 11,
        "failed": 3,
        "person": 1,
        "ungraded": 0,
        "absent": 0,
    }
    assert sum(report.counts.values()) == len(report.students) == 64
    assert Counter(one.status for one in report.students) == Counter(report.counts)
    assert {one.student: one.reason for one in report.not_graded} == {
        "poison": "killed 3 graders",
        "stuck": "the notebook took over 300 seconds",
        "empty": "empty",
        "latin": "not JSON; the file is damaged",
    }


def test_the_numbers_add_up(spring, report) -> None:
    scores = [result.score for result in spring.results.values()]
    assert report.scores.count == sum(report.distribution.counts) == len(scores) == 60
    assert report.scores.mean == pytest.approx(sum(scores) / 60)
    # Of the question that a person grades, nobody has points yet.
    assert sum(cell.item.mean for cell in report.cells) == pytest.approx(report.scores.mean)
    assert sum(cell.item.points for cell in report.cells) == report.maximum == 110
    for cell in report.cells:
        assert cell.item.full + cell.item.partial + cell.wrong + cell.unwritten == cell.item.count
        assert cell.item.count + cell.waiting == cell.students == 60
        assert min(cell.item.full, cell.item.partial, cell.wrong, cell.unwritten) >= 0


def test_cells_agree_with_scipy_on_the_results(spring, report) -> None:
    automatic = [cell.item for cell in report.cells if cell.item.name != "zero_weights"]
    table = [
        [next(c.score for c in result.cells if c.grade_id == item.name) for item in automatic]
        for result in spring.results.values()
    ]
    for index, item in enumerate(automatic):
        column = [row[index] for row in table]
        rest = [sum(row) - row[index] for row in table]
        assert item.difficulty == pytest.approx(sum(column) / 60 / item.points)
        assert item.discrimination == pytest.approx(stats.pearsonr(column, rest).statistic)
    question = report.cells[-1]
    assert (question.item.name, question.item.discrimination) == ("zero_weights", None)
    assert (question.waiting, question.unwritten) == (11, 49)


def test_cells_come_in_the_order_of_the_notebook(spring, report) -> None:
    order = [
        cell["metadata"]["nbgrader"]["grade_id"]
        for cell in spring.package.release["cells"]
        if cell["metadata"].get("nbgrader", {}).get("grade")
    ]
    assert [cell.item.name for cell in report.cells] == order


def test_misconceptions_are_those_that_the_students_heard(spring, report) -> None:
    heard: dict[str, set[str]] = {}
    for student, result in spring.results.items():
        for cell in result.cells:
            if "Likely cause: " in cell.message:
                cause = " ".join(cell.message.partition("Likely cause: ")[2].split())
                heard.setdefault(re.sub(r"\d+(?= times too| is the batch)", "…", cause), set()).add(
                    student
                )
    assert len(heard) > 8
    found = {
        re.sub(r"\d+(?= times too| is the batch)", "…", one.cause): one
        for one in report.misconceptions
    }
    assert {cause: one.students for cause, one in found.items()} == {
        cause: len(students) for cause, students in heard.items()
    }
    counts = [one.students for one in report.misconceptions]
    assert counts == sorted(counts, reverse=True)


def test_mutants_are_heard_by_their_name(spring, report) -> None:
    """Who wrote a slip that has a name is counted under that name."""
    causes = " ".join(one.cause for one in report.misconceptions)
    named = [one for one in spring.wrote.values() if one.kind == "mutant" and one.says]
    missing = {
        one.name
        for one in named
        if one.says not in causes
        and not any(
            one.says in " ".join(cell.message.split())
            for student, variant in spring.wrote.items()
            if variant is one
            for cell in spring.results[student].cells
            if "Likely cause" not in cell.message
        )
    }
    # Causes with numbers in them are written without.
    assert {name for name in missing if not re.search(r"\d", _says(spring, name))} == set()


def _says(spring, name: str) -> str:
    return next(one.says for one in spring.wrote.values() if one.name == name)


def test_the_slowest_are_the_slowest(spring, report) -> None:
    slow = sorted(spring.results.items(), key=lambda pair: (-pair[1].seconds, pair[0]))[:5]
    assert report.slowest == tuple((student, result.seconds) for student, result in slow)


# Answers that wait for a person.


def written(template: Template, *given: Mark) -> Report:
    """Students with 10 of 10 points of a check each, and these marks of a question."""
    check = Mark("backprop", "test_relu", 10.0, 10.0)
    cells = (("backprop", "test_relu", 10.0), ("backprop", "zero_weights", 10.0))
    sheets = tuple(
        Sheet(f"student{n:02}", submitted=True, marks=(check, one)) for n, one in enumerate(given)
    )
    return class_report(template, [], Marks("01_backprop", 20.0, cells, sheets))


def question(score: float | None, *, waiting: bool = False) -> Mark:
    return Mark("backprop", "zero_weights", 10.0, 0.0 if score == 0 else None, score, 0.0, waiting)


EMPTY, WAITING = Mark("backprop", "zero_weights", 10.0, 0.0), question(None, waiting=True)


def bars(report: Report) -> dict[str, list[float]]:
    """Width of each part of the bars of the cells."""
    [axes] = cells_figure(report).axes
    return {one.get_label(): [round(bar.get_width(), 6) for bar in one] for one in axes.containers}


def test_answers_that_wait_have_a_part_of_the_bar(spring) -> None:
    report = written(spring.template, *[EMPTY] * 17, *[WAITING] * 8)
    assert (report.cells[1].unwritten, report.cells[1].waiting) == (17, 8)
    assert bars(report) == {
        "all points": [100, 0],
        "not written": [0, 68],
        "waiting": [0, 32],
    }


def test_points_of_older_work_are_no_points_of_an_answer_that_waits(spring) -> None:
    report = written(spring.template, question(8.0), question(6.0, waiting=True))
    cell = report.cells[1]
    assert (cell.item.count, cell.item.mean, cell.waiting, cell.students) == (1, 8.0, 1, 2)
    assert cell.earned is None
    assert [one.score for one in report.students] == [18.0, 16.0]


def test_the_average_is_of_what_is_checked_for_everybody(spring) -> None:
    """Who is graded by hand already must not stand above others who wait."""
    report = written(spring.template, question(8.0), WAITING, EMPTY)
    assert (report.maximum, report.waiting, report.checked) == (20.0, 10.0, 10.0)
    assert (report.scores.mean, report.scores.highest) == (10.0, 10.0)
    assert report.distribution.edges[-1] == 10.0
    page = " ".join(report_page(report).split())
    assert "without the 10 points for which answers wait for a person" in page
    assert "Mean 10 of 10 checked points" in page
    done = written(spring.template, question(8.0), question(2.0))
    assert (done.waiting, done.scores.mean, done.scores.highest) == (0.0, 15.0, 18.0)
    assert "Mean 15 of 20 points" in " ".join(report_page(done).split())


def test_where_everything_waits_for_somebody_the_scores_are_what_they_are(spring) -> None:
    cells = (("backprop", "zero_weights", 10.0),)
    marks = (question(8.0, waiting=True),)
    sheets = (Sheet("a", submitted=True, marks=marks),)
    report = class_report(spring.template, [], Marks("01_backprop", 10.0, cells, sheets))
    assert (report.waiting, report.scores.mean) == (0.0, 8.0)


def test_a_row_with_answers_that_wait_adds_up_in_both_tables(spring) -> None:
    report = written(spring.template, *[EMPTY] * 17, *[WAITING] * 8)
    console = Console(file=io.StringIO(), width=120)
    print_summary(report, console)
    said = console.file.getvalue()
    assert "10 of 10 checked points on average" in said
    assert "10 points wait for a person" in said
    [line] = [line for line in said.splitlines() if "zero_weights" in line]
    assert line.replace("│", " ").split() == ["zero_weights", "–", "–", "0", "0", "0", "17", "8"]
    [row] = re.findall(r"<tr><td>zero_weights</td>(.*)</tr>", report_page(report))
    assert re.findall(r">([^<]+)<", row) == ["10", "–", "–", "0", "0", "0", "17", "8"]


def test_nothing_is_said_of_waiting_where_nobody_waits(spring) -> None:
    report = written(spring.template, EMPTY, question(8.0))
    console = Console(file=io.StringIO(), width=120)
    print_summary(report, console)
    assert "wait" not in console.file.getvalue()
    assert "Waiting" not in report_page(report)
    assert "waiting" not in bars(report)


# What to look at.


def test_two_friends_with_the_same_answers_are_named_and_nobody_else(report) -> None:
    assert {look.student: look.reasons for look in report.looks} == {
        "student00": ("the same answers as student08",),
        "student08": ("the same answers as student00",),
    }


def notebook(template: Template, source: str) -> dict:
    cells = [dict(cell) for cell in template.release["cells"]]
    for cell in cells:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "softmax":
            cell["source"] = source
    return {"cells": cells}


def test_comments_and_layout_make_no_difference_to_a_digest(spring) -> None:
    body = "".join(f"    step_{i} = logits * {i} + {i}\n" for i in range(20))
    first = f'def softmax(logits):\n    """Mine."""\n{body}    return step_1\n'
    same = "def softmax( logits ):  # copied\n\n" + body.replace(" * ", "*") + "    return (step_1)"
    other = first.replace("step_", "stage_")
    digests = [
        digest_of_answers(spring.template, notebook(spring.template, source))
        for source in (first, same, other)
    ]
    assert digests[0] == digests[1] != digests[2]
    assert all(digests)


def test_an_answer_that_cannot_be_written_down_again_has_a_digest(spring) -> None:
    """Python reads such a sum, and its writer of syntax trees ends by a RecursionError."""
    source = f"x = ({' + '.join(['1'] * 600)})"
    spaced = source.replace(" + ", "  +\n")
    digests = {
        digest_of_answers(spring.template, notebook(spring.template, one))
        for one in (source, spaced)
    }
    assert len(digests) == 1
    assert all(digests)


def test_a_very_long_answer_takes_no_more_room_than_its_words(spring) -> None:
    made = notebook(spring.template, "[]\n" * 100_000)
    tracemalloc.start()
    try:
        assert digest_of_answers(spring.template, made)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 * 2**20, "a tree of it takes 90 MiB"


def test_half_a_character_in_an_answer_ends_nothing(spring) -> None:
    assert digest_of_answers(
        spring.template, notebook(spring.template, "x = '\ud800'  " + "1" * 300)
    )


def test_what_became_of_everybody_is_known_without_a_look_at_the_answers(
    spring, monkeypatch
) -> None:
    """Feedback and export need no more."""
    standing = spring.standing
    wanted = {one.student: one.ending for one in standing.ended}
    monkeypatch.setattr(class_report_module, "digest_of_answers", None)
    assert spring.standing.endings == wanted


@pytest.mark.parametrize("source", ["raise NotImplementedError()", "def f(:\n", "x = 1"])
def test_little_work_has_no_digest(spring, source: str) -> None:
    assert digest_of_answers(spring.template, notebook(spring.template, source)) == ""


def test_notes_and_lower_trust_are_shown(spring) -> None:
    results = {
        "fine": Result("graded", cells=(CellResult("test_relu", 10, 10),)),
        "noted": Result(
            "graded", cells=(CellResult("test_relu", 10, 10),), notes=("`x` was changed.",)
        ),
        "inside": Result("graded", cells=(CellResult("test_relu", 10, 10, trust="in-process"),)),
        "outside": Result("graded", cells=(CellResult("test_relu", 10, 10, trust="unsandboxed"),)),
    }
    ended = [Ended(student, result) for student, result in results.items()]
    found = {look.student: look.reasons for look in class_report(spring.template, ended).looks}
    assert found == {
        "noted": ("`x` was changed.",),
        "inside": ("a check ran in the student's own process, between canaries",),
        "outside": ("graded without a sandbox",),
    }


def test_notes_without_end_have_an_end_in_the_report(spring) -> None:
    cells = (CellResult("test_relu", 10, 10),)
    name = "\x1b[2J=1+1; " * 300
    notes = tuple(f"`{n} {name}` is no cell" for n in range(9_000))
    known = class_report(spring.template, [Ended("a", Result("graded", "", cells, notes=notes))])
    [look] = known.looks
    assert (len(look.reasons), look.reasons[-1]) == (21, "and 8980 more")
    assert max(map(len, look.reasons)) <= 300
    assert all(reason.isprintable() for reason in look.reasons)
    assert len(report_page(known)) < 200_000


def test_a_class_that_copies_has_no_list_of_everybody_for_everybody(spring) -> None:
    graded = Result("graded", cells=(CellResult("test_relu", 10, 10),))
    ended = [Ended(f"student{n:03}", graded, "same") for n in range(200)]
    look = class_report(spring.template, ended).looks[0]
    assert look.reasons[0].startswith("the same answers as student001, student002")
    assert look.reasons[0].endswith("student020 and 179 more")


# Causes are those of the tests.


FORGED = "Mistake: no. Likely cause: \x1b]0;4711\x07\x1b[31mAll;=1+cmd|' /C calc'!A0;"


def test_only_causes_that_a_test_can_name_are_counted(spring) -> None:
    slip = "Likely cause: this is the slope of ReLU alone; multiply it by grad_output."
    messages = {
        "forger": FORGED,
        "both": f"Mistake: no. {slip} {FORGED}",
        "honest": f"Mistake: relu is wrong. {slip}",
        "empty": "Mistake: relu is not written yet. Likely cause: nothing.",
    }
    ended = [
        Ended.of(
            spring.template,
            student,
            Result("graded", cells=(CellResult("test_relu", 0, 10, message),)),
        )
        for student, message in messages.items()
    ]
    known = class_report(spring.template, ended)
    assert {one.cause: one.students for one in known.misconceptions} == {
        "this is the slope of ReLU alone; multiply it by grad_output.": 1
    }
    assert known.cells[0].unwritten == 1


def test_the_report_of_a_forged_cause_speaks_to_no_terminal_and_no_spreadsheet(
    spring, tmp_path
) -> None:
    """Even where it is counted."""
    result = Result("graded", cells=(CellResult("test_relu", 0, 10, FORGED),))
    known = class_report(spring.template, [Ended("a", result)])
    assert len(known.misconceptions) == 1
    console = Console(file=io.StringIO(), soft_wrap=True)
    print_summary(known, console)
    assert "\x1b" not in console.file.getvalue()
    assert "All;=1+cmd" in console.file.getvalue()
    write_report(known, tmp_path)
    table = (tmp_path / "misconceptions.csv").read_text(encoding="utf-8")
    assert "\x1b" not in table
    assert "All;'=1+cmd" in table


def test_sayings_are_the_texts_of_tests_with_their_gaps() -> None:
    sayings = Sayings.of(
        [
            "slip = 'the bias is missing.'\n"
            "assert x, f'wrong.\\nLikely cause: {axis} axes are swapped: {slip}'\n"
            "check.close(x, y, slips={'one ' 'long text.': z, f'{a}': w})\n",
            "%magic makes this no Python",
        ]
    )
    for cause in (
        "one long text.",
        "the bias is missing.",
        "2 axes are swapped: the bias is missing.",
        # Of `largemodels.check`.
        "every number is 0.3333 times the expected one.",
        "this is the right answer transposed: a `.T` is missing, or one too many.",
    ):
        assert sayings.known(f"no.\nLikely cause: {cause}").endswith(cause), cause
    for cause in ("anything", "one long text. And more", f"{'x' * 61} axes are swapped: "):
        assert sayings.known(f"no.\nLikely cause: {cause}") == "no.", cause
    assert sayings.known("no cause at all") == "no cause at all"


def test_a_text_with_many_gaps_is_compared_at_once() -> None:
    gaps = ", ".join(f"{{x{n}}}" for n in range(9))
    sayings = Sayings.of([f"f'{gaps} are wrong.'"])
    assert sayings.include("0.1, (2, 3), 4, 5, 6, 7, 8, 9, 10 are wrong.")
    started = time.perf_counter()
    assert not sayings.include(", " * 2_000)
    assert time.perf_counter() - started < 1


def test_newer_work_that_waits_has_no_score(spring) -> None:
    marks = Marks(
        "01_backprop",
        10.0,
        (("backprop", "test_relu", 10.0),),
        (
            Sheet("old", submitted=True, marks=(Mark("backprop", "test_relu", 10.0, 7.0),)),
            Sheet("new", submitted=True, marks=(Mark("backprop", "test_relu", 10.0, 9.0),)),
        ),
    )
    known = class_report(spring.template, [Ended("new", None)], marks, [("x.ipynb", "no student")])
    assert {one.student: one.score for one in known.students} == {"old": 7.0, "new": None}
    assert known.counts["ungraded"] == 1
    page = report_page(known)
    assert "run `course grade` again" in page
    assert "x.ipynb" in page


def test_a_class_without_a_single_score_has_a_report(spring, tmp_path) -> None:
    for ended in ([], [Ended("a", Result("failed", "not JSON"))]):
        known = class_report(spring.template, ended)
        assert known.scores is None
        assert (write_report(known, tmp_path)).is_file()


# Files.


def test_the_files_say_what_the_report_says(report, tmp_path) -> None:
    page = write_report(report, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cells.csv",
        "index.html",
        "misconceptions.csv",
        "report.json",
        "students.csv",
    ]
    known = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert known == json.loads(json.dumps(report.to_json()))
    students = read(tmp_path / "students.csv")
    given = [float(row["score"]) for row in students if row["score"]]
    assert (len(students), len(given)) == (64, 60)
    assert sum(given) == pytest.approx(60 * report.scores.mean)
    for row in students:
        parts = [row[cell.item.name] for cell in report.cells]
        assert sum(float(part) for part in parts if part) == float(row["score"] or 0)
    for row in read(tmp_path / "cells.csv"):
        parts = ("full", "partial", "wrong", "not_written")
        assert sum(int(row[part]) for part in parts) == int(row["students"])
    slips = read(tmp_path / "misconceptions.csv")
    assert [int(row["students"]) for row in slips] == [o.students for o in report.misconceptions]
    assert "64" in page.read_text(encoding="utf-8")


class Images(HTMLParser):
    """The tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))


def test_the_page_stands_for_itself(report) -> None:
    tags = Images(report_page(report)).tags
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags}
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    assert len(pictures) == 3
    for picture in pictures:
        assert picture["src"].startswith("data:image/svg+xml;base64,")
        assert len(picture["alt"]) > 40
    assert not [a for _, a in tags if any(name.startswith("on") or name == "style" for name in a)]


def test_nothing_in_the_report_is_active(spring, look) -> None:
    evil = "<script>window.pwned = 1</script><img src='https://evil.example/x' onerror='x'>"
    cells = (CellResult("test_relu", 0, 10, f"{evil}\nLikely cause: {evil}"),)
    result = Result("graded", cells=cells, notes=(evil,), seconds=1.0)
    ended = [Ended(evil, result), Ended("b", Result("failed", evil))]
    seen = look(report_page(class_report(spring.template, ended, strays=[(evil, evil)])))
    assert seen.active == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_reads_well_everywhere(report, look, width, scheme) -> None:
    seen = look(report_page(report), width, scheme)
    assert seen.active == []
    assert seen.problems == {}


# Nobody is given away.


def test_an_anonymous_report_names_nobody(spring, tmp_path) -> None:
    standing = spring.standing
    ended = list(standing.ended)
    first = next(i for i, one in enumerate(ended) if one.student == "student00")
    cells = ended[first].result.cells
    told = replace(
        ended[first].result,
        notes=("`secret_diary` is no cell of the release; it is left out.", "asked by doejane"),
        cells=(replace(cells[0], message="Likely cause: O'Brien told Zoë so."), *cells[1:]),
    )
    ended[first] = replace(ended[first], result=told)
    known = class_report(
        standing.template, ended, standing.marks, [("anna/x.ipynb", "no student")], anonymous=True
    )
    write_report(known, tmp_path)
    named = class_report(standing.template, ended, standing.marks)
    assert (known.counts, known.distribution) == (named.counts, named.distribution)
    assert known.scores.mean == pytest.approx(named.scores.mean)
    for one, other in zip(known.cells, named.cells, strict=True):
        assert (one.item.name, one.item.full, one.wrong) == (
            other.item.name,
            other.item.full,
            other.wrong,
        )
        assert one.item.discrimination == pytest.approx(other.item.discrimination)
    words = {
        "doejane",
        "anna",
        "Müller",
        "Zoë",
        "Brien",
        "Countess",
        "李雷",
        "secret_diary",
        "=1+1",
    }
    words |= {student for student in spring.wrote if student.startswith("student")}
    words |= {sheet.student for sheet in standing.marks.sheets}
    for path in tmp_path.iterdir():
        text = re.sub(r"base64,[\w+/=]+", "", path.read_text(encoding="utf-8"))
        # These ids are words of the report as well: `empty` is a reason.
        found = {word for word in words - {"empty", "stuck", "poison", "latin"} if word in text}
        assert found == set(), path.name
    assert all(re.fullmatch(r"student \d\d", one.student) for one in known.students)


def test_the_numbers_of_an_anonymous_report_tell_no_order(spring) -> None:
    standing = spring.standing

    def scores() -> list[float | None]:
        found = class_report(standing.template, standing.ended, standing.marks, anonymous=True)
        return [one.score for one in found.students]

    several = [scores() for _ in range(4)]
    assert len({tuple(map(str, one)) for one in several}) > 1
    assert all(sorted(map(str, one)) == sorted(map(str, several[0])) for one in several)

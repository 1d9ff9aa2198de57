"""Exported scores: everybody is there, nobody gets a silent 0, and the platforms read them back."""

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coursekit.errors import CourseError
from coursekit.grading.people.export import export
from coursekit.grading.people.roster import CanvasRoster, MoodleRoster, read_roster
from coursekit.grading.people.spreadsheet import neutral, to_csv
from coursekit.grading.records.marks import Mark, Marks, Sheet
from coursekit.grading.records.scores import score_of

SAMPLES = Path(__file__).parent / "samples"
CANVAS = (SAMPLES / "canvas.csv").read_text(encoding="utf-8")
MOODLE = (SAMPLES / "moodle.csv").read_text(encoding="utf-8")


def mark(score: float | None, *, manual: float | None = None, waiting: bool = False) -> Mark:
    return Mark("cnn", "test_cnn", 100.0, score, manual, 0.0, waiting)


def sheet(student: str, score: float | None = None, **more: object) -> Sheet:
    """A student; with a score, one who handed in."""
    handed_in = {} if score is None else {"submitted": True, "marks": (mark(score),)}
    return Sheet(student, **{**handed_in, **more})  # type: ignore[arg-type]


def marks(*sheets: Sheet, assignment: str = "03_cnn") -> Marks:
    return Marks(assignment, 100.0, (("cnn", "test_cnn", 100.0),), sheets)


def lines_of(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def canvas_reads(text: str) -> dict[str, dict[str, str]]:
    """What Canvas's importer would take from a file: student number → assignment → grade.

    Written from its rules, apart from the exporter: https://github.com/instructure/canvas-lms,
    lib/gradebook_importer.rb.
    """
    header, *rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    assert "Student" in header[0]
    assert "ID" in header[1]
    assert "Section" in header
    first = header.index("Section") + 1
    grades = {}
    for row in rows:
        if "Points Possible" in row[0]:
            continue
        assert len(row) == len(header)
        grades[row[1]] = dict(zip(header[first:], row[first:], strict=True))
    return grades


# Nobody gets a 0 by accident.


@pytest.mark.parametrize(
    ("one", "ending", "status", "points"),
    [
        (sheet("a"), None, "absent", None),
        (sheet("a", 0.0), None, "graded", 0.0),
        (sheet("a", 70.0), ("graded", ""), "graded", 70.0),
        (sheet("a", submitted=True), ("failed", "not JSON"), "failed", None),
        (sheet("a", submitted=True, marks=(mark(None),)), ("person", "x"), "person", None),
        (sheet("a", submitted=True, marks=(mark(None),)), None, "ungraded", None),
        # New work that waits for the grader: the old score is not the student's any more.
        (sheet("a", 70.0), ("ungraded", ""), "ungraded", None),
        (
            sheet("a", submitted=True, marks=(mark(60.0, manual=40.0),)),
            ("ungraded", ""),
            "ungraded",
            None,
        ),
        # Graded, and the writer of the grade book has not come to it.
        (sheet("a"), ("graded", ""), "ungraded", None),
        # What a person entered counts, also for work that could not be graded.
        (
            sheet("a", submitted=True, marks=(mark(None, manual=40.0),)),
            ("failed", "not JSON"),
            "graded",
            40.0,
        ),
        (sheet("a", submitted=True, marks=(mark(60.0, waiting=True),)), None, "waiting", 60.0),
        (sheet("a", 70.0, penalty=20.0), None, "graded", 50.0),
        (sheet("a", 10.0, penalty=20.0), None, "graded", 0.0),
    ],
)
def test_only_what_somebody_earned_is_a_score(one, ending, status, points) -> None:
    found = score_of(one, 100.0, ending)
    assert (found.status, found.points) == (status, points)


def test_an_empty_cell_has_its_reason_in_the_file() -> None:
    done = export(
        "csv",
        [marks(sheet("absent"), sheet("zero", 0.0), sheet("broken", submitted=True))],
        {"03_cnn": {"broken": ("failed", "not JSON; the file is damaged")}},
    )
    rows = {row["student_id"]: row for row in lines_of(done.text)}
    assert [(name, row["score"], row["status"]) for name, row in rows.items()] == [
        ("absent", "", "absent"),
        ("zero", "0", "graded"),
        ("broken", "", "failed"),
    ]
    assert rows["broken"]["reason"] == "not JSON; the file is damaged"
    assert (done.written, len(done.empty), done.unmatched) == (1, 2, [])
    assert done.empty[1] == ("broken", "failed: not JSON; the file is damaged")


def test_unfinished_scores_can_be_left_out() -> None:
    waits = sheet("a", submitted=True, marks=(mark(60.0, waiting=True),))
    with_it = export("csv", [marks(waits)])
    without = export("csv", [marks(waits)], finished=True)
    assert [lines_of(one.text)[0]["score"] for one in (with_it, without)] == ["60", ""]
    assert "1 of the scores may still rise" in with_it.notes[0]
    assert without.notes == []


# CSV that a spreadsheet opens without harm.


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_comes_back_from_the_file(first: str, second: str) -> None:
    [row] = csv.reader(io.StringIO(to_csv([[first, second]]), newline=""))
    for text, back in zip((first, second), row, strict=True):
        # Apostrophes are new, and characters that nobody can read have become a mark.
        readable = re.sub(
            r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", text
        )
        assert back.replace("'", "") == readable.replace("'", "")


FORMULA = st.sampled_from("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


@given(FORMULA, st.text("abc(!|", min_size=1, max_size=10))
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(start: str, rest: str) -> None:
    assert neutral(start + rest) == "'" + start + rest


@pytest.mark.parametrize(
    "text", ["=1+1", " =1+1", '=HYPERLINK("http://x")', "+1-1", "-1+cmd|' /C calc'!A0", "@SUM(1)"]
)
def test_formulas_are_no_formulas_any_more(text: str) -> None:
    assert neutral(text) == "'" + text


@pytest.mark.parametrize("text", ["", "-", "-3", "-3.5", "-3,5", "+4", "1=1", "Doe, Jane", "a@b.c"])
def test_numbers_and_plain_texts_stay_as_they_are(text: str) -> None:
    assert neutral(text) == text


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("All;=1+cmd|' /C calc'!A0;", "All;'=1+cmd|' /C calc'!A0;"),
        ("a, @SUM(1)\t+1+1", "a, '@SUM(1)\t'+1+1"),
        ("two\nlines\n=1+1", "two\nlines\n'=1+1"),
        ("a;-1+cmd|' /C calc'!A0", "a;'-1+cmd|' /C calc'!A0"),
        ("a;\uff1d1+1", "a;'\uff1d1+1"),
        ("\x1b[2J\x07 is \ud800 bad", "\ufffd[2J\ufffd is \ufffd bad"),
        ("You computed [1, -2.5, -1e-3], expected 3; a = b", None),
        ("add them up: `+=`, not `=`.", None),
        ("line\nbreak\tand tab", None),
    ],
)
def test_a_formula_is_none_where_another_spreadsheet_cuts(text: str, harmless: str | None) -> None:
    assert neutral(text) == (text if harmless is None else harmless)


def test_a_name_with_comma_quote_and_formula_does_no_harm() -> None:
    nasty = sheet("=1+1", 50.0, last_name='O"Hara, Jr.', first_name="@Ann\nMarie")
    [row] = lines_of(export("csv", [marks(nasty)]).text)
    assert (row["student_id"], row["last_name"], row["first_name"], row["score"]) == (
        "'=1+1",
        'O"Hara, Jr.',
        "'@Ann\nMarie",
        "50",
    )


# Canvas.


def test_canvas_gets_each_score_at_its_student_and_nothing_else() -> None:
    done = export(
        "canvas",
        [marks(sheet("doejane", 81.5), sheet("s102", 0.0), sheet("zoe"))],
        roster=CANVAS,
        column="CNN from scratch (9002)",
    )
    assert canvas_reads(done.text) == {
        "101": {"CNN from scratch (9002)": "81.5"},
        "102": {"CNN from scratch (9002)": "0"},
        # Nothing was handed in here, so what Canvas has stays: an emptied cell would delete it.
        "103": {"CNN from scratch (9002)": "EX"},
        "999": {"CNN from scratch (9002)": ""},
    }
    assert "    Points Possible,,,,,100" in done.text
    assert (done.written, done.unmatched) == (2, [])
    assert done.empty == [("zoe", "handed in nothing")]


def test_canvas_students_without_submission_stay_empty() -> None:
    done = export("canvas", [marks(sheet("rroe", 5.0))], roster=CANVAS, column="CNN (9003)")
    read = canvas_reads(done.text)
    assert {number: grades["CNN (9003)"] for number, grades in read.items()} == {
        "101": "",
        "102": "5",
        "103": "",
        "999": "",
    }
    assert [name for name, _ in done.empty] == ["Doe, Jane", "Müller, Zoë"]


def test_the_column_of_canvas_is_found_by_name_or_topic() -> None:
    roster = CanvasRoster(CANVAS, "grades.csv")
    assert roster.column_of("03_cnn", None) == 7
    assert roster.column_of("01_essay", None) == 5
    with pytest.raises(CourseError, match=r"no assignments of Canvas are called '02_adam'"):
        roster.column_of("02_adam", None)
    with pytest.raises(CourseError, match=r"no columns are called 'Nope'"):
        roster.column_of("03_cnn", "Nope")


@pytest.mark.parametrize(
    "student",
    [
        sheet("anything", 1.0, account="101"),
        sheet("s101", 1.0),
        sheet("JDOE@uni.edu", 1.0),
        sheet("anything", 1.0, email="jdoe@uni.edu"),
        sheet("doejane", 1.0),
        sheet("Jane Doe", 1.0, first_name="Jane", last_name="Doe"),
        sheet("17", 1.0, first_name="Jane", last_name="Doe"),
        sheet("jdoe", 1.0),
    ],
    ids=["number", "sis", "login", "email", "file name", "turned", "names", "login's front"],
)
def test_a_student_is_known_by_number_id_or_name(student: Sheet) -> None:
    row = CanvasRoster(CANVAS, "grades.csv").match([student])[student.student]
    assert not isinstance(row, str)
    assert row.account == "101"


def test_the_number_of_the_platform_decides_before_the_name() -> None:
    """Two students of one name: only the number tells them apart."""
    twins = CANVAS.replace('Roe, ""Rick""', "Doe, Jane")
    done = export(
        "canvas",
        [marks(sheet("one", 11.0, account="101"), sheet("two", 22.0, account="102"))],
        roster=twins,
        column="CNN (9003)",
    )
    read = canvas_reads(done.text)
    assert (read["101"]["CNN (9003)"], read["102"]["CNN (9003)"]) == ("11", "22")
    lost = export("canvas", [marks(sheet("doejane", 33.0))], roster=twins, column="CNN (9003)")
    assert lost.unmatched == [("doejane", "2 lines of the file fit")]
    assert "33" not in lost.text


def test_a_line_that_would_fit_is_not_called_unknown() -> None:
    """Two of one name: it is in the grade book, but nobody can tell which of them it is."""
    twins = CANVAS.replace('Roe, ""Rick""', "Doe, Jane")
    everybody = {row.name for row in CanvasRoster(twins, "twins").rows if not row.is_test}
    assert "Doe, Jane" in everybody
    for one, why in (
        (sheet("doejane", submitted=True), "needs a person: killed 3 graders; "),
        (sheet("doejane"), "handed in nothing; "),
    ):
        endings = {"03_cnn": {"doejane": ("person", "killed 3 graders")}} if one.submitted else {}
        done = export("canvas", [marks(one)], endings, roster=twins, column="CNN (9003)")
        assert done.empty == [
            ("doejane", f"{why}2 lines of the file fit"),
            *(
                (name, "in the file, but not in the grade book")
                for name in sorted(everybody - {"Doe, Jane"})
            ),
        ]


def test_a_line_that_two_fit_is_not_called_unknown() -> None:
    both = [marks(sheet("jdoe", 11.0), sheet("doejane", 22.0))]
    done = export("canvas", both, roster=CANVAS, column="CNN (9003)")
    assert "Doe, Jane" not in dict(done.empty)


def test_two_students_never_share_a_line() -> None:
    done = export(
        "canvas",
        [marks(sheet("jdoe", 11.0), sheet("doejane", 22.0), sheet("nobody", 33.0))],
        roster=CANVAS,
        column="CNN (9003)",
    )
    assert done.unmatched == [
        ("jdoe", "fits the same line of the file as doejane"),
        ("doejane", "fits the same line of the file as jdoe"),
        ("nobody", "in no line of the file"),
    ]
    assert canvas_reads(done.text)["101"] == {"CNN (9003)": ""}


def test_a_canvas_file_keeps_its_separator_its_mark_and_split_names() -> None:
    text = CANVAS.replace("Student,ID", "LastName,FirstName,ID").replace('"Doe, Jane"', "Doe,Jane")
    text = re.sub(r'^(".*?"|    Points Possible|),(?=\d|,)', r"\1,,", text, flags=re.MULTILINE)
    rows = csv.reader(io.StringIO(text, newline=""))
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=";").writerows(rows)
    done = export(
        "canvas",
        [marks(sheet("doejane", 12.0))],
        roster="\ufeff" + file.getvalue(),
        column="CNN (9003)",
    )
    assert done.text.startswith("\ufeffLastName;FirstName;ID;")
    assert "\r\nDoe;Jane;101;s101;jdoe@uni.edu;A;12\r\n" in done.text


def test_another_maximum_in_canvas_is_said() -> None:
    done = export("canvas", [marks(sheet("jdoe", 81.0))], roster=CANVAS, column="CNN (9003)")
    assert done.notes == [
        "5 points can be reached in the file, 100 in the grade book; 1 of the scores are above "
        "that. Set them to the same number in Canvas."
    ]


def test_canvas_without_a_roster_gets_its_header_and_a_warning() -> None:
    done = export(
        "canvas",
        [
            marks(sheet("doejane", 81.0, account="101"), sheet("roe"), assignment="03_cnn"),
            marks(sheet("doejane"), sheet("roe", 7.0), assignment="04_rnn"),
        ],
    )
    assert done.text.splitlines() == [
        "Student,ID,SIS User ID,SIS Login ID,Section,03_cnn,04_rnn",
        "    Points Possible,,,,,100,100",
        "doejane,101,,doejane,,81,",
        "roe,,,roe,,,7",
    ]
    assert "--roster" in done.notes[0]


# Moodle.


def test_moodle_gets_each_score_at_its_participant() -> None:
    done = export(
        "moodle",
        [marks(sheet("Jane Doe", 66.6666667), sheet("x", 0.0, account="502"))],
        roster=MOODLE,
    )
    rows = {row["Identifier"]: row for row in lines_of(done.text)}
    assert {name: row["Grade"] for name, row in rows.items()} == {
        "Participant 501": "66.6667",
        "Participant 502": "0",
        "Participant 503": "",
    }
    # Moodle compares this with its own time, and would take a comment back in.
    assert rows["Participant 502"]["Last modified (grade)"] == "Friday, 1 May"
    assert "Feedback comments" not in rows["Participant 501"]
    assert rows["Participant 502"]["Full name"] == 'Rick "Rocket" Roe'


def test_moodle_with_decimal_commas_gets_them() -> None:
    german = MOODLE.replace("100.00", '"100,00"').replace("55.00", '"55,00"')
    done = export("moodle", [marks(sheet("jdoe", 66.5))], roster=german)
    assert [row["Grade"] for row in lines_of(done.text)] == ["66,5", "55,00", ""]


def test_scores_that_moodle_would_skip_are_said() -> None:
    low = MOODLE.replace("100.00", "50.00")
    [note] = export("moodle", [marks(sheet("jdoe", 66.5))], roster=low).notes
    assert "1 of the scores are above that, and Moodle skips them without a word" in note


def test_a_worksheet_in_another_language_needs_the_name_of_its_column() -> None:
    german = MOODLE.replace("Grade,Maximum", "Bewertung,Maximum").replace("Identifier", "ID")
    with pytest.raises(CourseError, match=r"name it with --column"):
        export("moodle", [marks(sheet("jdoe", 1.0))], roster=german)
    done = export("moodle", [marks(sheet("jdoe", 1.0))], roster=german, column="Bewertung")
    assert lines_of(done.text)[0]["Bewertung"] == "1"


def test_moodle_without_a_roster_needs_the_numbers() -> None:
    known = sheet("Jane Doe", 81.0, account="501")
    done = export("moodle", [marks(known, sheet("roe", 7.0))])
    [row] = lines_of(done.text)
    assert (row["Identifier"], row["Grade"]) == ("Participant 501", "81")
    assert done.unmatched == [("roe", "no number of Moodle is known")]
    assert MoodleRoster(done.text, "own").match([known])["Jane Doe"]
    with pytest.raises(CourseError, match=r"name it with --roster"):
        export("moodle", [marks(sheet("roe", 7.0))])


# Misuse.


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a gradebook of Canvas"),
        ("a,b\n1,2\n", "not a gradebook of Canvas"),
        (MOODLE, "not a gradebook of Canvas"),
        (CANVAS.splitlines()[0], "no student is in this file"),
        ('Student,ID,Section\n"Doe, Jane"x,1,A\n', "not CSV"),
    ],
)
def test_a_file_that_is_no_gradebook_is_refused(text: str, reason: str) -> None:
    with pytest.raises(CourseError, match=rf"^grades\.csv: {reason}"):
        CanvasRoster(text, "grades.csv")


@pytest.mark.parametrize("text", ["", CANVAS, "Identifier,Full name,Grade\nJane,Doe,\n"])
def test_a_file_that_is_no_worksheet_is_refused(text: str) -> None:
    with pytest.raises(CourseError, match=r"^grades\.csv: not a grading worksheet of Moodle"):
        MoodleRoster(text, "grades.csv")


@pytest.mark.parametrize(
    ("kind", "assignments", "options", "reason"),
    [
        ("csv", ["03_cnn"], {"roster": CANVAS}, "--roster belongs to"),
        ("canvas", ["03_cnn"], {"column": "CNN"}, "give all three"),
        ("canvas", ["03_cnn", "04_rnn"], {"column": "CNN", "roster": CANVAS}, "give all three"),
        ("moodle", ["03_cnn", "04_rnn"], {"roster": MOODLE}, "holds one assignment"),
        ("csv", [], {}, "nothing to export"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(kind, assignments, options, reason) -> None:
    given_marks = [marks(sheet("a", 1.0), assignment=name) for name in assignments]
    with pytest.raises(CourseError, match=reason):
        export(kind, given_marks, **options)


def test_a_roster_that_a_spreadsheet_has_saved_is_refused(tmp_path) -> None:
    path = tmp_path / "grades.csv"
    path.write_bytes(CANVAS.encode("latin-1"))
    with pytest.raises(CourseError, match=r"grades\.csv: not UTF-8 \(byte \d+\)"):
        read_roster(path)
    with pytest.raises(CourseError, match=r"nowhere\.csv: cannot be read"):
        read_roster(tmp_path / "nowhere.csv")


# A whole class.


def test_the_class_adds_up_in_every_format(spring) -> None:
    standing = spring.standing
    wanted = {sheet.name: sheet.score for sheet in standing.marks.sheets}
    done = export("csv", [standing.marks], {standing.assignment: standing.endings})
    rows = lines_of(done.text)
    assert done.written + len(done.empty) == len(rows) == len(wanted) == 64
    assert {row["student_id"].removeprefix("'"): row["score"] for row in rows} == {
        name: "" if score is None else f"{score:g}" for name, score in wanted.items()
    }
    assert {student for student, _ in done.empty} == {"empty", "latin", "poison", "stuck"}


def test_the_class_goes_to_canvas_and_comes_back(spring) -> None:
    standing = spring.standing
    names = [sheet.name for sheet in standing.marks.sheets]
    lines = [["Student", "ID", "SIS Login ID", "Section", "backprop (7)"]]
    lines += [["    Points Possible", "", "", "", "110"]]
    lines += [[name, str(number), name, "A", ""] for number, name in enumerate(names, 1)]
    done = export(
        "canvas",
        [standing.marks],
        {standing.assignment: standing.endings},
        roster=to_csv(lines).replace("'=1+1", "=1+1"),
    )
    read = canvas_reads(done.text)
    assert (done.written, done.unmatched) == (60, [])
    for number, sheet_ in enumerate(standing.marks.sheets, 1):
        graded = standing.endings[sheet_.student][0] == "graded"
        assert read[str(number)] == {"backprop (7)": f"{sheet_.score:g}" if graded else ""}

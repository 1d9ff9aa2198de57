"""The points of a class as CSV, for a spreadsheet, Canvas or Moodle.

Nobody gets a 0 by accident: who has handed in nothing, whose submission failed or waits for a
person, has an empty cell, and is listed with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from coursekit.errors import CourseError
from coursekit.grading.people.roster import CanvasRoster, Doubt, MoodleRoster, Roster, Row
from coursekit.grading.people.spreadsheet import number, to_csv
from coursekit.grading.records.marks import Marks
from coursekit.grading.records.scores import Ending, Score, score_of, sheets_of

__all__ = ["KINDS", "Export", "export"]

Kind = Literal["csv", "canvas", "moodle"]
KINDS: tuple[Kind, ...] = ("csv", "canvas", "moodle")
COLUMNS = (
    *("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"),
    *("raw_score", "late_submission_penalty", "score", "max_score", "status", "reason"),
)


@dataclass
class Export:
    """A file, and what its reader must know.

    Args:
        text: The file.
        written: Scores in it.
        empty: Student and reason of each empty cell.
        unmatched: Student and reason of each score that found no place in the file.
        notes: Anything else, one sentence each.
    """

    text: str = ""
    written: int = 0
    empty: list[tuple[str, str]] = field(default_factory=list)
    unmatched: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def export(
    kind: Kind,
    assignments: Sequence[Marks],
    endings: Mapping[str, Mapping[str, Ending]] | None = None,
    *,
    roster: str | None = None,
    roster_name: str = "roster",
    column: str | None = None,
    finished: bool = False,
) -> Export:
    """Write the scores of a class.

    Args:
        kind: `csv`, `canvas` or `moodle`.
        assignments: The assignments, read from the grade book.
        endings: Assignment → student → how the last submission ended.
        roster: A file exported from Canvas or Moodle: its students, in its order, with its ids.
        roster_name: How messages name that file.
        column: The column of the roster that takes the scores, where its name is another one than
            the assignment's.
        finished: Leave out scores that may still rise because an answer waits for a person.

    Raises:
        CourseError: Something does not fit.
    """
    scores = {
        marks.assignment: [
            score_of(
                sheet, marks.maximum, (endings or {}).get(marks.assignment, {}).get(sheet.student)
            )
            for sheet in sheets_of(marks, (endings or {}).get(marks.assignment, {}))
        ]
        for marks in assignments
    }
    if not scores:
        raise CourseError("the grade book has no assignment, so there is nothing to export.")
    if column is not None and (roster is None or len(scores) > 1):
        raise CourseError(
            f"--column (={column!r}) names a column of --roster for one --assignment; give all "
            "three."
        )
    if kind == "csv":
        if roster is not None:
            raise CourseError("--roster belongs to `--to canvas` or `--to moodle`; drop it.")
        return _csv(assignments, scores, finished)
    if kind == "moodle" and len(scores) > 1:
        raise CourseError(
            "a grading worksheet of Moodle holds one assignment; choose it with --assignment "
            f"({', '.join(scores)})."
        )
    if roster is None:
        return (_canvas if kind == "canvas" else _moodle)(scores, finished)
    read = CanvasRoster if kind == "canvas" else MoodleRoster
    return _fill(read(roster, roster_name), scores, column, finished)


def _give(score: Score, finished: bool, done: Export, assignment: str = "") -> float | None:
    """The points to write, or None; keeps the books of the export."""
    points = None if finished and score.status == "waiting" else score.points
    where = f"{assignment}: " if assignment else ""
    if points is None:
        done.empty.append((score.sheet.name, where + score.why))
    else:
        done.written += 1
    return points


def _close(done: Export, scores: Mapping[str, list[Score]], finished: bool) -> Export:
    waiting = sum(one.status == "waiting" for list_ in scores.values() for one in list_)
    if waiting and not finished:
        done.notes.append(
            f"{waiting} of the scores may still rise: answers wait for a person (formgrader); "
            "--finished leaves these scores out."
        )
    return done


def _csv(assignments: Sequence[Marks], scores: Mapping[str, list[Score]], finished: bool) -> Export:
    """One line for each student and assignment: nbgrader's columns, then status and reason."""
    done = Export()
    rows = [list(COLUMNS)]
    for marks in assignments:
        for one in scores[marks.assignment]:
            sheet = one.sheet
            points = _give(one, finished, done, marks.assignment if len(scores) > 1 else "")
            raw = sheet.raw_score if points is not None else None
            rows.append(
                [
                    marks.assignment,
                    str(marks.duedate or ""),
                    str(sheet.timestamp or ""),
                    sheet.name,
                    sheet.last_name,
                    sheet.first_name,
                    sheet.email,
                    "" if raw is None else number(raw),
                    "" if raw is None else number(sheet.penalty),
                    "" if points is None else number(points),
                    number(marks.maximum),
                    one.status,
                    one.reason,
                ]
            )
    done.text = to_csv(rows)
    return _close(done, scores, finished)


def _canvas(scores: Mapping[str, list[Score]], finished: bool) -> Export:
    """A gradebook for Canvas without its own list of students.

    The format is that of Canvas's importer, `lib/gradebook_importer.rb` of
    https://github.com/instructure/canvas-lms, and of its guide "How do I import grades in the
    Gradebook?" (community.canvaslms.com, Instructor Guide). Canvas finds a student by `ID`, then by
    the SIS columns, then by name, and takes an assignment without an id for a new one.
    """
    done = Export()
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *scores]
    maxima = [number(list_[0].maximum) if list_ else "" for list_ in scores.values()]
    rows = [head, ["    Points Possible", "", "", "", "", *maxima]]
    lines: dict[str, list[str]] = {}
    for place, (assignment, list_) in enumerate(scores.items()):
        for one in list_:
            sheet = one.sheet
            name = ", ".join(filter(None, [sheet.last_name, sheet.first_name])) or sheet.name
            line = lines.setdefault(
                sheet.student,
                [name, sheet.account, "", sheet.name, "", *[""] * len(scores)],
            )
            points = _give(one, finished, done, assignment if len(scores) > 1 else "")
            line[5 + place] = "" if points is None else number(points)
    done.notes.append(
        "Without --roster Canvas has to find students by name or login and takes the assignment "
        "for a new one; better export the gradebook from Canvas and name it with --roster."
    )
    done.text = to_csv([*rows, *lines.values()])
    return _close(done, scores, finished)


def _moodle(scores: Mapping[str, list[Score]], finished: bool) -> Export:
    """A grading worksheet for Moodle without its own list of students.

    The columns are those of `mod/assign/gradingtable.php` and `importgradeslib.php` of
    https://github.com/moodle/moodle: `Identifier`, `Grade` and `Last modified (grade)` must be
    there, and a student is known by the number after `Participant`, the same one as in the folder
    names of a download.
    """
    done = Export()
    rows = [
        [
            "Identifier",
            "Full name",
            "Email address",
            "Status",
            "Grade",
            "Maximum grade",
            "Grade can be changed",
            "Last modified (grade)",
        ]
    ]
    for one in next(iter(scores.values())):
        sheet = one.sheet
        if not sheet.account:
            unknown = "no number of Moodle is known"
            if one.points is not None:
                done.unmatched.append((sheet.name, unknown))
            elif one.status != "absent":
                done.empty.append((sheet.name, f"{one.why}; {unknown}"))
            continue
        points = _give(one, finished, done)
        name = " ".join(filter(None, [sheet.first_name, sheet.last_name])) or sheet.name
        rows.append(
            [
                f"Participant {sheet.account}",
                name,
                sheet.email,
                "",
                "" if points is None else number(points),
                number(one.maximum),
                "Yes",
                "-",
            ]
        )
    if len(rows) == 1:
        raise CourseError(
            "Moodle knows students by a number that the grade book does not have; download the "
            "grading worksheet from Moodle and name it with --roster."
        )
    done.text = to_csv(rows)
    return _close(done, scores, finished)


def _fill(
    roster: Roster, scores: Mapping[str, list[Score]], column: str | None, finished: bool
) -> Export:
    """Put the scores into a file of Canvas or Moodle; nothing else in it changes.

    A student without a score keeps what the file holds, which is nothing unless somebody entered
    something: an emptied cell would delete that in Canvas.
    """
    done = Export()
    columns = {}
    for assignment, list_ in scores.items():
        where = roster.column_of(assignment, column)
        columns[assignment] = where
        placed = roster.match([one.sheet for one in list_])
        _check_maximum(roster, where, list_, done)
        reached = set()
        for one in list_:
            row = placed.get(one.sheet.student) or Doubt("in no line of the file", frozenset())
            if isinstance(row, Row):
                reached.add(row.number)
                points = _give(one, finished, done, assignment if len(scores) > 1 else "")
                if points is not None:
                    roster.put(row, where, number(points))
                continue
            # Whose line it is, a person decides; that nobody knows it, is said of no such line.
            reached |= row.rows
            if one.points is not None:
                done.unmatched.append((one.sheet.name, row.reason))
            elif row.rows or one.status != "absent":
                done.empty.append((one.sheet.name, f"{one.why}; {row.reason}"))
        for row in roster.rows:
            if row.number not in reached and not row.is_test:
                done.empty.append((row.name, "in the file, but not in the grade book"))
    done.text = ("\ufeff" if roster.bom else "") + to_csv(
        roster.lines(list(columns.values())), roster.delimiter
    )
    return _close(done, scores, finished)


def _check_maximum(roster: Roster, where: int, scores: list[Score], done: Export) -> None:
    """Say so where the platform has another maximum: Moodle drops what is above it."""
    maximum = roster.maximum_of(where)
    if maximum is None or not scores or maximum == scores[0].maximum:
        return
    above = sum(one.points is not None and one.points > maximum for one in scores)
    words = f"; {above} of the scores are above that{roster.above}" if above else ""
    done.notes.append(
        f"{number(maximum)} points can be reached in the file, {number(scores[0].maximum)} in "
        f"the grade book{words}. Set them to the same number in {roster.platform}."
    )

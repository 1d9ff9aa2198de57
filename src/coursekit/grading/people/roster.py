"""Files that Canvas and Moodle export and take back: who is in them, and where a score goes.

What the files look like is read from the programs that read them: `lib/gradebook_importer.rb` of
https://github.com/instructure/canvas-lms and `mod/assign/feedback/offline/importgradeslib.php` of
https://github.com/moodle/moodle.
"""

import csv
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from coursekit.errors import CourseError
from coursekit.grading.intake.student_names import real_name
from coursekit.grading.records.marks import Sheet

__all__ = ["CanvasRoster", "Doubt", "MoodleRoster", "Roster", "Row", "read_roster"]


@dataclass
class Row:
    """The line of one student.

    Args:
        number: Its place in the file, from 0 for the header.
        name: The student's name as the file has it.
        account: The platform's own number of the student.
        logins: Other ids of the student: login, student number, email.
        is_test: Whether this is the test student of Canvas.
    """

    number: int
    name: str
    account: str
    logins: tuple[str, ...]
    is_test: bool = False


@dataclass
class Doubt:
    """A student without a line, though lines would fit.

    Args:
        reason: What a person must decide.
        rows: The places of these lines.
    """

    reason: str
    rows: frozenset[int]


def read_roster(path: Path) -> str:
    """Read the text of a file that a platform exported.

    Raises:
        CourseError: It cannot be read.
    """
    try:
        return path.read_bytes().decode()  # The mark in front, if any, stays.
    except OSError as error:
        raise CourseError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise CourseError(
            f"{path}: not UTF-8 (byte {error.start}); export it again, and do not save it with a "
            "spreadsheet in between."
        ) from error


class Roster:
    """A file of a platform, read.

    Args:
        text: What is in the file.
        name: How messages name it.

    Raises:
        CourseError: It is not such a file.
    """

    platform = "the platform"
    #: What the platform does with a score above its maximum, as the end of a sentence.
    above = ""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.bom = text.startswith("\ufeff")
        text = text.removeprefix("\ufeff")
        first = text.partition("\n")[0]
        self.delimiter = max(",;\t", key=first.count)
        try:
            self._table = list(
                csv.reader(io.StringIO(text, newline=""), delimiter=self.delimiter, strict=True)
            )
        except csv.Error as error:
            raise CourseError(f"{name}: not CSV ({error}); export it again.") from error
        self._table = [row for row in self._table if any(cell.strip() for cell in row)]
        self._header = self._table[0] if self._table else []
        width = len(self._header)
        # Programs drop empty cells at the end of a line.
        self._table = [(row + [""] * width)[: max(width, len(row))] for row in self._table]
        self.rows = list(self._rows())
        if not self.rows:
            raise CourseError(f"{name}: no student is in this file; export it again.")

    def _rows(self) -> Iterator[Row]:
        raise NotImplementedError

    def column_of(self, assignment: str, wanted: str | None) -> int:
        """Find the column for the scores of an assignment.

        Raises:
            CourseError: There is none, or more than one.
        """
        raise NotImplementedError

    def maximum_of(self, column: int) -> float | None:
        """Points that can be reached, as the file has them."""
        raise NotImplementedError

    def lines(self, columns: Sequence[int]) -> list[list[str]]:
        """What is to be written: only what the platform needs, with these columns of scores."""
        raise NotImplementedError

    def put(self, row: Row, column: int, score: str) -> None:
        """Write a score."""
        self._table[row.number][column] = score

    def match(self, sheets: Sequence[Sheet]) -> dict[str, Row | Doubt]:
        """Find the line of each student; a doubt in its place says why there is none.

        A student is known by the number of the platform, else by an id, else by the name. Two
        students in one line, or two lines for one student, are no match: a person must decide.
        """
        found: dict[str, Row | Doubt] = {}
        taken: dict[int, list[str]] = defaultdict(list)
        indices = [
            _index((row, [row.account]) for row in self.rows),
            _index((row, map(_id, row.logins)) for row in self.rows),
            _index((row, [_squash(row.name)]) for row in self.rows),
            _index(
                (row, (_id(login).partition("@")[0] for login in row.logins)) for row in self.rows
            ),
        ]
        for sheet in sheets:
            full = _squash(sheet.last_name + sheet.first_name)
            turned = _squash(sheet.first_name + sheet.last_name)
            keys = [
                [sheet.account],
                [_id(sheet.name), _id(sheet.email)],
                [_squash(sheet.name), full, turned],
                [_id(sheet.name).partition("@")[0]],
            ]
            for index, wanted in zip(indices, keys, strict=True):
                rows = {row.number: row for key in wanted if key for row in index.get(key, ())}
                if len(rows) == 1:
                    [row] = rows.values()
                    found[sheet.student] = row
                    taken[row.number].append(sheet.student)
                    break
                if rows:
                    reason = f"{len(rows)} lines of the file fit"
                    found[sheet.student] = Doubt(reason, frozenset(rows))
                    break
        for number, students in taken.items():
            for student in students if len(students) > 1 else ():
                others = ", ".join(real_name(one) for one in students if one != student)
                reason = f"fits the same line of the file as {others}"
                found[student] = Doubt(reason, frozenset({number}))
        return found

    def _wrong(self, reason: str) -> CourseError:
        return CourseError(f"{self.name}: {reason}")

    def _named(self, wanted: str) -> int:
        """The one column of this name."""
        places = [i for i, title in enumerate(self._header) if title.strip() == wanted.strip()]
        if len(places) != 1:
            raise self._wrong(
                f"{len(places) or 'no'} columns are called {wanted!r}; there are: "
                f"{', '.join(self._header)}."
            )
        return places[0]


class CanvasRoster(Roster):
    """A gradebook exported from Canvas.

    Its first columns are `Student` (or `LastName,FirstName`), `ID`, the SIS columns and `Section`;
    then come the assignments, each with its number in parentheses. The line `Points Possible` says
    what they are worth; the importer would change that too, so it is written back as it was.
    """

    platform = "Canvas"

    def _rows(self) -> Iterator[Row]:
        head = [title.strip() for title in self._header]
        split = head[:2] == ["LastName", "FirstName"]
        if not (split or head[:2] == ["Student", "ID"]) or "Section" not in head:
            raise self._wrong(
                "not a gradebook of Canvas, which begins `Student,ID,…,Section`; export it with "
                "Grades > Export."
            )
        self._fixed = head.index("Section") + 1
        place = head.index("ID")
        logins = [
            i for i, title in enumerate(head[: self._fixed]) if title.startswith(("SIS", "Integr"))
        ]
        for number, line in enumerate(self._table[1:], 1):
            if not line[place].strip() and not any(line[i].strip() for i in logins):
                continue  # `Points Possible`, `Manual Posting`, an empty line.
            if "Points Possible" in line[0]:
                continue
            name = f"{line[0]}, {line[1]}" if split else line[0]
            yield Row(
                number,
                name,
                line[place].strip(),
                tuple(line[i].strip() for i in logins if line[i].strip()),
                name.strip() in {"Student, Test", "Test Student"},
            )

    def column_of(self, assignment: str, wanted: str | None) -> int:
        """Find the column `title (number)` whose title is the assignment's name or topic."""
        if wanted is not None:
            return self._named(wanted)
        titles = {
            i: match[1]
            for i, title in enumerate(self._header[self._fixed :], self._fixed)
            if (match := re.fullmatch(r"(.*) \(\d+\)", title.strip()))
        }
        names = {_squash(assignment), _squash(assignment.partition("_")[2]) or _squash(assignment)}
        places = [i for i, title in titles.items() if _squash(title) in names]
        if len(places) != 1:
            known = ", ".join(repr(self._header[i]) for i in titles) or "none"
            raise self._wrong(
                f"{len(places) or 'no'} assignments of Canvas are called {assignment!r}; name its "
                f"column with --column (there is {known})."
            )
        return places[0]

    def maximum_of(self, column: int) -> float | None:
        """What the line `Points Possible` says."""
        line = self._points()
        return None if line is None else _float(line[column])

    def _points(self) -> list[str] | None:
        lines = (line for line in self._table[1:] if "Points Possible" in line[0])
        return next(lines, None)

    def lines(self, columns: Sequence[int]) -> list[list[str]]:
        """Header, points and students; of the assignments, only those with new scores."""
        kept = [*range(self._fixed), *columns]
        points = self._points()
        lines = [self._header, *([points] if points else [])]
        lines += [self._table[row.number] for row in self.rows]
        return [[line[i] for i in kept] for line in lines]


class MoodleRoster(Roster):
    """A grading worksheet downloaded from Moodle.

    Moodle knows a student by the number in `Identifier`, e.g. `Participant 123456`, takes the score
    from `Grade`, and skips it if the grade was changed after `Last modified (grade)`, so that
    column stays as it is. It also skips an empty score, and one above the maximum. Comments and
    texts are left out: Moodle would take a comment back in.
    """

    platform = "Moodle"
    above = ", and Moodle skips them without a word"
    _left_out = ("feedback comments", "online text")

    def _rows(self) -> Iterator[Row]:
        head = [title.strip().casefold() for title in self._header]
        numbers = [re.fullmatch(r"\D*(\d+)", line[0].strip()) for line in self._table[1:]]
        if len(head) < 3 or not numbers or not all(numbers):
            raise self._wrong(
                "not a grading worksheet of Moodle, whose first column holds `Participant` and a "
                "number; download it with Submissions > Actions > Download grading worksheet."
            )
        name = head.index("full name") if "full name" in head else 1
        logins = [
            i for i, title in enumerate(head) if title in {"id number", "email address", "username"}
        ]
        for number, (line, match) in enumerate(zip(self._table[1:], numbers, strict=True), 1):
            assert match is not None, "checked above"
            yield Row(
                number,
                line[name],
                match[1],
                tuple(line[i].strip() for i in logins if line[i].strip()),
            )

    def column_of(self, assignment: str, wanted: str | None) -> int:
        """Find the column `Grade`."""
        if wanted is None and "Grade" not in map(str.strip, self._header):
            raise self._wrong(
                "no column is called `Grade`; in another language name it with --column (there is "
                f"{', '.join(self._header)})."
            )
        return self._named(wanted or "Grade")

    def maximum_of(self, column: int) -> float | None:
        """What the column `Maximum grade` says."""
        return _float(self._maximum())

    def _maximum(self) -> str:
        head = [title.strip().casefold() for title in self._header]
        if "maximum grade" not in head:
            return ""
        place = head.index("maximum grade")
        return self._table[self.rows[0].number][place]

    def put(self, row: Row, column: int, score: str) -> None:
        """Write a score, with a comma where the file writes numbers so."""
        comma = "," in self._maximum()
        super().put(row, column, score.replace(".", ",") if comma else score)

    def lines(self, columns: Sequence[int]) -> list[list[str]]:
        """All of the file but the comments and texts."""
        kept = [
            i
            for i, title in enumerate(self._header)
            if title.strip().casefold() not in self._left_out
        ]
        return [[line[i] for i in kept] for line in self._table]


def _index(rows: Iterator[tuple[Row, object]]) -> dict[str, list[Row]]:
    index: dict[str, list[Row]] = defaultdict(list)
    for row, keys in rows:
        for key in set(keys):  # type: ignore[call-overload]
            if key:
                index[key].append(row)
    return index


def _id(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip()).casefold()


def _squash(text: str) -> str:
    """Letters and digits only: `Doe, Jane` is `doejane`, as Canvas writes it into file names."""
    text = unicodedata.normalize("NFC", text).casefold()
    return "".join(character for character in text if character.isalnum())


def _float(text: str) -> float | None:
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return None

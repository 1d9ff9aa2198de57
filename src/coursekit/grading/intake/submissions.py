"""Submissions of a class, from a folder or a zip file of Canvas or Moodle, into a store.

Every entry ends in exactly one way: accepted, superseded, refused with a reason, or ignored. One
bad file never stops the class. What is latest is told by the attempt number of the learning
platform, never by a time stamp; where that does not decide, a person must.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product, takewhile
from pathlib import Path, PurePosixPath
from typing import Literal

from coursekit.errors import CourseError
from coursekit.grading.intake.parse import RefusedError, parse
from coursekit.grading.intake.sources import Found, Limits, TooLargeError, find
from coursekit.grading.intake.store import Store

__all__ = ["Entry", "Intake", "Platform", "Submission", "collect"]

Outcome = Literal["accepted", "superseded", "refused", "ignored"]
Platform = Literal["canvas", "moodle", "folder"]

_STUDENT = r"(?P<student>[^/_]+)_(?:LATE_)?(?P<account>\d+)_"
_NOTEBOOK = r"(?P<notebook>[^/]+?)(?:-(?P<attempt>\d{1,6}))?\.ipynb"
# `file`, or `onlinetext`, which holds no notebook.
_MOODLE = rf"{_STUDENT}assignsubmission_[a-z]+"
# How each platform tells who handed in what. Only the beginning of a path is the platform's: what
# follows is called by the student, who may call it like the work of somebody else.
_NAMES: dict[Platform, re.Pattern[str]] = {
    # doejane_12345_678901_backprop.ipynb, or doejane_LATE_12345_678901_backprop-2.ipynb
    "canvas": re.compile(rf"{_STUDENT}\d+_{_NOTEBOOK}", re.IGNORECASE | re.DOTALL),
    # Jane Doe_1234567_assignsubmission_file/backprop.ipynb; older ones have `_/`, and where no
    # folders are wanted it is `_`
    "moodle": re.compile(rf"{_MOODLE}(?:_?/(?:.*/)?|_){_NOTEBOOK}", re.IGNORECASE | re.DOTALL),
    # anna [1]/backprop.ipynb, or anna [1]/01_backprop/backprop.ipynb as nbgrader lays it out
    "folder": re.compile(
        r"(?P<student>[^/]+)/(?:[^/]+/)?(?P<notebook>[^/]+)\.ipynb", re.IGNORECASE | re.DOTALL
    ),
}
# What a browser, Jupyter or a student adds to the name of the next version.
_NEXT = r"[ _-]*(?:\(\d+\)|copy ?\d*|final ?\d*|new ?\d*|v?\d+)?"
_NAMELESS = "its name tells no student"
_ARCHIVES = {".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".xz", ".bz2"}
_OF_PROGRAMS = {"__MACOSX", ".ipynb_checkpoints"}


@dataclass(frozen=True, slots=True)
class Submission:
    """One notebook of one student; its content is in the store.

    Args:
        student: Who handed it in, as the platform writes it. Any characters: never a path.
        notebook: Name of the notebook, without ending.
        digest: SHA-256 of the content.
        size: Bytes of the content.
        origin: Entry of the folder or archive that it came from.
        attempt: Number of the platform; 1 where it gives none.
        account: Number of the student's account; empty where the platform gives none.
    """

    student: str
    notebook: str
    digest: str
    size: int
    origin: str
    attempt: int = 1
    account: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """How one entry ended.

    Args:
        origin: Its path in the folder or archive.
        outcome: How it ended.
        reason: Why, unless it is accepted as it is, or a folder.
        person: Whether a person must decide.
        student: Whose it is; empty where the path does not tell.
        attempt: Number of the platform; 1 where it gives none.
        account: Number of the student's account; empty where the platform gives none.
    """

    origin: str
    outcome: Outcome
    reason: str = ""
    person: bool = False
    student: str = ""
    attempt: int = 1
    account: str = ""


@dataclass(frozen=True)
class Intake:
    """What came of a folder or archive: `entries` holds each entry once."""

    submissions: list[Submission]
    entries: list[Entry]

    @property
    def counts(self) -> Counter[str]:
        """How many entries ended in each way."""
        return Counter(entry.outcome for entry in self.entries)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A notebook with the name of a student: a submission, or why it is none."""

    student: str
    account: str
    notebook: str
    attempt: int
    origin: str
    submission: Submission | None = None
    reason: str = ""


@dataclass
class _Reader:
    """Reads entries into the store, within the limits."""

    store: Store
    limits: Limits
    platform: Platform | None
    wrapper: str = ""
    total: int = 0
    entries: list[Entry] = field(default_factory=list)
    claims: dict[str, list[_Claim]] = field(default_factory=lambda: defaultdict(list))
    others: list[tuple[Entry, str]] = field(default_factory=list)

    def take(self, found: Found) -> None:
        """Sort out what is no notebook; read what is one."""
        path = PurePosixPath(found.name)
        if found.folder:
            self.entries.append(Entry(found.name, "ignored"))
            return
        if path.suffix.lower() in _ARCHIVES:
            reason = "an archive in the submissions; unpack it and collect it on its own"
            self._put_aside(Entry(found.name, "refused", reason))
            return
        if path.suffix.lower() != ".ipynb" or _OF_PROGRAMS & set(path.parts):
            self._take_other(found)
            return
        claim = _claim(found.name, self.platform, self.wrapper)
        try:
            data = self._read(found)
            if claim is None:
                raise RefusedError(_NAMELESS)
            parse(data)
        except RefusedError as refused:
            if claim is None:
                self.entries.append(Entry(found.name, "refused", str(refused)))
            else:
                self.claims[claim.student].append(replace(claim, reason=str(refused)))
            return
        submission = Submission(
            claim.student,
            claim.notebook,
            self.store.put(data),
            len(data),
            claim.origin,
            claim.attempt,
            claim.account,
        )
        self.claims[claim.student].append(replace(claim, submission=submission))

    def _take_other(self, found: Found) -> None:
        """Ignore what is no notebook, unless it is no file either."""
        try:
            found.read(0)
        except TooLargeError:
            pass  # It is a file with something in it.
        except RefusedError as refused:
            self.entries.append(Entry(found.name, "refused", str(refused)))
            return
        self._put_aside(Entry(found.name, "ignored", "not a notebook"))

    def _put_aside(self, entry: Entry) -> None:
        """Keep what is no notebook with the name of its student: it may be all that there is."""
        path = PurePosixPath(entry.origin)
        of_programs = path.name.startswith(".") or _OF_PROGRAMS & set(path.parts)
        claim = _claim(f"{entry.origin}.ipynb", self.platform, self.wrapper)
        if claim is None or of_programs:
            self.entries.append(entry)
        else:
            self.others.append((replace(entry, account=claim.account), claim.student))

    def _read(self, found: Found) -> bytes:
        left = self.limits.total - self.total
        try:
            data = found.read(min(self.limits.file, left))
        except TooLargeError as error:
            if left < self.limits.file:
                together = f"all files together are larger than {self.limits.total} bytes"
                raise RefusedError(together) from error
            raise
        self.total += len(data)
        return data


def collect(
    source: Path,
    notebook: str,
    store: Store,
    limits: Limits | None = None,
    platform: Platform | None = None,
) -> Intake:
    """Read the submissions of a class.

    Args:
        source: A folder, or a zip file.
        notebook: Name of the notebook that was to be handed in, e.g. `backprop`.
        store: Where the contents go.
        limits: What a class may hand in.
        platform: Whose names are read; by default all that are known.

    Raises:
        CourseError: There is nothing to read, or nowhere to store it.
    """
    limits = limits or Limits()
    wrapper = _wrapper(found.name for found in find(source, limits))
    if platform is None and wrapper:
        _require_no_student(source, (found.name for found in find(source, limits)), wrapper)
    reader = _Reader(store, limits, platform, wrapper)
    for found in find(source, limits):
        reader.take(found)
    store.sync()
    submissions: list[Submission] = []
    entries = reader.entries
    for student, claims in sorted(_by_account(reader.claims).items()):
        for claim, entry in _decide(claims, notebook):
            entries.append(
                replace(entry, student=student, attempt=claim.attempt, account=claim.account)
            )
            if entry.outcome == "accepted" and claim.submission:
                submissions.append(replace(claim.submission, student=student))
    for entry, student in reader.others:
        if student not in reader.claims:
            # Nobody is lost who handed in the wrong kind of file.
            reason = f"{entry.reason}; there is no notebook of this student"
            entry = replace(entry, outcome="refused", reason=reason, student=student)
        entries.append(entry)
    if not entries:
        raise CourseError(f"{source}: empty; there is nothing to collect.")
    if not (reader.claims or reader.others):
        _require_names(source, entries, platform, wrapper)
    return Intake(submissions, sorted(entries, key=lambda entry: entry.origin))


def _wrapper(names: Iterable[str]) -> str:
    """The folders that hold all notebooks, as some archives of a platform have them; with `/`."""
    shared: Sequence[str] | None = None
    for path in map(PurePosixPath, names):
        folders = path.parts[:-1]
        if path.suffix.lower() == ".ipynb" and not _OF_PROGRAMS & set(folders):
            levels = zip(folders if shared is None else shared, folders, strict=False)
            shared = [ours for ours, _ in takewhile(lambda level: level[0] == level[1], levels)]
    around = takewhile(
        lambda level: not re.fullmatch(f"{_MOODLE}_?", level, re.IGNORECASE), shared or ()
    )
    return "".join(f"{level}/" for level in around)


def _require_no_student(source: Path, names: Iterable[str], wrapper: str) -> None:
    """A folder around everything is not taken for one around the students: it may be a student.

    Else one who is the first to hand in could call the own files like those of others.
    """
    kinds: tuple[Platform, ...] = ("canvas", "moodle")
    for name, kind in product(names, kinds):
        if _NAMES[kind].fullmatch(name.removeprefix(wrapper)):
            raise CourseError(
                f"{source}: is `{wrapper}` a student, or a folder around the students? Say "
                f"--from folder in the first case, --from {kind} in the second."
            )


def _require_names(
    source: Path, entries: Sequence[Entry], platform: Platform | None, wrapper: str
) -> None:
    """Raise an error where nothing can be told of anybody, and say whose names these could be."""
    nameless = [entry.origin for entry in entries if entry.reason == _NAMELESS]
    if not nameless:
        return
    fitting = [kind for kind in _NAMES if any(_claim(name, kind, wrapper) for name in nameless)]
    mend = f"say --from {' or --from '.join(fitting)}" if fitting else "see the guide for the names"
    raise CourseError(
        f"{source}: no file has a name of {platform or 'canvas, moodle or a folder'}, e.g. "
        f"{nameless[0]!r}; nothing was collected: {mend}."
    )


def _by_account(claims: Mapping[str, list[_Claim]]) -> dict[str, list[_Claim]]:
    """Tell students of one name apart, by the number of the platform."""
    found: dict[str, list[_Claim]] = {}
    for student, own in claims.items():
        accounts = {claim.account for claim in own}
        if len(accounts) == 1 or "" in accounts:
            found[student] = own
            continue
        for claim in own:
            found.setdefault(f"{student} ({claim.account})", []).append(claim)
    return found


def _claim(name: str, platform: Platform | None, wrapper: str) -> _Claim | None:
    """Read student, notebook and attempt out of a name."""
    matches = (
        pattern.fullmatch(name if kind == "folder" else name.removeprefix(wrapper))
        for kind, pattern in _NAMES.items()
        if platform in (None, kind)
    )
    match = next(filter(None, matches), None)
    try:
        name.encode()
    except UnicodeEncodeError:
        return None
    if match is None or match["student"] in (".", ".."):
        return None
    parts = {
        key: unicodedata.normalize("NFC", text or "") for key, text in match.groupdict().items()
    }
    return _Claim(
        parts["student"],
        parts.get("account", ""),
        parts["notebook"],
        int(parts.get("attempt") or 1),
        name,
    )


def _decide(claims: list[_Claim], notebook: str) -> list[tuple[_Claim, Entry]]:
    """Choose the one submission of a student that counts."""
    called = re.compile(re.escape(notebook) + _NEXT, re.IGNORECASE)
    # A notebook with another name is taken where no other can be meant.
    named = [claim for claim in claims if called.fullmatch(claim.notebook)] or claims
    other = f"another notebook than {notebook}.ipynb"
    ended = [(c, Entry(c.origin, "ignored", other)) for c in claims if c not in named]
    latest = max(claim.attempt for claim in named)
    last = [claim for claim in named if claim.attempt == latest]
    older = [claim for claim in named if claim.attempt < latest]
    if len({claim.account for claim in named}) > 1:
        reason = (
            "this name is there with the number of an account and without; collect what is in "
            "folders and what is of a platform on its own"
        )
        return ended + [(c, Entry(c.origin, "refused", reason, person=True)) for c in named]
    ended += [(c, Entry(c.origin, "superseded", f"attempt {latest} is later")) for c in older]
    broken = [claim for claim in last if claim.submission is None]
    sound = [claim for claim in last if claim.submission]
    # An older attempt is not graded in place of a broken one: a person must ask the student.
    alone = not older and not sound
    ended += [(c, Entry(c.origin, "refused", c.reason, person=not alone)) for c in broken]
    contents = {claim.submission.digest for claim in sound if claim.submission}
    if len(contents) > 1 or (broken and sound):
        reason = f"one of {len(last)} files of this student, and none is the later; choose one"
        return ended + [(c, Entry(c.origin, "refused", reason, person=True)) for c in sound]
    for number, claim in enumerate(sound):
        outcome: Outcome = "superseded" if number else "accepted"
        renamed = "" if called.fullmatch(claim.notebook) else f"not called {notebook}.ipynb"
        reason = "the same content once more" if number else renamed
        ended.append((claim, Entry(claim.origin, outcome, reason)))
    return ended

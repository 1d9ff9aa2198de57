"""Where attacks are tried: a class, its grader, and what an attack must leave as it is."""

import hashlib
import inspect
import json
import shutil
import socket
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
from assignments import Assignment, load_assignment
from attack import Attack

from coursekit.grading.assignment import Classroom
from coursekit.grading.intake.store import Store
from coursekit.grading.intake.submissions import Intake, collect
from coursekit.grading.limits import Limits
from coursekit.grading.people.feedback import Template, feedback_page
from coursekit.grading.records.autograded import Desk
from coursekit.grading.records.marks import Mark, Sheet
from coursekit.grading.results import Result
from coursekit.grading.runner.slot import Slot
from coursekit.grading.sandbox import usage

__all__ = ["HONEST", "LIMITS", "ProvingGround", "Trial", "active", "said"]

MIB = 2**20
LIMITS = {
    "target": Limits(
        cell_seconds=1, notebook_seconds=4, memory_bytes=512 * MIB, disk_bytes=64 * MIB
    ),
    "03_cnn": Limits(cell_seconds=30),
    "05_gan": Limits(cell_seconds=30),
}
HONEST = Attack(Path(), "", "an honest student", "", "nothing", base="reference", scores="all")
# Where a program may leave something on this machine.
SHARED = [Path(one) for one in ("/tmp", "/dev/shm", "/var/tmp", Path.home(), Path.cwd())]


@dataclass
class Trial:
    """What came of one attack.

    Args:
        intake: What was taken in.
        alice: Whether the work of Alice was taken, where she handed it in beside the attacker.
        results: What the grader says of the attacker, then of accomplices.
        control: What it says of the reference, right after them.
        pages: Their feedback pages.
        screens: What Formgrader shows of them, where something may run in it.
        outputs: All that their cells and checks said.
        changed: Files of the class that are not as they were.
        left: Files and processes with the marker in their name.
        processes: What else runs in the slot, counted.
        called: What the server heard that nobody may reach.
    """

    intake: Intake
    alice: bool
    results: list[Result]
    control: Result
    pages: list[str] = field(default_factory=list)
    screens: list[str] = field(default_factory=list)
    outputs: str = ""
    changed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    processes: Counter[str] = field(default_factory=Counter)
    called: list[bytes] = field(default_factory=list)


class ProvingGround:
    """Grades attacks with slots that stay warm from one to the next; a context manager.

    Args:
        canaries: Texts by where they lie; none may reach a student.
        folder: Where classes are made.

    `called` is what the server heard that nobody may reach.
    """

    def __init__(self, canaries: Mapping[str, str], folder: Path) -> None:
        self.canaries = canaries
        self._folder = folder
        self._slots: dict[str, Slot] = {}
        self.called: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> "ProvingGround":
        return self

    def __exit__(self, *error: object) -> None:
        for slot in self._slots.values():
            slot.close()
        self._server.close()

    def assignment(self, name: str) -> Assignment:
        """An assignment, with the canary in its hidden tests."""
        return load_assignment(name, self.canaries["hidden tests"])

    def slot(self, name: str) -> Slot:
        """The slot of an assignment, which has graded the work of Alice."""
        if name not in self._slots:
            assignment = self.assignment(name)
            secret = self.canaries["course secret"]
            self._slots[name] = Slot(assignment.package(secret), LIMITS[name])
            self._slots[name].grade(self._alice(assignment))
        return self._slots[name]

    def try_out(self, attack: Attack) -> Trial:
        """Hand in, take in, grade, and look at what is left."""
        assignment = self.assignment(attack.assignment)
        slot = self.slot(assignment.name)
        kinds = self._kinds()
        folder = self._folder / attack.file.stem
        self._make_class(folder, assignment)
        source, texts = self._hand_in(attack, assignment, folder)
        before = _digests(folder)
        store = Store(folder.with_name(folder.name + "-store"))
        intake = collect(source, assignment.topic, store)
        taken = [one for one in intake.submissions if one.student != "alice"]
        contents = dict.fromkeys(one.digest for one in taken)
        results = [slot.grade(store.get(digest)) for digest in contents]
        for text in texts:
            printed = json.dumps(repr(_printed(results[0])))[1:-1]
            results.append(slot.grade(text.replace("@OUTPUT@", printed).encode()))
        [honest] = HONEST.submissions(assignment.template)
        control = slot.grade(json.dumps(honest).encode())
        hers = hashlib.sha256(self._alice(assignment)).hexdigest()
        alice = [one.digest for one in intake.submissions if one.student == "alice"]
        trial = Trial(intake, alice == [hers] or source.is_file(), results, control)
        trial.pages = [self._feedback(assignment, result) for result in results]
        if attack.runs:
            trial.screens = [self._formgrader(assignment, result) for result in results]
        trial.outputs = "\n".join(said(result) for result in results)
        trial.changed = _differences(before, _digests(folder))
        trial.left = self.left(attack)
        trial.processes = self._kinds() - kinds
        trial.called = list(self.called)
        shutil.rmtree(folder)
        shutil.rmtree(store.root, ignore_errors=True)
        return trial

    def left(self, attack: Attack) -> list[str]:
        """Files and processes that bear the marker of an attack."""
        return list(_left(attack.marker, [self._folder, *SHARED]))

    def _kinds(self) -> Counter[str]:
        """The processes of all slots, counted by what they run."""
        families = [usage.family(slot._process.pid) for slot in self._slots.values()]
        return Counter(_command(one) for family in families for one in family)

    def _alice(self, assignment: Assignment) -> bytes:
        [notebook] = HONEST.submissions(assignment.template)
        cell = next(c for c in notebook["cells"] if c["cell_type"] == "code")
        cell["source"] += f"\n# {self.canaries['work of Alice']}"
        return json.dumps(notebook).encode()

    def _make_class(self, folder: Path, assignment: Assignment) -> None:
        """A class with the work of Alice, sources, a grade book and a configuration."""
        canary = self.canaries["work of Alice"]
        files = {
            f"submitted/alice/{assignment.name}/{assignment.topic}.ipynb": self._alice(assignment),
            f"source/{assignment.name}/{assignment.topic}.ipynb": json.dumps(
                assignment.source
            ).encode(),
            "gradebook.db": canary.encode(),
            "nbgrader_config.py": canary.encode(),
        }
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _hand_in(
        self, attack: Attack, assignment: Assignment, folder: Path
    ) -> tuple[Path, list[str]]:
        """Lay out what the attacker hands in; where it lies, and the notebooks of accomplices."""
        mine, *others = attack.submissions(assignment.template, self.port)
        texts = [json.dumps(other) for other in others]
        submitted = folder / "submitted"
        module = attack.module
        if hasattr(module, "raw_archive"):
            archive = folder / "submissions.zip"
            archive.write_bytes(module.raw_archive())
            return archive, texts
        if getattr(module, "ARCHIVE", False):
            archive = folder / "submissions.zip"
            with zipfile.ZipFile(archive, "w") as file:
                module.submit(file, mine, attack.marker)
            return archive, texts
        self.lay_out(attack, assignment, submitted, "mallory")
        return submitted, texts

    def lay_out(self, attack: Attack, assignment: Assignment, folder: Path, name: str) -> None:
        """Write what the attacker hands in, as a student of this name, into a folder."""
        [mine, *_] = attack.submissions(assignment.template, self.port)
        module = attack.module
        if hasattr(module, "submissions"):
            for student, text in module.submissions(mine).items():
                path = folder / student / f"{assignment.topic}.ipynb"
                path.parent.mkdir()
                path.write_text(text)
            return
        mallory = folder / name / assignment.name
        mallory.mkdir(parents=True)
        if module is None:
            (mallory / f"{assignment.topic}.ipynb").write_text(json.dumps(mine))
        else:
            wanted = inspect.signature(module.submit).parameters
            more = {"marker": attack.marker} if "marker" in wanted else {}
            module.submit(mallory, mine, **more)

    def _kept(self, assignment: Assignment, result: Result) -> dict[str, Any]:
        """The graded notebook as the class keeps it."""
        kept = Desk(Classroom(self._folder), assignment.package(""))._notebook(b"", result)
        assert kept is not None
        return kept

    def _feedback(self, assignment: Assignment, result: Result) -> str:
        """What the student reads."""
        if result.outcome != "graded":
            return result.reason
        package = assignment.package("")
        template = Template.of(assignment.name, assignment.topic, package.source, package.release)
        marks = tuple(
            Mark(assignment.topic, cell.grade_id, cell.points, cell.score) for cell in result.cells
        )
        sheet = Sheet("mallory", submitted=True, marks=marks)
        return feedback_page(template, self._kept(assignment, result), sheet)

    def _formgrader(self, assignment: Assignment, result: Result) -> str:
        """What the instructor reads in Formgrader."""
        from nbconvert.exporters import HTMLExporter
        from nbgrader.server_extensions.formgrader.handlers import template_path

        exporter = HTMLExporter(template_name="formgrade", extra_template_basedirs=[template_path])
        names = ("assignment_id", "notebook_id", "submission_id", "student", "base_url")
        names += ("first_name", "last_name", "notebook_path")
        resources = {**dict.fromkeys(names, "x"), "index": 0, "total": 1}
        notebook = nbformat.from_dict(self._kept(assignment, result))
        page, _ = exporter.from_notebook_node(notebook, resources=resources)
        return page

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                self.called.append(connection.recv(1000))


def _printed(result: Result) -> str:
    """What the cells of a submission printed."""
    streams = [one for cell in result.outputs.values() for one in cell if "text" in one]
    return "".join(str(one["text"]) for one in streams)


def said(result: Result) -> str:
    """All that a result tells a student."""
    data = result.to_json()
    del data["notebook"]
    return json.dumps(data, ensure_ascii=False)


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _left(marker: str, folders: list[Path]) -> Iterator[str]:
    """Files, at most two floors down, and processes with the marker in their name."""
    for folder in folders:
        for place in (folder, *_folders(folder)):
            yield from (str(place / name) for name in _names(place) if marker in name)
    for entry in Path("/proc").glob("[0-9]*"):
        if marker in (command := _command(int(entry.name))):
            yield command


def _folders(folder: Path) -> list[Path]:
    return [path for name in _names(folder) if (path := folder / name).is_dir()]


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:  # Somebody else's, or gone by now.
        return []


def _command(process: int) -> str:
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return b" ".join(words).decode(errors="replace")


# Attributes that name what is loaded, or where to go.
_ADDRESSES = (
    "href",
    "src",
    "srcdoc",
    "data",
    "action",
    "formaction",
    "content",
    "style",
    "xlink:href",
)


class _Active(HTMLParser):
    """Collects what would run in a browser, or call another host, and comes from an attack."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for name, value in attrs:
            value = (value or "").strip()
            mine = ("4711" in value or "//evil" in value) and not value.startswith("#")
            if mine and (name.startswith("on") or name in _ADDRESSES):
                self.found.append(f"<{tag} {name}={value}>")

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style", "iframe") and ("4711" in data or "{{" in data):
            self.found.append(f"<{self._inside}>{data}")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def active(page: str) -> list[str]:
    """What an attack brought into a page that would run in a browser, or call another host."""
    reader = _Active()
    reader.feed(page)
    return reader.found

"""Show what each attack is worth: run it on stock nbgrader, locked in, and record what came of it.

    .venv/bin/python tests/attacks/against_stock.py            # all of them, about an hour
    .venv/bin/python tests/attacks/against_stock.py 19 40 72   # some of them
    … --write                                                  # and record it in the files

A class of four is graded by one `nbgrader autograde`: Alice, then Mallory who attacks, Nick who may
be his accomplice, and Zoe. All of it happens inside bubblewrap: without a network, with a read-only
disk, as an ordinary user, with limits that only keep this machine alive. Stock nbgrader itself has
none.
"""

import argparse
import hashlib
import importlib.metadata
import inspect
import json
import os
import re
import resource
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import nbformat
from assignments import Assignment, load_assignment
from attack import CORPUS, Attack, load

STUDENTS = ("alice", "mallory", "nick", "zoe")
NOBODY = 65534
LOST = "no grade for the student"
CONFIGURATION = """
c = get_config()
c.CourseDirectory.course_id = "class"
c.Execute.timeout = {seconds}
c.Exchange.root = "/tmp/exchange"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("numbers", nargs="*", help="which ones; all by default")
    parser.add_argument("--write", action="store_true", help="record the outcome in the files")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    attacks = [load(file) for file in sorted(CORPUS.glob("*_*.*"))]
    attacks = [one for one in attacks if one.number in (arguments.numbers or [one.number])]
    if arguments.inside:
        print(json.dumps(Stock(attacks[0], Path(arguments.inside)).run()))
        return
    version = importlib.metadata.version("nbgrader")
    for attack in sorted(attacks, key=lambda one: (int(re.sub(r"\D", "", one.number)), one.number)):
        outcome = f"{_locked_in(attack)} (nbgrader {version})"
        print(f"{attack.number:>4}  {attack.name}: {outcome}", flush=True)
        if arguments.write:
            _record(attack.file, outcome)


def _locked_in(attack: Attack) -> str:
    """Run one attack inside bubblewrap; what came of it."""
    if hasattr(attack.module, "raw_archive") or getattr(attack.module, "ARCHIVE", False):
        return "not run: nbgrader grades no archives"
    with tempfile.TemporaryDirectory(prefix="stock-") as folder:
        Path(folder).chmod(0o777)
        python = Path(sys.base_prefix).resolve()
        hidden = [str(one) for one in reversed(python.parents) if one.is_relative_to("/root")]
        folders = [word for one in hidden[1:] for word in ("--perms", "755", "--dir", one)]
        command = [
            *("bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
            *("--die-with-parent", "--new-session", "--ro-bind", "/", "/", "--dev", "/dev"),
            *("--proc", "/proc", "--size", str(2**29), "--perms", "1777", "--tmpfs", "/dev/shm"),
            *("--perms", "755", "--tmpfs", "/root", *folders, "--ro-bind", *[str(python)] * 2),
            *("--size", str(2**29), "--perms", "1777", "--tmpfs", "/tmp"),
            *("--bind", folder, "/tmp/class", "--chdir", "/tmp/class", "--setenv", "HOME", "/tmp"),
        ]
        if os.getuid() == 0:  # As an ordinary user, whom the limit on processes holds.
            command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "setpriv"]
            command += [
                f"--reuid={NOBODY}",
                f"--regid={NOBODY}",
                "--clear-groups",
                "--no-new-privs",
            ]
        command += [sys.executable, __file__, attack.number, "--inside", "/tmp/class"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=400, preexec_fn=_limit
            )
        except subprocess.TimeoutExpired:
            return "succeeds: the grader was still busy after 400 seconds"
    if done.returncode:
        return f"not run: {done.stderr.strip().splitlines()[-1:]}"
    return json.loads(done.stdout.splitlines()[-1])


def _limit() -> None:
    """What keeps this machine alive: nbgrader sets no limit."""
    resource.setrlimit(resource.RLIMIT_DATA, (5 * 2**30, 5 * 2**30))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**29, 2**29))
    resource.setrlimit(resource.RLIMIT_NPROC, (600, 600))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Stock:
    """One class, graded by stock nbgrader with Mallory in it."""

    def __init__(self, attack: Attack, folder: Path) -> None:
        self.attack, self.folder = attack, folder
        self.canaries = {
            name: f"CANARY-{secrets.token_hex(16)}" for name in ("hidden", "secret", "alice", "env")
        }
        self.assignment: Assignment = load_assignment(attack.assignment, self.canaries["hidden"])
        self.called: list[bytes] = []

    def run(self) -> str:
        """Grade the class; what the attack achieved, in a clause."""
        port = self._listen()
        self._write_class(port)
        before = self._state()
        environment = {
            **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
            "COURSE_SECRET": self.canaries["secret"],
            "INSTRUCTOR": self.canaries["env"],
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        }
        for step, options in (("generate_assignment", ["--create"]), ("autograde", [])):
            done = subprocess.run(
                [sys.executable, "-m", "nbgrader", step, self.assignment.name, *options],
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=380,
            )
            if step == "generate_assignment" and done.returncode:
                raise SystemExit(done.stderr)
        signs = list(self._signs(before, done.returncode))
        if self.attack.wants == "points" and signs == [LOST]:
            return f"fails, and costs itself all: {LOST}"
        if self.attack.wants == "nothing":
            return "false fail: " + ", ".join(signs) if signs else "full marks"
        return "succeeds: " + ", ".join(signs) if signs else "fails"

    def _signs(self, before: dict[str, str], status: int) -> Any:
        total = sum(self.assignment.points.values())
        wanted = sum((self.attack.wanted(self.assignment.points)[0] or {}).values())
        scores = {student: self._score(student) for student in STUDENTS}
        mine = scores["mallory"]
        if mine is None:
            yield LOST
        elif mine is not None and mine != wanted:
            yield f"{mine:g} of {total:g} points" + (
                f" instead of {wanted:g}" if mine < wanted else ""
            )
        if status < 0:
            yield f"the grader dies of signal {-status}"
        for student in ("alice", "zoe"):
            if scores[student] is None:
                yield f"no grade for {student.title()}"
            elif scores[student] != total:
                yield f"{scores[student]:g} of {total:g} points for {student.title()}"
        shown = self._shown("mallory") + self._shown("nick")
        for name, canary in self.canaries.items():
            if canary in shown:
                what = {
                    "hidden": "hidden tests",
                    "secret": "the course secret",
                    "env": "the environment",
                }
                yield f"{what.get(name, 'the work of Alice')} in the feedback"
        if self.attack.marker in shown:
            yield "it says so in the feedback"
        for text in (*self.attack.never, "<script>alert(4711)"):
            if text in shown and "4711" in str(self.attack.cells):
                yield "a script in the feedback"
        if b"".join(self.called):
            yield "the server was called"
        for name, digest in self._state().items():
            if before.get(name, digest) != digest:
                yield f"{name} was changed"
        left = [path for root in (self.folder, Path("/tmp")) for path in root.rglob("*")]
        if any(self.attack.marker in path.name for path in left):
            yield "a file outside of the submission"
        alive = sum(
            self.attack.marker in _command(process) for process in Path("/proc").glob("[0-9]*")
        )
        if alive:
            yield f"{alive} processes alive"
        if len(shown) > 2**25:
            yield f"{len(shown) >> 20} MB of output"

    def _write_class(self, port: int) -> None:
        seconds = 5 if self.assignment.name == "target" else 60
        (self.folder / "nbgrader_config.py").write_text(CONFIGURATION.format(seconds=seconds))
        source = self.folder / "source" / self.assignment.name
        source.mkdir(parents=True)
        nbformat.write(self.assignment.source, source / f"{self.assignment.topic}.ipynb")
        folders = {
            name: self.folder / "submitted" / name / self.assignment.name for name in STUDENTS
        }
        for folder in folders.values():
            folder.mkdir(parents=True)
        template = self.assignment.template
        honest = Attack(self.attack.file, "", "", "", "nothing", base="reference")
        [reference] = honest.submissions(template)
        for name in ("alice", "nick", "zoe"):
            (folders[name] / f"{self.assignment.topic}.ipynb").write_text(json.dumps(reference))
        with (folders["alice"] / f"{self.assignment.topic}.ipynb").open("a+") as file:
            file.seek(0)
            marked = file.read().replace(
                "def standardize", f"# {self.canaries['alice']}\\ndef standardize"
            )
            file.truncate(0)
            file.write(marked)
        mine, *others = self.attack.submissions(template, port)
        module = self.attack.module
        if module is None:
            (folders["mallory"] / f"{self.assignment.topic}.ipynb").write_text(json.dumps(mine))
        elif hasattr(module, "submissions"):
            for name, text in module.submissions(mine).items():
                folder = self.folder / "submitted" / name / self.assignment.name
                folder.mkdir(parents=True)
                (folder / f"{self.assignment.topic}.ipynb").write_text(text)
            shutil.rmtree(folders["mallory"].parent)
        else:
            wanted = inspect.signature(module.submit).parameters
            more = {"marker": self.attack.marker} if "marker" in wanted else {}
            module.submit(folders["mallory"], mine, **more)
        for other in others:
            (folders["nick"] / f"{self.assignment.topic}.ipynb").write_text(json.dumps(other))

    def _listen(self) -> int:
        server = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                connection = server.accept()[0]
                self.called.append(connection.recv(1000))

        threading.Thread(target=serve, daemon=True).start()
        return server.getsockname()[1]

    def _state(self) -> dict[str, str]:
        paths = [
            self.folder / "nbgrader_config.py",
            *self.folder.glob("submitted/[anz]*/*/*.ipynb"),
        ]
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
        }

    def _score(self, student: str) -> float | None:
        """Points of a student for the cells that nbgrader runs; None where it has no grade."""
        from nbgrader.api import Gradebook, MissingEntry

        with Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}") as book:
            try:
                [graded] = book.find_submission(self.assignment.name, student).notebooks
            except MissingEntry:
                return None
            grades = [one for one in graded.grades if one.name in self.assignment.points]
            if not any(one.auto_score is not None for one in grades):
                return None
            return sum(one.score for one in grades)

    def _shown(self, student: str) -> str:
        """What the cells of a student show: it goes into the feedback."""
        path = self.folder / "autograded" / student / self.assignment.name
        try:
            notebook = json.loads((path / f"{self.assignment.topic}.ipynb").read_text())
        except (OSError, ValueError):
            return ""
        cells = [cell.get("outputs", []) for cell in notebook["cells"]]
        text = "".join(json.dumps(outputs) for outputs in cells)
        return text.replace("\\\\n", "\n").replace("\\n", "\n")


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text(errors="replace")
    except OSError:
        return ""


def _record(file: Path, outcome: str) -> None:
    """Write the outcome into the file of the attack."""
    text = file.read_text(encoding="utf-8")
    name, begin = ("STOCK = ", "WANTS = ") if file.suffix == ".py" else ("stock: ", "wants: ")
    line = name + json.dumps(outcome, ensure_ascii=False) + "\n"
    if re.search(f"^{name}", text, re.M):
        text = re.sub(f"^{name}.*\n", lambda _: line, text, flags=re.M)
    else:
        text = re.sub(f"^{begin}.*\n", lambda found: found[0] + line, text, flags=re.M)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

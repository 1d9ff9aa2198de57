"""Attacks as files: read, filled in, and laid out as a student would hand them in.

An attack on cells is a YAML file:

    number, name          what the tables call it
    why                   what it tries, in two sentences
    wants                 points, secrets, classmates, outage, host; `nothing` for an honest trap
    stock                 what came of it in stock nbgrader (`against_stock.py` writes this line)
    assignment            `target` by default, else an exercise of the course
    base                  whose answers the other cells hold: `wrong` by default, or `reference`
    cells                 grade_id -> source; `@REFERENCE@` for the right answer
    scores                grade_id -> points that it must get, `all`, or nothing at all by default
    then                  submissions of accomplices that are graded next: `cells`, the others
                          right, and `scores` if they matter; `@OUTPUT@` is what the attacker's
                          cells printed
    never                 texts that must not reach a student

An attack on the way in is a Python file, with the same names in capitals and a function `submit`
that writes what the student hands in, or `submissions` that names many students and what they hand
in. `REFUSED` is a pattern for the reason why it is not taken.

Whatever an attack is after, it gives itself away by `@MARKER@`: a name that the attack prints,
writes to a file, or gives a process, once it has reached its goal. In the cells this stands as an
expression, so that a source that is shown does not count. What is to run in a browser says 4711.
"""

import importlib.util
import inspect
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

__all__ = ["CORPUS", "Attack", "load"]

CORPUS = Path(__file__).parent / "corpus"
WANTS = {"points", "secrets", "classmates", "outage", "host", "nothing"}
# What everybody hands in who has not understood the exercise: each check gives 0.
WRONG = {
    "standardize": "def standardize(x):\n    return x - x.mean()\n",
    "softmax": "def softmax(logits):\n    return logits / logits.sum()\n",
    "momentum": (
        "class Momentum:\n"
        "    def __init__(self, lr, momentum):\n"
        "        self.lr = lr\n\n"
        "    def step(self, parameter, gradient):\n"
        "        return parameter - self.lr * gradient\n\n\n"
        "def descend(valley, start, optimizer, steps):\n"
        "    return [start]\n"
    ),
}


@dataclass(frozen=True)
class Attack:
    """One file of the corpus; the module's text says what the fields mean."""

    file: Path
    number: str
    name: str
    why: str
    wants: str
    stock: str = ""
    assignment: str = "target"
    base: str = "wrong"
    cells: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] | str = field(default_factory=dict)
    then: tuple[Mapping[str, Any], ...] = ()
    never: tuple[str, ...] = ()
    refused: str = ""
    takes_alice: bool = True
    module: ModuleType | None = None
    marker: str = field(default_factory=lambda: f"PWNED-{secrets.token_hex(8)}")

    @property
    def runs(self) -> bool:
        """Whether it is after the browser of who reads what it shows."""
        return "4711" in self.file.read_text(encoding="utf-8")

    def wanted(self, points: Mapping[str, float]) -> list[dict[str, float] | None]:
        """What the graded cells of each submission must get; None where it does not matter."""
        return [
            _wanted(scores, points)
            for scores in (self.scores, *(other.get("scores") for other in self.then))
        ]

    def submissions(self, notebook: Mapping[str, Any], port: int = 9) -> Iterator[dict[str, Any]]:
        """The notebooks of the attacker and of accomplices, made of the instructor's notebook.

        Args:
            notebook: The release, each answer cell with the reference in `metadata.reference`.
            port: Where a server listens that nobody may reach.
        """
        yield self._notebook(notebook, self.cells, self.base, port)
        for other in self.then:
            yield self._notebook(notebook, other["cells"], "reference", port)

    def _notebook(
        self, notebook: Mapping[str, Any], cells: Mapping[str, str], base: str, port: int
    ) -> dict[str, Any]:
        filled = json.loads(json.dumps(notebook))
        known = set()
        for cell in filled["cells"]:
            reference = cell["metadata"].pop("reference", None)
            if reference is None:
                continue
            grade_id = cell["metadata"]["nbgrader"]["grade_id"]
            known.add(grade_id)
            source = cells.get(grade_id) or (
                WRONG.get(grade_id, cell["source"]) if base == "wrong" else reference
            )
            cell["source"] = self._fill(source.replace("@REFERENCE@", reference), port)
        assert set(cells) <= known, f"{self.file.name}: no such cell, {set(cells) - known}"
        return filled

    def _fill(self, source: str, port: int) -> str:
        hidden = f"bytes.fromhex('{self.marker.encode().hex()}').decode()"
        return source.replace("@MARKER@", hidden).replace("@PORT@", str(port))


def _wanted(scores: Any, points: Mapping[str, float]) -> dict[str, float] | None:
    if scores is None or scores == "all":
        return None if scores is None else dict(points)
    return {name: float(scores.get(name, 0)) for name in points}


def load(file: Path) -> Attack:
    """Read a file of the corpus."""
    attack = _from_module(file) if file.suffix == ".py" else _from_yaml(file)
    assert attack.wants in WANTS, f"{file.name}: wants {attack.wants!r}"
    return attack


def _from_yaml(file: Path) -> Attack:
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    data["then"] = tuple(data.get("then", ()))
    data["never"] = tuple(data.get("never", ()))
    data["why"] = " ".join(data["why"].split())
    return Attack(file, **data)


def _from_module(file: Path) -> Attack:
    spec = importlib.util.spec_from_file_location(f"attack_{file.stem}", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    name, _, why = inspect.cleandoc(module.__doc__ or "").partition("\n\n")
    given = {
        key.lower(): value
        for key, value in vars(module).items()
        if key in ("NUMBER", "WANTS", "STOCK", "BASE", "SCORES", "REFUSED", "NEVER", "TAKES_ALICE")
    }
    return Attack(file, name=name.rstrip("."), why=" ".join(why.split()), module=module, **given)

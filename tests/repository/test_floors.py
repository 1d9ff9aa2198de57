"""Dependencies only point down: who may import whom is in docs/architecture.md."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
FLOORS = {
    "largemodels": {
        **dict.fromkeys(["data", "plots", "check"], 1),
        "scratch": 2,
        **dict.fromkeys(["models", "training", "trust", "economics"], 3),
    },
    "coursekit.grading": {
        **dict.fromkeys(["intake", "split"], 1),
        "sandbox": 2,
        "runner": 3,
        "spread": 4,
        "records": 5,
        "people": 6,
    },
}
DATA, SANDBOX = "largemodels/data/loading.py", "coursekit/grading/sandbox/warm.py"


def imported_modules(path: Path) -> set[str]:
    """Return the absolute names of all modules that a file imports, lazily or not."""
    package = path.relative_to(SOURCE).with_suffix("").parts[:-1]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*parent, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def room_of(house: str, module: str) -> str:
    """Return the room of a house in which a module is; empty if it is in none."""
    inside = module.removeprefix(f"{house}.") if module.startswith(f"{house}.") else ""
    room = inside.split(".")[0]
    return room if room in FLOORS[house] else ""


def forbidden(path: Path) -> list[str]:
    """Return one sentence for each import that points up."""
    module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    names = imported_modules(path)
    sentences = []
    if module.startswith("largemodels.") and any(
        name.split(".")[0] == "coursekit" for name in names
    ):
        sentences.append("largemodels imports coursekit")
    for house, floors in FLOORS.items():
        if room := room_of(house, module):
            others = {room_of(house, name) for name in names} - {""}
            upper = sorted(other for other in others if floors[other] > floors[room])
            sentences += [f"{room} (floor {floors[room]}) imports {other}" for other in upper]
    return sentences


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_no_import_points_up(path):
    assert not forbidden(path)


@pytest.mark.parametrize("house", FLOORS)
def test_every_room_has_a_floor(house):
    folder = SOURCE / house.replace(".", "/")
    rooms = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert rooms == set(FLOORS[house]), f"a room of {house} is on no floor: add it to FLOORS"


@pytest.mark.parametrize(
    ("file", "source", "sentence"),
    [
        (DATA, "from largemodels.scratch import relu", "data (floor 1) imports scratch"),
        (DATA, "from ..scratch import relu", "data (floor 1) imports scratch"),
        (DATA, "from .. import scratch", "data (floor 1) imports scratch"),
        (DATA, "import coursekit.cli", "largemodels imports coursekit"),
        (SANDBOX, "from coursekit.grading import runner", "sandbox (floor 2) imports runner"),
    ],
)
def test_the_gate_fails_when_an_import_points_up(file, source, sentence, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert forbidden(path) == [sentence]

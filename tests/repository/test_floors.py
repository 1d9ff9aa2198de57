"""Dependencies only point down: who may import whom is in docs/architecture.md."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
FLOORS = {
    **dict.fromkeys(["data", "plots", "check"], 1),
    "scratch": 2,
    **dict.fromkeys(["models", "training", "trust", "economics"], 3),
}


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


def rooms(names: set[str]) -> set[str]:
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "largemodels" and len(part) > 1} & set(FLOORS)


def forbidden(path: Path) -> list[str]:
    """Return one sentence for each import that points up."""
    package, room = path.relative_to(SOURCE).parts[:2]
    names = imported_modules(path)
    sentences = []
    if package == "largemodels" and any(name.split(".")[0] == "coursekit" for name in names):
        sentences.append("largemodels imports coursekit")
    if package == "largemodels" and room in FLOORS:
        upper = {other for other in rooms(names) if FLOORS[other] > FLOORS[room]}
        sentences += [f"{room} (floor {FLOORS[room]}) imports {other}" for other in sorted(upper)]
    return sentences


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_no_import_points_up(path):
    assert not forbidden(path)


@pytest.mark.parametrize("room", sorted(path.name for path in (SOURCE / "largemodels").iterdir()))
def test_every_room_has_a_floor(room):
    folder = SOURCE / "largemodels" / room
    if folder.is_dir() and (folder / "__init__.py").exists():
        assert room in FLOORS, f"largemodels/{room} is on no floor: add it to FLOORS"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("from largemodels.scratch import relu", "data (floor 1) imports scratch"),
        ("from ..scratch import relu", "data (floor 1) imports scratch"),
        ("from .. import scratch", "data (floor 1) imports scratch"),
        ("import coursekit.cli", "largemodels imports coursekit"),
    ],
)
def test_the_gate_fails_when_an_import_points_up(source, sentence, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    path = tmp_path / "largemodels" / "data" / "loading.py"
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert forbidden(path) == [sentence]

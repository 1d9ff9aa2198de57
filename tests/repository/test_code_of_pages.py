"""The code of pages and exercises: no unknown name, nothing imported or assigned for nothing."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parents[2]
RULES = ["--select=F", "--ignore=F541", "--config=builtins=['display']"]


HEAD = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""


def program_of(page: Path) -> str:
    """The code of all cells of a page, without what only IPython understands."""
    cells = [one.source for one in jupytext.read(page).cells if one.cell_type == "code"]
    lines = "\n\n".join(cells).splitlines()
    return "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def complaints(pages: Iterable[Path], folder: Path) -> list[str]:
    """What ruff says about the code of pages."""
    for number, page in enumerate(pages):
        (folder / f"{number}_{page.stem}.py").write_text(program_of(page), encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", *RULES]
    result = subprocess.run(
        [*command, "--output-format=concise", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode in (0, 1), result.stderr
    return [line for line in result.stdout.splitlines() if line.startswith(str(folder))]


def test_nothing_is_unknown_or_for_nothing(tmp_path: Path) -> None:
    pages = [
        path
        for folder in ("book", "solutions")
        for path in (ROOT / folder).rglob("*.md")
        if "_build" not in path.parts and "{code-cell}" in path.read_text(encoding="utf-8")
    ]
    assert pages
    assert complaints(pages, tmp_path) == []


@pytest.mark.parametrize("line", ["import os", "print(nobody)", "def f():\n    a = 1"])
def test_the_gate_sees_it(line: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{HEAD}```{{code-cell}} python3\n{line}\n```\n")
    assert len(complaints([page], tmp_path)) == 1

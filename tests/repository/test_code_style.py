"""Formatting, lint and types are tests like any other: one command runs everything."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "tool",
    [
        ["ruff", "format", "--check", "."],
        ["ruff", "check", "."],
        ["mypy"],
    ],
    ids=lambda tool: " ".join(tool[:2]),
)
def test_the_tool_has_nothing_to_say(tool):
    result = subprocess.run(
        [sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{' '.join(tool)} says:\n{result.stdout}{result.stderr}"


@pytest.mark.parametrize(
    ("tool", "source"),
    [
        (["ruff", "format", "--check", "--config", str(ROOT / "pyproject.toml")], "x=1\n"),
        (["ruff", "check", "--config", str(ROOT / "pyproject.toml")], "import os\n"),
        (["mypy", "--config-file", str(ROOT / "pyproject.toml")], 'x: int = "one"\n'),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_the_gate_fails_on_bad_code(tool, source, tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text(source)
    result = subprocess.run(
        [sys.executable, "-m", *tool, str(bad)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1, f"{' '.join(tool[:2])} accepts {source!r}"

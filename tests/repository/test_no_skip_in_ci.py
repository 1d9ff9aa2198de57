"""The rule of tests/conftest.py, tried on one skipped test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.mark.parametrize("processes", ["0", "2"])
@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_a_skip_is_visible_and_fails_in_ci_only(ci, status, processes, tmp_path):
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "test_one.py").write_text(
        "import pytest\n\n\n"
        "@pytest.mark.skipif(True, reason='no tool')\n"
        "def test_it(): ...\n\n\n"
        "def test_other(): ...\n"
    )
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider"),
            *("--numprocesses", processes, str(tmp_path)),
        ],
        env={**os.environ, "CI": ci},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == status, result.stdout
    assert "no tool" in result.stdout
    assert ("In CI nothing may be skipped" in result.stdout) == bool(ci)

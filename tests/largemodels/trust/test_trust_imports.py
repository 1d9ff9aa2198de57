"""The room is cheap to enter, and closed while a submission is graded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import largemodels.trust

FOLDER = Path(largemodels.trust.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_modules_load_their_large_libraries_only_when_they_are_used():
    imports = "\n".join(f"import largemodels.trust.{name}" for name in MODULES)
    result = run_python(f"{imports}\nimport sys\nprint(*sys.modules)")
    assert result.returncode == 0, result.stderr
    assert not {"captum", "shap", "opacus"} & set(result.stdout.split())


def test_room_itself_loads_nothing():
    result = run_python("import largemodels.trust, sys; print(*sys.modules)")
    assert result.returncode == 0, result.stderr
    assert not {"torch", "sklearn"} & set(result.stdout.split())


@pytest.mark.parametrize("name", ["", ".fairness"])
def test_room_is_closed_while_a_submission_is_graded(name):
    result = run_python(f"import largemodels.trust{name}", NBGRADER_EXECUTION="autograde")
    assert result.returncode == 1
    assert "`largemodels.trust` holds the reference solution" in result.stderr


def test_package_names_each_module():
    assert len(MODULES) >= 6
    for name in MODULES:
        assert f"`largemodels.trust.{name}`" in largemodels.trust.__doc__

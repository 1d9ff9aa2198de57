"""`import largemodels` stays light, and the reference hides while a submission is graded."""

import os
import subprocess
import sys

import pytest

import largemodels

HEAVY = {"torch", "tensorflow", "keras", "matplotlib", "sklearn", "scipy", "pandas"}


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "package", ["largemodels", "largemodels.scratch", "largemodels.models.weights"]
)
def test_import_loads_no_heavy_package(package: str) -> None:
    result = run_python(f"import sys, {package}; print(*sys.modules, sep='\\n')")
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert package in loaded
    assert loaded & HEAVY == set()


def test_scratch_needs_numpy_and_a_progress_bar_only() -> None:
    result = run_python("import sys, largemodels.scratch; print(*sys.modules, sep='\\n')")
    plain = run_python("import sys; print(*sys.modules, sep='\\n')")  # What site-packages preload.
    roots = {name.split(".")[0] for name in set(result.stdout.split()) - set(plain.stdout.split())}
    # NumPy registers Cython's shared modules under names that start with an underscore.
    foreign = {name for name in roots - sys.stdlib_module_names if not name.startswith("_")}
    assert foreign == {"largemodels", "numpy", "tqdm"}


@pytest.mark.parametrize(
    "module",
    [
        "largemodels.scratch",
        "largemodels.scratch.losses",
        "largemodels.models",
        "largemodels.models.pytorch",
        "largemodels.models.weights",
        "largemodels.economics",
    ],
)
def test_reference_refuses_while_a_submission_is_graded(module: str) -> None:
    result = run_python(f"import {module}", NBGRADER_EXECUTION="autograde")
    assert result.returncode == 1
    last_line = result.stderr.strip().splitlines()[-1]
    assert last_line.startswith("ImportError: `largemodels.")
    assert "holds the reference solution" in last_line
    assert "Remove the import" in last_line


@pytest.mark.parametrize("state", ["validate", ""])
def test_reference_is_there_when_nothing_is_graded(state: str) -> None:
    result = run_python("import largemodels.scratch", NBGRADER_EXECUTION=state)
    assert result.returncode == 0, result.stderr


def test_what_an_exercise_needs_is_there_while_a_submission_is_graded() -> None:
    result = run_python("import largemodels; largemodels.device()", NBGRADER_EXECUTION="autograde")
    assert result.returncode == 0, result.stderr


def test_device_is_the_gpu_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for available, expected in [(True, "cuda"), (False, "cpu")]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert largemodels.device() == torch.device(expected)

"""A comparison of times means something only if both sides do the same work."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_both_sides_of_every_case_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    cases = importlib.import_module("speed").cases()
    assert len(cases) >= 2
    for _, _, case in cases:
        scratch, pytorch = case.scratch(), case.pytorch()
        for _ in range(3):
            ours, theirs = scratch(), pytorch()
            for our, their in zip(ours, theirs, strict=True):
                assert our.dtype == np.float32
                np.testing.assert_allclose(our, their, rtol=1e-4, atol=1e-4, err_msg=case.name)


def test_all_learning_runs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    assert any("MNIST" in run.name for run in importlib.import_module("learning").runs())


def test_the_command_names_its_options() -> None:
    result = subprocess.run(
        [sys.executable, str(BENCHMARKS / "run.py"), "--ful"],
        capture_output=True,
        text=True,
        check=False,
    )
    # argparse completes --ful to --full unless told not to; a typing error must not take minutes.
    assert result.returncode == 2
    assert "--ful" in result.stderr

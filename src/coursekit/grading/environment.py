"""What decides grades besides the assignment: Python, the libraries, the engine itself."""

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from coursekit.grading.imports import imported
from coursekit.grading.limits import Limits

__all__ = ["environment"]

# What an exercise computes with; the version is part of the environment where it is installed.
_LIBRARIES = (
    "ipython",
    "keras",
    "matplotlib",
    "numpy",
    "scikit-learn",
    "scipy",
    "tensorflow",
    "torch",
)
# What gives a verdict: these, and all of the engine that they import.
_PROGRAMS = ("runner.slot", "runner.parent", "sandbox.zygote", "split.agent", "split.checker")


def environment(limits: Limits | None = None, *, trust_submissions: bool = False) -> str:
    """SHA-256 of everything that decides grades besides the package.

    Grades of one environment are comparable; a worker with another one must not take part.

    Args:
        limits: What a submission may use.
        trust_submissions: Whether it runs without a sandbox.
    """
    described = [_machine(), asdict(limits or Limits()), trust_submissions]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


@cache
def _machine() -> dict[str, str]:
    described = {"python": platform.python_version(), "machine": platform.machine()}
    for library in _LIBRARIES:
        try:
            described[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            described[library] = ""
    engine = Path(__file__).parent
    described["engine"] = _digest(engine / file for file in imported(*_PROGRAMS))
    check = find_spec("largemodels.check")
    assert check is not None, "it is a package of this course"
    described["check"] = _digest(Path(str(check.origin)).parent.rglob("*.py"))
    return described


def _digest(files: Iterable[Path]) -> str:
    """SHA-256 of modules."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.name}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()

"""One grader for all attacks, warm as in a real run, and secrets that must stay where they are."""

import importlib.util
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
# The attacks have modules of their own, which `against_stock.py` imports as well.
sys.path.insert(0, str(HERE))

from proving_ground import ProvingGround  # noqa: E402

_grading = importlib.util.spec_from_file_location(
    "grading_fixtures", HERE.parent / "coursekit" / "grading" / "conftest.py"
)
assert _grading
assert _grading.loader
_fixtures = importlib.util.module_from_spec(_grading)
_grading.loader.exec_module(_fixtures)
as_unprivileged = _fixtures.as_unprivileged


@pytest.fixture(scope="session")
def second_run(
    request: pytest.FixtureRequest, as_unprivileged: Callable[..., Any]
) -> Iterator[Future[subprocess.CompletedProcess[str]] | None]:
    """All attacks once more without rights, beside those of this process; if that is asked for."""
    if not any("without_rights" in item.name for item in request.session.items):
        yield None
        return
    words = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(HERE / "test_attacks.py")]
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(as_unprivileged, sys.executable, *words, "-k", "not without_rights")


@pytest.fixture(scope="session")
def ground(second_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProvingGround]:
    canaries = {
        name: f"CANARY-{secrets.token_hex(16)}"
        for name in ("hidden tests", "course secret", "environment", "work of Alice")
    }
    os.environ["INSTRUCTORS_TOKEN"] = canaries["environment"]
    try:
        with ProvingGround(canaries, tmp_path_factory.mktemp("class")) as ground:
            yield ground
    finally:
        del os.environ["INSTRUCTORS_TOKEN"]

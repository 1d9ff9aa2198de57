"""The `course` command: quick to answer, and every error is one sentence."""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from coursekit.repository import Repository

COURSE = [sys.executable, "-m", "coursekit"]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COURSE, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_help_names_the_commands(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    for command in ("book", "notebooks", "release", "check"):
        assert command in done.stdout
        assert run(tmp_path, command, "--help").returncode == 0


def test_help_imports_nothing_slow(tmp_path: Path) -> None:
    script = (
        "import sys, coursekit.commands\n"
        "print({'nbgrader', 'nbformat', 'jupytext', 'sphinx', 'numpy'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_version(tmp_path: Path) -> None:
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"course {version('largemodels')}\n")


def test_the_installed_script_is_the_same_command(tmp_path: Path) -> None:
    script = shutil.which("course", path=str(Path(sys.executable).parent))
    assert script, "the script `course` is not installed beside this Python"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == run(tmp_path, "--version").stdout


def test_a_folder_below_the_root_will_do(course: Repository) -> None:
    done = run(
        course.solutions / "01_tiny", "notebooks", "page", "--output", str(course.root / "out")
    )
    assert done.returncode == 0, done.stderr
    assert (course.root / "out/book/part/page.ipynb").is_file()


@pytest.mark.parametrize("command", ["book", "notebooks", "release", "check"])
def test_outside_of_the_course(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, command)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"course: {tmp_path}: no folder from here upwards holds the course"
    )


def test_a_project_file_that_is_not_toml(course: Repository) -> None:
    (course.root / "pyproject.toml").write_text("[project\n")
    done = run(course.root, "release")
    assert done.returncode == 1
    assert "pyproject.toml: not valid TOML" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["check", "02"], "course: 02: no such exercise in solutions/; there are: 01_tiny.\n"),
        (["release", "02"], "course: 02: no such exercise in solutions/; there are: 01_tiny.\n"),
        (["notebooks", "q7"], "course: q7: no such page in book/.\n"),
    ],
)
def test_an_unknown_name(course: Repository, arguments: list[str], sentence: str) -> None:
    done = run(course.root, *arguments)
    assert (done.returncode, done.stderr, done.stdout) == (1, sentence, "")


def test_an_unknown_command_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "degrade")
    assert done.returncode == 2
    assert "No such command 'degrade'" in done.stderr


def test_a_missing_package_is_one_sentence(course: Repository) -> None:
    # `-m coursekit` with nbgrader hidden, as where the extra `grading` is not installed.
    script = (
        "import sys; sys.modules['nbgrader'] = None\n"
        "sys.argv = ['course', 'release']\n"
        "from coursekit.cli import main; main()"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=course.root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the Python package `nbgrader.apps` is not installed" in done.stderr
    assert "pip install -e '.[book,grading]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (course.root / "exercises").exists()


def test_a_missing_kernel_is_one_sentence(course: Repository) -> None:
    # A Jupyter that finds no kernel, as where ipykernel was not installed.
    script = """
import sys
from jupyter_client import kernelspec

def missing(self, name):
    raise kernelspec.NoSuchKernel(name)

kernelspec.KernelSpecManager.get_kernel_spec = missing
sys.argv = ["course", "check"]
from coursekit.cli import main
main()
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=course.root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        "no Jupyter kernel `python3`; run `python -m ipykernel install --sys-prefix`" in done.stderr
    )
    assert "Traceback" not in done.stderr

"""A course to try the tools on: a temporary clone with one tiny exercise and one small page."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from coursekit.exercises import Exercise, load_exercise
from coursekit.repository import Repository

FIXTURES = Path(__file__).parent / "fixtures"
ADDRESS = "https://github.com/OWNER/NAME"


def make_course(root: Path, *, address: str = "") -> Repository:
    """Lay out a course with the fixtures' exercise and page."""
    urls = f'\n[project.urls]\nRepository = "{address}"\n' if address else ""
    (root / "pyproject.toml").write_text(f'[project]\nname = "largemodels"\n{urls}')
    shutil.copytree(FIXTURES / "01_tiny", root / "solutions" / "01_tiny")
    shutil.copytree(FIXTURES / "book", root / "book")
    return Repository.find(root)


@pytest.fixture
def course(tmp_path: Path) -> Repository:
    """A course without a public address."""
    return make_course(tmp_path)


@pytest.fixture
def tiny(course: Repository) -> Exercise:
    """Its exercise."""
    return load_exercise(course, course.solutions / "01_tiny")


@pytest.fixture
def change(course: Repository) -> Callable[[str, str, str], None]:
    """Replace text, which must occur, in a file of the course."""

    def change(file: str, old: str, new: str) -> None:
        path = course.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    return change

"""One environment, written down in four files: they may not drift apart."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = (Requirement(line) for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(pin.name): str(pin.specifier) for pin in pins}


def declared() -> list[Requirement]:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(text) for group in groups for text in group]


def extras_in(text: str) -> list[str]:
    return re.search(r"\.\[([\w,]+)\]", text)[1].split(",")


def test_conda_installs_every_extra_of_pyproject_with_the_constraints():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert environment["name"] == PROJECT["name"]
    assert pip[0] == "--constraint constraints.txt"
    assert pip[1].startswith("--editable ")
    assert extras_in(pip[1]) == list(PROJECT["optional-dependencies"])


def test_conda_asks_for_a_python_that_the_package_admits():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(
        item for item in environment["dependencies"] if str(item).startswith("python=")
    ).removeprefix("python=")
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)


def test_make_installs_every_extra_of_pyproject():
    makefile = (ROOT / "Makefile").read_text()
    extras = re.search(r"^EXTRAS := (.*)$", makefile, re.MULTILINE)[1].split(",")
    assert extras == list(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_every_requirement_is_pinned_inside_its_range(requirement):
    pin = constraints().get(canonicalize_name(requirement.name))
    assert pin, f"constraints.txt does not pin {requirement.name}"
    assert requirement.specifier.contains(pin.removeprefix("=="))


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_the_package_itself_asks_for_ranges(requirement):
    operators = {part.operator for part in requirement.specifier}
    assert operators, f"{requirement.name} has no lower bound"
    assert not operators & {"==", "==="}, f"{requirement} pins: it would move Colab's own version"


def test_torch_and_tensorflow_are_the_versions_the_course_was_measured_with():
    assert constraints()["torch"] == "==2.13.0"
    assert constraints()["tensorflow"].startswith("==2.21.")

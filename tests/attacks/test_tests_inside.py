"""Attacks on tests that run in the student's process: the sandbox and the canaries hold."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from attack import CORPUS, Attack, load
from proving_ground import HONEST, LIMITS, ProvingGround, said

from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.runner.slot import Slot

# Who changes how tests run, and who wants out.
FORGERS = ("16", "43")
FUGITIVES = ("72",)
# A kernel takes seconds to start, and longer beside other work.
PATIENT = Limits(cell_seconds=20, notebook_seconds=100)


def attacks(numbers: tuple[str, ...]) -> Any:
    found = [load(next(CORPUS.glob(f"{number}_*"))) for number in numbers]
    return pytest.mark.parametrize("attack", found, ids=[one.file.stem for one in found])


@pytest.fixture(scope="module")
def slot(ground: ProvingGround) -> Iterator[Slot]:
    assignment = ground.assignment("target")
    package = assignment.package(ground.canaries["course secret"]).to_json()
    kernel = {"metadata": {"course": {"runner": "kernel"}}}
    package = {**package, **{name: {**package[name], **kernel} for name in ("source", "release")}}
    with Slot(Package.from_json(package), PATIENT) as slot:
        yield slot


def test_honest_work_keeps_its_points(slot: Slot, ground: ProvingGround) -> None:
    [honest] = HONEST.submissions(ground.assignment("target").template)
    result = slot.grade(json.dumps(honest).encode())
    assert (result.outcome, result.score, result.trust) == ("graded", 10, "in-process")


@attacks(FORGERS)
def test_a_canary_sings(attack: Attack, slot: Slot, ground: ProvingGround) -> None:
    [notebook] = attack.submissions(ground.assignment("target").template)
    result = slot.grade(json.dumps(notebook).encode())
    assert (result.outcome, result.score) == ("person", 0), said(result)
    test_honest_work_keeps_its_points(slot, ground)


@pytest.fixture(scope="module")
def cell_slot(ground: ProvingGround) -> Iterator[Slot]:
    """Grades an assignment with one test beside the student's code, and the others apart."""
    assignment = ground.assignment("target")
    package = json.loads(json.dumps(assignment.package("").to_json()))
    for notebook in (package["source"], package["release"]):
        cell = next(one for one in notebook["cells"] if one["id"] == "test_softmax")
        cell["metadata"]["course"] = {"trust": "in-process"}
    with Slot(Package.from_json(package), LIMITS["target"]) as slot:
        yield slot


@attacks(("16", "19", "20", "45"))  # There is no kernel to patch.
def test_a_canary_sings_around_one_test(
    attack: Attack, cell_slot: Slot, ground: ProvingGround
) -> None:
    template = ground.assignment("target").template
    [notebook] = attack.submissions(template)
    result = cell_slot.grade(json.dumps(notebook).encode())
    [beside] = [cell for cell in result.cells if cell.grade_id == "test_softmax"]
    assert (beside.score, beside.trust) == (0, "in-process"), said(result)
    assert "a person must look" in beside.message
    [honest] = HONEST.submissions(template)
    assert cell_slot.grade(json.dumps(honest).encode()).score == 10


@attacks(FUGITIVES)
def test_nobody_gets_out(attack: Attack, slot: Slot, ground: ProvingGround) -> None:
    for notebook in attack.submissions(ground.assignment("target").template, ground.port):
        told = said(slot.grade(json.dumps(notebook).encode()))
        assert attack.marker not in told
        assert [text for text in attack.never if text in told] == []
    assert ground.left(attack) == []
    assert ground.called == []
    test_honest_work_keeps_its_points(slot, ground)


# What it can see is its own sandbox, which ends with it; hidden tests run in this process.
@attacks(("70",))
def test_nobody_finds_a_secret(attack: Attack, slot: Slot, ground: ProvingGround) -> None:
    [notebook] = attack.submissions(ground.assignment("target").template)
    told = said(slot.grade(json.dumps(notebook).encode()))
    for place in ("course secret", "environment", "work of Alice"):
        assert ground.canaries[place] not in told

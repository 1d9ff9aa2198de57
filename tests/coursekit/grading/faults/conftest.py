"""Classes that nothing disturbs, to compare with."""

import importlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FAKES = Path(__file__).parents[1] / "fakes"


@pytest.fixture(scope="session")
def storms() -> Iterator[ModuleType]:
    """What the tests of faults have in common."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield importlib.import_module("storms")


@pytest.fixture(scope="session")
def machines() -> Iterator[ModuleType]:
    """A Dask cluster whose processes can be killed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FAKES))
        yield importlib.import_module("machines")


@pytest.fixture(scope="session")
def calm(
    storms: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], tuple[Any, ...]]:
    """What comes of a class of so many when nothing disturbs it."""

    @cache
    def calm(count: int) -> tuple[Any, ...]:
        room = storms.Room.make(tmp_path_factory.mktemp("calm"), storms.many(count))
        status, said = room.grade()
        assert status == 0, said
        result = room.result()
        assert len(result[0]) == count
        scores = {one["grade double-check"][0] for one in result[0].values()}
        assert scores == {0, 6}, "right and wrong answers"
        return result

    return calm

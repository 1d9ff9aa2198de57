"""Every example in a docstring of `largemodels` prints what it says."""

import doctest
import importlib
import inspect
from dataclasses import is_dataclass
from pathlib import Path

import pytest

import largemodels

ROOT = Path(largemodels.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
)


def test_all_rooms_are_found() -> None:
    rooms = {"largemodels", "largemodels.scratch.linear", "largemodels.models.keras.mlp"}
    assert rooms <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.failed == 0, capsys.readouterr().out


def is_base_or_record(value: object) -> bool:
    # The examples of a base are the classes that derive from it, those of a record the functions
    # that return it.
    return inspect.isclass(value) and bool(value.__subclasses__() or is_dataclass(value))


@pytest.mark.parametrize(
    "name", [name for name in MODULES if name.startswith("largemodels.scratch.")]
)
def test_everything_public_in_scratch_has_an_example(name: str) -> None:
    module = importlib.import_module(name)
    public = [getattr(module, public) for public in module.__all__]
    silent = [
        value.__name__
        for value in public
        if callable(value) and not is_base_or_record(value) and ">>>" not in (value.__doc__ or "")
    ]
    assert silent == []


def test_a_wrong_example_is_a_failure() -> None:
    def lies() -> None:
        """
        >>> 1 + 1
        3
        """

    (test,) = doctest.DocTestFinder().find(lies, "lies", globs={})
    assert doctest.DocTestRunner().run(test, out=lambda text: None).failed == 1

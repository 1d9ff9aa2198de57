"""Docstrings have all their parts in one order, and every example prints what it says."""

import doctest
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import largemodels

ROOT = Path(largemodels.__file__).parent
BOOK = ROOT.parents[1] / "book"
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


# A docstring has one order: a sentence, the formula, and then these.
SECTIONS = ("Args", "Attributes", "Shape", "Yields", "Returns", "Raises", "Source", "Example")
ROOMS = ("scratch", "models", "training", "trust", "economics")

# The pages that the table of contents does not name yet: of the book's second half.
LATER_PAGES = {
    f"{part}/{page}"
    for part, pages in {
        "case_studies": "bert face_recognition object_detection speech_recognition",
        "startup_strategy": "ethics_and_fairness",
        "training": "adversarial_examples compression deployment_and_monitoring "
        "distributed_training ensembles evaluation federated_learning hyper_parameters "
        "imbalanced_data interpretability privacy training_loop transfer_learning",
    }.items()
    for page in pages.split()
}


def pages() -> set[str]:
    """Return the names of all pages that the book has or will have."""
    contents = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    named = {chapter["file"] for part in contents["parts"] for chapter in part["chapters"]}
    return named | LATER_PAGES


def public(room: str) -> dict[str, Any]:
    """Return the public functions and classes of a room, each under the module that defines it."""
    found = {}
    for name in MODULES:
        if name.startswith(f"largemodels.{room}.") and "._" not in name:
            module = importlib.import_module(name)
            for attribute in getattr(module, "__all__", []):
                value = getattr(module, attribute)
                if getattr(value, "__module__", None) == name and not isinstance(value, dict):
                    found[f"{name}.{attribute}"] = value
    return found


def sections(docstring: str) -> dict[str, str]:
    """Return the parts of a docstring by name, in their order; the first one has no name."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}|Taught in):", docstring, flags=re.MULTILINE)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def parameters(value: Any) -> list[str]:
    """Return the names of the arguments that a reader has to know."""
    if inspect.isclass(value) and "__init__" not in vars(value):
        return []
    try:
        names = list(inspect.signature(value).parameters)
    except ValueError:  # A class whose signature is that of C code.
        return []
    return [name for name in names if name not in ("self", "args", "kwargs")]


def computes(value: Any) -> bool:
    """Whether a thing is a layer, a loss or a model, which has a formula and a shape."""
    bases = {base.__name__ for base in getattr(value, "__mro__", ())[1:]}
    is_module = bool(bases & {"Layer", "Loss", "Module", "Model"})
    return is_module and value.__name__ != "SavedSequential"  # A base of models, without layers.


def slips(name: str, value: Any) -> list[str]:
    """Return what is missing in a docstring, or out of order."""
    docstring = inspect.getdoc(value) or ""
    found = sections(docstring)
    order = [section for section in (*SECTIONS, "Taught in") if section in found]
    needs = {
        "the sentence": re.match(r"[^\n]+[.:]\n", docstring),
        "the order of its parts": list(found) == ["", *order],
        "Args": not parameters(value) or {"Args", "Attributes"} & found.keys(),
        "Raises": "Raises" in found or "raise ValueError" not in inspect.getsource(value),
        "Example": ">>>" in found.get("Example", ""),
        "Shape": "Shape" in found or not computes(value),
        "a formula": re.search(r"[=→|~]", found[""]) or not computes(value),
        "Taught in": re.fullmatch(r" book/\S+\.md", found.get("Taught in", "")),
    }
    return [f"{name}: {need}" for need, is_met in needs.items() if not is_met]


@pytest.mark.parametrize("room", ROOMS)
def test_a_docstring_has_all_its_parts_in_one_order(room: str) -> None:
    found = public(room)
    assert len(found) > 30
    assert [slip for name, value in found.items() for slip in slips(name, value)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_what_teaches_a_function_is_a_page_of_the_book(room: str) -> None:
    taught = {
        name: sections(inspect.getdoc(value) or "").get("Taught in", "").strip()
        for name, value in public(room).items()
    }
    known = {f"book/{page}.md" for page in pages()}
    assert {name: page for name, page in taught.items() if page not in known} == {}


def test_a_page_that_is_written_stands_in_the_table_of_contents() -> None:
    # So that the list of later pages dies out, and no name in it stays wrong.
    assert [page for page in sorted(LATER_PAGES) if (BOOK / f"{page}.md").exists()] == []


def test_a_docstring_out_of_order_is_noticed() -> None:
    def lies(x: int) -> int:
        """Return x.

        Example:
            >>> 1
            1

        Args:
            x: a number.
        """
        if x < 0:
            raise ValueError
        return x

    assert slips("lies", lies) == [
        "lies: the order of its parts", "lies: Raises", "lies: Taught in"
    ]  # fmt: skip


def test_a_wrong_example_is_a_failure() -> None:
    def lies() -> None:
        """
        >>> 1 + 1
        3
        """

    (test,) = doctest.DocTestFinder().find(lies, "lies", globs={})
    assert doctest.DocTestRunner().run(test, out=lambda text: None).failed == 1

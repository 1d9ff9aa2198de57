"""The pages about the package, made from its docstrings.

A page in `book/api/` names a room::

    ```{eval-rst}
    .. room:: largemodels.scratch
    ```

and gets a list of everything public there, then each thing with its docstring and a link to the
page that teaches it.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

# What a name in a docstring's backquotes may be: code, and no role that stands before it.
_CODE = re.compile(r"(?<![`:\w])`(?!`)([^`]+)`(?![`_])")
# A bar outside of code: RST would look for a substitution.
_BAR = re.compile(r"(?<!\\)\|(?=(?:[^`]*``[^`]*``)*[^`]*$)")
_TAUGHT = re.compile(r"\s*Taught in: (?P<pages>.+?)\s*$")


class Room(Directive):
    """Everything public in a module: a list, then the docstrings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Let autosummary and autodoc write it."""
        name = self.arguments[0]
        module = importlib.import_module(name)
        names = [public for public in module.__all__ if is_documented(getattr(module, public))]
        # The list comes first, so it must be told where it is; autodoc would say so only after it.
        lines = [f".. currentmodule:: {name}", "", ".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   {public}" for public in names]
        lines += ["", f".. automodule:: {name}", f"   :members: {', '.join(names)}"]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, source=name), 0, node)
        return node.children


def is_documented(value: Any) -> bool:
    """Whether a public thing has a docstring of its own to show."""
    return inspect.isclass(value) or inspect.isroutine(value)


def to_rst(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring of ours, before napoleon reads it, and link the page that teaches it."""
    pages: list[str] = []
    kept = []
    for line in lines:
        if match := _TAUGHT.match(line):
            pages += re.split(r",\s*", match["pages"])
        else:
            kept.append(_CODE.sub(r"``\1``", line))
    if not pages and what in ("class", "function"):
        # A module that teaches one thing says so once, at its top.
        source = inspect.getmodule(obj)
        for line in (source.__doc__ or "").split("\n") if source else []:
            if match := _TAUGHT.match(line):
                pages += re.split(r",\s*", match["pages"])
    lines[:] = blocks(kept)
    if what in ("attribute", "property"):
        _sentences[name] = list(lines)
    links = [link for page in pages if (link := page_link(app, page))]
    if links and what != "module":
        while lines and not lines[-1].strip():
            lines.pop()
        lines += ["", f"Taught in: {', '.join(links)}", ""]


#: What attributes and properties say, until napoleon has passed.
_sentences: dict[str, list[str]] = {}


def keep_sentence(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Give an attribute its sentence back: napoleon takes what stands before a colon for a type."""
    if name in _sentences:
        lines[:] = _sentences.pop(name)


#: What every layer and model has. The docstring of its class says what it computes.
_COMMON = {"forward", "backward", "extra_repr", "call", "build", "compute_output_shape"}


def leave_out_common(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Show what every layer has once, at `Layer`, and not a hundred times."""
    owner = getattr(obj, "__qualname__", "").rpartition(".")[0]
    return True if name in _COMMON and owner not in ("", "Layer") else None


def page_link(app: Sphinx, page: str) -> str:
    """A link to a page that is part of the book; empty when it is not written yet."""
    name = page.strip().removeprefix("book/").removesuffix(".md")
    return f":doc:`/{name}`" if (Path(app.srcdir) / f"{name}.md").is_file() else ""


def blocks(lines: list[str]) -> list[str]:
    """Give tables and formulas, which we write as plain text, the marks that RST wants."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    result: list[str] = []
    for position, paragraph in enumerate(paragraphs):
        rows = paragraph.split("\n")
        if all(row.lstrip().startswith("|") for row in rows) and len(rows) > 2:
            result += table(rows)
        elif position > 0 and is_formula(rows):
            result += ["::", "", *(f"   {row}" for row in rows)]
        elif ">>>" in paragraph:
            result += rows
        else:
            result += [_BAR.sub(r"\\|", row) for row in rows]
        result.append("")
    return result


def is_formula(rows: list[str]) -> bool:
    """Whether a paragraph holds formulas, one on each line, and no sentence."""
    return (
        " = " in rows[0]
        and not rows[0].startswith((" ", "*", "-", ">>>"))
        and not rows[-1].rstrip().endswith((".", ":"))
    )


def table(rows: list[str]) -> list[str]:
    """A pipe table as a list-table."""
    cells = [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows]
    indent = " " * (len(rows[0]) - len(rows[0].lstrip()))
    result = [f"{indent}.. list-table::", f"{indent}   :header-rows: 1", ""]
    for row in [cells[0], *cells[2:]]:  # The second row only draws a line.
        result += [f"{indent}   {'  -' if number else '* -'} {c}" for number, c in enumerate(row)]
    return result


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect this to Sphinx; napoleon reads docstrings at 500."""
    app.add_directive("room", Room)
    app.connect("autodoc-skip-member", leave_out_common)
    app.connect("autodoc-process-docstring", to_rst, priority=400)
    app.connect("autodoc-process-docstring", keep_sentence, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

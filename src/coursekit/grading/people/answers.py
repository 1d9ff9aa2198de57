"""Which students wrote the same program."""

import ast
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from coursekit.grading.people.feedback import Template
from coursekit.grading.people.rendering import text_of

__all__ = ["digest_of_answers"]

# Less code than this is the same in many honest notebooks.
LEAST_WORK = 200
# Characters of a cell above which nobody looks into it: a syntax tree takes hundreds of times the
# room of its text.
_LONG = 100_000


def digest_of_answers(template: Template, notebook: Mapping[str, Any]) -> str:
    """SHA-256 of the answers without comments, docstrings and layout; empty for too little work.

    Only cells that differ from the release count. Two students with one digest wrote the same
    program, down to the names.
    """
    work = []
    for cell in notebook.get("cells", ()):
        known = (cell.get("metadata") or {}).get("nbgrader") or {}
        name, source = known.get("grade_id", ""), text_of(cell.get("source"))
        released = template.cells.get(name) if known.get("solution") else None
        if released is not None and source.strip() != text_of(released.get("source")).strip():
            work.append(f"{name}:{_bare(source) if cell.get('cell_type') == 'code' else source}")
    text = "\n".join(work)
    return (
        hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if len(text) >= LEAST_WORK
        else ""
    )


def _bare(source: str) -> str:
    """A program without comments, docstrings and layout; a very long one as its words."""
    if len(source) <= _LONG:
        # What can be read need not be possible to write: a sum of 600 terms is a tree too deep.
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            return ast.unparse(_without_docstrings(ast.parse(source)))
    return " ".join(source.split())


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:] or [ast.Pass()]
    return tree

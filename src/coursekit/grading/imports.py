"""Which modules of this package a program of it is made of, told without importing anything."""

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["imported"]


@functools.cache
def imported(*programs: str) -> frozenset[str]:
    """Modules of this package that programs import, directly or not, at the top or later.

    Args:
        programs: Names of modules; one that is not there is left out.
    """
    own = __package__ or ""
    waiting, found = list(programs), set()
    while waiting:
        name = waiting.pop()
        path = Path(__file__).with_name(f"{name}.py")
        if name in found or not path.exists():
            continue
        found.add(name)
        for node in _statements(ast.parse(path.read_bytes()).body):
            if isinstance(node, ast.ImportFrom) and node.module == own:
                waiting += [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{own}."):
                waiting.append(str(node.module).removeprefix(f"{own}."))
    return frozenset(found)


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All statements, nested ones too; not what they are made of, which is ten times as much."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "handlers", "finalbody", "cases"):
            yield from _statements(getattr(statement, part, ()))

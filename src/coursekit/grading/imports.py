"""Which files of this package a program of it is made of, told without importing anything."""

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["imported"]

_FOLDER, _PACKAGE = Path(__file__).parent, f"{__package__}."


@functools.cache
def imported(*programs: str) -> frozenset[str]:
    """Files of this package that programs import, directly or not, at the top or later.

    Args:
        programs: Modules, named from this package on; one that is not there is left out.

    Example:
        >>> sorted(imported("sandbox.usage"))
        ['__init__.py', 'sandbox/__init__.py', 'sandbox/usage.py']
    """
    waiting, known, found = list(programs), set(), set()
    while waiting:
        name = waiting.pop()
        if name in known:
            continue
        known.add(name)
        if not (file := _file(name)):
            continue  # A name in a module, not a module.
        found.add(file)
        waiting.append(name.rpartition(".")[0])
        source = (_FOLDER / file).read_bytes()
        for node in _statements(ast.parse(source).body):
            if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(_PACKAGE):
                names = [f"{node.module}.{one.name}" for one in node.names]
                waiting += [one.removeprefix(_PACKAGE) for one in (str(node.module), *names)]
    return frozenset(found)


def _file(name: str) -> str:
    """The file of a module, from the folder of this package on; empty if there is none."""
    path = name.replace(".", "/")
    for file in (f"{path}.py", f"{path}/__init__.py".lstrip("/")):
        if (_FOLDER / file).is_file():
            return file
    return ""


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All statements, nested ones too; not what they are made of, which is ten times as much."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "handlers", "finalbody", "cases"):
            yield from _statements(getattr(statement, part, ()))

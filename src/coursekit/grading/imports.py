"""Which files of this package a program of it is made of, told without importing anything."""

import functools
import re
from pathlib import Path

__all__ = ["imported"]

_FOLDER = Path(__file__).parent
# To parse every module takes twenty times as long, and each grader would wait for it. A line of a
# text that looks like this only adds a file.
_IMPORT = re.compile(
    rf"^[ \t]*from {re.escape(str(__package__))}\b([\w.]*) import (\([^)]*\)|.*)", re.MULTILINE
)


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
        for module, names in _IMPORT.findall((_FOLDER / file).read_text("utf-8")):
            base = module.removeprefix(".")
            waiting += [base, *(f"{base}.{one}".lstrip(".") for one in re.findall(r"\w+", names))]
    return frozenset(found)


def _file(name: str) -> str:
    """The file of a module, from the folder of this package on; empty if there is none."""
    path = name.replace(".", "/")
    for file in (f"{path}.py", f"{path}/__init__.py".lstrip("/")):
        if (_FOLDER / file).is_file():
            return file
    return ""

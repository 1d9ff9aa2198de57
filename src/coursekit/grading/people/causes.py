"""What the tests of an assignment can call a likely cause, read from their source.

Any exception may say `Likely cause: …`, one of a student's too. A report on the class counts only
what a test could have said: a text of its source, or of `largemodels.check`.
"""

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice, product

__all__ = ["CAUSE", "Sayings"]

# What `largemodels.check` says in front of a named slip.
CAUSE = "Likely cause:"
# A gap in a text, and what fills it: a number, a shape or a name.
_GAP, _FILLED = "\0", ".{1,60}"
# Characters beside the gaps below which a text says nothing; texts that one f-string may give.
_LEAST, _CHOICES = 8, 100


@dataclass(frozen=True)
class Sayings:
    """The texts in some sources, and what may stand in the gaps of an f-string.

    Args:
        texts: Texts without gaps, on one line.
        patterns: Regular expressions for those with gaps.
    """

    texts: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()

    @classmethod
    def of(cls, sources: Iterable[str]) -> "Sayings":
        """Read the texts of tests, and of the module that compares for them."""
        texts, patterns = set[str](), set[str]()
        for source in (*_checks(), *sources):
            with suppress(SyntaxError, ValueError, RecursionError):
                tree = ast.parse(source)
                known = _constants(tree)
                for node in ast.walk(tree):
                    for text in _texts(node, known):
                        parts = " ".join(text.rpartition(CAUSE)[2].split()).split(_GAP)
                        if len(parts) == 1:
                            texts.update(parts)
                        elif sum(map(len, parts)) >= _LEAST:
                            patterns.add(_pattern(parts))
        return cls(frozenset(texts), frozenset(patterns))

    def include(self, cause: str) -> bool:
        """Whether a cause, on one line, is one of these."""
        return cause in self.texts or any(re.fullmatch(one, cause) for one in self.patterns)

    def known(self, message: str) -> str:
        """A message; without its cause where that is none of these."""
        before, found, cause = message.rpartition(CAUSE)
        if not found or self.include(" ".join(cause.split())):
            return message
        return before.partition(CAUSE)[0].rstrip()


@functools.cache
def _checks() -> tuple[str, ...]:
    modules = files("largemodels.check").iterdir()
    return tuple(one.read_text(encoding="utf-8") for one in modules if one.name.endswith(".py"))


def _constants(tree: ast.AST) -> dict[str, list[str]]:
    """Names that a source gives to texts."""
    found: dict[str, list[str]] = defaultdict(list)
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=ast.Constant(str(text))):
                found[name].append(text)
    return found


def _texts(node: ast.AST, known: dict[str, list[str]]) -> Iterator[str]:
    """The text of a node with its gaps; one for each text that a name in it may stand for."""
    match node:
        case ast.Constant(str(text)):
            yield text
        case ast.JoinedStr(values):
            choices = product(*(_choices(value, known) for value in values))
            yield from map("".join, islice(choices, _CHOICES))


def _pattern(parts: list[str]) -> str:
    """A regular expression with gaps between these parts.

    A part that is found is not looked for again further on, but for the last one: going back in
    several gaps would take for ever with a text that is made for that.
    """
    first, *middle, last = map(re.escape, parts)
    atomic = "".join(f"(?>{_FILLED}?{part})" for part in middle)
    return f"{first}{atomic}{_FILLED}{last}"


def _choices(value: ast.expr, known: dict[str, list[str]]) -> list[str]:
    match value:
        case ast.Constant(str(text)):
            return [text]
        case ast.FormattedValue(ast.Name(name)) if name in known:
            return known[name]
    return [_GAP]

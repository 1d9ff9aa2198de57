"""Which global names the source of a cell uses and makes, without running it."""

import ast
import functools
import re
import symtable
from dataclasses import dataclass

__all__ = ["Names", "names_in", "parsed", "plain"]


# Characters of a cell above which nobody looks into it: a text can be made to take for ever.
_LONG = 200_000


@dataclass(frozen=True)
class Names:
    """Global names of a cell.

    Args:
        loads: Names that it uses, in functions too.
        binds: Names that it makes, but for imports.
        imports: Names that it imports.
    """

    loads: frozenset[str] = frozenset()
    binds: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()

    @property
    def makes(self) -> frozenset[str]:
        """All names that it makes."""
        return self.binds | self.imports


@functools.lru_cache(4096)
def names_in(source: str) -> Names:
    """Read the names off the source of a cell.

    A cell that is not plain Python may use any name in its text; it makes none that can be told.
    """
    if len(source) > _LONG:
        return _any_names(source)
    try:
        top = symtable.symtable(plain(source), "<cell>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _any_names(source)
    loads, binds, imports = set[str](), set[str](), set[str]()
    todo = [top]
    while todo:
        table = todo.pop()
        todo += table.get_children()
        for symbol in table.get_symbols():
            if table is not top and not symbol.is_global():
                continue
            name = symbol.get_name()
            if symbol.is_referenced():
                loads.add(name)
            if symbol.is_assigned() or symbol.is_namespace():
                binds.add(name)
            elif symbol.is_imported():
                imports.add(name)
    loads |= _augmented(parsed(plain(source)))
    return Names(frozenset(loads), frozenset(binds), frozenset(imports - binds))


def _any_names(source: str) -> Names:
    return Names(frozenset(re.findall(r"[^\W\d]\w*", source)))


def _augmented(tree: ast.Module | None) -> set[str]:
    """Names that `+=` and the like use at the top level: a table of symbols lists them not so."""
    found, todo = set[str](), list[ast.AST]([tree] if tree else [])
    while todo:
        node = todo.pop()
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return found


@functools.lru_cache(4096)
def plain(source: str) -> str:
    """Write the magics of a cell as calls of IPython, if it has any."""
    if parsed(source) is not None or len(source) > _LONG:
        return source
    # Imported only where it is needed: most cells are plain.
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        return TransformerManager().transform_cell(source)
    except Exception:  # Whatever it is that makes no sense of this text.
        return source


@functools.lru_cache(64)
def parsed(source: str) -> ast.Module | None:
    """The syntax tree of a cell, unless it is no plain Python, or very long; not to be changed."""
    try:
        return ast.parse(source) if len(source) <= _LONG else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None

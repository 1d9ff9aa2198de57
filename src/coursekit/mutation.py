"""Small changes to a right answer, one at a time: an operator, a number, an argument, a statement.

The named mutants of an exercise are the slips that people make; this adds all the others. A check
that is worth its points notices every change, except those that leave the answer right. These are
listed in `equivalents.yml` beside the solution, each with its reason.
"""

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Change", "changes"]

# What stands in for what.
_OPERATORS: dict[type[ast.operator], list[type[ast.operator]]] = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult, ast.Sub],
    ast.FloorDiv: [ast.Mult],
    ast.Mod: [ast.Mult],
    ast.Pow: [ast.Mult],
}
_COMPARISONS: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
}
_NAMES = {
    "maximum": "minimum",
    "minimum": "maximum",
    "max": "min",
    "min": "max",
    "argmax": "argmin",
    "argmin": "argmax",
    "sum": "mean",
    "mean": "sum",
    "exp": "expm1",
    "log": "log2",
    "sqrt": "square",
    "square": "sqrt",
    "tanh": "sin",
    "zeros_like": "ones_like",
    "ones_like": "zeros_like",
    "zeros": "ones",
    "ones": "zeros",
    "copy": "view",
    "detach": "clone",
}
_NUMBERS = (0, 1, 2, -1)
_ORDERED = (ast.Sub, ast.Div, ast.MatMult, ast.Pow)  # `a - b` is not `b - a`.

Edit = Callable[[ast.AST], None]


@dataclass(frozen=True)
class Change:
    """One change: where and what, in one line, and the whole source with it."""

    name: str
    source: str


def changes(source: str) -> Iterator[Change]:
    """Make every change that we know to the source of one cell.

    Names are unique: of equal changes to equal lines of one function, the second is called `(2)`.

    Example:
        >>> [change.name for change in changes("def double(x): return 2 * x")][:2]
        ['double: without return 2 * x', 'double: def double(x): return 2 * x: 2 * x → Div']
    """
    tree = ast.parse(source)
    lines = [line.split("  #")[0].strip() for line in source.splitlines()]
    functions = dict(_functions(tree))
    seen: Counter[str] = Counter()
    for position, node in enumerate(ast.walk(tree)):
        for what, edit in _edits(node):
            mutant = copy.deepcopy(tree)
            edit(next(n for i, n in enumerate(ast.walk(mutant)) if i == position))
            name = functions.get(node, "cell")
            if isinstance(node, ast.expr | ast.Slice | ast.AugAssign):
                line = lines[node.lineno - 1]
                name += f": {line}: {ast.unparse(node)} → {what}"
            else:
                name += f": {what}"
            seen[name] += 1
            if seen[name] > 1:
                name += f" ({seen[name]})"
            yield Change(name, ast.unparse(ast.fix_missing_locations(mutant)))


def _functions(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """The name of the function around each node, `Class.method` for a method."""

    def visit(node: ast.AST, around: str) -> Iterator[tuple[ast.AST, str]]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            around = f"{around}.{node.name}" if around else node.name
        yield node, around or "cell"
        for child in ast.iter_child_nodes(node):
            yield from visit(child, around)

    return visit(tree, "")


def _edits(node: ast.AST) -> Iterator[tuple[str, Edit]]:
    """What can be changed at one node: a name for it, and a function that does it."""
    match node:
        case ast.BinOp() | ast.AugAssign():
            for operator in _OPERATORS.get(type(node.op), []):
                yield operator.__name__, _set(op=operator())
            if isinstance(node, ast.BinOp) and isinstance(node.op, _ORDERED):
                yield "swapped", _set(left=node.right, right=node.left)
        case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
            yield "no minus", _set(op=ast.UAdd())
        case ast.UnaryOp(op=ast.Not()):
            yield "no not", _set(operand=_negated(node.operand))
        case ast.Compare():
            for comparison in _COMPARISONS.get(type(node.ops[0]), []):
                yield comparison.__name__, _set(ops=[comparison(), *node.ops[1:]])
        case ast.BoolOp(op=ast.And()):
            yield "Or", _set(op=ast.Or())
        case ast.BoolOp():
            yield "And", _set(op=ast.And())
        case ast.Constant(value=bool(value)):
            yield str(not value), _set(value=not value)
        case ast.Constant(value=int() | float() as value):
            yield from ((str(n), _set(value=n)) for n in _NUMBERS if n != value)
        case ast.Attribute(attr="T"):
            # The transpose goes: `a.T` becomes `a.real`, which is `a` for real numbers.
            yield "no .T", _set(attr="real")
        case ast.Attribute() if node.attr in _NAMES:
            yield _NAMES[node.attr], _set(attr=_NAMES[node.attr])
        case ast.Slice():
            for end in ("lower", "upper", "step"):
                if getattr(node, end) is not None:
                    yield f"no {end}", _set(**{end: None})
        case ast.Call():
            for i, keyword in enumerate(node.keywords):
                yield f"no {keyword.arg}", _set(keywords=_without(node.keywords, i))
            for i in range(len(node.args) - 1):
                rest = [node.args[i + 1], node.args[i], *node.args[i + 2 :]]
                name = f"arguments {i + 1} and {i + 2} swapped"
                yield name, _set(args=[*node.args[:i], *rest])
        case ast.If() | ast.IfExp():
            yield f"if not ({ast.unparse(node.test)})", _set(test=_negated(node.test))
    if isinstance(node, ast.FunctionDef | ast.For | ast.While | ast.If | ast.With):
        for branch in ("body", "orelse"):
            statements: list[ast.stmt] = getattr(node, branch, [])
            for i, statement in enumerate(statements):
                if _says_something(statement):
                    first = ast.unparse(statement).splitlines()[0]
                    others = [*statements[:i], ast.Pass(), *statements[i + 1 :]]
                    yield f"without {first}", _set(**{branch: others})


def _set(**attributes: object) -> Edit:
    """Set attributes of a node; each mutant gets its own copy of what is set."""
    return lambda node: vars(node).update(copy.deepcopy(attributes))


def _without(items: list[ast.keyword], i: int) -> list[ast.keyword]:
    return items[:i] + items[i + 1 :]


def _says_something(statement: ast.stmt) -> bool:
    """Whether a statement is more than a docstring, `pass` or a function inside."""
    docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return not (docstring or isinstance(statement, ast.Pass | ast.FunctionDef | ast.ClassDef))


def _negated(condition: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), condition)

"""Functions of a test that run beside the student's code: `largemodels.check.inside`."""

import ast
from collections.abc import Callable, Mapping
from typing import Any

from coursekit.grading.limits import Limits
from coursekit.grading.split.codec import decode, encode
from coursekit.grading.split.names import parsed

__all__ = ["call", "result", "source_of"]


def source_of(function: Callable[..., Any], sources: Mapping[str, str]) -> tuple[str, str]:
    """Cut a function out of the cell that defines it.

    Args:
        function: A function or lambda.
        sources: Sources of cells by the file name that their code has.

    Returns:
        A text that defines it, and its name there.

    Raises:
        ValueError: It is not to be found, or needs variables of a function around it.
    """
    code = getattr(function, "__code__", None)
    tree = parsed(sources.get(code.co_filename, "(")) if code else None
    if code is None or tree is None:
        raise ValueError(f"check.inside(={function!r}) takes functions of a graded cell only.")
    if code.co_freevars:
        raise ValueError(
            f"{code.co_name} uses {', '.join(code.co_freevars)} of the function around it; "
            "pass that as an argument of check.inside."
        )
    found = [node for node in ast.walk(tree) if _is(node, code.co_name, code.co_firstlineno)]
    if len(found) != 1:
        raise ValueError(f"line {code.co_firstlineno} has {len(found)} functions; write one.")
    if isinstance(found[0], ast.Lambda):
        return f"inside = {ast.unparse(found[0])}", "inside"
    return ast.unparse(found[0]), code.co_name


def _is(node: ast.AST, name: str, line: int) -> bool:
    if isinstance(node, ast.Lambda):
        return name == "<lambda>" and node.lineno == line
    return (
        isinstance(node, ast.FunctionDef)
        and node.name == name
        and line == min([node.lineno, *(one.lineno for one in node.decorator_list)])
    )


def call(
    names: Mapping[str, Any], function: Any, name: str, arguments: tuple[Any, ...], limits: Limits
) -> bytes:
    """Call a function on top of some names; its result as bytes that hold plain data only.

    Args:
        names: Global names.
        function: A function, or a text that defines one.
        name: Its name in that text.
        arguments: Its arguments.
        limits: How much the result may hold.
    """
    if isinstance(function, str):
        known = dict(names)
        exec(compile(function, "<inside>", "exec"), known)
        function = known[name]
    return encode(function(*arguments), limits)


def result(data: Any, limits: Limits) -> Any:
    """Read what `call` returned.

    Raises:
        CodecError: It is no plain data.
    """
    return decode(data if type(data) is bytes else b"", limits)

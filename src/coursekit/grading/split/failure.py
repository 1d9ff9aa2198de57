"""Exceptions that cross between two processes: as built-in classes with plain arguments."""

import builtins
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any

from coursekit.grading.split.sharing import CodecError

__all__ = ["build", "describe", "without_folders"]

_TEXT = 10_000
_NAME = 200
_ARGUMENTS = 8
_FOLDER = str(Path(__file__).parents[1])  # The engine's own code.
_BUILTIN = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException) and value.__name__ == name
}


def describe(error: BaseException, *, trace: bool) -> tuple[Any, ...]:
    """Describe an exception in plain data.

    Args:
        error: Any exception.
        trace: Whether to tell where in the code it happened.
    """
    base = next(kind for kind in type(error).__mro__ if _BUILTIN.get(kind.__name__) is kind)
    arguments = error.args
    if (
        len(arguments) > _ARGUMENTS
        or any(type(one) not in (NoneType, bool, int, float, str) for one in arguments)
        or _text_of(_make(base, "", arguments)) != _text_of(error)
    ):
        arguments = (_text_of(error),)
    arguments = tuple(one[:_TEXT] if type(one) is str else one for one in arguments)
    where, lines = _place(error) if trace else ("", "")
    return "error", type(error).__name__[:_NAME], base.__name__, arguments, where, lines


def build(description: tuple[Any, ...]) -> BaseException:
    """Make an exception that says what the other one said.

    Its attribute `student_function` holds the function in which it happened.

    Raises:
        CodecError: The description is none.
    """
    if len(description) != 6:
        raise CodecError("no exception")
    _, name, base_name, arguments, where, lines = description
    texts = (name, base_name, where, lines)
    base = _BUILTIN.get(base_name) if type(base_name) is str else None
    if (
        base is None
        or any(type(text) is not str or len(text) > 2 * _TEXT for text in texts)
        or type(arguments) is not tuple
        or len(arguments) > _ARGUMENTS
        or any(type(one) not in (NoneType, bool, int, float, str) for one in arguments)
    ):
        raise CodecError("no exception")
    error = _make(base, name, arguments)
    error.student_function = where[:_NAME]  # type: ignore[attr-defined]
    error.student_trace = lines  # type: ignore[attr-defined]
    return error


def _make(base: type[BaseException], name: str, arguments: tuple[Any, ...]) -> BaseException:
    """The exception; where its class wants other arguments, the next class of its family."""
    for kind in base.__mro__:
        named = kind
        if name != base.__name__ and name.isidentifier() and name.isascii():
            named = type(name[:_NAME], (kind,), {})
        try:
            return named(*arguments)
        except (TypeError, ValueError):
            continue
    raise CodecError("no exception")  # `BaseException` takes any arguments.


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def _place(error: BaseException) -> tuple[str, str]:
    """The function in which it happened, and the lines that led there, without our own."""
    frames = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith(_FOLDER)
    ]
    if not frames:
        return "", ""
    where = frames[-1][0].f_code.co_qualname.rpartition("<locals>.")[2]
    summary = traceback.StackSummary.extract(iter(frames[-10:]), lookup_lines=True)
    without_folders(summary)
    return where, "".join(summary.format())[-_TEXT:]


def without_folders(frames: Iterable[traceback.FrameSummary]) -> None:
    """Name the files of libraries as Python finds them: where they lie here tells nobody anything.

    Args:
        frames: What a traceback shows. It has read its lines already.
    """
    folders = sorted({f"{one}/" for one in sys.path if type(one) is str and one}, key=len)
    for frame in frames:
        for folder in reversed(folders):
            if frame.filename.startswith(folder):
                frame.filename = frame.filename[len(folder) :]
                break

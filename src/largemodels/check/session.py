"""What surrounds the code of an exercise: warnings, unfinished functions, the seed of its data."""

import contextlib
import hashlib
import os
import sys
import traceback
from collections.abc import Iterator

from largemodels.check.mistake import Mistake


@contextlib.contextmanager
def task(name: str) -> Iterator[None]:
    """Run the checks of one task, and say so when all of them pass.

    A warning from the student's code is shown and costs nothing. A function that is not written yet
    gives a plain sentence in place of a stack trace.

    Args:
        name: The name of the task, usually of the function to write.

    Raises:
        Mistake: If a check inside fails, or a function is not written yet.

    Example:
        >>> with task("relu"):
        ...     pass
        ✓ relu: all checks passed.
    """
    try:
        # nbgrader gives no point for a cell that writes to stderr, so warnings go to stdout.
        with contextlib.redirect_stderr(sys.stdout):
            yield
    except (NotImplementedError, NameError) as error:
        if reason := _not_ready(error):
            raise Mistake(reason) from None
        raise
    except (ValueError, TypeError) as error:
        # The advice becomes part of the error's own text: nbgrader keeps nothing else of it.
        if advice := _advice(str(error)):
            error.args = (f"{error}\nLikely cause: {advice}",)
        raise
    print(f"✓ {name}: all checks passed.")


@contextlib.contextmanager
def when_ready() -> Iterator[None]:
    """Run an experiment that needs the student's functions; wait in peace where one is missing.

    Example:
        >>> def relu(x):
        ...     raise NotImplementedError
        >>> with when_ready():
        ...     relu(1.0)
        Later: relu is not written yet.
        Write its code in place of `raise NotImplementedError()`, run that cell, then this one.
    """
    try:
        yield
    except (NotImplementedError, NameError) as error:
        reason = _not_ready(error)
        if not reason:
            raise
        print(f"Later: {reason}")


def seed(name: str) -> int:
    """Return the seed of the random data of a check.

    The seed is the same on every machine. An instructor who sets the environment variable
    `COURSE_SECRET` while grading gives every check other data.

    Args:
        name: Anything that tells one set of data from another.

    Example:
        >>> seed("relu") == seed("relu"), seed("relu") == seed("linear")
        (True, False)
    """
    text = f"{os.environ.get('COURSE_SECRET', '')}:{name}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _not_ready(error: NotImplementedError | NameError) -> str | None:
    """Say which function or name is missing, or nothing where the error is of another kind."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, NotImplementedError):
        # A grader that runs the student's code in another process says which function it was.
        function = getattr(error, "student_function", "")
        if not function:
            *_, (frame, _) = traceback.walk_tb(error.__traceback__)
            # `Adam.step` says more than `step`.
            function = frame.f_code.co_qualname.rpartition("<locals>.")[2]
        return (
            f"{function} is not written yet.\nWrite its code in place of "
            "`raise NotImplementedError()`, run that cell, then this one."
        )
    # The first frame is the function above, the second the cell. A name that the student's own
    # code misses lies deeper, and Python's message says that best.
    if len(frames) == 2 and type(error) is NameError:
        return (
            f"{error.name} does not exist yet.\nIts cell has not run, or ended with an error: "
            "run the cells from the top, and look for the first error."
        )
    return None


def _advice(message: str) -> str | None:
    """Say what the two most frequent errors of NumPy code mean."""
    if any(sign in message for sign in ("mismatch in its core", "broadcast", "not aligned")):
        return (
            "two arrays do not fit together. Write down both shapes: `@` needs equal inner sizes, "
            "(N, in) @ (in, out), and a missing or extra `.T` breaks that."
        )
    if "NoneType" in message:
        return "a function that you call returned None. Does it end with `return`?"
    return None

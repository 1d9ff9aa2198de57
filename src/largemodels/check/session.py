"""What surrounds the checks of one task: warnings, unfinished code, the seed of its data."""

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

    A warning that your code prints stays a warning: it is shown and costs nothing. Code that is not
    written yet gives a plain sentence.

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
    except NotImplementedError as error:
        function = traceback.extract_tb(error.__traceback__)[-1].name
        raise Mistake(
            f"{function} is not written yet.\n"
            "Replace the line `raise NotImplementedError` by your code and run that cell, "
            "then this one."
        ) from None
    except NameError as error:
        # The first frame is this function, the second the check. A name that the student's own
        # code misses lies deeper, and Python's message says that best.
        frames = traceback.extract_tb(error.__traceback__)
        if type(error) is not NameError or len(frames) > 2:
            raise
        raise Mistake(
            f"{error.name} does not exist yet.\nRun the cells above first, from the top."
        ) from None
    except (ValueError, TypeError) as error:
        if note := _advice(str(error)):
            error.add_note(note)
        raise
    print(f"✓ {name}: all checks passed.")


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


def _advice(message: str) -> str | None:
    """Say what the two most frequent errors of NumPy code mean."""
    if any(word in message for word in ("matmul", "broadcast", "not aligned")):
        return (
            "Likely cause: two arrays do not fit together. Write down both shapes. `@` needs equal "
            "inner sizes, (N, in) @ (in, out); a missing or extra `.T` breaks that."
        )
    if "NoneType" in message:
        return "Likely cause: a function that you call returned None. Does it end with `return`?"
    return None

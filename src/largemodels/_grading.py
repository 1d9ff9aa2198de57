"""Keep the reference away from a submission while it is graded."""

from __future__ import annotations

import os


def refuse_while_grading(package: str) -> None:
    """Raise an `ImportError` while nbgrader grades a submission.

    This guards against accidents: a student leaves `from largemodels.scratch import ...` in the
    notebook and hands in the reference by mistake. It is not security. Code can change its own
    environment variables; the instructor's sandbox and a look at the submission are the security.

    Args:
        package: the full name of the package that is being imported.

    Raises:
        ImportError: if the environment variable `NBGRADER_EXECUTION` is `autograde`.

    Example:
        >>> refuse_while_grading("largemodels.scratch")
    """
    if os.environ.get("NBGRADER_EXECUTION") == "autograde":
        raise ImportError(
            f"`{package}` holds the reference solution, so it cannot be imported while your work "
            "is graded. Remove the import and use the functions that you wrote in this notebook."
        )

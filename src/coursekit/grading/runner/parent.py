"""The trusted heart of a slot: warm, one thread, and it runs no line of a student's.

    python -m coursekit.grading.runner.parent PROCESS

Jobs come on standard input, results go to standard output, both as `frames`. It ends with the
process of that number, the worker that started it, and so does all that it started.
"""

import base64
import contextlib
import os
import shutil
import sys
import tempfile
from typing import IO, Any

from coursekit.errors import CourseError
from coursekit.grading.runner import frames
from coursekit.grading.sandbox import bubblewrap, contained

__all__: list[str] = []


def main() -> None:
    """Grade what comes on standard input, until it ends or the worker does."""
    jobs = sys.stdin.buffer
    # What a check prints must not be taken for a result.
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        start = frames.read(jobs)
        # Only a checker works there, and it has no business with files.
        with tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as folder:
            os.chdir(folder)
            _contain(int(sys.argv[1]), start["trust_submissions"], folder)
            _grade(start, jobs, results)
    except CourseError as error:
        _tell(results, course=str(error))
    except (EOFError, BrokenPipeError):
        pass  # The worker is gone.


def _contain(worker: int, trust_submissions: bool, folder: str) -> None:
    """See to it that no process and no folder is left when this one or the worker ends."""
    try:
        contained.contain(worker, lambda: shutil.rmtree(folder, ignore_errors=True))
    except OSError as error:
        # Half contained, what it reads about processes would be about others.
        if not trust_submissions or os.getpid() == 1:
            raise CourseError(bubblewrap.mend(str(error))) from error
    except AttributeError:  # Only Linux has what it takes.
        if not trust_submissions:
            raise


def _grade(start: dict[str, Any], jobs: IO[bytes], results: IO[bytes]) -> None:
    """Get warm, and grade one submission after the other."""
    # What takes long to import waits until this process is contained.
    from coursekit.grading.limits import Limits
    from coursekit.grading.package import Package
    from coursekit.grading.runner.grader import Grader
    from coursekit.grading.sandbox.warm import BrokenError

    package = Package(**start["package"])
    os.environ |= bubblewrap.reproducible() | {"COURSE_SECRET": package.secret}
    try:
        with contextlib.closing(
            Grader(
                package,
                Limits(**start["limits"]),
                trust_submissions=start["trust_submissions"],
            )
        ) as grader:
            frames.write(results, {"ready": True})
            while True:
                submission = base64.b64decode(frames.read(jobs)["submission"])
                frames.write(results, {"result": grader.grade(submission).to_json()})
    except BrokenError as error:
        _tell(results, broken=str(error))


def _tell(results: IO[bytes], **message: Any) -> None:
    with contextlib.suppress(OSError):
        frames.write(results, message)


if __name__ == "__main__":
    main()

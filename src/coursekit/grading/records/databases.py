"""What goes wrong with the database of a grade book, in words that say what to mend."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from coursekit.errors import CourseError

__all__ = ["PATIENCE_SECONDS", "in_one_sentence"]

# How long another program may hold the database before we give up.
PATIENCE_SECONDS = 30


@contextmanager
def in_one_sentence(shown: Callable[[], str]) -> Iterator[None]:
    """Turn what SQLAlchemy raises into what its reader can mend."""
    try:
        yield
    except CourseError:
        raise
    except ModuleNotFoundError as error:
        raise CourseError(
            f"{shown()}: needs the Python package `{error.name}`; install it with pip."
        ) from error
    except Exception as error:
        from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError

        if isinstance(error, IntegrityError) or not isinstance(error, SQLAlchemyError):
            raise
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        if isinstance(error, ArgumentError):
            mend = "write it as in sqlite:////class/gradebook.db or postgresql+psycopg://host/name"
        elif "locked" in reason:
            mend = f"another program held it for {PATIENCE_SECONDS} seconds: close it, run it again"
        elif "no such column" in reason or "does not exist" in reason:
            mend = "if nbgrader was updated, run `nbgrader db upgrade`"
        else:
            mend = "mend that and run it again"
        raise CourseError(
            f"{shown()}: the grade book cannot be used ({reason}); {mend}. What is graded is kept."
        ) from error

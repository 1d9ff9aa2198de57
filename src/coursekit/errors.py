"""The one error that a user of the `course` command is meant to read."""

__all__ = ["CourseError"]


class CourseError(Exception):
    """Something the user can mend: one sentence that names file, cell and mend."""

"""A folder for one class, in which nbgrader's own commands work."""

from pathlib import Path

from coursekit.errors import CourseError
from coursekit.exercises import Exercise
from coursekit.notebook_files import to_text, write
from coursekit.release import source_notebook
from coursekit.repository import Repository

__all__ = ["CONFIGURATION", "open_class"]

CONFIGURATION = r"""# Made by `course class`; change it as you like.
c = get_config()

c.CourseDirectory.course_id = "large-models"
c.Execute.timeout = 120
# One line on stderr would cost a right answer its points. Errors still count.
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = r"[\s\S]"
# What Canvas and Moodle call a submission, by the end of its path:
#   doejane_12345_678901_backprop.ipynb  or  doejane_LATE_12345_678901_backprop-2.ipynb
#   Jane Doe_1234567_assignsubmission_file/backprop.ipynb
c.FileNameCollectorPlugin.named_regexp = (
    r"(?:.*/)?(?P<student_id>[^/_]+)_(?:LATE_)?\d+_(?:\d+_|assignsubmission_file(?:_/?|/))"
    r"(?P<file_id>\w+?)(?:-\d+)?\.ipynb$"
)
"""


def open_class(repository: Repository, exercises: list[Exercise], folder: Path) -> list[Path]:
    """Write what nbgrader needs to grade a class: its configuration, and the exercises.

    Args:
        repository: The course.
        exercises: What goes into `source/`, with solutions and hidden tests.
        folder: A new folder, or one that this command made: exercises are brought up to date,
            grades and the configuration stay.

    Returns:
        The files that were written.

    Raises:
        CourseError: The folder lies inside the repository, where grades could be published.
    """
    folder = folder.resolve()
    if folder.is_relative_to(repository.root):
        raise CourseError(
            f"{folder}: lies inside your clone, and grades must not be published; choose another."
        )
    files = {
        folder / "source" / one.name / f"{one.topic}.ipynb": to_text(
            source_notebook(repository, one)
        )
        for one in exercises
    }
    configuration = folder / "nbgrader_config.py"
    if not configuration.exists():
        files[configuration] = CONFIGURATION
    write(files)
    return list(files)

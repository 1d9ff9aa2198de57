r"""Grading with stock nbgrader, many submissions of one exercise, in a temporary course.

nbgrader gives 0 to a graded cell that writes one line to stderr, so a right answer that triggers a
warning would fail. `largemodels.check.task` sends Python's stderr to stdout while it runs, which
works with any nbgrader. For the rest (checks outside `task`, libraries that write below Python)
nbgrader has its own remedy, two lines of configuration. This module sets them; an instructor who
calls `nbgrader autograde` sets them in `nbgrader_config.py`:

    c.IgnorePattern.enabled = True
    c.IgnorePattern.pattern = r"[\s\S]"   # Any line on stderr; errors still count.
"""

import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType

import nbformat
from nbformat import NotebookNode
from traitlets.config import Config

from coursekit.errors import CourseError
from coursekit.execution import SECONDS_PER_CELL, configure_kernels

__all__ = ["Course", "Graded", "grade_all"]


@dataclass(frozen=True)
class Graded:
    """What nbgrader made of one submission.

    Args:
        scores: Points by `grade_id` of the cells that it graded by running them.
        maxima: What these cells are worth.
        messages: What the errors say, by `grade_id`, or by number where a cell has none.
        output: Everything that the cells show, errors included.
    """

    scores: dict[str, float]
    maxima: dict[str, float]
    messages: dict[str, str]
    output: str

    @property
    def score(self) -> float:
        """All points together."""
        return sum(self.scores.values())


class Course:
    """A temporary nbgrader course with one assignment.

    Args:
        source: The notebook of the instructor.
        assignment: Name of the assignment, e.g. `01_backprop`.
        notebook: Name of its notebook, e.g. `backprop`.
        gradebook: Keep a grade book; a course that only releases needs none and is faster.
        ignore_stderr: Grade as if nothing was written to stderr; stock nbgrader gives 0 for it.
        parent: Where to make the temporary folder.
    """

    def __init__(
        self,
        source: NotebookNode,
        assignment: str,
        notebook: str,
        *,
        gradebook: bool = True,
        ignore_stderr: bool = True,
        parent: Path | None = None,
    ) -> None:
        self.assignment = assignment
        self.notebook = notebook
        self._folder = tempfile.TemporaryDirectory(prefix="course-", dir=parent)
        self.root = Path(self._folder.name).resolve()
        self._write(self.root / "source", source)
        configuration = Config()
        configuration.CourseDirectory.root = str(self.root)
        configuration.CourseDirectory.course_id = "course"
        configuration.Exchange.root = str(self.root / "exchange")  # Not the machine's own.
        configuration.Execute.timeout = SECONDS_PER_CELL
        if not gradebook:  # What `nbgrader generate_assignment --no-db` sets.
            configuration.SaveCells.enabled = False
            configuration.GenerateAssignment.no_database = True
        if ignore_stderr:
            configuration.IgnorePattern.enabled = True
            configuration.IgnorePattern.pattern = r"[\s\S]"
        configure_kernels(configuration, self.root)
        # A graceful end of each kernel costs up to a second and changes no grade.
        configuration.Execute.shutdown_kernel = "immediate"
        (self.root / "exchange").mkdir()
        # nbgrader calls `alembic` by its bare name, also where no environment is activated.
        programs = str(Path(sys.executable).parent)
        if programs not in os.environ.get("PATH", "").split(os.pathsep):
            os.environ["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", "")])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from nbgrader.apps import NbGraderAPI

            self._api = NbGraderAPI(config=configuration, log_level=logging.ERROR)

    def __enter__(self) -> "Course":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def release(self) -> NotebookNode:
        """Generate the students' notebook."""
        self._run("generate_assignment", self.assignment)
        return self._read(self.root / "release")

    def grade(self, student: str, submission: NotebookNode) -> Graded:
        """Grade one submission; call `release` before."""
        self._write(self.root / "submitted" / student, submission)
        self._run("autograde", self.assignment, student)
        notebook = self._read(self.root / "autograded" / student)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with self._api.gradebook as gradebook:
                [graded] = gradebook.find_submission(self.assignment, student).notebooks
                grades = {
                    grade.cell.name: (float(grade.auto_score or 0), float(grade.cell.max_score))
                    for grade in graded.grades
                }
        for cell in notebook.cells:  # An answer that a person grades has no automatic score.
            metadata = cell.metadata.get("nbgrader", {})
            if metadata.get("grade") and metadata.get("solution"):
                del grades[metadata["grade_id"]]
        messages = dict(_messages(notebook))
        return Graded(
            {name: score for name, (score, _) in grades.items()},
            {name: maximum for name, (_, maximum) in grades.items()},
            messages,
            "\n".join([*_prints(notebook), *messages.values()]),
        )

    def feedback(self, student: str) -> str:
        """Generate the feedback of a graded submission; the text of its HTML page."""
        self._run("generate_feedback", self.assignment, student)
        page = self.root / "feedback" / student / self.assignment / f"{self.notebook}.html"
        return page.read_text(encoding="utf-8")

    def _run(self, step: str, *arguments: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = getattr(self._api, step)(*arguments)
        if not result["success"]:
            # The log holds a traceback, whose last line is the reason, between lines without.
            log = f"{result.get('error', '')}\n{result.get('log', '')}".splitlines()
            reasons = [line for line in log if line.strip() and not line.startswith("[")]
            reason = reasons[-1].strip() if reasons else "no reason given"
            what = " of ".join([step, *arguments[1:]])
            raise CourseError(f"{self.assignment}: nbgrader {what} failed ({reason}).")

    def _write(self, folder: Path, notebook: NotebookNode) -> None:
        path = folder / self.assignment / f"{self.notebook}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)

    def _read(self, folder: Path) -> NotebookNode:
        return nbformat.read(folder / self.assignment / f"{self.notebook}.ipynb", as_version=4)


def grade_all(
    source: NotebookNode,
    assignment: str,
    notebook: str,
    submissions: Mapping[str, NotebookNode],
    *,
    workers: int | None = None,
) -> Iterator[tuple[str, Graded]]:
    """Grade many submissions of one assignment; each result as soon as it is there.

    Args:
        source: The notebook of the instructor.
        assignment: Name of the assignment.
        notebook: Name of its notebook.
        submissions: Submitted notebooks by name.
        workers: Processes, each with its own course and grade book; by default one a core, at
            most 8. With 1, everything happens in this process.
    """
    workers = min(workers or min(os.cpu_count() or 1, 8), len(submissions))
    students = {
        f"{number:03}-{re.sub(r'[^A-Za-z0-9]+', '-', name)}": name
        for number, name in enumerate(submissions, 1)
    }
    if workers <= 1:
        with Course(source, assignment, notebook) as course:
            course.release()
            for student, name in students.items():
                yield name, course.grade(student, submissions[name])
        return
    with (
        tempfile.TemporaryDirectory(prefix="courses-") as folder,
        ProcessPoolExecutor(
            workers, get_context("spawn"), _open, (source, assignment, notebook, Path(folder))
        ) as pool,
    ):
        futures = {
            pool.submit(_grade, student, submissions[name]): name
            for student, name in students.items()
        }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise CourseError(
                f"{assignment}: a grading process died; is there enough memory and disk?"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


# The course of a worker process: opened once, used for each of its submissions.
_course: Course | None = None


def _open(source: NotebookNode, assignment: str, notebook: str, parent: Path) -> None:
    global _course
    # Two kernels at once would start two threads a core; and bytecode saves every start-up.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    _course = Course(source, assignment, notebook, parent=parent)
    _course.release()


def _grade(student: str, submitted: NotebookNode) -> Graded:
    assert _course is not None, "the worker's initializer opens the course"
    return _course.grade(student, submitted)


def _messages(notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                name = cell.metadata.get("nbgrader", {}).get("grade_id") or str(index + 1)
                yield name, " ".join(_plain(f"{output.ename}: {output.evalue}").split())


def _prints(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                yield output.text
            elif "data" in output:
                yield output.data.get("text/plain", "")


def _plain(text: str) -> str:
    """Text without the codes that colour a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)

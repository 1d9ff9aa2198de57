"""Run the cells of an exercise in this process, as a student would, in milliseconds."""

import contextlib
import io
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from coursekit.exercises import find_exercises
from coursekit.repository import Repository

matplotlib.use("agg")

REPOSITORY = Repository.find(Path(__file__).parent)


def pytest_generate_tests(metafunc):
    if "exercise" in metafunc.fixturenames:
        exercises = find_exercises(REPOSITORY)
        metafunc.parametrize("exercise", exercises, ids=[one.name for one in exercises])


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def backprop():
    [exercise] = find_exercises(REPOSITORY, ["01_backprop"])
    return exercise


@pytest.fixture(scope="session")
def run_cell():
    """Run the source of one cell; return the error that it ends with, or None."""

    def run(source, names):
        names.setdefault("display", lambda *objects: None)
        try:
            with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
                exec(compile(source, "<cell>", "exec"), names)
        except Exception as error:
            return error
        return None

    return run


@pytest.fixture(scope="session")
def namespace(run_cell):
    """Run the set-up of an exercise and its answers, but no check and no experiment."""
    after_setup = {}

    def make(exercise, answers=None):
        if exercise.name not in after_setup:
            after_setup[exercise.name] = {"__name__": "__main__"}
            # What is given above the first answer, tools of the checks among it.
            for cell in exercise.notebook.cells[: exercise.solution_cells[0].index]:
                if cell.cell_type == "code":
                    error = run_cell(cell.source, after_setup[exercise.name])
                    assert error is None, f"{exercise.name}: {error!r}"
        names = dict(after_setup[exercise.name])
        sources = {cell.grade_id: cell.answer for cell in exercise.solution_cells}
        for source in (sources | (answers or {})).values():
            error = run_cell(source, names)
            assert error is None, f"{exercise.name}: {error!r}"
        return names

    return make

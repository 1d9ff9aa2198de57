"""Kernels that run at the same time never meet: they listen on files, not on guessed ports."""

import os
from pathlib import Path

from nbformat.v4 import new_code_cell, new_notebook

from coursekit.autograde import Course
from coursekit.execution import execute
from coursekit.exercises import Exercise
from coursekit.release import source_notebook
from coursekit.repository import Repository

PROBE = "import ipykernel.kernelapp as app; print(app.IPKernelApp.instance().transport)"
EXPECTED = "tcp" if os.name == "nt" else "ipc"


def test_an_executed_notebook_uses_no_port(tmp_path: Path) -> None:
    notebook = new_notebook(cells=[new_code_cell(PROBE)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    [cell] = execute(notebook, tmp_path, name="probe").cells
    assert [output.text for output in cell.outputs] == [f"{EXPECTED}\n"]


def test_a_graded_notebook_uses_no_port(tiny: Exercise, course: Repository) -> None:
    with Course(source_notebook(course, tiny), tiny.name, tiny.topic) as grading:
        notebook = grading.release()
        notebook.cells.append(new_code_cell(PROBE))
        assert f"{EXPECTED}\n" in grading.grade("student", notebook).output

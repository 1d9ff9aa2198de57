"""Hand in every cell twice, with the same ids.

A student copies a cell in Jupyter and the copy keeps its `grade_id`. In stock nbgrader this one
notebook ends the run of the whole class: nobody after it is graded.
"""

import copy
import json

NUMBER = "31"
WANTS = "outage"
STOCK = "succeeds: no grade for the student, no grade for Zoe (nbgrader 0.9.6)"
BASE = "reference"
SCORES = "all"


def submit(folder, work):
    work["cells"] = [one for cell in work["cells"] for one in (cell, copy.deepcopy(cell))]
    (folder / "target.ipynb").write_text(json.dumps(work))

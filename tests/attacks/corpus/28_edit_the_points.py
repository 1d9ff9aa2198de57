"""Raise the points of every test, and of the cells that earn none.

Points are metadata of cells in the file that a student hands in.
"""

import json

NUMBER = "28"
WANTS = "points"
STOCK = "fails (nbgrader 0.9.6)"


def submit(folder, work):
    for cell in work["cells"]:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"] |= {"points": 1000, "grade": True}
    (folder / "target.ipynb").write_text(json.dumps(work))

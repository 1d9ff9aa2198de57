"""Turn test cells into answer cells by their metadata.

An answer cell keeps the student's source. Stock nbgrader finds two kinds for one cell, gives
up, and the student has no grade at all.
"""

import json

NUMBER = "29"
WANTS = "points"
STOCK = "fails, and costs itself all: no grade for the student (nbgrader 0.9.6)"


def submit(folder, work):
    for cell in work["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade"):
            cell["metadata"]["nbgrader"] |= {"solution": True, "grade": False, "locked": False}
            cell["source"] = "pass"
    (folder / "target.ipynb").write_text(json.dumps(work))

"""Claim ten thousand cells of other releases, each with a name of three thousand characters.

Each is left out with a note for the instructor, which repeats the name. The notes of one student
make the report of the class a page of thirty megabytes.
"""

import json

NUMBER = "121"
WANTS = "outage"
STOCK = "succeeds: no grade for the student, no grade for Zoe (nbgrader 0.9.6)"


def submit(folder, work):
    work["cells"] += [
        {
            "cell_type": "markdown",
            "id": f"n{n}",
            "metadata": {"nbgrader": {"grade_id": f"\x1b[2J{n} " + "=1+1; " * 500, "locked": True}},
            "source": "",
        }
        for n in range(9000)
    ]
    (folder / "target.ipynb").write_text(json.dumps(work))

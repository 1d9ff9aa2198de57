"""Name the file so that it seems to come from another student.

Learning platforms write the student's name into the path, and the student chooses the rest of
it. A file that is called like an entry of Canvas or Moodle, with a high attempt, would replace
Alice's work.
"""

import json

NUMBER = "104"
WANTS = "classmates"
STOCK = "fails (nbgrader 0.9.6)"


def submit(folder, work):
    names = [
        "alice_1_2_target-99.ipynb",
        "alice_LATE_1_2_target-99.ipynb",
        "alice_1_assignsubmission_file_target-99.ipynb",
        "alice_1_assignsubmission_file_/target-99.ipynb",
    ]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(work))
    (folder / "target.ipynb").write_text(json.dumps(work))

"""Hand in a hard link to the notebook of the best student.

A hard link is no link to look at: it is the same file under another name.
"""

import os

NUMBER = "35b"
WANTS = "points"
STOCK = "succeeds: 10 of 10 points (nbgrader 0.9.6)"
REFUSED = "a hard link"
# Nobody can tell whose file it was first, so hers is refused as well, with the same reason.
TAKES_ALICE = False


def submit(folder, work):
    os.link(folder / "../../alice/target/target.ipynb", folder / "target.ipynb")

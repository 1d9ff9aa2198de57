"""Hand in a link to the notebook of the best student.

Where submissions lie on one disk, a link is a copy that costs no work.
"""

NUMBER = "35"
WANTS = "points"
STOCK = "succeeds: 10 of 10 points (nbgrader 0.9.6)"
REFUSED = "a link"


def submit(folder, work):
    (folder / "target.ipynb").symlink_to("../../alice/target/target.ipynb")

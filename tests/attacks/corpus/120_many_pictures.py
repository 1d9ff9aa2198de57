"""Show a picture of 700 kilobytes in each of thirty cells.

Each is smaller than what a page shows of one picture and what a cell may print. Nothing bounds the
pictures of a page together but what a whole notebook may print.
"""

import json

NUMBER = "120"
WANTS = "outage"
STOCK = "fails (nbgrader 0.9.6)"
# No random bytes: as text, they would spell the marker of an attack now and then.
SHOW = """
import base64
from IPython.display import display
picture = b"\\x89PNG" + bytes(range(256)) * 2734
display({"image/png": base64.b64encode(picture).decode()}, raw=True)
"""


def submit(folder, work):
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "outputs": [], "source": SHOW}
        for n in range(30)
    ]
    work["cells"] = [*cells, *work["cells"]]
    (folder / "target.ipynb").write_text(json.dumps(work))

"""Write text that takes minutes to turn into a page.

Readers of Markdown need a time that grows with the square of some texts, and a megabyte of code
becomes ten of coloured code. One student's page would hold up the feedback of the class.
"""

import json

NUMBER = "115"
WANTS = "outage"
STOCK = "fails (nbgrader 0.9.6)"


def submit(folder, work):
    texts = {"stars": "*a " * 700_000, "brackets": "[" * 1_000_000, "pictures": "![" * 500_000}
    for name, text in texts.items():
        cell = {"cell_type": "markdown", "id": name, "metadata": {}, "source": text}
        work["cells"].append(cell)
    for n in range(300):
        cell = {"cell_type": "markdown", "id": f"part{n}", "metadata": {}, "source": "*a " * 6000}
        work["cells"].append(cell)
    answer = next(cell for cell in work["cells"] if cell["id"] == "standardize")
    answer["source"] += "\n# " + "import a, " * 300_000
    (folder / "target.ipynb").write_text(json.dumps(work))

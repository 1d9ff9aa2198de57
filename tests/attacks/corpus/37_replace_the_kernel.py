"""Hand in a file `ipykernel_launcher.py`.

Stock nbgrader starts `python -m ipykernel_launcher` in the folder of the submission, so that
file is the kernel. It runs as the instructor before any cell does.
"""

import json

NUMBER = "37"
WANTS = "host"
STOCK = "succeeds: a file outside of the submission (nbgrader 0.9.6)"
LAUNCHER = """
import runpy, sys
from pathlib import Path
Path("../../../@MARKER@").touch()
sys.path = [p for p in sys.path if p and not p.endswith("target")]
runpy.run_module("ipykernel_launcher", run_name="__main__")
"""


def submit(folder, work, marker):
    for name in ("ipykernel_launcher.py", "sitecustomize.py", "coursekit.py", "usercustomize.py"):
        (folder / name).write_text(LAUNCHER.replace("@MARKER@", marker))
    (folder / "target.ipynb").write_text(json.dumps(work))

"""The short way through the shell shows and leaves behind what IPython's own way does."""

import json
import subprocess
import sys

import pytest

# Runs cells both ways, in a process of its own: a shell takes the place of the main module.
PROGRAM = """
import json, sys
from contextlib import redirect_stdout
from coursekit.grading.split.shell import Outputs, Stream, make_shell

class Nothing:
    def visit(self, tree):
        return tree

shell = make_shell()
cells, ways = json.load(sys.stdin), []
for transformers in ([], [Nothing()]):  # With one, the short way is closed.
    shell.reset()
    shell.execution_count, shell.ast_transformers = 1, transformers
    shell.outputs = Outputs(10_000, 100_000)
    shown, short = [], []
    shell.run_cell("pass")  # As the agent does to get warm: it is no part of the notebook.
    for cell in cells:
        short.append(shell._plain(cell) is not None)
        shell.outputs.begin()
        shell.outputs.recording = True
        with redirect_stdout(Stream(shell.outputs, "stdout")):
            result = shell.run_cell(cell, store_history=True)
        errors = [repr(one) for one in (result.error_before_exec, result.error_in_exec) if one]
        shown.append([shell.outputs.end(), errors])
    names = sorted(name for name in shell.user_ns if not name.startswith("_"))
    ways.append({"shown": shown, "names": names, "count": shell.execution_count, "short": short})
json.dump(ways, sys.__stdout__)
"""


def both_ways(*cells: str) -> list[dict]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(cells),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("cells", "short"),
    [
        (["x = 1", "print(x)\nx + 1", "_ * 10"], True),
        (["1 + 1;", "2 + 2  # shown; it ends in a comment", "'a;'"], True),
        (["def f():\n    raise ValueError('no')", "y = 3\nf()", "y"], True),
        (["import inspect\ndef g(a):\n    return a", "inspect.getsource(g)"], True),
        (
            ["class A:\n    def _repr_html_(self): return 1\n    __repr__ = bin\nA"],
            True,
        ),
        (["raise SystemExit(2)", "1"], True),
        (["import warnings\nwarnings.warn('x')\n" * 2, "get_ipython().execution_count"], True),
        (["# nothing", "'a doc string'"], True),
        (["z = 1\nreturn z", "z"], False),
        (["x =", "x"], False),
        (["x = 1", "%who_ls"], False),
        (["import asyncio\nawait asyncio.sleep(0)\n7"], False),
        (
            ["from __future__ import annotations", "def f(a: nowhere): ...\nf.__annotations__"],
            False,
        ),
    ],
)
def test_the_short_way_is_no_other_way(cells: list[str], short: bool) -> None:
    quick, ipython = both_ways(*cells)
    assert all(quick.pop("short")) == short
    assert not any(ipython.pop("short"))
    assert quick == ipython

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from coursekit.errors import CourseError
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.results import Result
from coursekit.grading.runner import kernel_checker
from coursekit.grading.runner.kernel_checker import DIED, TAMPERED
from coursekit.grading.runner.slot import Slot
from coursekit.grading.sandbox import bubblewrap, kernel, usage

LIMITS = Limits(
    cell_seconds=10.0, notebook_seconds=60.0, memory_bytes=400 * 2**20, cell_output_bytes=10_000
)


@pytest.fixture
def specification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a kernel specification as the documentation gives it."""
    text = re.search(r"\{.*\}\}\}", str(kernel.__doc__), re.DOTALL)
    assert text
    folder = tmp_path / "kernels" / "locked-in"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(text[0])
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert "locked-in" in KernelSpecManager().find_kernel_specs()
    return "locked-in"


def _run(specification: str, *sources: str, **options: Any) -> list[list[NotebookNode]]:
    """Run cells with nbclient, as anybody would."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    settings = {"kernel_name": specification, "timeout": 60, "allow_errors": True}
    NotebookClient(notebook, **(settings | options)).execute()
    return [cell.outputs for cell in notebook.cells]


def _text(outputs: list[NotebookNode]) -> str:
    return "".join(output.get("text", "") for output in outputs)


def test_a_kernel_that_anybody_starts_is_locked_in(specification):
    status, network, files, result, picture, shell = _run(
        specification,
        "print(open('/proc/self/status').read())",
        "import socket\nsocket.create_connection(('192.0.2.1', 80))",
        f"import os\nprint(os.path.exists({str(Path(__file__).parent)!r}), os.getcwd())",
        "40 + 2",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "%%bash\necho hello",
    )
    fields = dict(line.split(":\t", 1) for line in _text(status).splitlines() if ":\t" in line)
    assert int(fields["CapEff"], 16) == 0
    assert fields["Seccomp"] == "2"
    assert fields["NSpid"].split()[-1] == "2"
    assert "unreachable" in network[0].evalue
    assert _text(files) == "False /student/work\n"
    assert result[0].data["text/plain"] == "42"
    assert "image/png" in picture[-1].data
    assert _text(shell) == "hello\n"


def test_an_endless_cell_is_interrupted_and_the_next_one_runs(specification):
    endless, after = _run(
        specification, "while True: pass", "1 + 1", timeout=3, interrupt_on_timeout=True
    )
    assert endless[0].ename == "KeyboardInterrupt"
    assert after[0].data["text/plain"] == "2"


def test_a_kernel_leaves_nothing_behind(specification, is_running):
    found: list[int] = []
    others = usage.family(os.getpid())  # Whatever other tests left running.
    daemon = new_code_cell("import subprocess\nsubprocess.Popen(['setsid', 'sleep', '999'])")
    notebook = new_notebook(cells=[daemon])

    def look(**_: Any) -> None:
        found.extend(set(usage.family(os.getpid())) - set(others))

    client = NotebookClient(notebook, kernel_name=specification, on_cell_executed=look)
    client.execute()
    assert len(found) >= 7
    end = time.monotonic() + 60
    while any(map(is_running, found)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(map(is_running, found))


def test_a_kernel_runs_until_it_is_ended():
    async def start_and_kill() -> None:
        manager = AsyncKernelManager()
        provisioner = kernel.SandboxProvisioner(
            kernel_id="test", kernel_spec=KernelSpec(), parent=manager
        )
        assert not provisioner.has_process
        await provisioner.launch_kernel([])
        assert provisioner.has_process
        assert await provisioner.poll() is None
        await provisioner.send_signal(signal.SIGTERM)
        assert await provisioner.wait() == -signal.SIGKILL
        await provisioner.cleanup()

    asyncio.run(start_and_kill())


def test_what_a_kernel_puts_in_the_place_of_its_sockets_is_never_followed(specification, tmp_path):
    """Its own end of a connection is its own; it must not become one with a server out here."""
    address = str(tmp_path / "server")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        server.settimeout(3.0)
        swap = f"""
import glob, os, socket, time
for name in glob.glob('/student/home/kernel-*'):
    os.unlink(name)
    os.symlink({address!r}, name)
for name in os.listdir('/proc/self/fd'):
    try:
        one = socket.socket(fileno=os.dup(int(name)))
        one.getpeername()  # Not one that waits for connections.
        if 'kernel-' in str(one.getsockname()):
            one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
time.sleep(3)
"""
        with contextlib.suppress(DeadKernelError, CellTimeoutError):
            _run(specification, swap, timeout=4)
        with pytest.raises(TimeoutError):
            server.accept()


def test_without_a_sandbox_no_kernel_starts(specification, monkeypatch):
    def require() -> None:
        raise CourseError("no sandbox here")

    monkeypatch.setattr(bubblewrap, "require", require)
    with pytest.raises(CourseError, match="no sandbox here"):
        _run(specification, "1")


@pytest.fixture(scope="module")
def in_kernel(lesson: Any) -> Package:
    """The lesson, run in a kernel."""
    asked = {"metadata": {"course": {"runner": "kernel"}}}
    return replace(lesson, release=lesson.release | asked, source=lesson.source | asked)


@pytest.fixture(scope="module")
def slot(in_kernel: Package) -> Iterator[Slot]:
    with Slot(in_kernel, LIMITS) as slot:
        yield slot


@pytest.fixture
def grade(slot: Slot, hand_in: Callable[..., bytes]) -> Callable[..., Result]:
    return lambda **answers: slot.grade(hand_in(**answers))


def _scores(result: Result) -> list[float]:
    return [cell.score for cell in result.cells]


def test_honest_answers_get_all_points_and_little_trust(grade):
    code = "import warnings\nwarnings.warn('careful')\ndef double(x):\n    return 2 * x"
    result = grade(double=code)
    assert (result.outcome, result.reason) == ("graded", "")
    assert _scores(result) == [6.0, 3.0, 1.0]
    assert result.trust == "in-process"
    assert result.notebook["cells"][1]["outputs"] == []
    assert json.loads(json.dumps(result.to_json()))


def test_wrong_answers_lose_their_points(grade):
    result = grade(double="def double(x):\n    return 4", half="def half(x):\n    return x")
    assert _scores(result) == [0.0, 1.5, 1.0]
    assert result.cells[0].message.startswith("AssertionError")


# One line that makes every cell empty; an exception that counts as none; a result forged.
TRICKS = [
    "get_ipython().input_transformers_cleanup.append(lambda lines: [])",
    "get_ipython().set_custom_exc((Exception,), lambda *arguments, **options: None)",
    """
import ast
class Empty(ast.NodeTransformer):
    def visit_Module(self, node):
        node.body = []
        return node
get_ipython().ast_transformers.append(Empty())
""",
    """
shell = get_ipython()
original = type(shell.kernel).do_execute
type(shell.kernel).do_execute = lambda self, code, *a, **k: original(self, 'pass', *a, **k)
""",
    """
session = get_ipython().kernel.session
original = session.send
def send(stream, kind, content=None, *arguments, **options):
    if kind == 'error':
        return None
    return original(stream, kind, content, *arguments, **options)
session.send = send
""",
]


@pytest.mark.parametrize("trick", TRICKS)
def test_code_that_changes_how_checks_run_earns_nothing_and_is_for_a_person(grade, trick):
    result = grade(double=f"def double(x):\n    return 0\n{trick}")
    assert (result.outcome, result.reason) == ("person", TAMPERED)
    assert result.score == 0.0
    assert result.cells[0].message == TAMPERED


def test_a_forged_partial_credit_does_not_count_where_the_check_fails(grade):
    code = "def half(x):\n    get_ipython().displayhook(3.0)\n    raise ValueError('no')"
    result = grade(half=code)
    assert _scores(result) == [6.0, 0.0, 1.0]


def test_the_death_of_a_kernel_keeps_what_was_earned(grade):
    result = grade(half="import os\nos._exit(0)")
    assert _scores(result) == [6.0, 0.0, 0.0]
    assert [cell.message for cell in result.cells] == ["", DIED, DIED]


def test_memory_of_a_kernel_is_limited(grade):
    code = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        kept = b'x' * (100 * 2**20)
        time.sleep(1000)
time.sleep(1000)
"""
    result = grade(half=code)
    assert _scores(result) == [6.0, 0.0, 0.0]
    assert result.notes == ("It used more than 0.391 GiB of memory.",)


def test_outputs_of_a_kernel_are_limited_in_number(grade):
    many = "for _ in range(250):\n    display({}, raw=True)\n"
    result = grade(half=f"{many}raise OSError('full')")
    outputs = result.outputs["half"]
    assert len(outputs) == 201
    assert outputs[-1]["ename"] == "OSError"


@pytest.mark.parametrize(
    "fill", ["print('x' * 9_900, flush=True)", "for _ in range(250): display({}, raw=True)"]
)
def test_partial_credit_has_room_where_a_students_code_leaves_none(grade, fill):
    result = grade(half=f"def half(x):\n    {fill}")
    assert _scores(result)[1] == 1.5


def test_output_of_a_kernel_is_limited(grade):
    result = grade(half="for _ in range(1000):\n    print('x' * 1000, flush=True)\nhalf = abs")
    assert len(json.dumps(result.outputs["half"])) < 2 * LIMITS.cell_output_bytes
    assert _scores(result)[0] == 6.0


def test_the_secret_comes_with_the_first_check_and_is_not_the_courses(grade):
    result = grade(
        double="import os\nprint('COURSE_SECRET' in os.environ)\ndouble = lambda x: 2 * x",
        half="import os\nprint(os.environ['COURSE_SECRET'])\nhalf = lambda x: x / 2",
    )
    assert result.outputs["double"][0]["text"] == "False\n"
    assert len(result.outputs["half"][0]["text"].strip()) == 64


def test_trusted_submissions_run_in_a_plain_kernel(in_kernel, hand_in):
    with Slot(in_kernel, LIMITS, trust_submissions=True) as slot:
        result = slot.grade(hand_in(half="import os\nprint(os.getuid())\nhalf = lambda x: x / 2"))
    assert _scores(result) == [6.0, 3.0, 1.0]
    assert result.outputs["half"][0]["text"] == f"{os.getuid()}\n"
    assert {cell.trust for cell in result.cells} == {"unsandboxed"}


def test_partial_credit_is_a_number_within_the_points():
    def score(text: str) -> float:
        shown = NotebookNode(output_type="execute_result", data={"text/plain": text})
        return kernel_checker._score([shown], 3.0)

    assert [score(text) for text in ("1.5", "-1", "99", "nan", "True")] == [1.5, 0, 3, 0, 3]


def test_all_of_this_holds_for_a_user_without_rights(as_unprivileged):
    done = as_unprivileged(
        *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__),
        *("-k", "not without_rights"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout

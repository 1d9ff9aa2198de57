"""The verdicts where a notebook needs a Jupyter kernel: its tests run in the student's process.

That is how nbgrader grades. The sandbox holds, but code in the same process can change what a test
finds. So each test stands between two canaries, checks that must fail with a word nobody can know:
one that sings shows that checks no longer mean anything, and a person must look. They do not show
everything; the trust of such a verdict is `in-process`.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell

from coursekit.grading.limits import Limits
from coursekit.grading.results import CellResult, event
from coursekit.grading.sandbox.kernel import SandboxProvisioner

__all__ = ["TAMPERED", "run"]

TAMPERED = "The code of this notebook changes how checks run; a person must look at it."
DIED = "The kernel of this notebook died."
_SHOWN = {"stream", "display_data", "execute_result", "update_display_data"}
_ERROR_BYTES = 10_000
_OUTPUTS = 200  # Of one cell. Each is a box on a page, however little is in it.


class _Client(NotebookClient):
    """Runs cells, and keeps only so much of what they print."""

    def __init__(self, notebook: NotebookNode, limits: Limits, **options: Any) -> None:
        super().__init__(notebook, **options)
        self._cell_bytes, self._left = limits.cell_output_bytes, limits.notebook_output_bytes
        self._room = 0

    def begin(self) -> None:
        """Begin a new cell."""
        self._room = min(self._cell_bytes, self._left)

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Take in a message of the kernel, unless there is no room for it."""
        if msg["msg_type"] in _SHOWN:
            size = len(str(msg["content"]))
            if size <= self._room and len(cell.outputs) < _OUTPUTS:
                self._room -= size
                self._left -= size
            elif msg["msg_type"] != "execute_result" or size > _ERROR_BYTES or _failed(cell):
                return None
            else:
                # It may be partial credit: without it, full points. So another one makes room.
                del cell.outputs[-1:]
        elif msg["msg_type"] == "error":
            content = msg["content"]
            trace = content.get("traceback", [])
            content["evalue"] = str(content.get("evalue", ""))[:_ERROR_BYTES]
            content["traceback"] = [str(line)[:_ERROR_BYTES] for line in trace[-20:]]
        return super().process_message(msg, cell, cell_index)


def run(
    notebook: Mapping[str, Any],
    limits: Limits,
    secret: str,
    report: Callable[[dict[str, Any]], None],
    *,
    sandboxed: bool,
) -> None:
    """Grade one notebook.

    Args:
        notebook: The release with the student's answers and the instructor's tests.
        limits: What the submission may use.
        secret: What reseeds the hidden data.
        report: Called with each cell as soon as it has ended; with `end` if the kernel died, and
            with `person` if somebody must look at the submission.
        sandboxed: Whether the kernel is locked in.
    """
    asyncio.run(_run(notebook, limits, secret, report, sandboxed))


def _failed(cell: NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.outputs)


async def _run(
    notebook: Mapping[str, Any],
    limits: Limits,
    secret: str,
    report: Callable[[dict[str, Any]], None],
    sandboxed: bool,
) -> None:
    nodes = from_dict(notebook)  # The client works with nbformat's own.
    manager = _manager(limits, sandboxed)
    client = _Client(
        nodes,
        limits,
        km=manager,
        timeout=max(1, int(limits.cell_seconds)),
        interrupt_on_timeout=True,
        allow_errors=True,
    )
    grading = _Grading(client, limits, secret)
    async with client.async_setup_kernel():
        try:
            for cell in nodes.cells:
                if cell.cell_type == "code":
                    report(await grading.grade(cell))
        except (DeadKernelError, TimeoutError, RuntimeError):
            report({"end": DIED})
    if grading.tampered:
        report({"person": TAMPERED})


def _manager(limits: Limits, sandboxed: bool) -> AsyncKernelManager:
    specification = KernelSpec(language="python", interrupt_mode="message")
    manager = AsyncKernelManager()
    manager._kernel_spec = specification
    provisioner = SandboxProvisioner(
        kernel_id=secrets.token_hex(8), kernel_spec=specification, parent=manager
    )
    provisioner.limits, provisioner.sandboxed = limits, sandboxed
    provisioner.contained = False  # The grader is.
    provisioner.folder = str(Path.cwd())  # That of the slot, which is removed with it.
    manager.provisioner = provisioner
    return manager


class _Grading:
    """The cells of one notebook, one after the other."""

    def __init__(self, client: _Client, limits: Limits, secret: str) -> None:
        self._client = client
        self._patience = 2 * limits.cell_seconds + 5
        self._secret = secret
        self._reseeded = False
        self.tampered = False

    async def grade(self, cell: NotebookNode) -> dict[str, Any]:
        """Run a cell; what to report of it."""
        role = cell.metadata.get("nbgrader", {})
        if not (role.get("grade") and not role.get("solution")):
            return event(cell.id, await self._execute(cell))
        await self._reseed()
        start = time.monotonic()
        before = await self._is_sound()
        outputs = await self._execute(cell)
        sound = before and await self._is_sound()
        self.tampered |= not sound
        points = float(role["points"])
        score = _score(outputs, points) if sound else 0.0
        message = (_message(outputs) if score < points else "") if sound else TAMPERED
        seconds = time.monotonic() - start
        verdict = CellResult(role["grade_id"], score, points, message, seconds, "in-process")
        return event(cell.id, outputs, verdict)

    async def _execute(self, cell: NotebookNode) -> list[NotebookNode]:
        cell.outputs = []
        self._client.begin()
        await asyncio.wait_for(self._client.async_execute_cell(cell, 0), self._patience)
        return list(cell.outputs)

    async def _reseed(self) -> None:
        """Set the secret, once no given cell and as few of the student's as possible see it."""
        if not self._reseeded:
            self._reseeded = True
            source = f"import os\nos.environ['COURSE_SECRET'] = {self._secret!r}\ndel os"
            await self._execute(new_code_cell(source))

    async def _is_sound(self) -> bool:
        """Whether checks that must fail do, each with a word that nobody can know."""
        word = secrets.token_hex()
        for canary, error in _CANARIES.items():
            match await self._execute(new_code_cell(canary.format(word))):
                case [{"output_type": "error", "ename": name, "evalue": said}] if name == error:
                    if word not in said:
                        return False
                case _:
                    return False
        return True


# What a test of an exercise may fail by, and as what.
_CANARIES = {
    "assert False, {!r}": "AssertionError",
    "__import__('largemodels.check').check.that(False, {!r})": "Mistake",
    "__import__('largemodels.check').check.close(1.0, 2.0, name={!r})": "Mistake",
    "__import__('largemodels.check').check.trajectory([1.0], [2.0], name={!r})": "Mistake",
    "__import__('numpy.testing').testing.assert_allclose(1.0, 2.0, err_msg={!r})": "AssertionError",
}


def _score(outputs: list[NotebookNode], points: float) -> float:
    """As nbgrader: an error is worth nothing, a last number is partial credit, all else passes."""
    if any(output.output_type == "error" for output in outputs):
        return 0.0
    results = [output for output in outputs if output.output_type == "execute_result"]
    if not results:
        return points
    try:
        value = float(results[-1].data.get("text/plain", ""))
    except ValueError:
        return points
    return min(max(value, 0.0), points) if value == value else 0.0


def _message(outputs: list[NotebookNode]) -> str:
    for output in outputs:
        if output.output_type == "error":
            return " ".join(f"{output.ename}: {output.evalue}".split())
    return ""

"""What runs beside a student's code where that code runs in a Jupyter kernel."""

import json
import os
import signal
import socket
from pathlib import Path

__all__ = ["serve"]


def serve(connection: socket.socket) -> None:
    """Be a kernel, until it ends.

    Args:
        connection: Tells, as JSON, what a kernel finds in its connection file.
    """
    with connection.makefile("rb") as lines:
        information = json.loads(lines.readline())
    path = Path(f"{information['ip']}.json")
    path.write_text(json.dumps(information))
    process = os.fork()
    if process:
        _be_first(process)
    # A group of its own: Jupyter interrupts the group of a kernel.
    os.setsid()
    os.environ.pop("MPLBACKEND", None)  # A kernel shows figures in the notebook.
    from ipykernel.kernelapp import IPKernelApp

    # Its history would be a file, and a thread that writes it.
    IPKernelApp.launch_instance(argv=["-f", str(path), "--HistoryManager.enabled=False"])


def _be_first(kernel: int) -> None:
    """Be the first process of the namespace: hand on interrupts, and end with the kernel."""
    signal.signal(signal.SIGINT, lambda *_: os.kill(kernel, signal.SIGINT))
    while True:
        process, status = os.wait()
        if process == kernel:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)

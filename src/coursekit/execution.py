"""Running a notebook from top to bottom in a fresh kernel."""

import os
import tempfile
from pathlib import Path

from nbformat import NotebookNode
from traitlets.config import Config

from coursekit.errors import CourseError

__all__ = ["SECONDS_PER_CELL", "configure_kernels", "execute"]

SECONDS_PER_CELL = 120


def configure_kernels(configuration: Config, folder: Path) -> Config:
    """Set how kernels start and listen, for nbclient and for nbgrader, which builds on it.

    Args:
        configuration: Is changed in place.
        folder: A short-named folder for the sockets of kernels that run one after the other.

    Returns:
        The same configuration.
    """
    # A kernel that listens to this machine only need not warn that its ports are not encrypted.
    configuration.NotebookClient.extra_arguments = ["--log-level=ERROR"]
    # Jupyter picks free ports before the kernel opens them, so two graders at once may pick the
    # same; files collide with nothing. Windows has no such sockets.
    if os.name != "nt":
        configuration.KernelManager.transport = "ipc"
        configuration.KernelManager.ip = str(folder / "kernel")
    return configuration


def execute(
    notebook: NotebookNode, folder: Path, *, name: str, keep_going: bool = False
) -> NotebookNode:
    """Run a notebook in place; it then holds its outputs.

    Args:
        notebook: What to run.
        folder: The working directory of the cells.
        name: How messages name it.
        keep_going: Run the cells after an error as well.

    Raises:
        CourseError: A cell fails, takes too long, or there is no kernel.
    """
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    try:
        with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
            return NotebookClient(
                notebook,
                timeout=SECONDS_PER_CELL,
                allow_errors=keep_going,
                config=configure_kernels(Config(), Path(sockets)),
                resources={"metadata": {"path": str(folder)}},
            ).execute()
    except NoSuchKernel as error:
        raise CourseError(
            f"{name}: no Jupyter kernel `{error.name}`; "
            "run `python -m ipykernel install --sys-prefix`."
        ) from error
    except CellExecutionError as error:
        raise CourseError(f"{name}: a cell fails with {error.ename}: {error.evalue}") from error
    except CellTimeoutError as error:
        raise CourseError(f"{name}: a cell takes over {SECONDS_PER_CELL} seconds.") from error
    except DeadKernelError as error:
        raise CourseError(f"{name}: the kernel died; is there enough memory?") from error

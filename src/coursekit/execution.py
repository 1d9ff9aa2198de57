"""Running a notebook from top to bottom in a fresh kernel."""

from pathlib import Path

from nbformat import NotebookNode

from coursekit.errors import CourseError

__all__ = ["KERNEL_ARGUMENTS", "SECONDS_PER_CELL", "execute"]

SECONDS_PER_CELL = 120
# A kernel that listens to this machine only need not warn that its ports are not encrypted.
KERNEL_ARGUMENTS = ["--log-level=ERROR"]


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

    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        allow_errors=keep_going,
        extra_arguments=list(KERNEL_ARGUMENTS),
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        return client.execute()
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

"""What one submission may use. The one place where these numbers stand."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits of one submission, far above what honest work needs.

    Args:
        cell_seconds: Wall time of one cell.
        notebook_seconds: Wall time of the whole notebook.
        memory_bytes: Memory of all its processes together.
        processes: Processes and threads at the same time.
        files: Open files of one process.
        file_bytes: Size of one file.
        disk_bytes: All files that it writes.
        cell_output_bytes: What one cell may print; the rest is dropped and counted.
        notebook_output_bytes: What all cells may print.
        message_bytes: One message between the student's process and the checker.
        message_items: Objects in one message.
        message_depth: Nesting of the objects in one message.
    """

    cell_seconds: float = 60.0
    notebook_seconds: float = 300.0
    memory_bytes: int = 2 * 2**30
    processes: int = 64
    files: int = 256
    file_bytes: int = 64 * 2**20
    disk_bytes: int = 256 * 2**20
    cell_output_bytes: int = 2**20
    notebook_output_bytes: int = 8 * 2**20
    message_bytes: int = 64 * 2**20
    message_items: int = 100_000
    message_depth: int = 64

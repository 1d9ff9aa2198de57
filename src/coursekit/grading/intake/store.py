"""Files by the SHA-256 of their content: each whole or not there, and the same content once."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from coursekit.errors import CourseError

__all__ = ["Store", "sync_folder", "write_file"]


def write_file(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Write a file: whole or not at all.

    Args:
        path: The file; its folder is made where it is not there yet.
        data: What goes into it.
        mode: Who may do what with it.
        durable: Whether it shall survive the loss of power from the return on.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            if durable:
                file.flush()
                os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the names of a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Store:
    """A folder of contents. No name that a student chose ever becomes a path in it."""

    root: Path

    def put(self, data: bytes) -> str:
        """Keep a content; its SHA-256. It survives the loss of power after `sync`."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        try:
            # One that was cut off by the loss of power is written again.
            if not path.exists() or path.read_bytes() != data:
                write_file(path, data, durable=False)
        except OSError as error:
            raise CourseError(
                f"{self.root}: cannot be written ({error.strerror}); mend that and run it again."
            ) from error
        return digest

    def sync(self) -> None:
        """Put everything on disk: once for many, for the disk takes its time for each."""
        os.sync()

    def get(self, digest: str) -> bytes:
        """Read a content back.

        Raises:
            CourseError: It is not there, or not what was stored.
        """
        try:
            data = self._path(digest).read_bytes()
        except OSError as error:
            raise CourseError(f"{self.root}: lacks {digest}; collect the files again.") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise CourseError(f"{self._path(digest)}: damaged; delete it and collect again.")
        return data

    def _path(self, digest: str) -> Path:
        # As one text: of several, pathlib would keep each for good, and there are many of these.
        return Path(f"{self.root}/{digest[:2]}/{digest}")

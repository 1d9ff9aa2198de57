"""Files by the SHA-256 of their content: each whole or not there, and the same content once."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from coursekit.errors import CourseError

__all__ = ["Store"]


@dataclass(frozen=True)
class Store:
    """A folder of contents. No name that a student chose ever becomes a path in it."""

    root: Path

    def put(self, data: bytes) -> str:
        """Keep a content; its SHA-256. After a return it survives the loss of power."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._write(path, data)
        except OSError as error:
            raise CourseError(
                f"{self.root}: cannot be written ({error.strerror}); mend that and run it again."
            ) from error
        return digest

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
        return self.root / digest[:2] / digest

    def _write(self, path: Path, data: bytes) -> None:
        descriptor, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

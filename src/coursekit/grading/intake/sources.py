"""Folders and zip files of submissions, read without following, unpacking or trusting anything."""

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from coursekit.errors import CourseError
from coursekit.grading.intake.parse import RefusedError

__all__ = ["Found", "Limits", "TooLargeError", "find"]

_CHUNK = 2**16


class TooLargeError(RefusedError):
    """The file has more bytes than may be read."""


@dataclass(frozen=True)
class Limits:
    """What a class may hand in.

    Args:
        entries: Files in one archive or folder.
        file: Bytes of one notebook.
        total: Bytes of all notebooks.
        ratio: How much a packed file may grow, counted from the first MiB on.
    """

    entries: int = 100_000
    file: int = 32 * 2**20
    total: int = 8 * 2**30
    ratio: int = 200


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of a folder or an archive.

    Args:
        name: Its path inside, with `/`.
        folder: Whether it is a folder: nothing to read.
        read: Reads it within a number of bytes; raises `RefusedError`.
    """

    name: str
    folder: bool
    read: Callable[[int], bytes]


def find(path: Path, limits: Limits) -> Iterator[Found]:
    """List a folder or a zip file, in the order of the names.

    Raises:
        CourseError: It is neither, or has too many entries.
    """
    if path.is_dir():
        names = sorted(_names(str(path)))
        _check_count(path, len(names), limits)
        for name, refused in names:
            yield Found(name, False, _refusal(refused) if refused else _file(f"{path}/{name}"))
        return
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _check_count(path, len(infos), limits)
            for info in sorted(infos, key=lambda info: info.orig_filename):
                yield _member(archive, info, limits)
    except FileNotFoundError as error:
        raise CourseError(f"{path}: no such file or folder.") from error
    except (zipfile.BadZipFile, OSError) as error:
        raise CourseError(
            f"{path}: neither a folder nor a whole zip file ({error}); download it again."
        ) from error


def _check_count(path: Path, count: int, limits: Limits) -> None:
    if count > limits.entries:
        raise CourseError(f"{path}: {count} entries; at most {limits.entries} are read.")


def _names(folder: str, inside: str = "") -> Iterator[tuple[str, str]]:
    """Paths in a folder, and why one cannot be read; without following links."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        yield inside or ".", f"cannot be read ({error.strerror})"
        return
    if inside and not entries:
        yield inside, "an empty folder"
    for entry in entries:
        name = f"{inside}/{entry.name}" if inside else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _names(entry.path, name)
        else:
            yield name, ""


def _refusal(reason: str) -> Callable[[int], bytes]:
    def read(_: int) -> bytes:
        raise RefusedError(reason)

    return read


def _file(path: str) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        try:
            if stat.S_ISLNK(os.lstat(path).st_mode):
                raise RefusedError("a link; hand in the file itself")
            # The file may change between look and open: the open file is looked at again.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise RefusedError("a device or pipe, not a file")
                if status.st_nlink > 1:
                    raise RefusedError("a hard link; hand in a copy of the file")
                data = file.read(limit + 1)
                _check_size(len(data), limit)
                return data
        except OSError as error:
            raise RefusedError(f"cannot be read ({error.strerror})") from error

    return read


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TooLargeError(f"larger than {limit} bytes")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits) -> Found:
    name = info.orig_filename

    def read(limit: int) -> bytes:
        _check_member(name, info)
        try:
            return _unpack(archive, info, limit, limits.ratio)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            NotImplementedError,
            RuntimeError,
            ValueError,
        ) as error:
            raise RefusedError(f"damaged in the archive ({error})") from error

    # What an escape or a link is called is the business of `read`, which refuses it.
    return Found(
        name, name.endswith("/") and stat.S_IFMT(info.external_attr >> 16) != stat.S_IFLNK, read
    )


def _check_member(name: str, info: zipfile.ZipInfo) -> None:
    """Refuse what leaves the folder, what is no file, and what needs a password."""
    if name.startswith("/") or "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name):
        raise RefusedError("its path leaves the archive")
    if {"..", "."} & set(name.split("/")):
        raise RefusedError("its path leaves the archive")
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        raise RefusedError("a link; hand in the file itself")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise RefusedError("a device or pipe, not a file")
    if info.flag_bits & 0x1:
        raise RefusedError("needs a password")


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, ratio: int) -> bytes:
    """Read a packed file; sizes are counted, for the header may lie."""
    data = bytearray()
    with archive.open(info) as file:
        while chunk := file.read(_CHUNK):
            data += chunk
            _check_size(len(data), limit)
            if len(data) > max(2**20, ratio * info.compress_size):
                raise RefusedError(f"grows more than {ratio} times; an archive bomb")
    return bytes(data)

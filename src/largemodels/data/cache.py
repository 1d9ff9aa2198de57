"""The folder on disk that holds the data sets, and how they get into it.

Downloads and conversions happen in the hidden folder `.downloads` beside the data sets. A file
moves to its final name in one step, when it is complete and has been checked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from largemodels.data.dataset import DataError
from largemodels.data.sources import Source

Convert = Callable[[Source, Sequence[Path], Path], None]
Check = Callable[[Source, Path], Any]


def data_folder() -> Path:
    """Return the folder of the data sets: `LARGEMODELS_DATA`, or the user's cache folder.

    Raises:
        DataError: `LARGEMODELS_DATA` names something that is not a folder.
    """
    if chosen := os.environ.get("LARGEMODELS_DATA"):
        folder = Path(chosen).expanduser()
        if folder.exists() and not folder.is_dir():
            raise DataError(f"`LARGEMODELS_DATA` (={chosen}) must be a folder.")
        return folder
    from platformdirs import user_cache_path

    return user_cache_path("largemodels", appauthor=False)


def is_present(source: Source, folder: Path) -> bool:
    """Return whether the files of `source` lie in `folder`; their content is not looked at."""
    try:
        return all((folder / name).is_file() for name in source.cached)
    except OSError:  # A folder that must not be read holds nothing for us.
        return False


def obtain(source: Source, convert: Convert, check: Check, folder: Path) -> None:
    """Download, verify, convert and store a data set.

    Two processes that want the same data set take turns, and the second finds it ready.

    Args:
        source: What to download.
        convert: Writes the files of the cache from the downloaded ones.
        check: Reads the written files, and raises if anything is wrong with them.
        folder: The folder of the data sets.

    Raises:
        UnreachableError: No server answers. Nothing was written.
        DataError: The data could not be downloaded, or not be stored. No final name was touched.
    """
    from filelock import FileLock, Timeout

    from largemodels.data.download import fetch, reachable

    reachable(source.files[0])
    work = folder / ".downloads"
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(work / f"{source.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(
                f"largemodels.data: waiting for another process that downloads {source.name}.",
                file=sys.stderr,
            )
            lock.acquire()
        try:
            if not is_present(source, folder):
                archives = [fetch(file, work) for file in source.files]
                _store(source, convert, check, archives, folder)
        finally:
            lock.release()
    except OSError as error:
        urls = ", ".join(file.urls[0] for file in source.files)
        raise DataError(
            f"{folder / source.cached[-1]}: cannot store what comes from {urls}: expected a folder "
            f"that can be written and has room, got: {error}. "
            "Set LARGEMODELS_DATA to another folder."
        ) from error


def _store(
    source: Source, convert: Convert, check: Check, archives: Sequence[Path], folder: Path
) -> None:
    fresh = folder / ".downloads" / f"{source.name}.new"
    try:
        for name in source.cached:
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        convert(source, archives, fresh)
        check(source, fresh)
        for name in source.cached:
            # The note comes first: without its file it means nothing, so no moment is wrong.
            _note(folder / name).write_text(f"{_sha256(fresh / name)}  {Path(name).name}\n")
            (fresh / name).replace(folder / name)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    for archive in archives:
        archive.unlink()


def is_official(path: Path) -> bool:
    """Return whether `path` is, byte for byte, what `obtain` made from the verified download."""
    try:
        return _note(path).read_text().split()[:1] == [_sha256(path)]
    except OSError:
        return False


def _note(path: Path) -> Path:
    """Return the name of the file beside `path` that `sha256sum --check` can read."""
    return path.with_name(f"{path.name}.sha256")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

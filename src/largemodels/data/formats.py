"""Read the files of the cache, and refuse whatever is not exactly as it should be.

Every reader takes a `Source` and the folder of the data sets and returns a `Dataset`. What a
reader finds may have been put there by hand: it is checked in full, and never unpickled.
"""

from __future__ import annotations

import csv
import hashlib
import lzma
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from largemodels.data.cache import is_official
from largemodels.data.dataset import DataError, Dataset
from largemodels.data.sources import Source

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_DELETE_IT = "Delete the file to download it again."


def read_images(source: Source, folder: Path) -> Dataset:
    """Read an `.npz` file of images.

    Images that lie grouped by class are brought into a fixed random order, so that the first
    thousand hold every class.

    Args:
        source: What to expect.
        folder: The folder of the data sets.

    Raises:
        DataError: The file cannot be read, or an array is missing or has the wrong type, shape
            or labels.
    """
    path = folder / source.cached[0]
    arrays = _read_npz(path)
    for split, size in zip(("train", "test"), source.sizes, strict=True):
        _check_array(path, f"x_{split}", arrays, (size, *source.shape))
        _check_array(path, f"y_{split}", arrays, (size,))
        labels = arrays[f"y_{split}"]
        expected = np.arange(len(source.class_names))
        if not np.array_equal(np.unique(labels), expected):
            raise DataError(
                f"{path}: `y_{split}` must hold every label from 0 to {expected[-1]} and no other; "
                f"got {len(np.unique(labels))} labels from {labels.min()} to {labels.max()}. "
                f"{_DELETE_IT}"
            )
    exact = is_official(path) or (
        bool(source.idx_md5)
        and all(_idx_md5(arrays[key]) == md5 for key, md5 in source.idx_md5.items())
    )
    for split in ("train", "test"):
        labels = arrays[f"y_{split}"]
        if np.all(labels[:-1] <= labels[1:]):
            order = np.random.default_rng(0).permutation(len(labels))
            arrays[f"x_{split}"] = arrays[f"x_{split}"][order]
            arrays[f"y_{split}"] = labels[order]
    return Dataset(
        source.name, **arrays, source=_origin(source, exact), class_names=source.class_names
    )


def read_reviews(source: Source, folder: Path) -> Dataset:
    """Read the `.csv.xz` file of film reviews: split, label, rating, text.

    The order in the file does not matter: reviews come in an order that depends on their text
    alone, with both classes mixed.

    Args:
        source: What to expect.
        folder: The folder of the data sets.

    Raises:
        DataError: The file cannot be read, or a row is not as it should be.
    """
    path = folder / source.cached[0]
    texts: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    try:
        with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if header != ["split", "label", "rating", "text"]:
                raise DataError(
                    f"{path}: the first line must be split,label,rating,text; "
                    f"got {','.join(header)[:80]!r}. {_DELETE_IT}"
                )
            for row in reader:
                if not _is_review(row):
                    raise DataError(
                        f"{path}, line {reader.line_num}: expected train or test, 0 or 1, a rating "
                        "(1 to 4 for label 0, 7 to 10 for label 1) and a text; "
                        f"got {','.join(row)[:80]!r}. {_DELETE_IT}"
                    )
                texts[row[0]].append((row[3], int(row[1])))
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error
    arrays: dict[str, Any] = {}
    for split, size in zip(("train", "test"), source.sizes, strict=True):
        rows = sorted(texts[split])
        positive = sum(label for _, label in rows)
        if (len(rows), positive) != (size, size // 2):
            raise DataError(
                f"{path}: expected {size:,} reviews for {split}, {size // 2:,} of them positive; "
                f"got {len(rows):,} and {positive:,}. {_DELETE_IT}"
            )
        order = np.random.default_rng(0).permutation(size)
        arrays[f"x_{split}"] = np.array([text for text, _ in rows], dtype=object)[order]
        arrays[f"y_{split}"] = np.array([label for _, label in rows], dtype=np.uint8)[order]
    return Dataset(
        source.name,
        **arrays,
        source=_origin(source, is_official(path)),
        class_names=source.class_names,
    )


def _is_review(row: list[str]) -> bool:
    if len(row) != 4 or row[0] not in ("train", "test") or not row[3]:
        return False
    ratings = {"0": ("1", "2", "3", "4"), "1": ("7", "8", "9", "10")}
    return row[2] in ratings.get(row[1], ())


def read_ratings(source: Source, folder: Path) -> Dataset:
    """Read the ratings and film titles of MovieLens.

    Ratings are sorted by user and item and then split at random with a fixed seed, so the order
    in the file does not matter. A user or item may be in the test part only.

    Args:
        source: What to expect.
        folder: The folder of the data sets.

    Raises:
        DataError: A file cannot be read, or a row is not as it should be.
    """
    items_path, path = (folder / name for name in source.cached)
    try:
        table = np.loadtxt(path, dtype=np.int64, delimiter="\t", ndmin=2)
        lines = items_path.read_text(encoding="latin-1").rstrip("\n").split("\n")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    users, items = source.shape
    n_ratings = sum(source.sizes)
    if table.shape != (n_ratings, 4):
        raise DataError(
            f"{path}: expected {n_ratings:,} rows of user, item, rating and time; "
            f"got {table.shape[0]:,} rows of {table.shape[1]}. {_DELETE_IT}"
        )
    columns = ("user", 1, users), ("item", 1, items), ("rating", 1, 5)
    for values, (column, low, high) in zip(table.T, columns, strict=False):
        if values.min() < low or values.max() > high:
            raise DataError(
                f"{path}: every {column} must be from {low} to {high}; "
                f"got {values.min()} to {values.max()}. {_DELETE_IT}"
            )
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    if np.any(np.all(table[1:, :2] == table[:-1, :2], axis=1)):
        raise DataError(f"{path}: a user has rated the same item twice. {_DELETE_IT}")
    fields = [line.split("|") for line in lines]
    if [field[0] for field in fields] != [str(i + 1) for i in range(items)] or any(
        len(field) != 24 for field in fields
    ):
        raise DataError(
            f"{items_path}: expected {items:,} lines of 24 fields, numbered from 1; "
            f"got {len(fields):,} lines. {_DELETE_IT}"
        )
    return Dataset(
        source.name,
        **split_ratings(table[:, :2] - 1, table[:, 2], source.sizes[0]),
        source=_origin(source, is_official(path) and is_official(items_path)),
        item_titles=tuple(field[1] for field in fields),
    )


def split_ratings(pairs: np.ndarray, ratings: np.ndarray, n_train: int) -> dict[str, Any]:
    """Split ratings at random, with a fixed seed, into a training and a test part.

    Args:
        pairs: User and item of each rating, counted from 0; shape (N, 2).
        ratings: The ratings; shape (N,).
        n_train: Number of ratings in the training part.
    """
    order = np.random.default_rng(0).permutation(len(ratings))
    x, y = pairs[order], ratings[order].astype(np.float32)
    return {
        "x_train": x[:n_train],
        "y_train": y[:n_train],
        "x_test": x[n_train:],
        "y_test": y[n_train:],
    }


def read_text(source: Source, folder: Path) -> Dataset:
    """Read a text whose checksum is published.

    Args:
        source: What to expect.
        folder: The folder of the data sets.

    Raises:
        DataError: The file cannot be read, or is not exactly the published one.
    """
    path = folder / source.cached[0]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    expected, got = source.files[0].sha256, hashlib.sha256(content).hexdigest()
    if got != expected:
        raise DataError(
            f"{path} is not the text that {source.files[0].urls[0]} offers: "
            f"expected SHA-256 {expected}, got {got}. {_DELETE_IT}"
        )
    return Dataset(
        source.name, **split_text(content.decode("utf-8")), source=_origin(source, exact=True)
    )


def split_text(text: str) -> dict[str, Any]:
    """Split a text: the first 90 % of its characters for training, the rest for the test.

    Args:
        text: The whole text.
    """
    end = round(0.9 * len(text))
    return {"x_train": text[:end], "y_train": None, "x_test": text[end:], "y_test": None}


def _origin(source: Source, exact: bool) -> str:
    name = source.cached[-1]
    if exact:
        return f"{source.title}, official data ({name})"
    return f"{source.title}, local copy ({name}; form checked, not compared with the official data)"


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            present = set(getattr(archive, "files", ()))  # A `.npy` file has none.
            if missing := [key for key in _ARRAYS if key not in present]:
                raise DataError(
                    f"{path}: must hold the arrays {', '.join(_ARRAYS)}; "
                    f"{', '.join(missing)} missing. {_DELETE_IT}"
                )
            return {key: archive[key] for key in _ARRAYS}
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(path, error) from error


def _check_array(
    path: Path, key: str, arrays: dict[str, np.ndarray], shape: tuple[int, ...]
) -> None:
    array = arrays[key]
    if array.shape != shape or array.dtype != np.uint8:
        raise DataError(
            f"{path}: `{key}` must have shape {shape} and dtype uint8; "
            f"got shape {array.shape} and dtype {array.dtype}. {_DELETE_IT}"
        )


def _idx_md5(array: np.ndarray) -> str:
    """Return the MD5 of `array` written as an uncompressed IDX file."""
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return hashlib.md5(header + array.tobytes(), usedforsecurity=False).hexdigest()


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: cannot be read ({error}). {_DELETE_IT}")

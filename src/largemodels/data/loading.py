"""`load`: the real data if they can be had, the offline sample if not."""

from __future__ import annotations

import difflib
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from largemodels.data import convert, formats, samples, sources
from largemodels.data.cache import Convert, data_folder, is_present, obtain
from largemodels.data.dataset import Dataset
from largemodels.data.sources import Source


@dataclass(frozen=True)
class Recipe:
    """All that `load` needs for one data set.

    Args:
        source: Where it comes from.
        convert: Official files to files of the cache.
        read: Files of the cache to a `Dataset`, checked.
        sample: The offline sample.
    """

    source: Source
    convert: Convert
    read: Callable[[Source, Path], Dataset]
    sample: Callable[[Source], Dataset]


RECIPES = {
    recipe.source.name: recipe
    for recipe in (
        Recipe(
            sources.MNIST, convert.images_from_idx, formats.read_images, samples.enlarged_digits
        ),
        Recipe(
            sources.FASHION_MNIST,
            convert.images_from_idx,
            formats.read_images,
            samples.enlarged_digits,
        ),
        Recipe(
            sources.CIFAR10, convert.images_from_cifar, formats.read_images, samples.enlarged_digits
        ),
        Recipe(sources.IMDB, convert.reviews_from_tar, formats.read_reviews, samples.reviews),
        Recipe(
            sources.MOVIELENS_100K, convert.ratings_from_zip, formats.read_ratings, samples.ratings
        ),
        Recipe(
            sources.TINY_SHAKESPEARE, convert.text_as_it_is, formats.read_text, samples.course_text
        ),
    )
}
NAMES = (*RECIPES, "digits")


def load(name: str) -> Dataset:
    """Load a data set: from the cache, else from its official source, else the offline sample.

    | name | `x` | `y` |
    |---|---|---|
    | `mnist`, `fashion_mnist` | (N, 28, 28) uint8 | (N,) uint8, 0 to 9 |
    | `cifar10` | (N, 32, 32, 3) uint8 | (N,) uint8, 0 to 9 |
    | `digits` | (N, 8, 8) uint8, 0 to 16 | (N,) uint8, 0 to 9 |
    | `imdb` | (N,) objects: each a `str` | (N,) uint8, 1 is positive |
    | `movielens_100k` | (N, 2) int64: user and item, from 0 | (N,) float32, 1 to 5 |
    | `tiny_shakespeare` | one `str`: its first 90 %, the rest is the test part | `None` |

    What is downloaded is verified against the published SHA-256 before it is looked at. It stays
    in the folder that the environment variable `LARGEMODELS_DATA` names, or else in the user's
    cache folder; what you put there yourself is checked and used. An interrupted download goes on
    where it stopped.

    Only if no server gives any answer, or if `LARGEMODELS_OFFLINE` is set, do you get the offline
    sample, and a line that says so. `digits` is never downloaded: it comes with scikit-learn.

    Args:
        name: One of the names above.

    Raises:
        ValueError: There is no data set with this name.
        DataError: A server answered, but not with the published file; or the file in the cache is
            damaged; or there is no room for it. `DataError` is a `ValueError`.

    Example:
        >>> load("digits")
        <Dataset digits: 1,437 + 360 examples; scikit-learn's handwritten digits, 8×8>
    """
    if name not in NAMES:
        similar = difflib.get_close_matches(str(name).lower(), NAMES, n=1)
        hint = f" Did you mean {similar[0]!r}?" if similar else ""
        raise ValueError(f"`name` (={name!r}) must be one of {', '.join(NAMES)}.{hint}")
    if name == "digits":
        return samples.digits()
    recipe = RECIPES[name]
    folder = data_folder()
    if not is_present(recipe.source, folder):
        if os.environ.get("LARGEMODELS_OFFLINE", "0") not in ("", "0"):
            return _offline_sample(recipe, "LARGEMODELS_OFFLINE is set")
        # Imported here, because `requests` takes a tenth of a second that most calls need not pay.
        from largemodels.data.download import UnreachableError

        try:
            obtain(recipe.source, recipe.convert, recipe.read, folder)
        except UnreachableError as error:
            return _offline_sample(recipe, str(error))
    return recipe.read(recipe.source, folder)


def _offline_sample(recipe: Recipe, reason: str) -> Dataset:
    dataset = recipe.sample(recipe.source)
    files = " and ".join(recipe.source.cached)
    print(
        f"largemodels.data: {recipe.source.title} is not at hand ({reason}); this is an "
        f"{dataset.source}. For the real data connect to the internet and start Python again, or "
        f"set LARGEMODELS_DATA to a folder that holds {files}."
    )
    return dataset


def fingerprint() -> str:
    """Return a short text that changes when other data come to hand.

    It looks at names, sizes and times only: it neither reads nor downloads anything.

    Example:
        >>> fingerprint().split()[-1]
        'digits=real'
    """
    folder = data_folder()
    parts = []
    for recipe in RECIPES.values():
        state = "sample"
        if is_present(recipe.source, folder):
            files = [(folder / name).stat() for name in recipe.source.cached]
            stamp = str([(file.st_size, file.st_mtime_ns) for file in files])
            state = f"real:{zlib.crc32(stamp.encode()):08x}"
        parts.append(f"{recipe.source.name}={state}")
    return " ".join([*parts, "digits=real"])


def describe() -> str:
    """Return a table, one line per data set: what is at hand, and where the rest would come from.

    Like `fingerprint`, it neither reads nor downloads anything.
    """
    folder = data_folder()
    lines = [f"Data sets in {folder} (environment variable LARGEMODELS_DATA):"]
    for recipe in RECIPES.values():
        source = recipe.source
        if is_present(source, folder):
            state = f"real data ({', '.join(source.cached)})"
        else:
            megabytes = sum(file.size for file in source.files) / 1e6
            server = urlsplit(source.files[0].urls[0]).hostname
            state = f"not here: {megabytes:.0f} MB from {server}, or the offline sample"
        lines.append(f"  {source.name:<17} {state}; license: {source.license}")
    return "\n".join([*lines, f"  {'digits':<17} comes with scikit-learn"])

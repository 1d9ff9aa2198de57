"""The offline sample: what stands in for a data set on a machine with no network.

Each sample has the form of the real data, so that a page runs unchanged. Pictures are real
(scikit-learn's handwritten digits) and so is the text (the course's own pages). Reviews and
ratings are made up by a generator with a fixed seed, and say so.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import Any

import numpy as np

from largemodels.data.dataset import Dataset
from largemodels.data.formats import split_ratings, split_text
from largemodels.data.sources import Source

_PACKAGE = Path(__file__).resolve().parents[1]
_ENOUGH_CHARACTERS = 100_000


def digits() -> Dataset:
    """Return scikit-learn's handwritten digits: 1,437 + 360 images of 8×8 pixels from 0 to 16.

    The split is fixed and holds every digit in equal shares in both parts.

    Source: Alpaydin and Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
    Repository, 1998.

    Example:
        >>> digits().x_train.shape, digits().x_test.shape
        ((1437, 8, 8), (360, 8, 8))
    """
    x_train, x_test, y_train, y_test = (part.copy() for part in _digits())
    return Dataset(
        "digits",
        x_train,
        y_train,
        x_test,
        y_test,
        source="scikit-learn's handwritten digits, 8×8",
        class_names=tuple("0123456789"),
    )


@functools.cache
def _digits() -> list[np.ndarray]:
    """Read and split the digits once: the file is text, and slow to read."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    parts: list[np.ndarray] = train_test_split(
        data.images.astype(np.uint8),
        data.target.astype(np.uint8),
        test_size=360,
        random_state=0,
        stratify=data.target,
    )
    return parts


def enlarged_digits(source: Source) -> Dataset:
    """Return scikit-learn's digits in the shape and dtype of the images of `source`.

    As in MNIST, a digit is 20 pixels high and has an empty border. Channels are equal (grey).

    Args:
        source: The image data set to stand in for.
    """
    small = digits()
    height, width = source.shape[:2]
    return Dataset(
        source.name,
        _enlarge(small.x_train, source.shape),
        small.y_train,
        _enlarge(small.x_test, source.shape),
        small.y_test,
        source=f"offline sample: scikit-learn's handwritten digits, enlarged to {height}×{width}",
        is_sample=True,
        class_names=small.class_names,
    )


def _enlarge(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    height, width = shape[:2]
    # Row i of `weights` says, in nineteenths, how pixel i of 20 is mixed from the 8 pixels.
    # Whole numbers, because sums of fractions would differ from one processor to the next.
    steps = np.arange(20) * 7
    weights = np.array([np.interp(steps, np.arange(8) * 19, row) for row in 19 * np.eye(8)]).T
    mixed = weights.round() @ images @ weights.round().T  # (N, 8, 8) -> (N, 20, 20)
    pixels = np.rint(mixed * 255 / (16 * 19**2)).astype(np.uint8)
    top, left = (height - 20) // 2, (width - 20) // 2
    border = (0, 0), (top, height - 20 - top), (left, width - 20 - left)
    pixels = np.pad(pixels, border)  # -> (N, height, width)
    if len(shape) == 3:
        pixels = np.repeat(pixels[..., np.newaxis], shape[2], axis=3)  # -> (N, height, width, C)
    return pixels


# The words of made-up reviews.
# ruff: noqa: SIM905
_PRAISE = (
    "wonderful brilliant moving superb charming delightful gripping masterful touching hilarious "
    "beautiful fresh memorable inspired warm clever stunning honest tender perfect"
).split()
_BLAME = (
    "boring awful dull terrible clumsy tedious predictable lazy annoying pointless weak flat "
    "messy shallow painful stupid forgettable noisy cheap ridiculous"
).split()
_THINGS = (
    "plot story acting dialogue music camera ending beginning hero villain cast script pace "
    "lighting costumes humour romance action scenery editing soundtrack direction premise twist"
).split()
_FRAMES = (
    "The {thing} is {word}.",
    "I found the {thing} {word}.",
    "What a {word} {thing}!",
    "Some will call the {thing} {word}.",
    "After an hour the {thing} turns {word}.",
    "My friends thought the {thing} was {word}.",
)
_SENTENCES = (3, 9)
_FAITHFUL = 0.75  # How often a judging word agrees with the label; the rest is noise.


def reviews(source: Source) -> Dataset:
    """Return made-up film reviews: 2,000 + 1,000, half of them positive.

    A review has three to nine sentences. Each judges one aspect, and about a quarter of the
    judgements contradict the label. So no word decides alone, and counting words gets about nine
    of ten reviews right.

    Args:
        source: The review data set to stand in for.
    """
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, size in (("train", 2000), ("test", 1000)):
        labels = rng.permutation(np.arange(size, dtype=np.uint8) % 2)
        texts = [_review(bool(label), rng) for label in labels]
        arrays[f"x_{split}"] = np.array(texts, dtype=object)
        arrays[f"y_{split}"] = labels
    return Dataset(
        source.name,
        **arrays,
        source="offline sample: synthetic reviews from a generator",
        is_sample=True,
        class_names=source.class_names,
    )


def _review(positive: bool, rng: np.random.Generator) -> str:
    sentences = []
    for _ in range(rng.integers(*_SENTENCES, endpoint=True)):
        words = _PRAISE if positive == (rng.random() < _FAITHFUL) else _BLAME
        frame, thing, word = (pool[rng.integers(len(pool))] for pool in (_FRAMES, _THINGS, words))
        sentences.append(frame.format(thing=thing, word=word))
    return " ".join(sentences)


def ratings(source: Source) -> Dataset:
    """Return made-up ratings with as many users, items and ratings as the real ones.

    A rating is drawn as

        r = 3.5 + b_u + c_i + p_u · q_i + noise, rounded and cut to 1 … 5

    with a bias b_u per user and c_i per item, and five hidden tastes in p_u and q_i. Some users
    rate much and some films are popular, as in life; every user rates at least 20 films.

    Args:
        source: The rating data set to stand in for.
    """
    rng = np.random.default_rng(0)
    users, items = source.shape
    n_ratings = sum(source.sizes)

    # How many ratings each user gives: at least 20, the rest in unequal shares.
    share = rng.lognormal(sigma=1.0, size=users)
    counts = 20 + np.floor((n_ratings - 20 * users) * share / share.sum()).astype(int)
    counts = np.minimum(counts, items // 2)
    while (missing := n_ratings - counts.sum()) > 0:
        counts[rng.choice(np.flatnonzero(counts < items // 2), missing)] += 1

    # The films with the largest log-popularity + Gumbel noise are a weighted draw without
    # replacement (Kool et al., Stochastic Beams and Where to Find Them, ICML 2019).
    popularity = np.linspace(0.0, -6.4, items)
    keys = popularity + rng.gumbel(size=(users, items))
    ranked = np.argsort(-keys, axis=1)
    pairs = np.array([(u, i) for u in range(users) for i in ranked[u, : counts[u]]])

    user_bias, item_bias = rng.normal(scale=0.4, size=users), rng.normal(scale=0.5, size=items)
    tastes = rng.normal(scale=0.5, size=(users, 5)), rng.normal(scale=0.5, size=(items, 5))
    u, i = pairs.T
    score = 3.5 + user_bias[u] + item_bias[i] + np.sum(tastes[0][u] * tastes[1][i], axis=1)
    score += rng.normal(scale=0.7, size=n_ratings)
    return Dataset(
        source.name,
        **split_ratings(pairs, np.clip(np.rint(score), 1, 5), source.sizes[0]),
        source="offline sample: synthetic ratings from a generator",
        is_sample=True,
        item_titles=tuple(f"Synthetic film {i + 1}" for i in range(items)),
    )


def course_text(source: Source) -> Dataset:
    """Return the course's own pages as one text; also the docstrings while the pages are few.

    Args:
        source: The text data set to stand in for.
    """
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in _pages())
    if len(text) < _ENOUGH_CHARACTERS:
        text += "\n\n".join(_docstrings())
    return Dataset(
        source.name,
        **split_text(text),
        source="offline sample: the course's own pages",
        is_sample=True,
    )


def _pages() -> list[Path]:
    """Return the pages of the book, from the repository or else from the installed package."""
    repository = _PACKAGE.parents[1]
    folder = repository / "book"
    if not ((repository / "pyproject.toml").is_file() and folder.is_dir()):
        folder = _PACKAGE / "data" / "pages"
    found = (path.relative_to(folder) for path in folder.rglob("*.md"))
    # Folders such as `_build` and `node_modules` hold pages that are not ours.
    ours = [path for path in found if not any(p[0] in "._" or p == "assets" for p in path.parts)]
    return [folder / path for path in sorted(ours, key=Path.as_posix)]


def _docstrings() -> list[str]:
    """Return every docstring of the package, without importing anything."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return [
        docstring
        for path in sorted(_PACKAGE.rglob("*.py"), key=Path.as_posix)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, documented) and (docstring := ast.get_docstring(node))
    ]

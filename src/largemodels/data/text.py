"""Texts as numbers: split into words, look each word up, fill up to one length."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["PADDING", "UNKNOWN", "Vocabulary", "words"]

PADDING, UNKNOWN = 0, 1


def words(text: str) -> list[str]:
    """Split a text into words in lower case; line breaks of HTML and punctuation go.

    Args:
        text: The text.

    Example:
        >>> words("It isn't bad.<br />It's GOOD!")
        ['it', "isn't", 'bad', "it's", 'good']
    """
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.replace("<br />", " ").lower())


class Vocabulary:
    """The most frequent words of a training set, each with a number.

    0 fills up short texts, and 1 stands for every other word. Words of equal frequency are in
    alphabetical order, so that the same texts always give the same numbers.

    Args:
        texts: The training texts. A vocabulary that has seen the test set is a leak.
        size: How many numbers there are at most, with the two.
        min_count: How often a word has to occur to get a number.

    Attributes:
        tokens: The words by their numbers.

    Raises:
        ValueError: `size` is below 2, or `min_count` below 1.

    Example:
        >>> vocabulary = Vocabulary(["A good film.", "A bad film, a very bad one."], size=6)
        >>> vocabulary.tokens
        ['<pad>', '<unk>', 'a', 'bad', 'film', 'good']
        >>> vocabulary.encode(["A good book", "Bad"], length=4)
        array([[2, 5, 1, 0],
               [3, 0, 0, 0]])
        >>> vocabulary.decode([2, 5, 1, 0])
        'a good <unk>'
    """

    def __init__(self, texts: Iterable[str], size: int = 10_000, min_count: int = 1) -> None:
        if size < 2:
            raise ValueError(f"`size` (={size}) must be at least 2.")
        if min_count < 1:
            raise ValueError(f"`min_count` (={min_count}) must be at least 1.")
        counts = Counter(word for text in texts for word in words(text))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        frequent = [word for word in ranked if counts[word] >= min_count]
        self.tokens = ["<pad>", "<unk>", *frequent[: size - 2]]
        self._numbers = {word: number for number, word in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(
        self, texts: Sequence[str] | np.ndarray, length: int, *, keep: str = "first"
    ) -> np.ndarray:
        """Return the numbers of texts, cut or filled up at the end to one length.

        Args:
            texts: The texts. One without any word becomes one unknown word.
            length: How many words of each text to keep.
            keep: Which ones: "first" or "last".

        Returns:
            Integers, shape (N, length).

        Raises:
            ValueError: `length` is below 1, or `keep` is unknown.
        """
        if length < 1:
            raise ValueError(f"`length` (={length}) must be at least 1.")
        if keep not in ("first", "last"):
            raise ValueError(f"`keep` (={keep!r}) must be 'first' or 'last'.")
        numbers = np.full((len(texts), length), PADDING)
        for row, text in zip(numbers, texts, strict=True):
            found = [self._numbers.get(word, UNKNOWN) for word in words(text)] or [UNKNOWN]
            kept = found[:length] if keep == "first" else found[-length:]
            row[: len(kept)] = kept
        return numbers

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the words of numbers, without what fills up."""
        return " ".join(self.tokens[number] for number in numbers if number != PADDING)

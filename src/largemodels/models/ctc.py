"""From the outputs of a speech model to text: decoding of connectionist temporal classification.

Class 0 is the blank, as it is for the losses of PyTorch and Keras.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["collapse", "greedy_decode", "prefix_beam_search", "word_error_rate"]

BLANK = 0


def collapse(path: ArrayLike) -> list[int]:
    """Return the text of a path: repeats become one, then the blanks go.

    A blank between two equal classes keeps them apart.

    Args:
        path: the class of each frame, integers, shape (T,).

    Raises:
        ValueError: if the path has not one axis.

    Source:
        Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification", ICML
        2006, section 3.1, the map B.

    Example:
        >>> collapse([0, 3, 3, 0, 3, 1, 1, 0])
        [3, 3, 1]

    Taught in: book/case_studies/speech_recognition.md
    """
    path = np.asarray(path)
    if path.ndim != 1:
        raise ValueError(f"`path` must have shape (T,), got {path.shape}.")
    changes = np.diff(path, prepend=BLANK) != 0  # Differs from the frame before.
    return path[changes & (path != BLANK)].tolist()


def greedy_decode(logits: ArrayLike) -> list[list[int]]:
    """Return the text of the best path: the likeliest class of every frame, collapsed.

    It is fast, and not always the likeliest text: see `prefix_beam_search`.

    Args:
        logits: the outputs for N recordings of T frames, or log-probabilities, shape (N, T, C).

    Raises:
        ValueError: if `logits` does not have three axes.

    Source:
        Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification", ICML
        2006, section 3.2, best path decoding.

    Example:
        >>> logits = np.log([[[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5]]])
        >>> greedy_decode(logits)
        [[1, 2]]

    Taught in: book/case_studies/speech_recognition.md
    """
    logits = np.asarray(logits)
    if logits.ndim != 3:
        raise ValueError(f"`logits` must have shape (N, T, C), got {logits.shape}.")
    return [collapse(path) for path in logits.argmax(axis=-1)]  # (N, T, C) -> (N, T)


def prefix_beam_search(log_probabilities: ArrayLike, beams: int = 10) -> tuple[list[int], float]:
    """Return the likeliest text of one recording, and the logarithm of its probability.

    p(text) = Σ p(path) over all paths that collapse to the text

    Many unlikely paths may make one likely text, so the search adds up the paths of each text. For
    every text so far it keeps two numbers: the probability of the paths that end in a blank, and of
    those that end in the last letter. A letter like the last one starts a new letter only after a
    blank.

    Args:
        log_probabilities: the log-softmax of the outputs of one recording, shape (T, C).
        beams: how many texts to keep after each frame. With enough of them the search is exact.

    Raises:
        ValueError: if the shape is wrong, `beams` is below 1, or a row does not sum to 1.

    Source:
        Hannun, Maas, Jurafsky and Ng, "First-pass large vocabulary continuous speech recognition
        using bi-directional recurrent DNNs", 2014, algorithm 1, without a language model.

    Example:
        >>> p = np.array([[0.6, 0.4], [0.6, 0.4]])
        >>> greedy_decode(np.log(p)[None])  # The best path: two blanks with probability 0.36.
        [[]]
        >>> text, log_probability = prefix_beam_search(np.log(p))
        >>> text, round(float(np.exp(log_probability)), 2)
        ([1], 0.64)

    Taught in: book/case_studies/speech_recognition.md
    """
    rows = np.asarray(log_probabilities, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"`log_probabilities` must have shape (T, C), got {rows.shape}.")
    if beams < 1:
        raise ValueError(f"`beams` (={beams}) must be at least 1.")
    sums = np.exp(rows).sum(axis=-1)
    if not np.allclose(sums, 1, atol=1e-3):
        wrong = sums[np.abs(sums - 1).argmax()]
        raise ValueError(
            f"`log_probabilities` must be those of rows that sum to 1, got a sum of {wrong:.3g}. "
            "For logits, take the log-softmax first."
        )
    impossible = -np.inf
    # Text -> log-probability of its paths that end in a blank, and of those that end in a letter.
    texts: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, impossible)}
    for row in rows:
        blank: dict[tuple[int, ...], float] = defaultdict(lambda: impossible)
        letter: dict[tuple[int, ...], float] = defaultdict(lambda: impossible)
        for text, (after_blank, after_letter) in texts.items():
            either = np.logaddexp(after_blank, after_letter)
            blank[text] = np.logaddexp(blank[text], either + row[BLANK])
            if text:  # The last letter sounds on.
                letter[text] = np.logaddexp(letter[text], after_letter + row[text[-1]])
            for c in range(1, len(row)):
                before = after_blank if text[-1:] == (c,) else either
                letter[*text, c] = np.logaddexp(letter[*text, c], before + row[c])
        found = {text: (blank[text], letter[text]) for text in blank.keys() | letter.keys()}
        ranked = sorted(found, key=lambda text: np.logaddexp(*found[text]), reverse=True)
        texts = {text: found[text] for text in ranked[:beams]}
    best = max(texts, key=lambda text: np.logaddexp(*texts[text]))
    return list(best), float(np.logaddexp(*texts[best]))


def word_error_rate(
    references: Sequence[Sequence[object]], hypotheses: Sequence[Sequence[object]]
) -> float:
    """Return how many words must change, per word that was said.

    WER = (substitutions + deletions + insertions) / words of the references

    The changes are the fewest that turn the recognized words into those that were said. Lists of
    letters instead of words give the character error rate.

    Args:
        references: for each recording the words that were said.
        hypotheses: for each recording the words that were recognized.

    Returns:
        A number of at least 0; it exceeds 1 if much is recognized that nobody said.

    Raises:
        ValueError: if the numbers of recordings differ, or the references have no word.

    Example:
        >>> said, heard = "the cat sat down".split(), "the bat sat".split()
        >>> word_error_rate([said], [heard])  # One word is wrong, one is missing.
        0.5

    Taught in: book/case_studies/speech_recognition.md
    """
    if len(references) != len(hypotheses):
        raise ValueError(
            f"`hypotheses` (of {len(hypotheses)} recordings) must have one for each of the "
            f"{len(references)} of `references`."
        )
    words = sum(len(reference) for reference in references)
    if words == 0:
        raise ValueError("`references` must have at least one word.")
    return sum(map(_edit_distance, references, hypotheses)) / words


def _edit_distance(reference: Sequence[object], hypothesis: Sequence[object]) -> int:
    """Return the fewest substitutions, deletions and insertions between two sequences."""
    # row[j]: the distance between the words of the reference so far and the first j of the other.
    row = list(range(len(hypothesis) + 1))
    for i, said in enumerate(reference, start=1):
        above, row = row, [i]
        for j, heard in enumerate(hypothesis, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (said != heard)))
    return row[-1]

"""Measures of a translation: BLEU, and METEOR with exact words.

To publish a BLEU, take `largemodels.training.metrics.bleu`, which asks sacrebleu: numbers depend on
how a text is split. These two take tokens, and are here to be read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations, pairwise, product

__all__ = ["clipped_precision", "corpus_bleu", "meteor"]

Tokens = Sequence[Hashable]


def clipped_precision(hypothesis: Tokens, references: Sequence[Tokens], n: int) -> tuple[int, int]:
    """Count the n-grams of a translation, and those of them that a reference has, too.

    matches = Σ_g min(count of g in the hypothesis, largest count of g in one reference)

    Without the minimum, "the the the" would be perfect wherever one "the" is right.

    Args:
        hypothesis: the tokens of the translation.
        references: the tokens of one or more right translations.
        n: how many tokens a gram has.

    Returns:
        The matches, and the number of n-grams of the hypothesis.

    Raises:
        ValueError: if there is no reference, or `n` is below 1.

    Source:
        Papineni, Roukos, Ward and Zhu, "BLEU: a method for automatic evaluation of machine
        translation", ACL 2002, section 2.1.

    Example:
        >>> clipped_precision("the the the".split(), ["the cat".split()], n=1)
        (1, 3)

    Taught in: book/training/evaluation.md
    """
    if len(references) == 0:
        raise ValueError("`references` is empty.")
    if n < 1:
        raise ValueError(f"`n` (={n}) must be at least 1.")
    counts = _grams(hypothesis, n)
    largest: Counter[tuple[Hashable, ...]] = Counter()
    for reference in references:
        largest |= _grams(reference, n)
    return (counts & largest).total(), counts.total()


def corpus_bleu(
    hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]], max_n: int = 4
) -> float:
    """Return the BLEU of translations: how many of their n-grams are in translations by people.

    BLEU = BP · (p₁ · … · p_n)^(1/n),  BP = min(1, exp(1 − r / h)),  pₙ = Σ matches / Σ n-grams

    h is the length of all hypotheses, r that of the closest references. Where a pₙ is 0, so is
    BLEU: nothing is smoothed.

    Args:
        hypotheses: the tokens of each translation.
        references: for each translation the tokens of one or more right ones.
        max_n: the longest n-grams.

    Returns:
        A number from 0 to 1.

    Raises:
        ValueError: if there is no hypothesis, the lengths differ, one has no reference, or `max_n`
            is below 1.

    Source:
        Papineni, Roukos, Ward and Zhu, "BLEU: a method for automatic evaluation of machine
        translation", ACL 2002, section 2.3.

    Example:
        >>> references = [["the cat sat on the mat".split(), "a cat was on the mat".split()]]
        >>> round(corpus_bleu(["the cat was on the mat".split()], references), 4)
        0.8409

    Taught in: book/training/evaluation.md
    """
    if len(hypotheses) == 0:
        raise ValueError("`hypotheses` is empty.")
    if len(references) != len(hypotheses):
        raise ValueError(
            f"`references` (of length {len(references)}) must have a list for each of the "
            f"{len(hypotheses)} hypotheses."
        )
    if max_n < 1:
        raise ValueError(f"`max_n` (={max_n}) must be at least 1.")
    log_precision = 0.0
    for n in range(1, max_n + 1):
        pairs = [
            clipped_precision(hypothesis, own, n)
            for hypothesis, own in zip(hypotheses, references, strict=True)
        ]
        matches, grams = (sum(column) for column in zip(*pairs, strict=True))
        if matches == 0:
            return 0.0
        log_precision += math.log(matches / grams) / max_n
    h = sum(map(len, hypotheses))
    r = sum(
        min((abs(len(reference) - len(hypothesis)), len(reference)) for reference in own)[1]
        for hypothesis, own in zip(hypotheses, references, strict=True)
    )
    return math.exp(min(0.0, 1 - r / h) + log_precision)


def meteor(hypothesis: Tokens, reference: Tokens) -> float:
    """Return the METEOR of a translation, where words match only if they are equal.

    P = matches / hypothesis words,  R = matches / reference words,  F = 10 P R / (R + 9 P)
    METEOR = F · (1 − ½ (chunks / matches)³)

    Each word matches one word at most. Of all ways to match as many as possible, the one whose
    lines cross least often counts; chunks are the runs of words that are neighbours on both sides.
    The paper also matches stems and synonyms, which need a dictionary.

    Unlike BLEU, it weighs recall nine times as much as precision, and judges a single sentence.

    Args:
        hypothesis: the tokens of the translation.
        reference: the tokens of a right one. With several, take the largest value.

    Returns:
        A number from 0 to 1.

    Raises:
        ValueError: if a text is empty.

    Source:
        Banerjee and Lavie, "METEOR: an automatic metric for MT evaluation with improved correlation
        with human judgments", ACL workshop 2005, section 2.2.

    Example:
        >>> reference = "the cat sat on the mat".split()
        >>> for text in ("the cat sat on the mat", "the cat was sat on the mat"):
        ...     print(round(meteor(text.split(), reference), 4))
        0.9977
        0.9654

    Taught in: book/training/evaluation.md
    """
    if len(hypothesis) == 0 or len(reference) == 0:
        raise ValueError("`hypothesis` and `reference` must hold at least one token.")
    matches = (Counter(hypothesis) & Counter(reference)).total()
    if matches == 0:
        return 0.0
    _, chunks = min(_crossings_and_chunks(pairs) for pairs in _alignments(hypothesis, reference))
    precision, recall = matches / len(hypothesis), matches / len(reference)
    mean = 10 * precision * recall / (recall + 9 * precision)
    return mean * (1 - 0.5 * (chunks / matches) ** 3)


def _grams(tokens: Tokens, n: int) -> Counter[tuple[Hashable, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def _alignments(hypothesis: Tokens, reference: Tokens) -> list[list[tuple[int, int]]]:
    """Return all ways to match as many equal words as possible, in order within each word.

    Lines of one word that cross would cross less if they swapped their ends, so only *which*
    places of a repeated word take part is to be chosen.
    """
    choices = []
    for word in Counter(hypothesis) & Counter(reference):
        ours = [i for i, token in enumerate(hypothesis) if token == word]
        theirs = [i for i, token in enumerate(reference) if token == word]
        count = min(len(ours), len(theirs))
        choices.append(
            [
                list(zip(a, b, strict=True))
                for a in combinations(ours, count)
                for b in combinations(theirs, count)
            ]
        )
    return [sorted(pair for group in groups for pair in group) for groups in product(*choices)]


def _crossings_and_chunks(pairs: list[tuple[int, int]]) -> tuple[int, int]:
    crossings = sum(a[1] > b[1] for a, b in combinations(pairs, 2))
    starts = sum(b != (a[0] + 1, a[1] + 1) for a, b in pairwise(pairs))
    return crossings, starts + 1

"""Measures of how good a model is.

What scikit-learn has, take from there: `accuracy_score`, `precision_score`, `recall_score`,
`f1_score`, `classification_report`, `confusion_matrix`, `roc_curve`, `roc_auc_score`,
`precision_recall_curve`, `average_precision_score` and `calibration_curve` in `sklearn.metrics` and
`sklearn.calibration`. A wrapper would add nothing but a second name. Here is the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import ndcg_score

__all__ = [
    "bleu",
    "expected_calibration_error",
    "hit_rate_at_k",
    "ndcg_at_k",
    "perplexity",
    "root_mean_squared_error",
]


def expected_calibration_error(
    probabilities: ArrayLike, targets: ArrayLike, bins: int = 15
) -> float:
    """Return how far the confidence of a classifier is from the share of its right answers.

    ECE = Σ_b |B_b| / N · |accuracy(B_b) − confidence(B_b)|

    The confidence of an example is the largest of its probabilities. Bin b of B equally wide ones
    holds the examples with a confidence in ((b − 1) / B, b / B].

    Args:
        probabilities: the probability of each class, shape (N, classes). For two classes, give both
            columns: p and 1 − p.
        targets: the right classes, integers, shape (N,).
        bins: the number of bins, B.

    Returns:
        A number from 0 (calibrated) to 1.

    Raises:
        ValueError: if the shapes do not fit, there is no example, a row does not sum to 1, a target
            is no class, or `bins` is smaller than 1.

    Source:
        Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017,
        equation 3.

    Example:
        >>> probabilities = [[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]]  # Right, wrong, right.
        >>> round(expected_calibration_error(probabilities, [0, 1, 1], bins=10), 3)
        0.4

    Taught in: book/training/evaluation.md
    """
    probabilities, targets = np.asarray(probabilities, dtype=np.float64), np.asarray(targets)
    if bins < 1:
        raise ValueError(f"`bins` (={bins}) must be at least 1.")
    if probabilities.ndim != 2 or len(probabilities) == 0:
        raise ValueError(
            f"`probabilities` (of shape {probabilities.shape}) must have shape (N, classes), "
            "N at least 1."
        )
    if targets.shape != probabilities.shape[:1]:
        raise ValueError(
            f"`targets` (of shape {targets.shape}) must have shape {probabilities.shape[:1]}."
        )
    _check_classes("targets", targets, probabilities.shape[1])
    # float32 probabilities sum to 1 only nearly. Logits do not at all.
    wrong = ~np.isclose(probabilities.sum(axis=1), 1, atol=1e-3) | (probabilities < 0).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"`probabilities[{row}]` (={probabilities[row].tolist()}) must be numbers from 0 to 1 "
            "with the sum 1. For logits, take the softmax first."
        )
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence) - 1, 0, bins - 1)  # (N,)
    # |B| · |accuracy − confidence| is the absolute value of the sum of the differences.
    gaps = np.bincount(index, weights=right - confidence, minlength=bins)  # (N,) -> (bins,)
    return float(np.abs(gaps).sum() / len(confidence))


def perplexity(losses: ArrayLike) -> float:
    """Return among how many equally likely tokens a language model is left to guess.

    perplexity = exp((1/N) Σᵢ −ln p(tokenᵢ | tokens before))

    Args:
        losses: the cross-entropy of each token in nats, any shape, or the mean over all of them. To
            join minibatches of different sizes, give the losses of the tokens, not the means.

    Returns:
        A number of at least 1; the size of the vocabulary for a model that knows nothing.

    Raises:
        ValueError: if there is no loss, or one is negative or NaN.

    Source:
        Jelinek, Mercer, Bahl and Baker, "Perplexity — a measure of the difficulty of speech
        recognition tasks", 1977.

    Example:
        >>> perplexity([np.log(2), np.log(8)])  # Probabilities 1/2 and 1/8.
        4.0

    Taught in: book/training/evaluation.md
    """
    losses = np.asarray(losses, dtype=np.float64)
    if losses.size == 0:
        raise ValueError("`losses` is empty.")
    if not (losses >= 0).all():
        wrong = losses[~(losses >= 0)][0]
        raise ValueError(f"`losses` must be numbers of at least 0, got {wrong}.")
    return float(np.exp(losses.mean()))


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    tokenize: str = "13a",
    smooth: str = "exp",
) -> float:
    """Return how many n-grams of translations are also in translations by people.

    BLEU = 100 · BP · (p₁ · p₂ · p₃ · p₄)^¼,  BP = min(1, exp(1 − r / h))
    pₙ = Σ min(count in the hypothesis, largest count in one reference) / Σ count in the hypothesis

    The sums run over the n-grams of all hypotheses: BLEU belongs to a corpus, and is not the mean
    of its sentences. h is the length of all hypotheses in tokens, r that of their references, where
    each hypothesis counts the reference whose length is closest.

    This is sacrebleu's `corpus_bleu`, which wants the references the other way round: first all
    first references, then all second ones. Numbers are comparable only with the same tokens, so
    publish sacrebleu's version and the two options with them.

    Args:
        hypotheses: the translations of the model, plain text: not split into tokens before.
        references: for each hypothesis one or more right translations.
        tokenize: sacrebleu's rule to split text: "13a" for European languages, "zh" for Chinese,
            "char" for characters, "none" to split at spaces only.
        smooth: what replaces a pₙ of 0: "exp" takes 1 / (2ᵏ · number of n-grams) for the k-th such
            n; "none" leaves 0, and then BLEU is 0.

    Returns:
        A number from 0 to 100.

    Raises:
        ValueError: if there is no hypothesis, or one has no reference.

    Source:
        Papineni, Roukos, Ward and Zhu, "BLEU: a method for automatic evaluation of machine
        translation", ACL 2002; Post, "A call for clarity in reporting BLEU scores", WMT 2018.

    Example:
        >>> references = [["the cat sat on the mat", "a cat was on the mat"]]
        >>> round(bleu(["the cat was on the mat"], references), 2)  # p = 6/6, 5/5, 3/4, 2/3.
        84.09
        >>> bleu(["the the the the"], references, smooth="none")
        0.0

    Taught in: book/training/evaluation.md
    """
    import sacrebleu  # An extra: the other measures do without.

    if len(hypotheses) == 0:
        raise ValueError("`hypotheses` is empty.")
    if len(references) != len(hypotheses):
        raise ValueError(
            f"`references` (of length {len(references)}) must have a list for each of the "
            f"{len(hypotheses)} hypotheses."
        )
    for number, row in enumerate(references):
        if isinstance(row, str) or len(row) == 0:
            raise ValueError(f"`references[{number}]` (={row!r}) must be a list with a text.")
    # [[a1, a2], [b1]] -> [(a1, b1), (a2, None)]; None is how sacrebleu writes "no second one".
    transposed = list(zip_longest(*references))
    score = sacrebleu.corpus_bleu(
        hypotheses, transposed, tokenize=tokenize, smooth_method=smooth, force=True
    )
    return float(score.score)


def root_mean_squared_error(
    predictions: ArrayLike,
    ratings: ArrayLike,
    *,
    low: float | None = None,
    high: float | None = None,
) -> float:
    """Return how far predicted ratings are from the given ones, in units of the rating.

    RMSE = √((1/N) Σᵢ (clip(ŷᵢ, low, high) − yᵢ)²)

    Without a scale it is `sklearn.metrics.root_mean_squared_error`. With one, a prediction of 5.3
    stars counts as the 5 stars that a reader would see.

    Args:
        predictions: the predicted ratings ŷ, shape (N,).
        ratings: the given ratings y, shape (N,).
        low: the smallest rating of the scale.
        high: the largest rating of the scale.

    Returns:
        A number of at least 0.

    Raises:
        ValueError: if the shapes differ, there is no rating, or a rating is outside of the scale.

    Example:
        >>> root_mean_squared_error([5.3, 3.0], [5.0, 1.0], low=1, high=5)  # Errors 0 and 2.
        1.4142135623730951

    Taught in: book/training/evaluation.md
    """
    predictions = np.asarray(predictions, dtype=np.float64)
    ratings = np.asarray(ratings, dtype=np.float64)
    # Shapes (N, 1) and (N,) would give N × N differences, silently.
    if predictions.shape != ratings.shape:
        raise ValueError(
            f"`predictions` (of shape {predictions.shape}) must have the shape of `ratings`, "
            f"{ratings.shape}."
        )
    if ratings.size == 0:
        raise ValueError("`ratings` is empty.")
    low = -np.inf if low is None else low
    high = np.inf if high is None else high
    outside = (ratings < low) | (ratings > high)
    if outside.any():
        raise ValueError(
            f"`ratings` must be from `low` (={low}) to `high` (={high}), got {ratings[outside][0]}."
        )
    errors = np.clip(predictions, low, high) - ratings
    return float(np.sqrt(np.mean(errors**2)))


def ndcg_at_k(scores: ArrayLike, relevance: ArrayLike, k: int) -> float:
    """Return how well the first k places of rankings are used, compared to the best rankings.

    NDCG@k = DCG@k / DCG@k of the best order,  DCG@k = Σ_{r=1}^{k} relevance_r / log₂(r + 1)

    relevance_r is the relevance of the item at place r when the largest score comes first.

    This is `sklearn.metrics.ndcg_score`, but for rows without any relevant item: their NDCG is 0/0.
    scikit-learn counts them as 0, which makes a recommender look worse for users who have nothing
    to find. Here they do not count.

    Args:
        scores: the score of each item, one row for each user or query, shape (N, items).
        relevance: how relevant each item is, at least 0, shape (N, items).
        k: the number of places.

    Returns:
        The mean over the rows that have a relevant item, from 0 to 1.

    Raises:
        ValueError: if the shapes do not fit, a relevance is negative, no row has a relevant item,
            or `k` is smaller than 1 or larger than the number of items.

    Source:
        Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM
        Transactions on Information Systems 2002; the discount log₂(r + 1) of Burges et al.,
        "Learning to rank using gradient descent", ICML 2005.

    Example:
        >>> scores = [[0.9, 0.5, 0.1], [0.9, 0.5, 0.1]]
        >>> relevance = [[0, 1, 0], [0, 0, 0]]  # The second user likes nothing.
        >>> round(ndcg_at_k(scores, relevance, k=2), 4)  # 1 / log2(3)
        0.6309

    Taught in: book/training/evaluation.md
    """
    scores, relevance = np.asarray(scores), np.asarray(relevance)
    if scores.ndim != 2 or scores.shape != relevance.shape:
        raise ValueError(
            f"`scores` (of shape {scores.shape}) and `relevance` (of shape {relevance.shape}) must "
            "have one shape (N, items)."
        )
    _check_k(k, scores.shape[1])
    if (relevance < 0).any():
        raise ValueError(f"`relevance` must be at least 0, got {relevance.min()}.")
    counts = (relevance > 0).any(axis=1)
    if not counts.any():
        raise ValueError("`relevance` has no row with a relevant item.")
    return float(ndcg_score(relevance[counts], scores[counts], k=k))


def hit_rate_at_k(scores: ArrayLike, targets: ArrayLike, k: int) -> float:
    """Return the share of rows whose target is one of the k items with the largest scores.

    HR@k = (1/N) Σᵢ [rankᵢ ≤ k],  rankᵢ = number of items with at least the score of targetᵢ

    An item with the score of the target counts as ranked before it, so a model that gives all items
    one score hits nothing. (`sklearn.metrics.top_k_accuracy_score` breaks such ties by the number
    of the class.)

    Args:
        scores: the score of each item, one row for each user or query, shape (N, items).
        targets: the item that each row should find, an integer, shape (N,).
        k: the number of places.

    Returns:
        A share from 0 to 1.

    Raises:
        ValueError: if the shapes do not fit, there is no row, a score is NaN, a target is no item,
            or `k` is smaller than 1 or larger than the number of items.

    Source:
        He et al., "Neural collaborative filtering", WWW 2017, section 4.1.

    Example:
        >>> scores = [[0.9, 0.5, 0.1], [0.9, 0.5, 0.1]]
        >>> hit_rate_at_k(scores, [1, 2], k=2)  # Places 2 and 3.
        0.5

    Taught in: book/training/evaluation.md
    """
    scores, targets = np.asarray(scores), np.asarray(targets)
    if scores.ndim != 2 or len(scores) == 0 or targets.shape != scores.shape[:1]:
        raise ValueError(
            f"`scores` (of shape {scores.shape}) and `targets` (of shape {targets.shape}) must "
            "have the shapes (N, items) and (N,), N at least 1."
        )
    _check_k(k, scores.shape[1])
    _check_classes("targets", targets, scores.shape[1])
    if np.isnan(scores).any():
        raise ValueError("`scores` must be numbers, got NaN.")
    own = np.take_along_axis(scores, targets[:, None], axis=1)  # (N, items) -> (N, 1)
    ranks = (scores >= own).sum(axis=1)  # The target itself counts as 1.
    return float((ranks <= k).mean())


def _check_k(k: int, items: int) -> None:
    if not 1 <= k <= items:
        raise ValueError(f"`k` (={k}) must be from 1 to the number of items, {items}.")


def _check_classes(name: str, classes: np.ndarray, count: int) -> None:
    if not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"`{name}` (of type {classes.dtype}) must be integers.")
    outside = (classes < 0) | (classes >= count)
    if outside.any():
        raise ValueError(f"`{name}` must be from 0 to {count - 1}, got {classes[outside][0]}.")

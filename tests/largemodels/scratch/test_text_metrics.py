"""BLEU equals sacrebleu's; METEOR has the numbers that its formula gives by hand."""

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch.text_metrics import clipped_precision, corpus_bleu, meteor


def words(text: str) -> list[str]:
    return text.split()


texts = st.lists(st.sampled_from("abcd"), min_size=1, max_size=12)


@given(
    corpus=st.lists(
        st.tuples(texts, st.lists(texts, min_size=2, max_size=2)), min_size=1, max_size=4
    )
)
@settings(deadline=None, max_examples=80)
def test_bleu_equals_sacrebleu(corpus: list[tuple[list[str], list[list[str]]]]) -> None:
    hypotheses = [hypothesis for hypothesis, _ in corpus]
    references = [own for _, own in corpus]
    expected = sacrebleu.corpus_bleu(
        [" ".join(hypothesis) for hypothesis in hypotheses],
        [[" ".join(own[i]) for own in references] for i in range(2)],
        tokenize="none",
        smooth_method="none",
        force=True,
    ).score
    assert 100 * corpus_bleu(hypotheses, references) == pytest.approx(expected, abs=1e-6)


def test_a_word_counts_as_often_as_one_reference_has_it() -> None:
    # The example of the paper, section 2.1.
    references = [
        words("the cat is on the mat"),
        words("there is a cat on the mat"),
    ]
    assert clipped_precision(words("the the the the the the the"), references, 1) == (
        2,
        7,
    )


# By hand: matches m, chunks c, P = m / hypothesis words, R = m / reference words.
@pytest.mark.parametrize(
    ("hypothesis", "matches", "chunks"),
    [
        ("the cat sat on the mat", 6, 1),
        ("on the mat sat the cat", 6, 6),  # Fewest crossings: each "the" goes straight across.
        ("the cat was sat on the mat", 6, 2),
        ("a cat sat there", 2, 1),
        ("the mat", 2, 1),  # The second "the" of the reference, next to "mat".
        ("the", 1, 1),
        ("dog", 0, 0),
    ],
)
def test_meteor_is_what_the_formula_gives_by_hand(
    hypothesis: str, matches: int, chunks: int
) -> None:
    reference = words("the cat sat on the mat")
    expected = 0.0
    if matches:
        precision, recall = matches / len(hypothesis.split()), matches / len(reference)
        mean = 10 * precision * recall / (recall + 9 * precision)
        expected = mean * (1 - 0.5 * (chunks / matches) ** 3)
    assert meteor(hypothesis.split(), reference) == pytest.approx(expected)


def test_meteor_and_bleu_disagree() -> None:
    # Right words without an order: BLEU, of 4-grams, sees nothing; METEOR half.
    reference, scrambled = (
        words("we sat on the old mat"),
        words("mat the on old sat we"),
    )
    assert corpus_bleu([scrambled], [[reference]]) == 0
    assert meteor(scrambled, reference) == pytest.approx(0.5)


@given(hypothesis=texts, reference=texts)
@settings(deadline=None, max_examples=60)
def test_meteor_is_a_share_and_no_text_beats_the_reference(
    hypothesis: list[str], reference: list[str]
) -> None:
    value = meteor(hypothesis, reference)
    assert 0 <= value <= meteor(reference, reference) <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clipped_precision(["a"], [], 1), "`references` is empty"),
        (lambda: clipped_precision(["a"], [["a"]], 0), r"`n` \(=0\) must be at least 1"),
        (lambda: corpus_bleu([], []), "`hypotheses` is empty"),
        (lambda: corpus_bleu([["a"]], []), r"`references` \(of length 0\) must have a list"),
        (lambda: corpus_bleu([["a"]], [[["a"]]], 0), r"`max_n` \(=0\) must be at least 1"),
        (lambda: meteor([], ["a"]), "must hold at least one token"),
    ],
)
def test_errors_name_argument_and_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

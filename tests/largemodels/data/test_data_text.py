"""A vocabulary numbers the frequent words of the training texts, and stands by it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from largemodels.data.text import PADDING, UNKNOWN, Vocabulary, words

TEXTS = ["The film is good.", "The film, the story: bad!", "A good story; so good."]


def test_counts_equal_scikit_learn() -> None:
    counter = CountVectorizer(tokenizer=words, token_pattern=None)
    totals = counter.fit_transform(TEXTS).sum(axis=0).A1
    ranked = sorted(zip(-totals, counter.get_feature_names_out(), strict=True))
    vocabulary = Vocabulary(TEXTS)
    assert vocabulary.tokens[2:] == [word for _, word in ranked]
    frequent = Vocabulary(TEXTS, min_count=2).tokens[2:]
    assert frequent == [word for count, word in ranked if count <= -2]


def test_only_the_most_frequent_words_get_a_number() -> None:
    vocabulary = Vocabulary(TEXTS, size=4)
    assert vocabulary.tokens == ["<pad>", "<unk>", "good", "the"]
    assert len(vocabulary) == 4
    np.testing.assert_array_equal(vocabulary.encode(["the bad"], 3), [[3, UNKNOWN, PADDING]])


@given(texts=st.lists(st.text("ab c'.<", max_size=12), min_size=1, max_size=5))
def test_what_is_encoded_comes_back(texts: list[str]) -> None:
    vocabulary = Vocabulary(texts, size=100)
    longest = max(1, *(len(words(text)) for text in texts))
    numbers = vocabulary.encode(texts, longest)
    assert numbers.shape == (len(texts), longest)
    for row, text in zip(numbers, texts, strict=True):
        assert vocabulary.decode(row) == (" ".join(words(text)) or "<unk>")


def test_a_long_text_loses_its_end_or_its_beginning() -> None:
    vocabulary = Vocabulary(["a b c d"])
    assert vocabulary.decode(vocabulary.encode(["a b c d"], 2)[0]) == "a b"
    assert vocabulary.decode(vocabulary.encode(["a b c d"], 2, keep="last")[0]) == "c d"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Vocabulary(TEXTS, size=1), r"`size` \(=1\) must be at least 2"),
        (lambda: Vocabulary(TEXTS, min_count=0), r"`min_count` \(=0\) must be at least 1"),
        (lambda: Vocabulary(TEXTS).encode(TEXTS, 0), r"`length` \(=0\) must be at least 1"),
        (lambda: Vocabulary(TEXTS).encode(TEXTS, 2, keep="all"), r"`keep` \(='all'\) must be"),
    ],
)
def test_errors_name_argument_and_value(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()

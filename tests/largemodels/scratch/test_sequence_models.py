"""The character model and the text classifier equal PyTorch's, and they learn."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence

from largemodels.scratch import (
    GRU,
    LSTM,
    RNN,
    Adam,
    BCEWithLogitsLoss,
    CharRNN,
    CrossEntropyLoss,
    Layer,
    LSTMClassifier,
    clip_grad_norm,
    fit,
    generate_greedy,
)

RECURRENT = [RNN, LSTM, GRU]


class TorchTwin(torch.nn.Module):
    """The same network as a practitioner writes it, with the same names."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        embedding, recurrent, linear = model.embedding, model.recurrent, model.linear
        self.embedding = torch.nn.Embedding(
            embedding.num_embeddings, embedding.embedding_dim, padding_idx=embedding.padding_idx
        )
        layer = getattr(torch.nn, type(recurrent).__name__)
        self.recurrent = layer(recurrent.input_size, recurrent.hidden_size, batch_first=True)
        self.linear = torch.nn.Linear(linear.in_features, linear.out_features)
        self.double().load_state_dict(
            {key: torch.from_numpy(value) for key, value in model.state_dict().items()}
        )


def assert_equal(ours: Any, theirs: torch.Tensor | None) -> None:
    assert theirs is not None
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)


def assert_equal_gradients(model: Layer, twin: torch.nn.Module) -> None:
    theirs = dict(twin.named_parameters())
    for name, parameter in model.named_parameters():
        assert_equal(parameter.grad, theirs[name].grad)


sizes = st.lists(st.integers(1, 7), min_size=4, max_size=4, unique=True)


@pytest.mark.parametrize("recurrent", RECURRENT)
@given(sizes=sizes, steps=st.integers(3, 6), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_char_rnn_equals_pytorch(recurrent: Any, sizes: list[int], steps: int, seed: int) -> None:
    n, v, d, h = sizes
    rng = np.random.default_rng(seed)
    model = CharRNN(v, d, h, recurrent=recurrent, rng=rng, dtype=np.float64)
    tokens, grad_output = rng.integers(0, v, (n, steps)), rng.standard_normal((n, steps, v))
    state = [rng.standard_normal((1, n, h)) for _ in range(2 if recurrent is LSTM else 1)]
    ours = tuple(state) if recurrent is LSTM else state[0]
    logits = model(tokens, ours)
    model.backward(grad_output)

    twin = TorchTwin(model)
    theirs = [torch.from_numpy(s) for s in state]
    output, last = twin.recurrent(
        twin.embedding(torch.from_numpy(tokens)), tuple(theirs) if recurrent is LSTM else theirs[0]
    )
    torch_logits = twin.linear(output)
    torch_logits.backward(torch.from_numpy(grad_output))
    assert_equal(logits, torch_logits)
    if recurrent is LSTM:
        for a, b in zip(model.state, last, strict=True):
            assert_equal(a, b)
    else:
        assert_equal(model.state, last)
    assert_equal_gradients(model, twin)


@given(sizes=sizes, classes=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_classifier_equals_pytorch_with_packed_sequences(
    sizes: list[int], classes: int, seed: int
) -> None:
    n, v, d, h = sizes
    rng = np.random.default_rng(seed)
    model = LSTMClassifier(v + 1, d, h, classes, padding_idx=0, rng=rng, dtype=np.float64)
    lengths = rng.integers(1, 7, n)
    tokens = rng.integers(1, v + 1, (n, lengths.max()))
    tokens[np.arange(lengths.max()) >= lengths[:, None]] = 0
    grad_output = rng.standard_normal((n, classes))
    logits = model(tokens)
    model.backward(grad_output)

    twin = TorchTwin(model)
    packed = pack_padded_sequence(
        twin.embedding(torch.from_numpy(tokens)), lengths, batch_first=True, enforce_sorted=False
    )
    _, (h_n, _) = twin.recurrent(packed)
    torch_logits = twin.linear(h_n[-1])
    torch_logits.backward(torch.from_numpy(grad_output))
    assert_equal(logits, torch_logits)
    assert_equal_gradients(model, twin)


def test_without_padding_every_token_counts() -> None:
    model = LSTMClassifier(3, 4, 5, 2, rng=np.random.default_rng(0))
    assert not np.allclose(model(np.array([[1, 2, 0]])), model(np.array([[1, 2]])))


def test_padding_inside_a_text_is_read() -> None:
    model = LSTMClassifier(3, 4, 5, 2, padding_idx=0, rng=np.random.default_rng(0))
    texts = np.array([[1, 0, 2, 0], [1, 2, 0, 0], [1, 0, 1, 0]])
    first, no_gap, other_end = model(texts)
    assert not np.allclose(first, no_gap)
    assert not np.allclose(first, other_end)


def test_the_state_carries_on_where_a_text_was_cut() -> None:
    model = CharRNN(5, 3, 4, rng=np.random.default_rng(0), dtype=np.float64)
    tokens = np.random.default_rng(1).integers(0, 5, (2, 7))
    assert model.state is None
    whole = model(tokens)
    first = model(tokens[:, :3])
    second = model(tokens[:, 3:], model.state)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-12)


# Learning.


@pytest.mark.parametrize("recurrent", RECURRENT)
def test_char_rnn_memorises_a_sentence(recurrent: Any) -> None:
    sentence = "the cat sat on the mat, the dog at the door."
    alphabet = sorted(set(sentence))
    text = np.array([[alphabet.index(character) for character in sentence]])
    model = CharRNN(len(alphabet), 16, 32, recurrent=recurrent, rng=np.random.default_rng(0))
    loss, optimizer = CrossEntropyLoss(), Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        logits = model(text[:, :-1])
        value = loss(logits.reshape(-1, len(alphabet)), text[:, 1:].ravel())
        model.backward(loss.backward().reshape(logits.shape))
        clip_grad_norm(model.parameters(), 5.0)
        optimizer.step()
    assert value < 0.1
    written = generate_greedy(lambda t: model(t)[:, -1], text[:, :2], len(sentence) - 2)
    assert "".join(alphabet[token] for token in written[0]) == sentence


def test_classifier_learns_what_the_first_token_says() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 12, 400)
    tokens = rng.integers(2, 10, (400, 12))
    tokens[np.arange(12) >= lengths[:, None]] = 0
    model = LSTMClassifier(10, 8, 16, 2, padding_idx=0, rng=rng)
    history = fit(
        model,
        CrossEntropyLoss(),
        Adam(model.parameters(), lr=0.02),
        tokens,
        (tokens[:, 0] > 5).astype(int),
        epochs=8,
        batch_size=20,
        rng=rng,
        progress=False,
    )
    assert history.accuracy[-1] > 0.98


def test_one_output_makes_a_binary_classifier() -> None:
    model, loss = LSTMClassifier(5, 3, 4, num_classes=1), BCEWithLogitsLoss()
    loss(model(np.array([[1, 2], [3, 4]])), np.array([[0.0], [1.0]], np.float32))
    model.backward(loss.backward())
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {np.dtype("f4")}


# What a model owes to its user.


@pytest.fixture(params=["CharRNN", "LSTMClassifier"])
def model(request: pytest.FixtureRequest) -> Layer:
    rng = np.random.default_rng(0)
    if request.param == "CharRNN":
        return CharRNN(6, 3, 4, rng=rng)
    return LSTMClassifier(6, 3, 4, 2, padding_idx=0, rng=rng)


def test_dtype_is_kept_and_inputs_stay_untouched(model: Layer) -> None:
    tokens = np.array([[1, 2, 3], [4, 5, 0]])
    tokens.flags.writeable = False
    logits = model(tokens)
    grad_output = np.ones_like(logits)
    grad_output.flags.writeable = False
    model.backward(grad_output)
    assert logits.dtype == np.float32
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {np.dtype("f4")}
    assert all(p.grad is not None for p in model.parameters())


def test_backward_before_forward_is_an_error_and_pickling_keeps_the_numbers(model: Layer) -> None:
    tokens = np.array([[1, 2, 3]])
    logits = model(tokens)
    copy = pickle.loads(pickle.dumps(model))
    with pytest.raises(RuntimeError, match="call forward before backward"):
        copy.backward(np.ones_like(logits))
    np.testing.assert_array_equal(copy(tokens), logits)
    assert repr(copy) == repr(model)
    assert "(recurrent): LSTM(3, 4, batch_first=True)" in repr(model)


def test_errors_name_argument_and_value(model: Layer) -> None:
    for bad in [(3,), (2, 0), (1, 2, 3)]:
        with pytest.raises(ValueError, match=r"`tokens` must have shape \(N, T\)"):
            model(np.ones(bad, int))
    with pytest.raises(ValueError, match="`tokens` must be from 0 to 5, got 1 to 6"):
        model(np.array([[1, 6]]))
    logits = model(np.array([[1, 2, 3]]))
    with pytest.raises(ValueError, match="`grad_output` must have shape"):
        model.backward(np.ones((2, *logits.shape[1:])))


def test_a_text_of_nothing_but_padding_is_an_error() -> None:
    model = LSTMClassifier(6, 3, 4, 2, padding_idx=0)
    with pytest.raises(ValueError, match="`tokens` holds nothing but padding in row 1"):
        model(np.array([[1, 0], [0, 0]]))

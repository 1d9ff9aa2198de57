"""Each rule of the weight mover gives equal outputs; what has no rule gives an error."""

import copy
import os
import re

# Before TensorFlow starts, which otherwise reports its build options.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import torch
from keras import layers
from torch import nn

from largemodels import scratch
from largemodels.models.weights import copy_from_keras, copy_to_keras, copy_to_scratch, keras_arrays

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def randomize(model: nn.Module) -> nn.Module:
    """Give all arrays numbers that must count, also those that start at 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    return model


def sequential(*parts: keras.layers.Layer, shape: tuple[int, ...]) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *parts])


def assert_moved(torch_model: nn.Module, keras_model: keras.Model, *inputs: np.ndarray) -> None:
    copy_to_keras(randomize(torch_model), keras_model)
    expected = torch_model(*map(torch.from_numpy, inputs))
    if isinstance(expected, tuple):  # A recurrent layer also returns its last state.
        expected = expected[0]
    np.testing.assert_allclose(keras_model(*inputs), expected.detach().numpy(), **CLOSE)
    assert_moves_back(keras_model, torch_model, *map(torch.from_numpy, inputs))


def assert_moves_back(
    keras_model: keras.Model, torch_model: nn.Module, *inputs: torch.Tensor
) -> None:
    expected, emptied = torch_model(*inputs), copy.deepcopy(torch_model)
    with torch.no_grad():
        for parameter in emptied.parameters():
            parameter.fill_(torch.nan)
    copy_from_keras(keras_model, emptied)
    torch.testing.assert_close(emptied(*inputs), expected, rtol=1e-5, atol=1e-5)


RECURRENT = {
    "rnn": (nn.RNN, layers.SimpleRNN),
    "lstm": (nn.LSTM, layers.LSTM),
    "gru": (nn.GRU, layers.GRU),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("kind", RECURRENT)
def test_a_recurrent_layer_moves(
    kind: str, num_layers: int, bidirectional: bool, bias: bool
) -> None:
    make_torch, make_keras = RECURRENT[kind]
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "bias": bias}
    torch_model = make_torch(3, 4, batch_first=True, **options)
    parts = [make_keras(4, return_sequences=True, use_bias=bias) for _ in range(num_layers)]
    if bidirectional:
        parts = [layers.Bidirectional(part) for part in parts]
    assert_moved(torch_model, sequential(*parts, shape=(None, 3)), numbers(2, 6, 3))


@pytest.mark.parametrize(
    ("make_torch", "make_keras"), [(nn.LSTMCell, layers.LSTMCell), (nn.GRUCell, layers.GRUCell)]
)
def test_a_recurrent_cell_moves(make_torch: type, make_keras: type) -> None:
    torch_model, x = randomize(make_torch(3, 4)), numbers(2, 6, 3)
    keras_model = sequential(layers.RNN(make_keras(4)), shape=(None, 3))
    copy_to_keras(torch_model, keras_model)
    state = None
    for step in torch.from_numpy(x).unbind(1):
        state = torch_model(step, state)
    h = state[0] if isinstance(state, tuple) else state
    np.testing.assert_allclose(keras_model(x), h.detach().numpy(), **CLOSE)


@pytest.mark.parametrize("recurrent", [scratch.LSTM, scratch.GRU])
def test_a_recurrent_layer_moves_from_scratch(recurrent: type) -> None:
    model = scratch.CharRNN(7, 3, 4, recurrent=recurrent, rng=np.random.default_rng(0))
    make_keras = RECURRENT[recurrent.__name__.lower()][1]
    keras_model = sequential(
        layers.Embedding(7, 3), make_keras(4, return_sequences=True), layers.Dense(7), shape=(None,)
    )
    for parameter in model.parameters():
        parameter.data[...] = numbers(*parameter.data.shape)
    copy_to_keras(model, keras_model)
    tokens = np.array([[0, 6, 2, 3, 1]])
    np.testing.assert_allclose(keras_model(tokens), model(tokens), **CLOSE)
    other = scratch.CharRNN(7, 3, 4, recurrent=recurrent, rng=np.random.default_rng(1))
    copy_from_keras(keras_model, other)
    np.testing.assert_allclose(other(tokens), model(tokens), **CLOSE)


def attention_twin(width: int, num_heads: int, **options: object) -> keras.Model:
    query, key, value = (keras.Input((None, width)) for _ in range(3))
    attention = layers.MultiHeadAttention(num_heads, width // num_heads, **options)
    return keras.Model([query, key, value], attention(query, value, key))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_heads", [1, 2, 3])
def test_an_attention_moves(num_heads: int, bias: bool) -> None:
    torch_model = randomize(nn.MultiheadAttention(6, num_heads, bias=bias, batch_first=True))
    keras_model = attention_twin(6, num_heads, use_bias=bias)
    copy_to_keras(torch_model, keras_model)
    query, key, value = numbers(2, 4, 6), numbers(2, 5, 6), numbers(2, 5, 6)[::-1].copy()
    expected, _ = torch_model(*map(torch.from_numpy, (query, key, value)))
    actual = keras_model([query, key, value])
    np.testing.assert_allclose(actual, expected.detach().numpy(), **CLOSE)
    assert_moves_back(keras_model, torch_model, *map(torch.from_numpy, (query, key, value)))


NORMALIZATIONS = {
    "layer": (nn.LayerNorm(5), lambda: layers.LayerNormalization(epsilon=1e-5)),
    "layer without bias": (
        nn.LayerNorm(5, bias=False),
        lambda: layers.LayerNormalization(epsilon=1e-5, center=False),
    ),
    "rms": (nn.RMSNorm(5, eps=1e-5), lambda: layers.RMSNormalization(epsilon=1e-5)),
}


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_normalization_moves(name: str) -> None:
    torch_model, make_keras = NORMALIZATIONS[name]
    assert_moved(torch_model, sequential(make_keras(), shape=(3, 5)), numbers(2, 3, 5))


def test_an_embedding_moves() -> None:
    keras_model = sequential(layers.Embedding(5, 3), shape=(None,))
    assert_moved(nn.Embedding(5, 3), keras_model, np.array([[4, 0, 3]]))


def test_a_convolution_over_time_moves() -> None:
    torch_model = nn.Conv1d(3, 4, 2)
    keras_model = sequential(layers.Conv1D(4, 2), shape=(None, 3))
    copy_to_keras(randomize(torch_model), keras_model)
    x = numbers(2, 6, 3)
    expected = torch_model(torch.from_numpy(x).mT).mT.detach()
    np.testing.assert_allclose(keras_model(x), expected, **CLOSE)


class TorchBlock(nn.Module):
    """A linear layer, and a table of positions that PyTorch lists before it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.positions = nn.Parameter(torch.zeros(4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + self.positions


class KerasBlock(layers.Layer):
    def __init__(self, name_of_table: str = "positions") -> None:
        super().__init__()
        self.linear = layers.Dense(3)
        self.positions = self.add_weight(shape=(4, 3), name=name_of_table)

    def call(self, x: object) -> object:
        return self.linear(x) + self.positions


def test_plain_arrays_move_with_their_blocks() -> None:
    keras_model = sequential(layers.Dense(3), KerasBlock(), KerasBlock(), shape=(4, 2))
    torch_model = nn.Sequential(nn.Linear(2, 3), TorchBlock(), TorchBlock())
    assert_moved(torch_model, keras_model, numbers(2, 4, 2))


def test_a_plain_array_keeps_its_name() -> None:
    keras_model = sequential(KerasBlock("table"), shape=(4, 3))
    with pytest.raises(ValueError, match=r"`0` with \['positions'\] .* with \['table'\] are of"):
        copy_to_keras(nn.Sequential(TorchBlock()), keras_model)


def test_a_shared_weight_moves_once() -> None:
    embedding, head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    head.weight = embedding.weight
    keras_model = sequential(layers.Embedding(5, 3), shape=(None,))
    copy_to_keras(nn.Sequential(embedding, head), keras_model)
    np.testing.assert_array_equal(keras_model.get_weights()[0], head.weight.detach())

    shared = layers.Dense(3)
    block = keras.Sequential([keras.Input((3,)), shared])
    keras_model = sequential(block, layers.ReLU(), shared, shape=(3,))
    linear = nn.Linear(3, 3)
    assert_moved(nn.Sequential(linear, nn.ReLU(), linear), keras_model, numbers(2, 3))


def test_an_image_flattened_inside_a_block_keeps_its_order() -> None:
    inner = keras.Sequential([keras.Input((2, 3, 4)), layers.Flatten(), layers.Dropout(0.5)])
    keras_model = sequential(inner, layers.Dense(5), shape=(2, 3, 4))
    torch_model = randomize(nn.Sequential(nn.Flatten(), nn.Linear(24, 5)))
    copy_to_keras(torch_model, keras_model)
    x = numbers(2, 4, 2, 3)
    expected = torch_model(torch.from_numpy(x)).detach()
    np.testing.assert_allclose(keras_model(x.transpose(0, 2, 3, 1)), expected, **CLOSE)


def test_only_a_dense_layer_takes_a_flattened_image() -> None:
    keras_model = sequential(layers.Flatten(), layers.BatchNormalization(), shape=(2, 3, 4))
    with pytest.raises(ValueError, match="must be a Dense layer, got BatchNormalization"):
        copy_to_keras(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(24)), keras_model)


def test_a_gru_of_another_formula_is_refused() -> None:
    keras_model = sequential(layers.GRU(4, reset_after=False), shape=(None, 3))
    with pytest.raises(ValueError, match=r"`reset_after` \(=False\)"):
        copy_to_keras(nn.GRU(3, 4), keras_model)


# Kinds that do not belong together, some with equal shapes.
MISMATCHES = {
    "prelu": (nn.PReLU(3), layers.PReLU(), (3,), "different kinds"),
    "rnn for a dense layer": (nn.RNN(3, 3), layers.Dense(3), (3,), "different kinds"),
    "dense for a gru": (nn.Linear(3, 4), layers.GRU(4), (None, 3), "different kinds"),
    "no bias in Keras": (nn.LSTM(3, 4), layers.LSTM(4, use_bias=False), (None, 3), "kinds"),
    "no bias in PyTorch": (nn.GRU(3, 4, bias=False), layers.GRU(4), (None, 3), "kinds"),
    "lstm for a gru": (nn.LSTM(3, 4), layers.GRU(4), (None, 3), r"\(3, 12\), got \(3, 16\)"),
    "a projected lstm": (nn.LSTM(3, 4, proj_size=2), layers.LSTM(4), (None, 3), "number of layers"),
    "one direction": (nn.LSTM(3, 4, bidirectional=True), layers.LSTM(4), (None, 3), "number"),
    "linear for an embedding": (nn.Linear(3, 3), layers.Embedding(3, 3), (None,), "kinds"),
    "embedding for a linear": (nn.Embedding(3, 3), layers.Dense(3), (3,), "kinds"),
    "statistics": (nn.BatchNorm1d(3), layers.LayerNormalization(), (3,), "kinds"),
    "a kernel (out, in)": (
        nn.Linear(3, 3, bias=False),
        layers.EinsumDense("ab,cb->ac", 3),
        (3,),
        "kinds",
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_what_has_no_rule_is_refused(name: str) -> None:
    torch_model, layer, shape, message = MISMATCHES[name]
    keras_model = sequential(layer, shape=shape)
    before = keras_model.get_weights()
    with pytest.raises(ValueError, match=message):
        copy_to_keras(torch_model, keras_model)
    for array, old in zip(keras_model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_an_attention_of_another_width_is_refused() -> None:
    message = re.escape("must have shape (8, 8), got (6, 6)")
    with pytest.raises(ValueError, match=message):
        copy_to_keras(nn.MultiheadAttention(6, 2), attention_twin(8, 2))


def test_a_keras_model_without_weights_is_named() -> None:
    keras_model = keras.Sequential([layers.Dense(3)])  # Makes its weights at its first input.
    with pytest.raises(ValueError, match=r"`keras_model` has 0 .*"):
        keras_arrays({"weight": numbers(3, 2), "bias": numbers(3)}, keras_model)


def test_a_model_moves_from_pytorch_to_scratch() -> None:
    torch_model, model = randomize(nn.Sequential(nn.Linear(3, 4), nn.Tanh())), scratch.MLP([3, 4])
    with pytest.raises(ValueError, match="`state_dict` lacks"):
        copy_to_scratch(nn.Linear(3, 4), model)
    copy_to_scratch(torch_model, model)
    x = numbers(5, 3)
    expected = torch_model[0](torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(model(x), expected, **CLOSE)


def test_a_keras_model_of_another_kind_is_refused_and_nothing_changes() -> None:
    model = randomize(nn.GRU(3, 4, batch_first=True))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="different kinds"):
        copy_from_keras(sequential(layers.Dense(4), shape=(None, 3)), model)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name])

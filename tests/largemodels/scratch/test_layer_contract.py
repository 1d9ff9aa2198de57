"""One contract for all layers: whoever knows one layer knows how every other one behaves."""

import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Callable

import numpy as np
import pytest

from largemodels import scratch
from largemodels.scratch import Layer


class OutputOnly(Layer):
    """A layer that returns its output and its state, seen without the state."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.layer(x)[0]

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        return self.layer.backward(grad_output)[0]

    def __repr__(self) -> str:
        return repr(self.layer)


class OfTokens(Layer):
    """A layer that takes tokens from 0 to 4, fed with numbers: rounded, they have no gradient."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.saved = x
        return self.layer(np.rint(3 * x).astype(int) % 5)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        assert self.layer.backward(grad_output) is None
        return np.zeros_like(self.saved)

    def __repr__(self) -> str:
        return repr(self.layer)


class SameDraw(Layer):
    """A layer that draws random numbers, made to draw the same ones at each forward pass."""

    def __init__(self, make: Callable[[np.random.Generator], Layer]) -> None:
        self.rng = np.random.default_rng(0)
        self.start = self.rng.bit_generator.state
        self.layer = make(self.rng)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.rng.bit_generator.state = self.start
        return self.layer(x)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        return self.layer.backward(grad_output)

    def __repr__(self) -> str:
        return repr(self.layer)


class ToItself(Layer):
    """A layer of query, key and value, fed with three views of one input."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.layer(x, x[:, ::-1], 2 * x)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        grad_query, grad_key, grad_value = self.layer.backward(grad_output)
        return grad_query + grad_key[:, ::-1] + 2 * grad_value

    def __repr__(self) -> str:
        return repr(self.layer)


class OnPath(Layer):
    """A layer of a graph, fed with a path of three nodes whose edges have a direction."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def forward(self, x: np.ndarray) -> np.ndarray:
        path = np.array([[1, 2, 0], [0, 1, 3], [0, 0, 1]], x.dtype)
        return self.layer(x, path)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        return self.layer.backward(grad_output)

    def __repr__(self) -> str:
        return repr(self.layer)


class WithMemory(Layer):
    """A layer of a sequence and a memory, fed with two views of one input."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.layer(x, 2 * x[:, 1:])

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        grad_x, grad_memory = self.layer.backward(grad_output)
        grad_x = grad_x.copy()
        grad_x[:, 1:] += 2 * grad_memory
        return grad_x

    def __repr__(self) -> str:
        return repr(self.layer)


# Each layer of `largemodels.scratch` with the shape of an input, in which no two sizes are equal.
LAYERS: dict[str, tuple[Callable[..., Layer], tuple[int, ...]]] = {
    "Identity": (lambda dtype: scratch.Identity(), (4, 3, 2)),
    "Sigmoid": (lambda dtype: scratch.Sigmoid(), (4, 3, 2)),
    "Tanh": (lambda dtype: scratch.Tanh(), (4, 3, 2)),
    "ReLU": (lambda dtype: scratch.ReLU(), (4, 3, 2)),
    "LeakyReLU": (lambda dtype: scratch.LeakyReLU(0.2), (4, 3, 2)),
    "GELU": (lambda dtype: scratch.GELU(), (4, 3, 2)),
    "Softmax": (lambda dtype: scratch.Softmax(), (4, 3, 2)),
    "LogSoftmax": (lambda dtype: scratch.LogSoftmax(), (4, 3, 2)),
    "Linear": (lambda dtype: scratch.Linear(3, 2, dtype=dtype), (4, 3)),
    "Sequential": (
        lambda dtype: scratch.Sequential(
            scratch.Linear(3, 5, bias=False, dtype=dtype), scratch.Tanh()
        ),
        (4, 3),
    ),
    "MLP": (lambda dtype: scratch.MLP([3, 5, 2], dtype=dtype), (4, 3)),
    "Conv2d": (
        lambda dtype: scratch.Conv2d(2, 3, (3, 2), (2, 1), (1, 0), (1, 2), dtype=dtype),
        (4, 2, 5, 6),
    ),
    "MaxPool2d": (lambda dtype: scratch.MaxPool2d((3, 2), (1, 2), (1, 0)), (4, 2, 3, 5)),
    "AvgPool2d": (lambda dtype: scratch.AvgPool2d((3, 2), (1, 2), (1, 0)), (4, 2, 3, 5)),
    "GlobalAvgPool2d": (lambda dtype: scratch.GlobalAvgPool2d(), (4, 2, 3, 5)),
    "Flatten": (lambda dtype: scratch.Flatten(), (4, 2, 3, 5)),
    "ResidualBlock": (
        lambda dtype: scratch.ResidualBlock(2, 3, stride=2, dtype=dtype),
        (4, 2, 3, 5),
    ),
    "InceptionBlock": (
        lambda dtype: scratch.InceptionBlock(2, 3, 2, 4, 1, 2, 1, dtype=dtype),
        (3, 2, 4, 5),
    ),
    "LeNet": (lambda dtype: scratch.LeNet(dtype=dtype), (4, 1, 28, 28)),
    "RNN": (lambda dtype: OutputOnly(scratch.RNN(2, 3, dtype=dtype)), (4, 5, 2)),
    "LSTM": (lambda dtype: OutputOnly(scratch.LSTM(2, 3, dtype=dtype)), (4, 5, 2)),
    "GRU": (lambda dtype: OutputOnly(scratch.GRU(2, 3, dtype=dtype)), (4, 5, 2)),
    "Embedding": (lambda dtype: OfTokens(scratch.Embedding(5, 2, dtype=dtype)), (4, 3)),
    "MatrixFactorization": (
        lambda dtype: OfTokens(scratch.MatrixFactorization(5, 6, 3, mean=2, dtype=dtype)),
        (4, 3, 2),
    ),
    "SkipGram": (lambda dtype: OfTokens(scratch.SkipGram(5, 6, 3, dtype=dtype)), (4, 3)),
    "CharRNN": (lambda dtype: OfTokens(scratch.CharRNN(5, 2, 3, dtype=dtype)), (4, 6)),
    "LSTMClassifier": (
        lambda dtype: OfTokens(scratch.LSTMClassifier(5, 3, 4, 2, dtype=dtype)),
        (4, 6),
    ),
    "GraphConvolution": (
        lambda dtype: OnPath(scratch.GraphConvolution(2, 5, dtype=dtype)),
        (4, 3, 2),
    ),
    "BatchNorm1d": (lambda dtype: scratch.BatchNorm1d(3, dtype=dtype), (4, 3, 2)),
    "BatchNorm2d": (lambda dtype: scratch.BatchNorm2d(3, dtype=dtype), (4, 3, 2, 5)),
    "LayerNorm": (lambda dtype: scratch.LayerNorm((3, 2), dtype=dtype), (4, 5, 3, 2)),
    "RMSNorm": (lambda dtype: scratch.RMSNorm(3, dtype=dtype), (4, 2, 3)),
    "Dropout": (lambda dtype: SameDraw(lambda rng: scratch.Dropout(0.4, rng=rng)), (4, 3, 2)),
    "ScaledDotProductAttention": (
        lambda dtype: ToItself(scratch.ScaledDotProductAttention()),
        (4, 3, 2),
    ),
    "MultiHeadAttention": (
        lambda dtype: ToItself(scratch.MultiHeadAttention(6, 2, dtype=dtype)),
        (4, 3, 6),
    ),
    "SinusoidalEncoding": (lambda dtype: scratch.SinusoidalEncoding(6), (4, 3, 6)),
    "RotaryEmbedding": (lambda dtype: scratch.RotaryEmbedding(6), (4, 2, 3, 6)),
    "TransformerEncoderLayer": (
        lambda dtype: scratch.TransformerEncoderLayer(6, 2, 5, 0.0, scratch.GELU, dtype=dtype),
        (4, 3, 6),
    ),
    "TransformerDecoderLayer": (
        lambda dtype: WithMemory(
            scratch.TransformerDecoderLayer(6, 2, 5, 0.0, scratch.GELU, dtype=dtype)
        ),
        (4, 3, 6),
    ),
    "GPT": (
        lambda dtype: OfTokens(scratch.GPT(5, 6, 4, 2, 1, dropout=0.0, dtype=dtype)),
        (4, 6),
    ),
}
all_layers = pytest.mark.parametrize("name", LAYERS)
all_types = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def make(name: str, dtype: type = np.float64) -> tuple[Layer, np.ndarray]:
    factory, shape = LAYERS[name]
    layer = factory(dtype)
    rng = np.random.default_rng(0)
    for parameter in layer.parameters():  # Biases start at zero; here they must count.
        parameter.data[...] = rng.standard_normal(parameter.data.shape)
    return layer, rng.standard_normal(shape).astype(dtype)


def test_every_layer_is_under_contract() -> None:
    # Of every file, exported or not, what computes something: `RecurrentLayer` does not.
    layers = set()
    for module in pkgutil.iter_modules(scratch.__path__, "largemodels.scratch."):
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and issubclass(value, Layer):
                computes = value.forward is not Layer.forward and value.__name__[0] != "_"
                layers |= {value.__name__} if computes else set()
    assert layers == LAYERS.keys()
    assert layers <= set(scratch.__all__)


@all_layers
@all_types
def test_type_is_kept(name: str, dtype: type) -> None:
    layer, x = make(name, dtype)
    y = layer(x)
    grad_input = layer.backward(np.ones_like(y))
    assert y.dtype == dtype
    assert grad_input.dtype == dtype
    assert grad_input.shape == x.shape
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert parameter.grad.dtype == dtype
        assert parameter.grad.shape == parameter.data.shape


@all_layers
def test_inputs_and_parameters_are_not_modified(name: str) -> None:
    layer, x = make(name)
    parameters, x_before = [parameter.data.copy() for parameter in layer.parameters()], x.copy()
    y = layer(x)
    y_before, grad_output = y.copy(), np.random.default_rng(1).standard_normal(y.shape)
    grad_before = grad_output.copy()
    layer.backward(grad_output)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(y, y_before)
    np.testing.assert_array_equal(grad_output, grad_before)
    for parameter, before in zip(layer.parameters(), parameters, strict=True):
        np.testing.assert_array_equal(parameter.data, before)


@all_layers
def test_backward_before_forward_is_an_error(name: str) -> None:
    layer, _ = make(name)
    with pytest.raises(RuntimeError, match="call forward before backward"):
        layer.backward(np.ones((1, 2)))


@all_layers
def test_backward_assigns_and_does_not_add(name: str) -> None:
    layer, x = make(name)
    grad_output = np.ones_like(layer(x))
    first = layer.backward(grad_output)
    grads = [parameter.grad for parameter in layer.parameters()]
    np.testing.assert_array_equal(layer.backward(grad_output), first)
    for parameter, grad in zip(layer.parameters(), grads, strict=True):
        np.testing.assert_array_equal(parameter.grad, grad)


@all_layers
def test_gradient_of_a_wrong_shape_is_an_error(name: str) -> None:
    layer, x = make(name)
    y = layer(x)
    for wrong in [y[:-1], y[:, :1], y[None]]:
        with pytest.raises(ValueError, match=r"`grad_output` must have shape .*, got \("):
            layer.backward(wrong)


# LeNet's 61,706 parameters would take minutes; its layers are checked one by one.
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "LeNet"])
def test_gradient_check_passes(name: str) -> None:
    layer, x = make(name)
    result = scratch.gradient_check(layer, x, np.random.default_rng(2))
    assert result, result


@all_layers
def test_rows_of_a_batch_do_not_mix(name: str) -> None:
    layer, x = make(name)
    y = layer.eval()(x)  # While it learns, a batch normalization has to mix them.
    for i in range(len(x)):
        np.testing.assert_allclose(layer(x[i : i + 1]), y[i : i + 1], rtol=1e-12, atol=1e-12)


@all_layers
def test_pickle_keeps_the_parameters_and_drops_the_batch(name: str) -> None:
    layer, x = make(name)
    y = layer.eval()(x)
    copy = pickle.loads(pickle.dumps(layer))
    assert copy.training is False
    with pytest.raises(RuntimeError, match="call forward before backward"):
        copy.backward(y)
    np.testing.assert_array_equal(copy(x), y)


@all_layers
def test_state_dict_moves_to_a_new_layer(name: str) -> None:
    layer, x = make(name)
    other = LAYERS[name][0](np.float64)
    other.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(other(x), layer(x))


@all_layers
def test_train_and_eval_reach_all_inner_layers(name: str) -> None:
    layer, _ = make(name)

    def modes(layer: Layer) -> set[bool]:
        return {layer.training}.union(*(modes(child) for _, child in layer.named_children()))

    assert modes(layer) == {True}
    assert modes(layer.eval()) == {False}
    assert modes(layer.train()) == {True}


@all_layers
def test_repr_names_the_layer(name: str) -> None:
    layer, _ = make(name)
    assert repr(layer).startswith(f"{name}(")
    assert " at 0x" not in repr(layer)

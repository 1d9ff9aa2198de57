"""The embedding equals PyTorch's, also where a token occurs twice."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import Embedding


def assert_equal(ours: np.ndarray, theirs: torch.Tensor) -> None:
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)


@given(
    v=st.integers(1, 7),
    d=st.integers(1, 5),
    shape=st.lists(st.integers(0, 6), max_size=3).map(tuple),
    padding=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_embedding_equals_pytorch(
    v: int, d: int, shape: tuple[int, ...], padding: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    padding_idx = int(rng.integers(v)) if padding else None
    layer = Embedding(v, d, padding_idx=padding_idx, rng=rng, dtype=np.float64)
    # A padding row that learnt something elsewhere is read like any other.
    layer.weight.data[...] = rng.standard_normal((v, d))
    tokens = rng.integers(0, v, shape)
    grad_output = rng.standard_normal((*shape, d))
    output = layer(tokens)
    layer.backward(grad_output)

    twin = torch.nn.Embedding(v, d, padding_idx=padding_idx, dtype=torch.float64)
    twin.load_state_dict({"weight": torch.from_numpy(layer.state_dict()["weight"])})
    torch_output = twin(torch.from_numpy(np.asarray(tokens)))
    torch_output.backward(torch.from_numpy(grad_output))
    assert_equal(output, torch_output)
    assert layer.weight.grad is not None
    assert_equal(layer.weight.grad, twin.weight.grad)
    assert repr(layer) == repr(twin)


def test_gradients_of_a_repeated_token_add_up() -> None:
    layer = Embedding(4, 1, dtype=np.float64)
    layer(np.array([[2, 0], [2, 2]]))
    layer.backward(np.array([[[1.0], [2.0]], [[30.0], [400.0]]]))
    assert layer.weight.grad is not None
    assert layer.weight.grad.ravel().tolist() == [2, 0, 431, 0]


def test_the_padding_row_starts_at_zero_and_learns_nothing() -> None:
    layer = Embedding(4, 3, padding_idx=2)
    assert not layer.weight.data[2].any()
    assert layer.weight.data[[0, 1, 3]].all()
    layer(np.array([2, 1]))
    layer.backward(np.ones((2, 3), np.float32))
    assert layer.weight.grad is not None
    assert layer.weight.grad.any(axis=1).tolist() == [False, True, False, False]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("token_dtype", [np.uint8, np.int32, np.int64])
def test_dtype_is_kept_and_inputs_stay_untouched(dtype: type, token_dtype: type) -> None:
    layer = Embedding(5, 3, dtype=dtype)
    tokens, grad_output = np.array([[1, 4, 1]], token_dtype), np.ones((1, 3, 3), dtype)
    for array in (tokens, grad_output):
        array.flags.writeable = False  # A write raises.
    output = layer(tokens)
    output[...] = 99  # The output is no view of the table.
    layer.backward(grad_output)
    assert layer.weight.grad is not None
    assert output.dtype == layer.weight.grad.dtype == dtype
    assert (layer.weight.data != 99).all()


def test_initial_rows_are_standard_normal() -> None:
    weight = Embedding(200, 100, rng=np.random.default_rng(0)).weight.data
    assert weight.mean() == pytest.approx(0, abs=0.03)
    assert weight.std() == pytest.approx(1, abs=0.03)


def test_backward_before_forward_is_an_error() -> None:
    layer = Embedding(5, 3)
    layer(np.array([1]))
    with pytest.raises(RuntimeError, match="call forward before backward"):
        pickle.loads(pickle.dumps(layer)).backward(np.zeros((1, 3)))


def test_errors_name_argument_and_value() -> None:
    with pytest.raises(ValueError, match=r"`num_embeddings` \(=0\) must be at least 1"):
        Embedding(0, 3)
    with pytest.raises(ValueError, match=r"`embedding_dim` \(=0\) must be at least 1"):
        Embedding(3, 0)
    with pytest.raises(ValueError, match=r"`padding_idx` \(=3\) must be from 0 to 2"):
        Embedding(3, 2, padding_idx=3)
    layer = Embedding(3, 2)
    with pytest.raises(ValueError, match="`tokens` must hold integers, got float64"):
        layer(np.array([1.0]))
    with pytest.raises(ValueError, match="`tokens` must be from 0 to 2, got -1 to 1"):
        layer(np.array([1, -1]))
    with pytest.raises(ValueError, match="`tokens` must be from 0 to 2, got 1 to 3"):
        layer(np.array([1, 3]))
    layer(np.array([1, 2]))
    with pytest.raises(ValueError, match=r"`grad_output` must have shape \(2, 2\), got \(2, 3\)"):
        layer.backward(np.zeros((2, 3)))

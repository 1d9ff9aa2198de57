"""GPT and BERT: scratch, PyTorch and Keras give the same outputs and gradients, and learn."""

import os

# Before TensorFlow starts, which otherwise reports its build options.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
import torch

from largemodels import scratch
from largemodels.models import pytorch
from largemodels.models.pytorch.generation import next_token_probabilities
from largemodels.models.weights import copy_to_pytorch

# Sizes that differ from each other, so that a mix-up shows.
VOCABULARY, CONTEXT_LENGTH, D_MODEL, NHEAD, NUM_LAYERS = 11, 9, 12, 3, 2


def make_gpt(package: object, **options: object) -> object:
    sizes = VOCABULARY, CONTEXT_LENGTH, D_MODEL, NHEAD, NUM_LAYERS
    return package.GPT(*sizes, dim_feedforward=20, dropout=0.0, **options)


def texts(n: int, steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(VOCABULARY, size=(n, steps))


def assert_close(actual: object, expected: np.ndarray, tolerance: float) -> None:
    # Small gradients must agree in as many digits as large ones.
    atol = tolerance * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=atol)


def randomize(model: torch.nn.Module, seed: int = 0) -> None:
    """Give all parameters numbers that count: attention that is not uniform, biases not 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        is_norm_weight = tensor.ndim == 1 and name.endswith("weight")
        noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        tensor.copy_(1 + 0.2 * noise if is_norm_weight else 0.3 * noise)


@pytest.mark.parametrize("tie_weights", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
@pytest.mark.parametrize("steps", [1, 7, CONTEXT_LENGTH])
def test_gpt_from_scratch_and_pytorch_agree(
    dtype: type, tolerance: float, steps: int, tie_weights: bool
) -> None:
    torch_dtype = torch.float64 if dtype is np.float64 else torch.float32
    torch_model = make_gpt(pytorch, tie_weights=tie_weights).to(torch_dtype)
    scratch_model = make_gpt(scratch, tie_weights=tie_weights, dtype=dtype)
    randomize(torch_model)
    scratch_model.load_state_dict({n: a.numpy() for n, a in torch_model.state_dict().items()})
    for tensor in torch_model.state_dict().values():
        tensor.zero_()
    copy_to_pytorch(scratch_model, torch_model)

    tokens = texts(4, steps)
    upstream = np.random.default_rng(1).standard_normal((4, steps, VOCABULARY)).astype(dtype)
    logits = torch_model(torch.from_numpy(tokens))
    logits.backward(torch.from_numpy(upstream))
    assert_close(scratch_model(tokens), logits.detach().numpy(), tolerance)
    scratch_model.backward(upstream)
    gradients = {name: parameter.grad for name, parameter in torch_model.named_parameters()}
    assert gradients.keys() == dict(scratch_model.named_parameters()).keys()
    for name, parameter in scratch_model.named_parameters():
        if steps == 1 and name.endswith("in_proj_weight"):
            # One key gets all attention, whatever it is: only the value's third has a gradient.
            values = parameter.grad[2 * D_MODEL :]
            assert_close(values, gradients[name].numpy()[2 * D_MODEL :], tolerance)
            continue
        assert_close(parameter.grad, gradients[name].numpy(), tolerance)


def test_gpt_starts_as_the_scratch_model_does() -> None:
    torch.manual_seed(0)
    torch_model = pytorch.GPT(100, 70, 48, 4, 8)
    scratch_model = scratch.GPT(100, 70, 48, 4, 8, rng=np.random.default_rng(0))
    arrays = torch_model.state_dict()
    for name, expected in scratch_model.state_dict().items():
        actual = arrays[name].numpy()
        if expected.ndim == 2:
            assert actual.std() == pytest.approx(expected.std(), rel=0.1)
        else:
            np.testing.assert_array_equal(actual, expected)


def test_dropout_of_gpt_acts_in_training_only() -> None:
    model = pytorch.GPT(VOCABULARY, CONTEXT_LENGTH, D_MODEL, NHEAD, NUM_LAYERS, dropout=0.5)
    tokens = torch.from_numpy(texts(2, 5))
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


@pytest.mark.parametrize("steps", [3, CONTEXT_LENGTH, CONTEXT_LENGTH + 4])
def test_greedy_text_is_that_of_scratch_with_and_without_cache(steps: int) -> None:
    torch_model = make_gpt(pytorch).double()
    scratch_model = make_gpt(scratch, dtype=np.float64)
    randomize(torch_model)
    scratch_model.load_state_dict({n: a.numpy() for n, a in torch_model.state_dict().items()})
    tokens = texts(8, steps)
    expected = scratch.generate_greedy(
        lambda tokens: scratch_model(tokens[:, -CONTEXT_LENGTH:])[:, -1], tokens, 12
    )
    assert len(np.unique(expected[:, steps:])) > 3  # The text is not one token again and again.
    for use_cache in (True, False):
        actual = torch_model.generate(torch.from_numpy(tokens), 12, top_k=1, use_cache=use_cache)
        np.testing.assert_array_equal(actual, expected)


def test_the_cache_saves_reading() -> None:
    model = make_gpt(pytorch)
    read = []
    model.token_embedding.register_forward_hook(lambda _, x, __: read.append(x[0].shape[1]))
    model.generate(torch.zeros((1, 4), dtype=torch.long), 8)
    # Up to 9 tokens it reads each once; when the window moves, it reads the whole window again.
    assert read == [4, 1, 1, 1, 1, 1, 9, 9]


def test_generation_is_seeded_draws_from_all_and_keeps_the_mode() -> None:
    model = make_gpt(pytorch)
    tokens = torch.zeros((400, 1), dtype=torch.long)
    first, second = (
        model.generate(tokens, 2, generator=torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert model.training
    # The new model knows nothing: all tokens come about equally often.
    counts = torch.bincount(first[:, 1:].flatten(), minlength=VOCABULARY)
    assert counts.min() > 40
    assert counts.max() < 110


LOGITS = np.random.default_rng(0).standard_normal((5, VOCABULARY)) * 3


@pytest.mark.parametrize("temperature", [1e-310, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("top_k", [None, 1, 4, VOCABULARY])
@pytest.mark.parametrize("top_p", [None, 1e-9, 0.6, 1.0])
def test_next_token_probabilities_equal_those_of_scratch(
    temperature: float, top_k: int | None, top_p: float | None
) -> None:
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    ties = np.zeros((1, VOCABULARY))
    logits = np.concatenate([LOGITS, ties])
    actual = next_token_probabilities(torch.from_numpy(logits), **options)
    expected = scratch.next_token_probabilities(logits, **options)
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-15)


def test_wrong_arguments_of_generation_are_named() -> None:
    model, tokens = make_gpt(pytorch), torch.zeros((1, 1), dtype=torch.long)
    for options, message in {
        (("temperature", 0.0),): r"`temperature` \(=0.0\) must be positive",
        (("top_k", 12),): r"`top_k` \(=12\) must be from 1 to the number of tokens, 11",
        (("top_p", 0.0),): r"`top_p` \(=0.0\) must be above 0",
        (("max_new_tokens", 0),): r"`max_new_tokens` \(=0\) must be at least 1",
    }.items():
        with pytest.raises(ValueError, match=message):
            model.generate(tokens, **{"max_new_tokens": 1, **dict(options)})
    with pytest.raises(ValueError, match=r"shape \(N, T\) with T from 1 to 9, got \(1, 10\)"):
        model(torch.zeros((1, 10), dtype=torch.long))


def test_gpt_learns_one_batch_by_heart() -> None:
    torch.manual_seed(0)
    model = pytorch.GPT(VOCABULARY, 16, 32, 4, 2, dropout=0.0)
    tokens = torch.from_numpy(texts(4, 17))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(80):
        logits = model(tokens[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # The first token says which text follows only if it occurs once, so give it four.
    assert loss.item() < 0.15
    continued = model.generate(tokens[:, :4], 12, top_k=1)
    assert torch.equal(continued, tokens[:, :16])

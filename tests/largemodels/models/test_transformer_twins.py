"""GPT and BERT: scratch, PyTorch and Keras give the same outputs and gradients, and learn."""

import os

# Before TensorFlow starts, which otherwise reports its build options.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from largemodels import scratch
from largemodels.models import keras as keras_models
from largemodels.models import pytorch
from largemodels.models.masking import IGNORED, mask_tokens
from largemodels.models.pytorch.generation import next_token_probabilities
from largemodels.models.weights import copy_to_keras, copy_to_pytorch, keras_arrays

# Sizes that differ from each other, so that a mix-up shows.
VOCABULARY, CONTEXT_LENGTH, D_MODEL, NHEAD, NUM_LAYERS = 11, 9, 12, 3, 2


def make_gpt(package: object, **options: object) -> object:
    sizes = VOCABULARY, CONTEXT_LENGTH, D_MODEL, NHEAD, NUM_LAYERS
    return package.GPT(*sizes, dim_feedforward=20, dropout=0.0, **options)


def make_bert(package: object, **options: object) -> object:
    sizes = VOCABULARY, CONTEXT_LENGTH, D_MODEL, NHEAD, NUM_LAYERS
    return package.BERT(*sizes, dim_feedforward=20, dropout=0.0, **options)


def make_masked_lm(package: object) -> object:
    return package.BERTForMaskedLM(make_bert(package))


def make_classifier(package: object) -> object:
    return package.BERTForSequenceClassification(make_bert(package), 4, dropout=0.0)


def texts(n: int, steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(VOCABULARY, size=(n, steps))


def assert_close(actual: object, expected: np.ndarray, tolerance: float) -> None:
    # Small gradients must agree in as many digits as large ones.
    atol = tolerance * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=atol)


def randomize(model: torch.nn.Module, seed: int = 0) -> None:
    """Give all parameters numbers that count: attention that is not uniform, biases not 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in sorted(model.state_dict().items()):
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
    torch_model = make_gpt(pytorch, tie_weights=False).double()
    scratch_model = make_gpt(scratch, tie_weights=False, dtype=np.float64)
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


def padded_texts() -> tuple[np.ndarray, np.ndarray]:
    """Return three texts of different lengths, filled up with 0, and their segments."""
    tokens = np.random.default_rng(0).integers(1, VOCABULARY, size=(3, 7))
    tokens[1, 5:] = tokens[2, 2:] = 0
    return tokens, np.random.default_rng(1).integers(2, size=tokens.shape)


def assert_twins_agree(
    torch_model: torch.nn.Module,
    keras_model: keras.Model,
    *inputs: np.ndarray,
    **options: object,
) -> None:
    """Compare the outputs and all gradients."""
    randomize(torch_model)
    copy_to_keras(torch_model, keras_model)
    torch_y = torch_model(*map(torch.from_numpy, inputs), **options)
    upstream = np.random.default_rng(1).standard_normal(torch_y.shape, dtype=np.float32)
    torch_y.backward(torch.from_numpy(upstream))
    with tf.GradientTape() as tape:
        keras_y = keras_model(*inputs, training=True, **options)
        loss = tf.reduce_sum(keras_y * upstream)
    assert_close(keras_y, torch_y.detach().numpy(), 1e-5)

    weights = keras_model.trainable_weights
    keras_gradients = tape.gradient(loss, [weight.value for weight in weights])
    gradients = {name: p.grad.numpy() for name, p in torch_model.named_parameters()}
    expected = keras_arrays(gradients, keras_model)
    largest = max(np.abs(array).max() for array in expected)
    assert len(weights) == len(keras_model.weights) == len(expected)
    for weight, actual, gradient in zip(weights, keras_gradients, expected, strict=True):
        actual = tf.convert_to_tensor(actual).numpy()
        if weight.path.endswith("key/bias"):
            # It adds one number to all scores of a query, which softmax does not see.
            np.testing.assert_allclose(actual, 0 * gradient, atol=1e-6 * largest)
        else:
            np.testing.assert_allclose(
                actual, gradient, rtol=1e-5, atol=1e-5 * np.abs(gradient).max()
            )


@pytest.mark.parametrize("tie_weights", [True, False])
def test_gpt_twins_agree(tie_weights: bool) -> None:
    options = {"tie_weights": tie_weights}
    assert_twins_agree(make_gpt(pytorch, **options), make_gpt(keras_models, **options), texts(4, 7))


def test_gpt_moves_from_scratch_to_keras_and_writes_the_same_text() -> None:
    scratch_model, keras_model = make_gpt(scratch), make_gpt(keras_models)
    rng = np.random.default_rng(0)
    for parameter in scratch_model.parameters():
        parameter.data += 0.3 * rng.standard_normal(parameter.data.shape).astype(np.float32)
    copy_to_keras(scratch_model, keras_model)
    expected, actual = (
        scratch.generate_greedy(
            lambda tokens, model=model: np.asarray(model(tokens[:, -CONTEXT_LENGTH:]))[:, -1],
            texts(4, 5),
            8,
        )
        for model in (scratch_model, keras_model)
    )
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize("make", [make_bert, make_masked_lm])
def test_bert_twins_agree_on_texts_with_padding(make: object, is_causal: bool) -> None:
    assert_twins_agree(make(pytorch), make(keras_models), *padded_texts(), is_causal=is_causal)


def test_bert_classifiers_agree() -> None:
    assert_twins_agree(make_classifier(pytorch), make_classifier(keras_models), *padded_texts())


@pytest.mark.parametrize("is_causal", [True, False])
def test_bert_is_embeddings_and_the_encoder_blocks_of_scratch(is_causal: bool) -> None:
    model = make_bert(pytorch).double()
    randomize(model)
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    tokens, segments = padded_texts()
    norm = scratch.LayerNorm(D_MODEL, dtype=np.float64)
    norm.load_state_dict({name: arrays[f"norm.{name}"] for name in ("weight", "bias")})
    x = norm(
        arrays["token_embedding.weight"][tokens]
        + arrays["position_embedding.weight"][:7]
        + arrays["segment_embedding.weight"][segments]
    )
    for i in range(NUM_LAYERS):
        block = scratch.TransformerEncoderLayer(
            D_MODEL, NHEAD, 20, 0.0, scratch.GELU, dtype=np.float64
        )
        block.load_state_dict({n: arrays[f"blocks.layers.{i}.{n}"] for n in block.state_dict()})
        x = block(x, src_key_padding_mask=tokens == 0, is_causal=is_causal)
    actual = model(*map(torch.from_numpy, (tokens, segments)), is_causal=is_causal)
    assert_close(actual.detach().numpy(), x, 1e-10)


@pytest.mark.parametrize("package", [pytorch, keras_models])
@pytest.mark.parametrize("is_causal", [True, False])
def test_what_a_token_of_bert_can_see(package: object, is_causal: bool) -> None:
    keras.utils.set_random_seed(0)
    model = make_bert(package, padding_idx=3)
    convert = torch.from_numpy if package is pytorch else np.asarray
    if package is pytorch:
        model.eval()  # The code of PyTorch for inference is another one.
    tokens = np.array([[5, 6, 7, 8, 3, 3]])
    changed = tokens.copy()
    changed[0, 2] = 9
    with torch.no_grad():
        before, after, alone = (
            np.asarray(model(convert(t), is_causal=is_causal))[0]
            for t in (tokens, changed, tokens[:, :4])
        )
    seen = np.abs(after - before).max(axis=1) > 1e-6
    np.testing.assert_array_equal(seen[:4], [not is_causal, not is_causal, True, True])
    np.testing.assert_allclose(before[:4], alone, atol=1e-5)


@pytest.mark.parametrize("package", [pytorch, keras_models])
@pytest.mark.parametrize("name", ["BERT", "GPT"])
def test_transformers_start_with_small_weights(package: object, name: str) -> None:
    keras.utils.set_random_seed(0)  # Seeds NumPy, PyTorch and TensorFlow.
    model = getattr(package, name)(100, 70, 48, 4, 8)
    if package is pytorch:
        arrays = {path: tensor.numpy() for path, tensor in model.state_dict().items()}
        ends: tuple[str, ...] = ("out_proj.weight", "linear2.weight")
    else:
        arrays = {weight.path: weight.numpy() for weight in model.weights}
        last = [(block.self_attn.output_dense, block.linear2) for block in model.blocks]
        ends = tuple(layer.kernel.path for pair in last for layer in pair)
    matrices = {path: a for path, a in arrays.items() if a.ndim > 1 and a.size > 1000}
    # GPT has two tables, BERT three with a tiny one; PyTorch keeps query, key and value together.
    assert len(matrices) == 2 + 8 * (4 if package is pytorch else 6)
    assert len({array.flat[0] for array in matrices.values()}) == len(matrices)
    for path, array in matrices.items():
        expected = 0.02 / 4 if name == "GPT" and path.endswith(ends) else 0.02
        assert array.std() == pytest.approx(expected, rel=0.1), path
    for path, array in arrays.items():
        if path.endswith(("bias", "beta")):
            assert not array.any(), path


KERAS_MODELS = {"gpt": make_gpt, "bert": make_bert, "lm": make_masked_lm, "class": make_classifier}


@pytest.mark.parametrize("make", KERAS_MODELS.values(), ids=KERAS_MODELS)
def test_keras_transformers_can_be_saved(make: object, tmp_path: Path) -> None:
    model = make(keras_models)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    tokens, _ = padded_texts()
    np.testing.assert_array_equal(loaded(tokens), model(tokens))
    assert type(loaded) is type(model)
    assert loaded.get_config() == model.get_config()


@pytest.mark.parametrize("name", ["BERT", "GPT"])
def test_dropout_of_keras_acts_in_training_only(name: str) -> None:
    model = getattr(keras_models, name)(VOCABULARY, 9, D_MODEL, NHEAD, 1, dropout=0.5)
    tokens = texts(2, 5)
    assert not np.array_equal(model(tokens, training=True), model(tokens, training=True))
    np.testing.assert_array_equal(model(tokens), model(tokens))


@pytest.mark.parametrize("package", [pytorch, keras_models])
@pytest.mark.parametrize("name", ["BERT", "GPT"])
def test_wrong_sizes_and_tokens_are_named(package: object, name: str) -> None:
    make = getattr(package, name)
    with pytest.raises(ValueError, match=r"`d_model` \(=6\) must be divisible by `nhead` \(=4\)"):
        make(5, 8, 6, 4, 1)
    with pytest.raises(ValueError, match=r"`num_layers` \(=0\) must be at least 1"):
        make(5, 8, 6, 3, 0)
    tokens = np.zeros((1, 9), dtype=np.int64)
    with pytest.raises(ValueError, match=r"shape \(N, T\) with T from 1 to 8, got \(1, 9\)"):
        make(5, 8, 6, 3, 1)(torch.from_numpy(tokens) if package is pytorch else tokens)


def test_mask_tokens_follows_the_rule_of_the_paper() -> None:
    tokens = np.random.default_rng(0).integers(2, 50, size=(400, 100))
    tokens[:, 90:] = 0
    before = tokens.copy()
    (inputs, targets), again = (
        mask_tokens(tokens, 1, 50, special_tokens=[0], rng=np.random.default_rng(1))
        for _ in range(2)
    )
    np.testing.assert_array_equal(tokens, before)
    np.testing.assert_array_equal([inputs, targets], again)
    chosen = targets != IGNORED
    assert not chosen[:, 90:].any()
    np.testing.assert_array_equal(inputs[~chosen], tokens[~chosen])
    np.testing.assert_array_equal(targets[chosen], tokens[chosen])
    assert chosen[:, :90].mean() == pytest.approx(0.15, abs=0.01)
    read, true = inputs[chosen], tokens[chosen]
    assert (read == 1).mean() == pytest.approx(0.8, abs=0.02)
    # One in 48 random tokens is the true one.
    assert (read == true).mean() == pytest.approx(0.1 + 0.1 / 48, abs=0.015)
    random = read[(read != 1) & (read != true)]
    assert random.min() == 2  # Neither padding nor a mask is drawn.
    assert len(np.unique(random)) == 48


def test_ignored_targets_do_not_count_in_either_framework() -> None:
    logits = np.random.default_rng(0).standard_normal((2, 5, VOCABULARY), dtype=np.float32)
    targets = np.array([[3, IGNORED, 2, IGNORED, 1], [IGNORED] * 5])
    torch_loss = torch.nn.CrossEntropyLoss()(
        torch.from_numpy(logits).flatten(0, 1), torch.from_numpy(targets).flatten()
    )
    keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORED)
    assert float(keras_loss(targets, logits)) == pytest.approx(torch_loss.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, r"`share` \(=0.0\) must be above 0"),
        ({"mask_token": 5}, r"`mask_token` \(=5\) must be from 0 to `num_embeddings` − 1 \(=4\)"),
        ({"special_tokens": [0, 2, 3, 4]}, r"`special_tokens` .* must leave some tokens"),
    ],
)
def test_wrong_arguments_of_masks_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask_tokens(
            np.zeros((1, 3), dtype=int), **{"mask_token": 1, "num_embeddings": 5, **options}
        )


def counting(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return texts of a language that counts: after token v comes v + 1, from 2 to 9 and again."""
    return 2 + (rng.integers(8, size=(n, 1)) + np.arange(8)) % 8


@pytest.mark.parametrize("is_causal", [False, True])
def test_bert_learns_to_fill_masks_and_needs_both_sides(is_causal: bool) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = pytorch.BERTForMaskedLM(pytorch.BERT(10, 8, 32, 4, 2, dropout=0.0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    for _ in range(250):
        inputs, targets = mask_tokens(counting(64, rng), 1, 10, special_tokens=[0], rng=rng)
        logits = model(torch.from_numpy(inputs), is_causal=is_causal)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), torch.from_numpy(targets).flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    tokens = counting(100, rng)
    for position, can_know in {0: not is_causal, 5: True}.items():
        masked = tokens.copy()
        masked[:, position] = 1
        with torch.no_grad():
            filled = model(torch.from_numpy(masked), is_causal=is_causal).argmax(dim=2).numpy()
        right = (filled[:, position] == tokens[:, position]).mean()
        # Who sees no other token of the text can only guess one of eight.
        assert right > 0.9 if can_know else right < 0.4


@pytest.mark.parametrize("package", [pytorch, keras_models])
def test_a_classifier_trains_the_bert_that_it_is_given(package: object) -> None:
    bert = make_bert(package)
    masked_lm = package.BERTForMaskedLM(bert)
    classifier = package.BERTForSequenceClassification(bert, 4)
    assert classifier.bert is masked_lm.bert is bert
    tokens, _ = padded_texts()
    if package is pytorch:
        classifier(torch.from_numpy(tokens)).sum().backward()
        assert bert.token_embedding.weight.grad.abs().max() > 0
    else:
        before = bert.token_embedding.embeddings.numpy()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        classifier.compile("sgd", loss)
        classifier.fit(tokens, np.array([0, 1, 2]), verbose=0)
        assert np.abs(bert.token_embedding.embeddings.numpy() - before).max() > 0

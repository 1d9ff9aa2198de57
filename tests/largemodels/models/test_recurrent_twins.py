"""Recurrent networks for texts: the twins agree, padding changes nothing, and they learn."""

import os
from pathlib import Path

# Before TensorFlow starts, which otherwise reports its build options.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from largemodels import scratch
from largemodels.models.keras import recurrent as keras_models
from largemodels.models.pytorch import recurrent as pytorch
from largemodels.models.weights import copy_from_keras, copy_to_keras, copy_to_pytorch, keras_arrays

PADDING = 3  # Not 0, so that a 0 in the code shows.
TOKENS = np.array(
    [[4, 0, 6, 1, 2, 5], [6, 5, PADDING, PADDING, PADDING, PADDING], [1, 2, 6, 0, 3, 3]]
)
LENGTHS = [6, 2, 4]
TARGETS = np.array([[1, 4, 7, 0], [1, 5, 2, 3], [1, 0, 0, 6]])


def randomize(model: nn.Module, scale: float = 0.5, seed: int = 0) -> None:
    """Give all parameters numbers that must count, also those that start at 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)


def assert_close(actual: object, expected: np.ndarray) -> None:
    # Small gradients must agree in as many digits as large ones.
    atol = 1e-5 * min(1, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=atol)


def upstream(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32) / np.prod(shape)


def keras_gradients(model: nn.Module, keras_model: keras.Model) -> list[np.ndarray]:
    """Return the gradients of a PyTorch model as its Keras twin should have them."""
    gradients = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    for name in gradients:
        if name == "recurrent.bias_hh_l0":  # One of the two equal gradients of an LSTM's biases.
            gradients[name] = np.zeros_like(gradients[name])
    return keras_arrays(gradients, keras_model)


def classifiers(pooling: str) -> tuple[nn.Module, keras.Model]:
    sizes = 7, 4, 5, 2
    torch_model = pytorch.LSTMClassifier(*sizes, padding_idx=PADDING, pooling=pooling)
    keras_model = keras_models.LSTMClassifier(*sizes, padding_idx=PADDING, pooling=pooling)
    randomize(torch_model)
    copy_to_keras(torch_model, keras_model)
    # There and back again: Keras keeps only the sum of the two biases.
    copy_from_keras(keras_model, torch_model)
    assert not torch_model.recurrent.bias_hh_l0.any()
    copy_to_keras(torch_model, keras_model)
    return torch_model, keras_model


def translators() -> tuple[nn.Module, keras.Model]:
    sizes = 7, 8, 4, 5
    torch_model = pytorch.Seq2Seq(*sizes, padding_idx=PADDING)
    keras_model = keras_models.Seq2Seq(*sizes, padding_idx=PADDING)
    randomize(torch_model, scale=1.0, seed=15)  # Weights with which the texts vary.
    copy_to_keras(torch_model, keras_model)
    return torch_model, keras_model


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_classifier_twins_agree(pooling: str) -> None:
    torch_model, keras_model = classifiers(pooling)
    torch_y = torch_model(torch.from_numpy(TOKENS))
    grad_y = upstream(torch_y.shape)
    torch_y.backward(torch.from_numpy(grad_y))
    with tf.GradientTape() as tape:
        keras_y = keras_model(TOKENS)
        loss = tf.reduce_sum(keras_y * grad_y)
    parameters = [weight.value for weight in keras_model.trainable_weights]
    actual = [tf.convert_to_tensor(grad) for grad in tape.gradient(loss, parameters)]
    assert_close(keras_y, torch_y.detach().numpy())
    for grad, expected in zip(actual, keras_gradients(torch_model, keras_model), strict=True):
        assert_close(grad, expected)


def test_the_classifier_from_scratch_agrees_with_both() -> None:
    model = scratch.LSTMClassifier(7, 4, 5, 2, padding_idx=PADDING, rng=np.random.default_rng(0))
    torch_model, keras_model = classifiers("last")
    copy_to_pytorch(model, torch_model)
    copy_to_keras(model, keras_model)
    y = model(TOKENS)
    torch_y = torch_model(torch.from_numpy(TOKENS))
    grad_y = upstream(y.shape)
    model.backward(grad_y)
    torch_y.backward(torch.from_numpy(grad_y))
    assert_close(torch_y.detach().numpy(), y)
    assert_close(keras_model(TOKENS), y)
    parameters = dict(torch_model.named_parameters())
    for name, parameter in model.named_parameters():
        assert_close(parameters[name].grad.numpy(), parameter.grad)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_padding_changes_no_class(pooling: str) -> None:
    torch_model, keras_model = classifiers(pooling)
    torch_y, keras_y = torch_model(torch.from_numpy(TOKENS)), keras_model(TOKENS)
    for row, length in enumerate(LENGTHS):
        alone = TOKENS[row : row + 1, :length]
        torch.testing.assert_close(torch_model(torch.from_numpy(alone))[0], torch_y[row])
        np.testing.assert_allclose(keras_model(alone)[0], keras_y[row], rtol=1e-5, atol=1e-6)


def test_packing_gives_the_same_classes() -> None:
    model, _ = classifiers("last")
    tokens = torch.from_numpy(TOKENS)
    packed = pack_padded_sequence(model.embedding(tokens), LENGTHS, True, enforce_sorted=False)
    _, (h, _) = model.recurrent(packed)
    torch.testing.assert_close(model.linear(h[-1]), model(tokens))


@pytest.mark.parametrize("package", [pytorch, keras_models])
def test_a_text_without_padding_ends_at_its_last_token(package: object) -> None:
    model = package.LSTMClassifier(7, 4, 5, 2)
    numbers = torch.from_numpy(TOKENS) if package is pytorch else TOKENS
    changed = np.array(TOKENS)
    changed[:, -1] = 1
    other = torch.from_numpy(changed) if package is pytorch else changed
    difference = np.abs(to_numpy(model(numbers)) - to_numpy(model(other)))
    assert (difference.max(axis=1) > 1e-4).all()


def to_numpy(tensor: object) -> np.ndarray:
    return tensor.detach().numpy() if isinstance(tensor, torch.Tensor) else np.array(tensor)


def test_dropout_acts_on_one_layer_in_training_only() -> None:
    keras.utils.set_random_seed(0)  # Seeds NumPy, PyTorch and TensorFlow.
    torch_model = pytorch.LSTMClassifier(7, 4, 5, 2, dropout=0.5)
    keras_model = keras_models.LSTMClassifier(7, 4, 5, 2, dropout=0.5)
    tokens = torch.from_numpy(TOKENS)
    assert not torch.equal(torch_model(tokens), torch_model(tokens))
    assert torch.equal(torch_model.eval()(tokens), torch_model(tokens))
    assert not np.array_equal(
        keras_model(TOKENS, training=True), keras_model(TOKENS, training=True)
    )
    np.testing.assert_array_equal(keras_model(TOKENS), keras_model(TOKENS))
    # Without embeddings to drop, the dropout before the linear layer acts.
    nn.init.zeros_(torch_model.train().embedding.weight)
    keras_model.embedding.set_weights([np.zeros((7, 4))])
    assert not torch.equal(torch_model(tokens), torch_model(tokens))
    assert not np.array_equal(
        keras_model(TOKENS, training=True), keras_model(TOKENS, training=True)
    )


def test_seq2seq_twins_agree() -> None:
    torch_model, keras_model = translators()
    torch_y, torch_weights = torch_model(torch.from_numpy(TOKENS), torch.from_numpy(TARGETS))
    grad_y = upstream(torch_y.shape)
    torch_y.backward(torch.from_numpy(grad_y))
    with tf.GradientTape() as tape:
        keras_y, keras_weights = keras_model([TOKENS, TARGETS])
        loss = tf.reduce_sum(keras_y * grad_y)
    parameters = [weight.value for weight in keras_model.trainable_weights]
    actual = [tf.convert_to_tensor(grad) for grad in tape.gradient(loss, parameters)]
    assert_close(keras_y, torch_y.detach().numpy())
    assert_close(keras_weights, torch_weights.detach().numpy())
    expected = keras_gradients(torch_model, keras_model)
    # The padding token of a target is a token that the decoder reads; PyTorch keeps its row.
    rows = np.arange(8) != PADDING
    for weight, grad, array in zip(keras_model.weights, actual, expected, strict=True):
        is_table = weight.path.endswith("embeddings") and len(array) == 8
        assert_close(grad[rows] if is_table else grad, array[rows] if is_table else array)


def test_padding_changes_no_translation() -> None:
    torch_model, keras_model = translators()
    torch_y, torch_weights = torch_model(torch.from_numpy(TOKENS), torch.from_numpy(TARGETS))
    keras_y, keras_weights = keras_model([TOKENS, TARGETS])
    for weights in (torch_weights.detach().numpy(), np.array(keras_weights)):
        np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
        for row, length in enumerate(LENGTHS):
            assert (weights[row, :, length:] == 0).all()
            assert (weights[row, :, :length] > 0).all()
    for row, length in enumerate(LENGTHS):
        source, target = TOKENS[row : row + 1, :length], TARGETS[row : row + 1]
        alone, _ = torch_model(torch.from_numpy(source), torch.from_numpy(target))
        torch.testing.assert_close(alone[0], torch_y[row])
        np.testing.assert_allclose(
            keras_model([source, target])[0][0], keras_y[row], rtol=1e-5, atol=1e-6
        )


def test_the_decoder_does_not_look_ahead() -> None:
    torch_model, keras_model = translators()
    changed = np.array(TARGETS)
    changed[:, 2] = [0, 5, 1]
    before = torch_model(torch.from_numpy(TOKENS), torch.from_numpy(TARGETS))[0].detach().numpy()
    after = torch_model(torch.from_numpy(TOKENS), torch.from_numpy(changed))[0].detach().numpy()
    np.testing.assert_array_equal(after[:, :2], before[:, :2])
    assert (np.abs(after - before)[:, 2:].max(axis=-1) > 1e-4).all()
    keras_before, _ = keras_model([TOKENS, TARGETS])
    keras_after, _ = keras_model([TOKENS, changed])
    np.testing.assert_array_equal(keras_after[:, :2], keras_before[:, :2])


def test_greedy_texts_of_the_twins_agree() -> None:
    torch_model, keras_model = translators()
    options = {"start_token": 1, "max_new_tokens": 6}
    tokens, weights = torch_model.generate(torch.from_numpy(TOKENS), **options)
    keras_tokens, keras_weights = keras_model.generate(TOKENS, **options)
    assert len(np.unique(tokens)) > 3  # Not one token again and again.
    np.testing.assert_array_equal(keras_tokens, tokens)
    assert_close(keras_weights, weights.numpy())
    # Teacher forcing with the text itself says the same: each token is the most probable one.
    read = torch.cat([torch.ones(3, 1, dtype=torch.long), tokens[:, :-1]], dim=1)
    logits, read_weights = torch_model(torch.from_numpy(TOKENS), read)
    assert torch.equal(logits.argmax(dim=-1), tokens)
    torch.testing.assert_close(read_weights, weights)


def test_a_text_that_has_ended_is_filled_up() -> None:
    torch_model, keras_model = translators()
    source = torch.from_numpy(TOKENS)
    free, _ = torch_model.generate(source, start_token=1, max_new_tokens=6)
    end_token = free[0, 2].item()
    options = {"start_token": 1, "max_new_tokens": 6, "end_token": end_token}
    tokens, weights = torch_model.generate(source, **options)
    expected = free.clone()
    for row in expected:
        ends = (row == end_token).nonzero()
        if len(ends) > 0:
            row[ends[0] + 1 :] = PADDING
    assert (expected[0] == PADDING).any()
    assert torch.equal(tokens, expected[:, : tokens.shape[1]])
    assert weights.shape == (3, tokens.shape[1], 6)
    np.testing.assert_array_equal(keras_model.generate(TOKENS, **options)[0], tokens)
    # All texts have ended after the first text's third token: no more steps.
    alone, _ = torch_model.generate(source[:1], **options)
    first = (free[0] == end_token).nonzero()[0].item()
    assert alone.shape == (1, first + 1)
    assert tuple(keras_model.generate(TOKENS[:1], **options)[0].shape) == (1, first + 1)


def test_one_beam_is_the_greedy_text() -> None:
    model, _ = translators()
    source = torch.from_numpy(TOKENS[:1])

    def next_logits(tokens: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits, _ = model(source.expand(len(tokens), -1), torch.from_numpy(tokens))
        return logits[:, -1].numpy()

    greedy, _ = model.generate(source, start_token=1, max_new_tokens=4)
    (beam,) = scratch.beam_search(next_logits, np.array([1]), 4, num_beams=1)
    np.testing.assert_array_equal(beam.tokens[1:], greedy[0])
    best = scratch.beam_search(next_logits, np.array([1]), 4, num_beams=8)[0]
    assert best.log_probability > beam.log_probability - 1e-6


def reversals(rng: np.random.Generator, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return texts of 2 to 5 letters from 3 to 9, and each backwards between start and end."""
    source, target = np.zeros((n, 5), np.int64), np.zeros((n, 7), np.int64)
    for i, length in enumerate(rng.integers(2, 6, n)):
        letters = rng.integers(3, 10, length)
        source[i, :length] = letters
        target[i, : length + 2] = [1, *letters[::-1], 2]
    return torch.from_numpy(source), torch.from_numpy(target)


def test_seq2seq_learns_to_reverse() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = pytorch.Seq2Seq(10, 10, embedding_dim=16, hidden_size=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss = nn.CrossEntropyLoss(ignore_index=0)
    for _ in range(150):
        source, target = reversals(rng, 64)
        logits, _ = model(source, target[:, :-1])
        optimizer.zero_grad()
        loss(logits.flatten(0, 1), target[:, 1:].flatten()).backward()
        optimizer.step()
    source, target = reversals(rng, 300)
    tokens, _ = model.generate(source, start_token=1, end_token=2, max_new_tokens=6)
    tokens = nn.functional.pad(tokens, (0, 6 - tokens.shape[1]))
    assert (tokens == target[:, 1:]).all(dim=1).float().mean() > 0.9


def test_the_classifier_learns_from_the_first_token() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    tokens = torch.from_numpy(rng.integers(1, 6, (200, 8)))
    tokens[torch.arange(8) >= torch.from_numpy(rng.integers(2, 9, (200, 1)))] = 0
    labels = (tokens[:, 0] > 2).long()
    model = pytorch.LSTMClassifier(6, 8, 16, 2, padding_idx=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(tokens), labels).backward()
        optimizer.step()
    assert (model(tokens).argmax(dim=1) == labels).float().mean() > 0.95
    assert (model.embedding.weight[0] == 0).all()  # Padding learns nothing.


@pytest.mark.parametrize("kind", ["LSTMClassifier", "Seq2Seq"])
def test_twins_start_alike(kind: str) -> None:
    keras.utils.set_random_seed(0)  # Seeds NumPy, PyTorch and TensorFlow.
    torch_model = getattr(pytorch, kind)(300, 200, 60, 50)
    keras_model = getattr(keras_models, kind)(300, 200, 60, 50)
    arrays = {name: tensor.numpy() for name, tensor in torch_model.state_dict().items()}
    arrays = keras_arrays(arrays, keras_model)
    for weight, array in zip(keras_model.weights, arrays, strict=True):
        actual = keras.ops.convert_to_numpy(weight)
        assert actual.std() == pytest.approx(array.std(), rel=0.15), weight.path
        assert np.abs(actual.mean()) < 0.2 * array.std() + 1e-9, weight.path


@pytest.mark.parametrize("package", [pytorch, keras_models])
def test_arguments_out_of_range_are_named(package: object) -> None:
    with pytest.raises(ValueError, match=r"`hidden_size` \(=0\) must be at least 1"):
        package.LSTMClassifier(7, 4, 0, 2)
    with pytest.raises(ValueError, match=r"`pooling` \(='max'\) must be one of: last, mean"):
        package.LSTMClassifier(7, 4, 5, 2, pooling="max")
    with pytest.raises(ValueError, match=r"`embedding_dim` \(=0\) must be at least 1"):
        package.Seq2Seq(7, 8, 0, 5)
    with pytest.raises(ValueError, match=r"`padding_idx` \(=7\) must be a token .* 0 to 6"):
        package.Seq2Seq(7, 8, 4, 5, padding_idx=7)
    model, source = package.Seq2Seq(7, 8, 4, 5), np.array([[1]])
    with pytest.raises(ValueError, match=r"`max_new_tokens` \(=0\) must be at least 1"):
        model.generate(
            torch.from_numpy(source) if package is pytorch else source,
            start_token=1,
            max_new_tokens=0,
        )


def test_a_text_of_padding_is_refused() -> None:
    empty = torch.tensor([[1, 0], [0, 0]])
    with pytest.raises(ValueError, match="`tokens` holds nothing but padding in row 1"):
        pytorch.LSTMClassifier(7, 4, 5, 2, padding_idx=0)(empty)
    with pytest.raises(ValueError, match="`source` holds nothing but padding in row 1"):
        pytorch.Seq2Seq(7, 8, 4, 5)(empty, empty)
    with pytest.raises(ValueError, match=r"`tokens` must have shape \(N, T\) .* got \(2,\)"):
        pytorch.LSTMClassifier(7, 4, 5, 2)(torch.tensor([1, 2]))


def test_keras_twins_can_be_saved(tmp_path: Path) -> None:
    classifier = keras_models.LSTMClassifier(7, 4, 5, 2, padding_idx=3, pooling="mean", dropout=0.1)
    translator = keras_models.Seq2Seq(7, 8, 4, 5, padding_idx=3)
    for model, x in ((classifier, TOKENS), (translator, [TOKENS, TARGETS])):
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        for actual, expected in zip(
            tf.nest.flatten(loaded(x)), tf.nest.flatten(model(x)), strict=True
        ):
            np.testing.assert_array_equal(actual, expected)
        assert type(loaded) is type(model)
        assert loaded.get_config() == model.get_config()

"""Speech: the twins agree, the decoders add up paths, and tones become digits."""

from collections import defaultdict
from collections.abc import Callable
from itertools import product
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf
import torch

from largemodels.models import ctc, pytorch
from largemodels.models import keras as keras_models
from largemodels.models.keras.speech import ctc_loss as keras_ctc_loss
from largemodels.models.log_mel import log_mel_spectrogram, mel_filterbank
from largemodels.models.pytorch.speech import ctc_loss

RATE = 4000  # Samples per second.


def probabilities(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), shape[:-1])


def texts_of_all_paths(rows: np.ndarray) -> dict[tuple[int, ...], float]:
    """Return the probability of every text, one path after the other."""
    texts: dict[tuple[int, ...], float] = defaultdict(float)
    for path in product(range(rows.shape[1]), repeat=len(rows)):
        texts[tuple(ctc.collapse(path))] += np.prod(rows[np.arange(len(rows)), path])
    return texts


@pytest.mark.parametrize("steps", [7, 8])  # The stride of 2 meets an odd and an even length.
def test_speech_twins_agree(compare_twins: Callable[..., None], steps: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, steps, 3), dtype=np.float32)
    compare_twins(pytorch.SpeechRecognizer(3, 4, 5), keras_models.SpeechRecognizer(3, 4, 5), x)


def test_ctc_loss_twins_agree() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((3, 9, 5), dtype=np.float32)
    targets = np.array([[1, 1, 2, 4], [3, 2, 0, 0], [4, 0, 0, 0]])
    lengths = np.array([4, 2, 1])
    torch_logits = torch.from_numpy(logits).requires_grad_()
    loss = ctc_loss(torch_logits, torch.from_numpy(targets), torch.from_numpy(lengths))
    loss.backward()
    keras_logits = tf.Variable(logits)
    with tf.GradientTape() as tape:
        twin = keras_ctc_loss(keras_logits, targets, lengths)
    np.testing.assert_allclose(twin, loss.item(), rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(twin, keras_logits), torch_logits.grad, atol=1e-5)


@pytest.mark.parametrize("text", [(), (1,), (2, 2), (1, 2, 1)])
def test_ctc_loss_adds_up_all_paths(text: tuple[int, ...]) -> None:
    rows = probabilities(5, 3)
    logits = torch.from_numpy(np.log(rows) + 7)[None]  # Logits may be shifted.
    targets = torch.tensor([[*text, 0, 0, 0]])
    loss = ctc_loss(logits, targets, torch.tensor([len(text)]))
    assert np.exp(-loss.item()) == pytest.approx(texts_of_all_paths(rows)[text], rel=1e-6)


def test_a_text_that_is_too_long_is_impossible() -> None:
    logits = np.zeros((1, 4, 3), dtype=np.float32)
    targets, lengths = np.array([[1, 1, 1]]), np.array([3])  # Two blanks must part the letters.
    arguments = [torch.from_numpy(array) for array in (logits, targets, lengths)]
    assert ctc_loss(*arguments).isposinf()
    assert keras_ctc_loss(logits, targets, lengths) > 100


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ([], []),
        ([0, 0], []),
        ([1, 1, 1], [1]),
        ([1, 0, 1], [1, 1]),
        ([0, 2, 2, 0, 0, 2, 1, 1, 0], [2, 2, 1]),
    ],
)
def test_a_path_collapses(path: list[int], text: list[int]) -> None:
    assert ctc.collapse(path) == text


def test_greedy_decoding_takes_each_recording_for_itself() -> None:
    paths = np.array([[1, 1, 0, 1], [0, 2, 2, 1]])
    logits = 5 * np.eye(3)[paths] - 100  # (N, T) -> (N, T, C)
    assert ctc.greedy_decode(logits) == [[1, 1], [2, 1]]


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_prefix_beam_search_is_exact(seed: int) -> None:
    rows = probabilities(6, 3, seed=seed)
    text, log_probability = ctc.prefix_beam_search(np.log(rows), beams=1000)
    texts = texts_of_all_paths(rows)
    assert tuple(text) == max(texts, key=lambda text: texts[text])
    assert np.exp(log_probability) == pytest.approx(texts[tuple(text)])


def test_a_narrow_beam_finds_a_text_that_the_best_path_misses() -> None:
    rows = np.array([[0.6, 0.4, 0.0], [0.6, 0.4, 0.0]])
    with np.errstate(divide="ignore"):
        assert ctc.greedy_decode(np.log(rows)[None]) == [[]]
        text, log_probability = ctc.prefix_beam_search(np.log(rows), beams=2)
    assert text == [1]
    assert np.exp(log_probability) == pytest.approx(0.64)


@pytest.mark.parametrize(
    ("said", "heard", "changes"),
    [
        ("kitten", "sitting", 3),
        ("abc", "", 3),
        ("abc", "xabc", 1),
        ("abc", "abc", 0),
        ("a", "bc", 2),
    ],
)
def test_errors_are_the_fewest_changes(said: str, heard: str, changes: int) -> None:
    assert ctc.word_error_rate([said], [heard]) == changes / len(said)


def test_the_error_rate_counts_all_recordings_together() -> None:
    rate = ctc.word_error_rate([["a"], ["b", "c", "d"]], [["x"], ["b", "c", "d"]])
    assert rate == 1 / 4  # Not the mean of 1 and 0.


def test_the_filterbank_equals_tensorflows() -> None:
    expected = tf.signal.linear_to_mel_weight_matrix(13, 129, 8000, 0.0, 4000.0)
    np.testing.assert_allclose(mel_filterbank(13, 256, 8000), expected, atol=1e-5)


def test_the_spectrogram_equals_scipys() -> None:
    signal = np.random.default_rng(0).standard_normal((2, 1003), dtype=np.float32)
    transform = scipy.signal.ShortTimeFFT(scipy.signal.get_window("hann", 100), 40, RATE)
    spectrum = np.abs(transform.stft(signal, p0=2, p1=25, k_offset=-30)) ** 2
    frames = log_mel_spectrogram(signal, RATE, n_mels=8)
    assert frames.shape == (2, 23, 8)
    expected = np.log(spectrum.swapaxes(-1, -2) @ mel_filterbank(8, 100, RATE))
    np.testing.assert_allclose(frames, expected, rtol=1e-4)


def test_silence_has_a_floor() -> None:
    frames = log_mel_spectrogram(np.zeros(200), RATE, n_mels=8)
    np.testing.assert_allclose(frames, np.log(1e-6), rtol=1e-6)


def tones(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return recordings of three to five tones each, their numbers, and how many they are."""
    rng = np.random.default_rng(seed)
    signals = rng.normal(scale=0.1, size=(count, RATE))
    lengths = rng.integers(3, 6, count)
    targets = np.zeros((count, 5), dtype=np.int64)
    for signal, target, length in zip(signals, targets, lengths, strict=True):
        target[:length] = rng.integers(1, 6, length)
        start = 0
        for digit in target[:length]:
            start += rng.integers(120, 300)  # A pause of 30 to 75 milliseconds,
            time = np.arange(rng.integers(240, 480)) / RATE  # and 60 to 120 of a tone.
            frequency = 300 * digit * rng.uniform(0.95, 1.05)
            signal[start : start + len(time)] += np.sin(2 * np.pi * frequency * time)
            start += len(time)
    return log_mel_spectrogram(signals, RATE, n_mels=20), targets, lengths


def test_tones_become_digits() -> None:
    frames, targets, lengths = map(torch.from_numpy, tones(512, seed=0))
    torch.manual_seed(0)
    model = pytorch.SpeechRecognizer(20, num_classes=6, hidden=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(4):
        for rows in torch.randperm(512).split(32):
            optimizer.zero_grad()
            ctc_loss(model(frames[rows]), targets[rows], lengths[rows]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    frames, targets, lengths = tones(100, seed=1)
    with torch.no_grad():
        logits = model(torch.from_numpy(frames))
    said = [target[:length].tolist() for target, length in zip(targets, lengths, strict=True)]
    # Measured: 0 to 0.003 with four seeds.
    assert ctc.word_error_rate(said, ctc.greedy_decode(logits)) < 0.02


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"`path` must have shape \(T,\), got \(1, 2\)"):
        ctc.collapse([[1, 2]])
    with pytest.raises(ValueError, match=r"`logits` must have shape \(N, T, C\), got \(4, 3\)"):
        ctc.greedy_decode(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"shape \(T, C\), got \(1, 4, 3\)"):
        ctc.prefix_beam_search(np.zeros((1, 4, 3)))
    with pytest.raises(ValueError, match=r"`beams` \(=0\) must be at least 1"):
        ctc.prefix_beam_search(np.log(probabilities(4, 3)), beams=0)
    with pytest.raises(ValueError, match=r"got a sum of 3\. For logits, take the log-softmax"):
        ctc.prefix_beam_search(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"`hypotheses` .*must have one for each of the 2"):
        ctc.word_error_rate([["a"], ["b"]], [["a"]])
    with pytest.raises(ValueError, match="`references` must have at least one word"):
        ctc.word_error_rate([[]], [["a"]])
    with pytest.raises(ValueError, match=r"`n_mels` \(=0\)"):
        mel_filterbank(0, 256, 8000)
    with pytest.raises(ValueError, match=r"`n_mels` \(=80\) is too large for `n_fft` \(=64\)"):
        mel_filterbank(80, 64, 8000)
    with pytest.raises(ValueError, match=r"`hop` \(=0\) must last at least one sample"):
        log_mel_spectrogram(np.zeros(1000), RATE, hop=0)
    with pytest.raises(ValueError, match=r"shape \(99,\)\) must have at least 100 samples"):
        log_mel_spectrogram(np.zeros(99), RATE)


def test_a_keras_recognizer_can_be_saved(tmp_path: Path) -> None:
    model = keras_models.SpeechRecognizer(3, 4, 5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).standard_normal((2, 7, 3), dtype=np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert type(loaded) is type(model)
    assert loaded.get_config() == model.get_config()

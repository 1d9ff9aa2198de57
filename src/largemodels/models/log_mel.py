"""Sound as a picture: the log-mel spectrogram, the input of most speech models."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

__all__ = ["log_mel_spectrogram", "mel_filterbank"]


def mel_filterbank(n_mels: int, n_fft: int, sample_rate: float) -> np.ndarray:
    """Return triangles that sum the frequencies of a spectrum as the ear does.

    mel(f) = 2595 log₁₀(1 + f / 700)

    The ear tells 100 Hz from 200 Hz well, and 5000 Hz from 5100 Hz hardly. So the centres of the
    triangles lie at equal steps in mel, from 0 to half the sample rate. Each triangle starts and
    ends at the centres of its neighbours, straight in mel.

    Args:
        n_mels: the number M of triangles.
        n_fft: the number of samples of a window; its spectrum has n_fft // 2 + 1 frequencies.
        sample_rate: in samples per second.

    Returns:
        The weights, shape (n_fft // 2 + 1, M); the frequency 0 has the weight 0.

    Raises:
        ValueError: if a number is below 1, or a triangle is so narrow that it holds no frequency.

    Source:
        Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word
        recognition in continuously spoken sentences", IEEE Transactions on Acoustics, Speech, and
        Signal Processing 1980 (triangles); the formula is that of the toolkit HTK.

    Example:
        >>> mel_filterbank(2, 8, 8000).round(2)
        array([[0.  , 0.  ],
               [0.6 , 0.4 ],
               [0.  , 0.87],
               [0.  , 0.38],
               [0.  , 0.  ]])

    Taught in: book/case_studies/speech_recognition.md
    """
    if n_mels < 1 or n_fft < 1:
        raise ValueError(f"`n_mels` (={n_mels}) and `n_fft` (={n_fft}) must be at least 1.")
    mels = _mel(np.fft.rfftfreq(n_fft, 1 / sample_rate))  # (F,)
    edges = np.linspace(0, _mel(np.array(sample_rate / 2)), n_mels + 2)
    step = edges[1]
    # A triangle is 1 at its centre and 0 one step away: (F, 1), (M,) -> (F, M).
    weights = np.maximum(0, 1 - np.abs(mels[:, None] - edges[1:-1]) / step)
    if not weights.any(axis=0).all():
        raise ValueError(
            f"`n_mels` (={n_mels}) is too large for `n_fft` (={n_fft}): a triangle holds no "
            "frequency."
        )
    return weights


def log_mel_spectrogram(
    signal: ArrayLike,
    sample_rate: float,
    *,
    n_mels: int = 40,
    window: float = 0.025,
    hop: float = 0.010,
) -> np.ndarray:
    """Return how loud each band of frequencies is at each moment.

    S[t, m] = ln(max(Σ_f |FFT(w ⊙ x_t)[f]|² B[f, m], 10⁻⁶))

    x_t is a short piece of the signal, w the Hann window, which fades the piece in and out, and B
    the triangles of `mel_filterbank`.

    Args:
        signal: the sound, usually from −1 to 1, shape (…, samples).
        sample_rate: in samples per second.
        n_mels: the number of bands.
        window: the length of a piece in seconds.
        hop: the time from the start of a piece to that of the next, in seconds.

    Returns:
        The frames, shape (…, T, n_mels), float32.

    Raises:
        ValueError: if the signal is shorter than one piece, or a length is below one sample.

    Source:
        Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word
        recognition in continuously spoken sentences", IEEE Transactions on Acoustics, Speech, and
        Signal Processing 1980, without the cosine transform.

    Example:
        >>> time = np.arange(8000) / 8000  # One second.
        >>> tone = np.sin(2 * np.pi * 440 * time)
        >>> spectrogram = log_mel_spectrogram(tone, 8000, n_mels=20)
        >>> spectrogram.shape, int(spectrogram.mean(axis=0).argmax())
        ((98, 20), 4)

    Taught in: book/case_studies/speech_recognition.md
    """
    signal = np.asarray(signal, dtype=np.float32)
    n_fft, step = round(window * sample_rate), round(hop * sample_rate)
    if n_fft < 1 or step < 1:
        raise ValueError(f"`window` (={window}) and `hop` (={hop}) must last at least one sample.")
    if signal.ndim == 0 or signal.shape[-1] < n_fft:
        raise ValueError(
            f"`signal` (of shape {signal.shape}) must have at least {n_fft} samples, a window."
        )
    pieces = sliding_window_view(signal, n_fft, axis=-1)[..., ::step, :]  # -> (…, T, n_fft)
    # The periodic Hann window: that of one sample more, without its last.
    spectrum = np.fft.rfft(pieces * np.hanning(n_fft + 1)[:-1])  # -> (…, T, F)
    energy = np.abs(spectrum) ** 2 @ mel_filterbank(n_mels, n_fft, sample_rate)  # -> (…, T, M)
    return np.log(np.maximum(energy, 1e-6)).astype(np.float32)


def _mel(frequency: np.ndarray) -> np.ndarray:
    return 2595 * np.log10(1 + frequency / 700)

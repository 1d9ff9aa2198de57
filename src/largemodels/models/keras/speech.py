"""A small speech recognizer in Keras, trained by connectionist temporal classification."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from largemodels.models.keras.saving import SavedSequential

__all__ = ["SpeechRecognizer", "ctc_loss"]


@keras.saving.register_keras_serializable(package="largemodels")
class SpeechRecognizer(SavedSequential):
    """Tell at each moment of a recording which letter sounds, or that none begins (the blank).

    logits = gru(relu(conv(x))) W + b

    The convolution looks at five frames and takes every second one. The GRU reads forwards and
    backwards, so that each output knows what was before and what comes after. Fill up short
    recordings with silence: the network learns to answer it with blanks.

    Args:
        features: the number F of features of a frame, for example the bands of
            `largemodels.models.log_mel.log_mel_spectrogram`.
        num_classes: the number C of classes: the letters and, as class 0, the blank.
        hidden: the number of filters, and of units of the GRU in each direction.
        name: the name of the model.

    Shape:
        (N, T, F) -> (N, T', C), logits, with T' = ⌊(T + 1) / 2⌋

    Source:
        Amodei et al., "Deep Speech 2: end-to-end speech recognition in English and Mandarin", ICML
        2016, section 3, with one layer of each kind.

    Example:
        >>> model = SpeechRecognizer(features=40, num_classes=11)
        >>> tuple(model(ops.zeros((2, 99, 40))).shape)
        (2, 50, 11)
        >>> model.count_params()
        64203

    Taught in: book/case_studies/speech_recognition.md
    """

    def __init__(
        self, features: int, num_classes: int, hidden: int = 64, name: str | None = None
    ) -> None:
        self.settings = {"features": features, "num_classes": num_classes, "hidden": hidden}
        super().__init__(
            [
                keras.Input((None, features)),
                # `padding="same"` would pad one frame less at the start, if T is even.
                layers.ZeroPadding1D(2),
                layers.Conv1D(hidden, 5, strides=2, kernel_initializer="he_normal"),
                layers.ReLU(),
                layers.Bidirectional(layers.GRU(hidden, return_sequences=True)),
                layers.Dense(num_classes, kernel_initializer="he_normal"),
            ],
            name=name,
        )


def ctc_loss(logits: Any, targets: Any, target_lengths: Any) -> Any:
    """Return how unlikely the texts are, whatever the moments at which their letters sound.

    L = −(1/N) Σₙ ln p(textₙ);  p(text) = Σ p(path) over all paths that collapse to the text

    Nobody has to say when each letter sounds: the loss adds up all ways. The sum over the paths
    takes T' · (2 S + 1) steps, by dynamic programming.

    Args:
        logits: the outputs for N recordings, shape (N, T', C); class 0 is the blank.
        targets: the letters of each text, integers from 1, filled up at the end, shape (N, S).
        target_lengths: how many of them count, shape (N,).

    Returns:
        The mean loss of a text in nats; hundreds if a text is too long for T' outputs, for which
        PyTorch says infinite.

    Source:
        Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification", ICML
        2006, section 4.

    Example:
        >>> logits = ops.log(ops.array([[[0.6, 0.4], [0.6, 0.4]]]))
        >>> loss = ctc_loss(logits, ops.array([[1]]), ops.array([1]))
        >>> round(float(ops.exp(-loss)), 2)  # Paths 1–, –1 and 11: 0.24 + 0.24 + 0.16.
        0.64

    Taught in: book/case_studies/speech_recognition.md
    """
    n, steps, _ = ops.shape(logits)
    losses = ops.ctc_loss(targets, logits, target_lengths, ops.full((n,), steps), mask_index=0)
    return ops.mean(losses)

"""A small speech recognizer in PyTorch, trained by connectionist temporal classification."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from largemodels.models.pytorch.initialization import he_initialize

__all__ = ["SpeechRecognizer", "ctc_loss"]


class SpeechRecognizer(nn.Module):
    """Tell at each moment of a recording which letter sounds, or that none begins (the blank).

    logits = W gru(relu(conv(x))) + b

    The convolution looks at five frames and takes every second one. The GRU reads forwards and
    backwards, so that each output knows what was before and what comes after. Fill up short
    recordings with silence: the network learns to answer it with blanks.

    Args:
        features: the number F of features of a frame, for example the bands of
            `largemodels.models.log_mel.log_mel_spectrogram`.
        num_classes: the number C of classes: the letters and, as class 0, the blank.
        hidden: the number of filters, and of units of the GRU in each direction.

    Shape:
        (N, T, F) -> (N, T', C), logits, with T' = ⌊(T + 1) / 2⌋

    Source:
        Amodei et al., "Deep Speech 2: end-to-end speech recognition in English and Mandarin", ICML
        2016, section 3, with one layer of each kind.

    Example:
        >>> model = SpeechRecognizer(features=40, num_classes=11)
        >>> model(torch.zeros(2, 99, 40)).shape
        torch.Size([2, 50, 11])
        >>> sum(parameter.numel() for parameter in model.parameters())
        64203

    Taught in: book/case_studies/speech_recognition.md
    """

    def __init__(self, features: int, num_classes: int, hidden: int = 64) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(features, hidden, 5, stride=2, padding=2)
        self.gru = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * hidden, num_classes)
        self.apply(he_initialize)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the logits for `frames` of shape (N, T, F)."""
        x = self.convolution(frames.transpose(1, 2))  # (N, T, F) -> (N, F, T) -> (N, hidden, T')
        x, _ = self.gru(functional.relu(x).transpose(1, 2))  # -> (N, T', 2 · hidden)
        return self.output(x)


def ctc_loss(
    logits: torch.Tensor, targets: torch.Tensor, target_lengths: torch.Tensor
) -> torch.Tensor:
    """Return how unlikely the texts are, whatever the moments at which their letters sound.

    L = −(1/N) Σₙ ln p(textₙ);  p(text) = Σ p(path) over all paths that collapse to the text

    Nobody has to say when each letter sounds: the loss adds up all ways. The sum over the paths
    takes T' · (2 S + 1) steps, by dynamic programming.

    Args:
        logits: the outputs for N recordings, shape (N, T', C); class 0 is the blank.
        targets: the letters of each text, integers from 1, filled up at the end, shape (N, S).
        target_lengths: how many of them count, shape (N,).

    Returns:
        The mean loss of a text in nats; infinite if a text is too long for T' outputs.

    Source:
        Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification", ICML
        2006, section 4.

    Example:
        >>> logits = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
        >>> loss = ctc_loss(logits, torch.tensor([[1]]), torch.tensor([1]))
        >>> round(loss.neg().exp().item(), 2)  # Paths 1–, –1 and 11: 0.24 + 0.24 + 0.16.
        0.64

    Taught in: book/case_studies/speech_recognition.md
    """
    n, steps, _ = logits.shape
    losses = functional.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1),  # (N, T', C) -> (T', N, C)
        targets,
        torch.full((n,), steps),
        target_lengths,
        reduction="none",
    )
    return losses.mean()

"""Tiny Shakespeare with a small GPT that reads characters, in PyTorch."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from largemodels import data
from largemodels.models.pytorch import GPT
from largemodels.training.loop import evaluate, fit
from learning import Result, Run

CONTEXT_LENGTH, D_MODEL, NHEAD, NUM_LAYERS = 64, 128, 4, 4
LR, WEIGHT_DECAY, BATCH_SIZE = 3e-3, 0.1, 8
STRIDE = 64  # Characters from one training window to the next: each is predicted once.


class NextTokenLoss(nn.Module):
    """The mean cross-entropy of all next characters, in nats."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss."""
        # (N, T, V) -> (N T, V), (N, T) -> (N T,)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def windows(text: str, characters: list[str], stride: int) -> TensorDataset:
    """Return windows of a text, and for each of their characters the next one."""
    index = {character: i for i, character in enumerate(characters)}
    tokens = torch.tensor([index[character] for character in text])
    pieces = tokens.unfold(0, CONTEXT_LENGTH + 1, stride)  # (characters,) -> (N, T + 1)
    return TensorDataset(pieces[:, :-1], pieces[:, 1:])


def train(seed: int) -> Result:
    shakespeare = data.load("tiny_shakespeare")
    characters = sorted(set(shakespeare.x_train + shakespeare.x_test))
    examples = windows(shakespeare.x_train, characters, STRIDE)
    # Windows side by side: all held-out characters (but the first one, and the last few that fill
    # no window) are predicted once each, from the 1 to 64 characters before them in their window.
    held_out = windows(shakespeare.x_test, characters, CONTEXT_LENGTH)
    torch.manual_seed(seed)
    model = GPT(len(characters), CONTEXT_LENGTH, D_MODEL, NHEAD, NUM_LAYERS, dropout=0.0)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LR, betas=(0.9, 0.99), weight_decay=WEIGHT_DECAY
    )
    steps = -(-len(examples) // BATCH_SIZE)
    # A warm-up over the first 10 % of the steps, then half a cosine down to zero.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LR, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    history = fit(
        model,
        NextTokenLoss(),
        optimizer,
        examples,
        epochs=1,
        batch_size=BATCH_SIZE,
        seed=seed,
        max_norm=1.0,
        schedule=schedule,
        progress=False,
    )
    # The loss after the last step, not the best one: nothing is chosen by the held-out text.
    loss, _ = evaluate(model, NextTokenLoss(), held_out, batch_size=100)
    return Result(loss, history.seconds, shakespeare.source, shakespeare.is_sample)


RUNS = [
    Run(
        f"Tiny Shakespeare, GPT in PyTorch with {NUM_LAYERS} blocks, {D_MODEL} features, context "
        f"{CONTEXT_LENGTH} (AdamW {LR}, cosine, batch {BATCH_SIZE}, 1 epoch), nats per character "
        "of the last 10 % of the text",
        "at most 2.0 in 300 s; lower is better",
        train,
    )
]

"""MNIST with a small convolutional network in PyTorch."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from largemodels import data
from largemodels.models.pytorch import LeNet
from largemodels.training.loop import evaluate, fit
from learning import Result, Run

LR, BATCH_SIZE, EPOCHS = 0.005, 128, 8


def examples(images: np.ndarray, labels: np.ndarray) -> TensorDataset:
    """Return images with one channel of numbers from 0 to 1, and their classes."""
    x = torch.from_numpy(images)[:, None] / 255  # (N, 28, 28) -> (N, 1, 28, 28)
    return TensorDataset(x, torch.from_numpy(labels).long())


def train(seed: int) -> Result:
    mnist = data.load("mnist")
    training = examples(mnist.x_train, mnist.y_train)
    torch.manual_seed(seed)
    # On the processor, PyTorch convolves faster with the channels side by side in memory.
    model = LeNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    steps = EPOCHS * -(-len(training) // BATCH_SIZE)
    loss = nn.CrossEntropyLoss()
    history = fit(
        model,
        loss,
        optimizer,
        training,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        seed=seed,
        schedule=torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps),
        progress=False,
    )
    _, accuracy = evaluate(model, loss, examples(mnist.x_test, mnist.y_test))
    return Result(accuracy, history.seconds, mnist.source, mnist.is_sample)


RUNS = [
    Run(
        f"MNIST, LeNet in PyTorch (Adam, one cycle up to {LR}, batch {BATCH_SIZE}, "
        f"{EPOCHS} epochs), test accuracy",
        "0.99 in 60 s",
        train,
    )
]

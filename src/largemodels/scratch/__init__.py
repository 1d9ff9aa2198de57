"""The algorithms in NumPy, written to be read.

Every layer, loss and optimizer here equals PyTorch's to the last digits; the tests prove it.
"""

from largemodels._grading import refuse_while_grading

refuse_while_grading(__name__)

# ruff: noqa: E402  (the guard comes first)
from largemodels.scratch.activations import (
    Identity,
    ReLU,
    Sigmoid,
    Tanh,
    identity,
    log_softmax,
    relu,
    sigmoid,
    softmax,
    tanh,
)
from largemodels.scratch.gradient_check import (
    GradientCheck,
    gradient_check,
    gradient_check_loss,
)
from largemodels.scratch.layer import Layer, Parameter
from largemodels.scratch.linear import Linear
from largemodels.scratch.losses import BCEWithLogitsLoss, CrossEntropyLoss, Loss, MSELoss
from largemodels.scratch.network import MLP, Sequential
from largemodels.scratch.optimizers import SGD, Adam, Optimizer
from largemodels.scratch.training import History, evaluate, fit

__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GradientCheck",
    "History",
    "Identity",
    "Layer",
    "Linear",
    "Loss",
    "MSELoss",
    "Optimizer",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "evaluate",
    "fit",
    "gradient_check",
    "gradient_check_loss",
    "identity",
    "log_softmax",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]

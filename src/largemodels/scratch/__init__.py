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
from largemodels.scratch.blocks import InceptionBlock, ResidualBlock
from largemodels.scratch.convolution import Conv2d
from largemodels.scratch.gradient_check import (
    GradientCheck,
    gradient_check,
    gradient_check_loss,
)
from largemodels.scratch.layer import Layer, Parameter
from largemodels.scratch.lenet import LeNet
from largemodels.scratch.linear import Linear
from largemodels.scratch.losses import BCEWithLogitsLoss, CrossEntropyLoss, Loss, MSELoss
from largemodels.scratch.network import MLP, Sequential
from largemodels.scratch.optimizers import SGD, Adam, Optimizer
from largemodels.scratch.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, MaxPool2d
from largemodels.scratch.training import History, evaluate, fit

__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "Conv2d",
    "CrossEntropyLoss",
    "Flatten",
    "GlobalAvgPool2d",
    "GradientCheck",
    "History",
    "Identity",
    "InceptionBlock",
    "Layer",
    "LeNet",
    "Linear",
    "Loss",
    "MSELoss",
    "MaxPool2d",
    "Optimizer",
    "Parameter",
    "ReLU",
    "ResidualBlock",
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

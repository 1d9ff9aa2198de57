"""The algorithms in NumPy, written to be read.

Every layer, loss and optimizer here equals PyTorch's to the last digits; the tests prove it.
"""

from largemodels._grading import refuse_while_grading

refuse_while_grading(__name__)

# ruff: noqa: E402  (the guard comes first)
from largemodels.scratch.activations import (
    Identity,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    identity,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    softmax,
    tanh,
)
from largemodels.scratch.adaptive import Adagrad, AdamW, RMSprop
from largemodels.scratch.adversarial import DiscriminatorLoss, GeneratorLoss
from largemodels.scratch.attention import (
    MultiHeadAttention,
    ScaledDotProductAttention,
    scaled_dot_product_attention,
)
from largemodels.scratch.beam_search import Beam, beam_search
from largemodels.scratch.blocks import InceptionBlock, ResidualBlock
from largemodels.scratch.boltzmann import RestrictedBoltzmannMachine
from largemodels.scratch.classification_losses import FocalLoss, HingeLoss
from largemodels.scratch.clipping import clip_grad_norm
from largemodels.scratch.convolution import Conv2d
from largemodels.scratch.dropout import Dropout
from largemodels.scratch.embedding import Embedding
from largemodels.scratch.gan import GANHistory, discriminator_step, fit_gan, generator_step
from largemodels.scratch.gelu import GELU, gelu
from largemodels.scratch.generation import (
    generate,
    generate_greedy,
    next_token_probabilities,
    top_k_filter,
    top_p_filter,
)
from largemodels.scratch.gradient_check import (
    GradientCheck,
    gradient_check,
    gradient_check_loss,
)
from largemodels.scratch.graph import GraphConvolution, normalized_adjacency
from largemodels.scratch.gru import GRU
from largemodels.scratch.layer import Layer, Parameter
from largemodels.scratch.lenet import LeNet
from largemodels.scratch.linear import Linear
from largemodels.scratch.losses import BCEWithLogitsLoss, CrossEntropyLoss, Loss, MSELoss
from largemodels.scratch.lstm import LSTM
from largemodels.scratch.matrix_factorization import MatrixFactorization
from largemodels.scratch.network import MLP, Sequential
from largemodels.scratch.normalization import BatchNorm1d, BatchNorm2d, LayerNorm, RMSNorm
from largemodels.scratch.optimizers import SGD, Adam, Optimizer
from largemodels.scratch.plateau import ReduceLROnPlateau
from largemodels.scratch.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, MaxPool2d
from largemodels.scratch.positional import RotaryEmbedding, SinusoidalEncoding, sinusoidal_encoding
from largemodels.scratch.recurrent import RNN
from largemodels.scratch.schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    OneCycleLR,
    Schedule,
    StepLR,
)
from largemodels.scratch.sequence_models import CharRNN, LSTMClassifier
from largemodels.scratch.training import History, evaluate, fit
from largemodels.scratch.transformer import GPT, TransformerDecoderLayer, TransformerEncoderLayer

__all__ = [
    "GELU",
    "GPT",
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Beam",
    "CharRNN",
    "Conv2d",
    "CosineAnnealingLR",
    "CrossEntropyLoss",
    "DiscriminatorLoss",
    "Dropout",
    "Embedding",
    "ExponentialLR",
    "Flatten",
    "FocalLoss",
    "GANHistory",
    "GeneratorLoss",
    "GlobalAvgPool2d",
    "GradientCheck",
    "GraphConvolution",
    "HingeLoss",
    "History",
    "Identity",
    "InceptionBlock",
    "LSTMClassifier",
    "Layer",
    "LayerNorm",
    "LeNet",
    "LeakyReLU",
    "Linear",
    "LinearLR",
    "LogSoftmax",
    "Loss",
    "MSELoss",
    "MatrixFactorization",
    "MaxPool2d",
    "MultiHeadAttention",
    "OneCycleLR",
    "Optimizer",
    "Parameter",
    "RMSNorm",
    "RMSprop",
    "ReLU",
    "ReduceLROnPlateau",
    "ResidualBlock",
    "RestrictedBoltzmannMachine",
    "RotaryEmbedding",
    "ScaledDotProductAttention",
    "Schedule",
    "Sequential",
    "Sigmoid",
    "SinusoidalEncoding",
    "Softmax",
    "StepLR",
    "Tanh",
    "TransformerDecoderLayer",
    "TransformerEncoderLayer",
    "beam_search",
    "clip_grad_norm",
    "discriminator_step",
    "evaluate",
    "fit",
    "fit_gan",
    "gelu",
    "generate",
    "generate_greedy",
    "generator_step",
    "gradient_check",
    "gradient_check_loss",
    "identity",
    "leaky_relu",
    "log_softmax",
    "next_token_probabilities",
    "normalized_adjacency",
    "relu",
    "scaled_dot_product_attention",
    "sigmoid",
    "sinusoidal_encoding",
    "softmax",
    "tanh",
    "top_k_filter",
    "top_p_filter",
]

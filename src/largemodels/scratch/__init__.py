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
from largemodels.scratch.alternating_least_squares import alternating_least_squares
from largemodels.scratch.attention import (
    MultiHeadAttention,
    ScaledDotProductAttention,
    scaled_dot_product_attention,
)
from largemodels.scratch.bayesian_optimization import (
    bayesian_optimization,
    expected_improvement,
    gaussian_process,
)
from largemodels.scratch.beam_search import Beam, beam_search
from largemodels.scratch.blocks import InceptionBlock, ResidualBlock
from largemodels.scratch.boltzmann import RestrictedBoltzmannMachine
from largemodels.scratch.boosting import AdaBoost, Stump, best_stump
from largemodels.scratch.classification_losses import FocalLoss, HingeLoss
from largemodels.scratch.clipping import clip_grad_norm
from largemodels.scratch.convolution import Conv2d
from largemodels.scratch.cross_validation import k_fold, out_of_fold_predictions
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
from largemodels.scratch.local_explanation import explain_locally
from largemodels.scratch.losses import BCEWithLogitsLoss, CrossEntropyLoss, Loss, MSELoss
from largemodels.scratch.lstm import LSTM
from largemodels.scratch.matrix_factorization import MatrixFactorization
from largemodels.scratch.metrics import (
    ClassMetrics,
    area_under_curve,
    class_metrics,
    confusion_matrix,
    roc_curve,
)
from largemodels.scratch.negative_sampling import SkipGram, draw_negatives, skip_gram_pairs
from largemodels.scratch.neighbours import cosine_similarity, predict_from_neighbours
from largemodels.scratch.network import MLP, Sequential
from largemodels.scratch.normalization import BatchNorm1d, BatchNorm2d, LayerNorm, RMSNorm
from largemodels.scratch.optimizers import SGD, Adam, Optimizer
from largemodels.scratch.perceptron import Perceptron
from largemodels.scratch.plateau import ReduceLROnPlateau
from largemodels.scratch.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, MaxPool2d
from largemodels.scratch.positional import RotaryEmbedding, SinusoidalEncoding, sinusoidal_encoding
from largemodels.scratch.recurrent import RNN
from largemodels.scratch.regularization import lasso, ridge, soft_threshold
from largemodels.scratch.resampling import oversample, smote, undersample
from largemodels.scratch.robust_losses import HuberLoss, L1Loss
from largemodels.scratch.schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    OneCycleLR,
    Schedule,
    StepLR,
)
from largemodels.scratch.sequence_models import CharRNN, LSTMClassifier
from largemodels.scratch.successive_halving import successive_halving
from largemodels.scratch.text_metrics import clipped_precision, corpus_bleu, meteor
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
    "AdaBoost",
    "Adagrad",
    "Adam",
    "AdamW",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Beam",
    "CharRNN",
    "ClassMetrics",
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
    "HuberLoss",
    "Identity",
    "InceptionBlock",
    "L1Loss",
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
    "Perceptron",
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
    "SkipGram",
    "Softmax",
    "StepLR",
    "Stump",
    "Tanh",
    "TransformerDecoderLayer",
    "TransformerEncoderLayer",
    "alternating_least_squares",
    "area_under_curve",
    "bayesian_optimization",
    "beam_search",
    "best_stump",
    "class_metrics",
    "clip_grad_norm",
    "clipped_precision",
    "confusion_matrix",
    "corpus_bleu",
    "cosine_similarity",
    "discriminator_step",
    "draw_negatives",
    "evaluate",
    "expected_improvement",
    "explain_locally",
    "fit",
    "fit_gan",
    "gaussian_process",
    "gelu",
    "generate",
    "generate_greedy",
    "generator_step",
    "gradient_check",
    "gradient_check_loss",
    "identity",
    "k_fold",
    "lasso",
    "leaky_relu",
    "log_softmax",
    "meteor",
    "next_token_probabilities",
    "normalized_adjacency",
    "out_of_fold_predictions",
    "oversample",
    "predict_from_neighbours",
    "relu",
    "ridge",
    "roc_curve",
    "scaled_dot_product_attention",
    "sigmoid",
    "sinusoidal_encoding",
    "skip_gram_pairs",
    "smote",
    "soft_threshold",
    "softmax",
    "successive_halving",
    "tanh",
    "top_k_filter",
    "top_p_filter",
    "undersample",
]

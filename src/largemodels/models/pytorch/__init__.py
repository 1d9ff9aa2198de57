"""The reference models in PyTorch."""

from largemodels.models.pytorch.cnn import CNN, LeNet
from largemodels.models.pytorch.gan import (
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    Generator,
)
from largemodels.models.pytorch.inception import InceptionBlock, InceptionNet
from largemodels.models.pytorch.mlp import MLP
from largemodels.models.pytorch.recommender import MatrixFactorization, NeuralRecommender
from largemodels.models.pytorch.resnet import ResidualBlock, ResNet

__all__ = [
    "CNN",
    "MLP",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Discriminator",
    "Generator",
    "InceptionBlock",
    "InceptionNet",
    "LeNet",
    "MatrixFactorization",
    "NeuralRecommender",
    "ResNet",
    "ResidualBlock",
]

"""The reference models in PyTorch."""

from largemodels.models.pytorch.bert import BERT, BERTForMaskedLM, BERTForSequenceClassification
from largemodels.models.pytorch.cnn import CNN, LeNet
from largemodels.models.pytorch.detection import GridDetector
from largemodels.models.pytorch.faces import FaceEmbedding
from largemodels.models.pytorch.gan import (
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    Generator,
)
from largemodels.models.pytorch.gpt import GPT
from largemodels.models.pytorch.inception import InceptionBlock, InceptionNet
from largemodels.models.pytorch.mlp import MLP
from largemodels.models.pytorch.recommender import MatrixFactorization, NeuralRecommender
from largemodels.models.pytorch.recurrent import LSTMClassifier, Seq2Seq
from largemodels.models.pytorch.resnet import PaddingShortcut, ResidualBlock, ResNet
from largemodels.models.pytorch.speech import SpeechRecognizer

__all__ = [
    "BERT",
    "CNN",
    "GPT",
    "MLP",
    "BERTForMaskedLM",
    "BERTForSequenceClassification",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Discriminator",
    "FaceEmbedding",
    "Generator",
    "GridDetector",
    "InceptionBlock",
    "InceptionNet",
    "LSTMClassifier",
    "LeNet",
    "MatrixFactorization",
    "NeuralRecommender",
    "PaddingShortcut",
    "ResNet",
    "ResidualBlock",
    "Seq2Seq",
    "SpeechRecognizer",
]

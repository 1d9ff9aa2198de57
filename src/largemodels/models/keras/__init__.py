"""The reference models in Keras."""

from largemodels.models.keras.bert import BERT, BERTForMaskedLM, BERTForSequenceClassification
from largemodels.models.keras.cnn import CNN, LeNet
from largemodels.models.keras.detection import GridDetector
from largemodels.models.keras.faces import FaceEmbedding
from largemodels.models.keras.gan import (
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    Generator,
)
from largemodels.models.keras.gpt import GPT
from largemodels.models.keras.inception import InceptionBlock, InceptionNet
from largemodels.models.keras.mlp import MLP
from largemodels.models.keras.recommender import MatrixFactorization, NeuralRecommender
from largemodels.models.keras.recurrent import LSTMClassifier, Seq2Seq
from largemodels.models.keras.resnet import PaddingShortcut, ResidualBlock, ResNet
from largemodels.models.keras.speech import SpeechRecognizer
from largemodels.models.keras.transformer import TransformerEncoderLayer

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
    "TransformerEncoderLayer",
]

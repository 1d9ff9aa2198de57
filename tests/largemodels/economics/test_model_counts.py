"""The counts of the reference models are what PyTorch's profilers say: FLOPs, bytes, tensors."""

import re

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from largemodels.economics import compute, kv_cache_bytes, serving_memory, training_memory
from largemodels.economics import sequence_models as sequences
from largemodels.economics import vision_models as vision
from largemodels.models import pytorch as models


def profile(model, *inputs):
    """Return the number of parameters, and the profiler's FLOPs forward and backward."""
    inputs = [x.double() if x.is_floating_point() else x for x in inputs]
    # In float32 an LSTM, and in any type attention, runs in a kernel that hides its products.
    model.double()
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            y = model(*inputs)
        y = y[0] if isinstance(y, tuple) else y
        with FlopCounterMode(display=False) as backward:
            y.sum().backward()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return parameters, forward.get_total_flops(), backward.get_total_flops()


def tokens(high, *shape):
    return torch.randint(1, high, shape, generator=torch.Generator().manual_seed(0))


PAIRS = torch.tensor([[0, 1], [2, 3], [4, 0]])

MODELS = {
    "MLP": lambda: (
        compute.mlp([7, 5, 3], batch_size=2),
        (models.MLP([7, 5, 3]), torch.randn(2, 7)),
    ),
    "LeNet": lambda: (
        compute.lenet(batch_size=2, in_channels=3),
        (models.LeNet(3), torch.randn(2, 3, 28, 28)),
    ),
    "CNN": lambda: (vision.cnn(batch_size=2), (models.CNN(), torch.randn(2, 1, 28, 28))),
    "CNN of another size": lambda: (
        vision.cnn((3, 17, 14), [5, 6], 1, 9, 4, batch_size=2),
        (models.CNN((3, 17, 14), [5, 6], 1, 9, 4), torch.randn(2, 3, 17, 14)),
    ),
    "ResNet": lambda: (
        vision.resnet(14, 4, 1, image_size=(13, 10), batch_size=2),
        (models.ResNet(14, 4, 1), torch.randn(2, 1, 13, 10)),
    ),
    "ResNet with projections": lambda: (
        vision.resnet(8, projection=True, batch_size=2),
        (models.ResNet(8, projection=True), torch.randn(2, 3, 32, 32)),
    ),
    "InceptionNet": lambda: (
        vision.inception_net(1, 4, image_size=(13, 18), batch_size=2),
        (models.InceptionNet(1, 4), torch.randn(2, 1, 13, 18)),
    ),
    "Generator": lambda: (
        vision.generator(5, 9, 7, batch_size=2),
        (models.Generator(5, 9, 7), torch.randn(2, 5)),
    ),
    "Discriminator": lambda: (
        vision.discriminator(9, 7, batch_size=2),
        (models.Discriminator(9, 7), torch.randn(2, 9)),
    ),
    "DCGANGenerator": lambda: (
        vision.dcgan_generator(5, 3, 4, batch_size=2),
        (models.DCGANGenerator(5, 3, 4), torch.randn(2, 5)),
    ),
    "DCGANDiscriminator": lambda: (
        vision.dcgan_discriminator(3, 4, batch_size=2),
        (models.DCGANDiscriminator(3, 4), torch.randn(2, 3, 28, 28)),
    ),
    "GridDetector": lambda: (
        vision.grid_detector(3, 1, [4, 5], image_size=(17, 22), batch_size=2),
        (models.GridDetector(3, 1, [4, 5]), torch.randn(2, 1, 17, 22)),
    ),
    "FaceEmbedding": lambda: (
        vision.face_embedding(6, 1, [4, 5], image_size=(17, 22), batch_size=2),
        (models.FaceEmbedding(6, 1, [4, 5]), torch.randn(2, 1, 17, 22)),
    ),
    "LSTMClassifier": lambda: (
        sequences.lstm_classifier(11, 5, 4, 3, sequence_length=7, batch_size=2),
        (models.LSTMClassifier(11, 5, 4, 3), tokens(11, 2, 7)),
    ),
    "Seq2Seq": lambda: (
        sequences.seq2seq(11, 9, 5, 4, source_length=7, target_length=6, batch_size=2),
        (models.Seq2Seq(11, 9, 5, 4), tokens(11, 2, 7), tokens(9, 2, 6)),
    ),
    "GPT": lambda: (
        compute.gpt(11, 8, 6, 2, 3, batch_size=2, sequence_length=5),
        (models.GPT(11, 8, 6, 2, 3, dropout=0.0), tokens(11, 2, 5)),
    ),
    "BERT": lambda: (
        sequences.bert(11, 8, 6, 2, 3, sequence_length=5, batch_size=2),
        (models.BERT(11, 8, 6, 2, 3, dropout=0.0), tokens(11, 2, 5)),
    ),
    "BERTForMaskedLM": lambda: (
        sequences.bert_for_masked_lm(
            sequences.bert(11, 8, 6, 2, 1, sequence_length=5, batch_size=2), 11, 6, rows=10
        ),
        (models.BERTForMaskedLM(models.BERT(11, 8, 6, 2, 1, dropout=0.0)), tokens(11, 2, 5)),
    ),
    "BERTForSequenceClassification": lambda: (
        sequences.bert_for_sequence_classification(
            sequences.bert(11, 8, 6, 2, 1, dim_feedforward=7, num_segments=3, batch_size=2),
            6,
            4,
            batch_size=2,
        ),
        (
            models.BERTForSequenceClassification(
                models.BERT(11, 8, 6, 2, 1, dim_feedforward=7, num_segments=3), 4
            ),
            tokens(11, 2, 8),
        ),
    ),
    "MatrixFactorization": lambda: (
        sequences.matrix_factorization(5, 4, 3),
        (models.MatrixFactorization(5, 4, 3), PAIRS),
    ),
    "NeuralRecommender": lambda: (
        sequences.neural_recommender(5, 4, 3, [6, 5, 2], batch_size=3),
        (models.NeuralRecommender(5, 4, 3, [6, 5, 2]), PAIRS),
    ),
    "SpeechRecognizer": lambda: (
        sequences.speech_recognizer(5, 4, 3, frames=10, batch_size=2),
        (models.SpeechRecognizer(5, 4, 3), torch.randn(2, 10, 5)),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_count_is_that_of_the_profiler(name):
    counted, (model, *inputs) = MODELS[name]()
    parameters, forward, backward = profile(model, *inputs)
    assert counted.parameters == parameters
    assert counted.forward_flops == forward
    assert counted.backward_flops == backward


def test_every_reference_model_is_in_the_table():
    table = sequences.reference_models()
    public = {
        name
        for name in models.__all__
        # Parts of models.
        if name not in {"BERT", "InceptionBlock", "PaddingShortcut", "ResidualBlock"}
    }
    assert public <= set(table)
    assert set(table) <= set(MODELS)
    for name, counted in table.items():
        assert counted.parameters > 0
        has_product = name != "MatrixFactorization"
        assert (counted.forward_flops > 0) == has_product
        # Between 1 (nothing learns below) and 2 products backwards for each one forwards.
        assert counted.forward_flops <= counted.backward_flops <= 2 * counted.forward_flops
        memory = training_memory(
            counted.parameters, mixed_precision=False, activation_bytes=4 * counted.activations
        )
        assert memory.total == 16 * counted.parameters + 4 * counted.activations


class Products(TorchDispatchMode):
    """Sees every matrix product and convolution that PyTorch runs, and what goes into it."""

    NAMES = ("mm", "addmm", "bmm", "convolution")

    def __init__(self, model):
        super().__init__()
        self.weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self.inputs = {}

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        name = operator._schema.name.removeprefix("aten::")
        if name in self.NAMES:
            # Without the bias, which is the first argument of one and the third of the other.
            for tensor in args[name == "addmm" :][:2]:
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self.weights:
                    # A tensor that two products share is there once; kept, so that no other tensor
                    # gets its address.
                    self.inputs[storage.data_ptr(), tensor.storage_offset()] = tensor
        return operator(*args, **(kwargs or {}))


def kept(model, inputs):
    """Return the inputs of the products of a forward pass, and all tensors that autograd keeps."""
    saved = {}

    def remember(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    # In float32 an LSTM, and in any type attention, runs in a kernel that hides its products.
    model.double()
    inputs = [x.double() if x.is_floating_point() else x for x in inputs]
    with (
        sdpa_kernel(SDPBackend.MATH),
        torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor),
        Products(model) as products,
    ):
        model(*inputs)
    for parameter in model.parameters():
        saved.pop(parameter.untyped_storage().data_ptr(), None)
    return products.inputs, saved


@pytest.mark.parametrize("name", MODELS)
def test_activations_are_the_inputs_of_the_products_and_pytorch_keeps_them(name):
    counted, (model, *inputs) = MODELS[name]()
    of_products, saved = kept(model, inputs)
    assert counted.activations == sum(tensor.numel() for tensor in of_products.values())
    assert {address for address, _ in of_products} <= saved.keys()
    # What it keeps beside them: inputs of norms, activations and pooling, gates, places of maxima.
    in_all = sum(tensor.untyped_storage().nbytes() // 8 for tensor in saved.values())
    if name != "MatrixFactorization":  # It has no matrix product, but two vectors for each rating.
        assert counted.activations <= in_all <= 6 * counted.activations


@pytest.mark.parametrize("name", MODELS)
def test_memory_of_training_and_serving_is_what_pytorch_holds(name):
    counted, (model, *inputs) = MODELS[name]()
    optimizer = torch.optim.Adam(model.parameters())
    y = model(*inputs)
    (y[0] if isinstance(y, tuple) else y).sum().backward()
    optimizer.step()
    parameters = list(model.parameters())
    moments = [
        state[key] for state in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")
    ]
    training = training_memory(counted.parameters, optimizer="adam", mixed_precision=False)
    assert training.weights == sum(parameter.nbytes for parameter in parameters)
    assert training.gradients == sum(parameter.grad.nbytes for parameter in parameters)
    assert training.optimizer == sum(moment.nbytes for moment in moments)
    assert serving_memory(counted.parameters, bits=32).total == training.weights
    half = sum(parameter.nbytes for parameter in model.half().parameters())
    assert serving_memory(counted.parameters, bits=16).total == half


def test_the_cache_of_a_gpt_is_what_pytorch_holds():
    model = models.GPT(11, 8, 6, 2, 3)
    _, present = model._read(tokens(11, 2, 5), None)
    held = sum(tensor.nbytes for keys_and_values in present for tensor in keys_and_values)
    assert kv_cache_bytes(3, 2, 3, tokens=5, batch_size=2, bits=32) == held


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vision.batch_norm(0), "`num_features` (=0) must be at least 1."),
        (lambda: vision.conv_transpose2d(1, 0, 3, (2, 2)), "`out_channels` (=0) must be"),
        (lambda: vision.resnet(21), "`depth` (=21) must be 6 n + 2"),
        (lambda: vision.cnn((1, 4, 4)), "`kernel_size` (=3) must fit"),
        (lambda: sequences.conv1d(1, 2, 5, 4), "`steps` (=4) must be at least 5."),
        (lambda: sequences.conv1d(1, 2, 5, 4, stride=0), "`stride` (=0) must be at least 1."),
        (
            lambda: sequences.bert(5, 4, 2, 1, 1, sequence_length=6),
            "`sequence_length` (=6) must not exceed `context_length` (=4).",
        ),
    ],
)
def test_errors_name_argument_and_value(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()

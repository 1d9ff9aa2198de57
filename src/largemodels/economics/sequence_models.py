"""Counts for the reference models of texts, sounds and ratings, and a table of all models.

Each function has the name and sizes of its model. For `GPT` see `largemodels.economics.compute`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from largemodels.economics import compute, vision_models
from largemodels.economics._checks import check_at_least
from largemodels.economics.compute import (
    Compute,
    embedding,
    layer_norm,
    linear,
    mlp,
    recurrent,
    transformer_layer,
)

__all__ = [
    "bert",
    "bert_for_masked_lm",
    "bert_for_sequence_classification",
    "conv1d",
    "lstm_classifier",
    "matrix_factorization",
    "neural_recommender",
    "reference_models",
    "seq2seq",
    "speech_recognizer",
]


def conv1d(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    steps: int,
    *,
    batch_size: int = 1,
    stride: int = 1,
    padding: int = 0,
    input_gradient: bool = True,
) -> Compute:
    """Count a 1-D convolution with a bias.

    T_out = ⌊(T + 2 · padding − kernel) / stride⌋ + 1
    parameters = C_out · (C_in · kernel + 1),  forward = 2 · N · T_out · C_out · C_in · kernel

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: the length of the kernel in steps.
        steps: T.
        batch_size: N.
        stride: the step of the kernel.
        padding: the zeros at each end.
        input_gradient: whether the backward pass goes on below.

    Raises:
        ValueError: if a size is too small.

    Example:
        >>> conv1d(40, 64, 5, 99, stride=2, padding=2).parameters
        12864

    Taught in: book/concepts/compute_data_algorithms.md
    """
    sizes = {"in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size}
    for name, size in {**sizes, "batch_size": batch_size, "stride": stride}.items():
        check_at_least(name, size, 1)
    check_at_least("steps", steps, max(1, kernel_size - 2 * padding))
    weights = in_channels * out_channels * kernel_size
    forward = 2 * batch_size * ((steps + 2 * padding - kernel_size) // stride + 1) * weights
    return Compute(
        parameters=weights + out_channels,
        forward_flops=forward,
        backward_flops=forward * (1 + input_gradient),
        activations=batch_size * steps * in_channels,
    )


def lstm_classifier(
    num_embeddings: int,
    embedding_dim: int,
    hidden_size: int,
    num_classes: int,
    *,
    sequence_length: int,
    batch_size: int = 1,
) -> Compute:
    """Count an `LSTMClassifier`: an embedding, an LSTM, a linear layer on one state.

    Args:
        num_embeddings: the number of tokens.
        embedding_dim: the size of a token's vector.
        hidden_size: the size of the state.
        num_classes: the number of classes.
        sequence_length: the tokens of a text, padding included: the LSTM reads it, too.
        batch_size: N.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> lstm_classifier(100, 8, 16, 2, sequence_length=5).parameters
        2498

    Taught in: book/concepts/compute_data_algorithms.md
    """
    return (
        embedding(num_embeddings, embedding_dim)
        + recurrent(
            "lstm", embedding_dim, hidden_size, steps=sequence_length, batch_size=batch_size
        )
        + linear(hidden_size, num_classes, rows=batch_size)
    )


def seq2seq(
    source_tokens: int,
    target_tokens: int,
    embedding_dim: int,
    hidden_size: int,
    *,
    source_length: int,
    target_length: int,
    batch_size: int = 1,
) -> Compute:
    """Count a `Seq2Seq`: two GRUs, attention from each target step to all source steps, two layers.

    attention: forward = 4 · N · T · S · h (scores and weighted states), backward = 2 · forward

    Args:
        source_tokens: the number of tokens of the source.
        target_tokens: the number of tokens of the target.
        embedding_dim: the size of a token's vector.
        hidden_size: h, the size of both states.
        source_length: S.
        target_length: T.
        batch_size: N.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> seq2seq(10, 12, 8, 16, source_length=5, target_length=4).parameters
        3404

    Taught in: book/concepts/compute_data_algorithms.md
    """
    rows = batch_size * target_length
    scores = rows * source_length
    attention = Compute(
        forward_flops=4 * scores * hidden_size,
        backward_flops=8 * scores * hidden_size,
        activations=scores + rows * hidden_size + batch_size * source_length * hidden_size,
    )
    # The decoder starts with the encoder's state, whose gradient is one product more.
    first_state = Compute(backward_flops=2 * batch_size * 3 * hidden_size**2)
    return (
        embedding(source_tokens, embedding_dim)
        + embedding(target_tokens, embedding_dim)
        + recurrent("gru", embedding_dim, hidden_size, steps=source_length, batch_size=batch_size)
        + recurrent("gru", embedding_dim, hidden_size, steps=target_length, batch_size=batch_size)
        + first_state
        + attention
        + linear(2 * hidden_size, hidden_size, rows=rows)
        + linear(hidden_size, target_tokens, rows=rows)
    )


def bert(
    num_embeddings: int,
    context_length: int,
    d_model: int,
    nhead: int,
    num_layers: int,
    *,
    sequence_length: int | None = None,
    batch_size: int = 1,
    dim_feedforward: int | None = None,
    num_segments: int = 2,
) -> Compute:
    """Count a `BERT`: embeddings of tokens, positions and segments, a norm, blocks.

    parameters = (V + T_max + segments) · d + 2 · d + L · (12 · d² + 13 · d)

    Args:
        num_embeddings: V.
        context_length: T_max.
        d_model: d.
        nhead: the number of heads.
        num_layers: L.
        sequence_length: the tokens of each text; `None` takes T_max.
        batch_size: N.
        dim_feedforward: the width of the network in a block; `None` takes 4 · d.
        num_segments: the number of segments.

    Raises:
        ValueError: if a size is below 1, or the text is longer than the context.

    Example:
        >>> bert(30522, 512, 768, 12, 12).parameters  # BERT base, without a head.
        108891648

    Taught in: book/concepts/compute_data_algorithms.md
    """
    length = context_length if sequence_length is None else sequence_length
    check_at_least("sequence_length", length, 1)
    check_at_least("num_layers", num_layers, 1)
    if length > context_length:
        raise ValueError(
            f"`sequence_length` (={length}) must not exceed `context_length` (={context_length})."
        )
    tables = (num_embeddings, context_length, num_segments)
    total = layer_norm(d_model)
    for rows in tables:
        total += embedding(rows, d_model)
    block = transformer_layer(
        d_model,
        nhead,
        sequence_length=length,
        batch_size=batch_size,
        dim_feedforward=dim_feedforward,
    )
    for _ in range(num_layers):
        total += block
    return total


def bert_for_masked_lm(
    encoder: Compute, num_embeddings: int, d_model: int, *, rows: int
) -> Compute:
    """Count a `BERTForMaskedLM`: the encoder and a head that shares the table of the tokens.

    Args:
        encoder: from `bert`.
        num_embeddings: V.
        d_model: d.
        rows: texts times tokens.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> encoder = bert(30522, 512, 768, 12, 12)
        >>> bert_for_masked_lm(encoder, 30522, 768, rows=512).parameters
        109514298

    Taught in: book/concepts/compute_data_algorithms.md
    """
    head = linear(d_model, num_embeddings, rows=rows)
    dense = linear(d_model, d_model, rows=rows) + layer_norm(d_model)
    return encoder + dense + replace(head, parameters=num_embeddings)  # Its bias is its own.


def bert_for_sequence_classification(
    encoder: Compute, d_model: int, num_classes: int, *, batch_size: int = 1
) -> Compute:
    """Count a `BERTForSequenceClassification`: the encoder, and two layers on the first token.

    Args:
        encoder: from `bert`.
        d_model: d.
        num_classes: the number of classes.
        batch_size: N.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> encoder = bert(30522, 512, 768, 12, 12)
        >>> bert_for_sequence_classification(encoder, 768, 2).parameters
        109483778

    Taught in: book/concepts/compute_data_algorithms.md
    """
    pooler = linear(d_model, d_model, rows=batch_size)
    return encoder + pooler + linear(d_model, num_classes, rows=batch_size)


def matrix_factorization(num_users: int, num_items: int, factors: int = 16) -> Compute:
    """Count a `MatrixFactorization`: two tables of factors, two of biases, no matrix product.

    parameters = (users + items) · (K + 1)

    One rating needs a product of two vectors, which profilers do not count.

    Args:
        num_users: the number of users.
        num_items: the number of items.
        factors: K.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> matrix_factorization(943, 1682).parameters
        44625

    Taught in: book/concepts/compute_data_algorithms.md
    """
    biases = embedding(num_users, 1) + embedding(num_items, 1)
    return embedding(num_users, factors) + embedding(num_items, factors) + biases


def neural_recommender(
    num_users: int,
    num_items: int,
    factors: int = 8,
    mlp_sizes: Sequence[int] = (32, 16, 8),
    *,
    batch_size: int = 1,
) -> Compute:
    """Count a `NeuralRecommender`: four tables, a multilayer perceptron, an output.

    Args:
        num_users: the number of users.
        num_items: the number of items.
        factors: the factors of the product.
        mlp_sizes: the sizes of the multilayer perceptron.
        batch_size: N, pairs of user and item.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> neural_recommender(943, 1682).parameters
        63681

    Taught in: book/concepts/compute_data_algorithms.md
    """
    half = mlp_sizes[0] // 2
    total = Compute(
        # The input of the perceptron is learned, so its gradient is one product more.
        backward_flops=2 * batch_size * mlp_sizes[0] * mlp_sizes[1]
    )
    for rows in (num_users, num_items):
        total += embedding(rows, factors) + embedding(rows, half)
    output = linear(factors + mlp_sizes[-1], 1, rows=batch_size)
    return total + mlp(mlp_sizes, batch_size=batch_size) + output


def speech_recognizer(
    features: int, num_classes: int, hidden: int = 64, *, frames: int, batch_size: int = 1
) -> Compute:
    """Count a `SpeechRecognizer`: a convolution with stride 2, a GRU in both directions, an output.

    Args:
        features: the features of a frame.
        num_classes: the letters and the blank.
        hidden: the filters, and the units of the GRU in each direction.
        frames: T, the frames of a recording.
        batch_size: N.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> speech_recognizer(40, 11, frames=99).parameters
        64203

    Taught in: book/concepts/compute_data_algorithms.md
    """
    steps = (frames - 1) // 2 + 1
    first = conv1d(
        features,
        hidden,
        5,
        frames,
        stride=2,
        padding=2,
        batch_size=batch_size,
        input_gradient=False,
    )
    direction = recurrent("gru", hidden, hidden, steps=steps, batch_size=batch_size)
    output = linear(2 * hidden, num_classes, rows=batch_size * steps)
    return first + direction + direction + output


def reference_models() -> dict[str, Compute]:
    """Return the counts of every reference model for one example, at sizes for a laptop.

    The names are those of the classes in `largemodels.models.pytorch`. Where a class has no
    default sizes, the code below names them.

    Example:
        >>> for name, count in list(reference_models().items())[:3]:
        ...     print(f"{name:<6}{count.parameters:>8,}{count.training_flops:>12,}")
        MLP    101,770     409,088
        CNN     93,322  16,376,064
        LeNet   61,706   2,263,920

    Taught in: book/concepts/compute_data_algorithms.md
    """
    encoder = bert(8000, 128, 128, 4, 4)
    return {
        "MLP": mlp([784, 128, 10]),
        "CNN": vision_models.cnn(),
        "LeNet": compute.lenet(),
        "ResNet": vision_models.resnet(),
        "InceptionNet": vision_models.inception_net(),
        "LSTMClassifier": lstm_classifier(10_000, 64, 64, 2, sequence_length=200),
        "Seq2Seq": seq2seq(1000, 1000, 64, 128, source_length=20, target_length=20),
        "GPT": compute.gpt(65, 128, 128, 4, 4),
        "BERTForMaskedLM": bert_for_masked_lm(encoder, 8000, 128, rows=128),
        "BERTForSequenceClassification": bert_for_sequence_classification(encoder, 128, 2),
        "Generator": vision_models.generator(),
        "Discriminator": vision_models.discriminator(),
        "DCGANGenerator": vision_models.dcgan_generator(),
        "DCGANDiscriminator": vision_models.dcgan_discriminator(),
        "MatrixFactorization": matrix_factorization(943, 1682),
        "NeuralRecommender": neural_recommender(943, 1682),
        "SpeechRecognizer": speech_recognizer(40, 11, frames=99),
        "GridDetector": vision_models.grid_detector(3, image_size=(64, 64)),
        "FaceEmbedding": vision_models.face_embedding(image_size=(64, 64)),
    }

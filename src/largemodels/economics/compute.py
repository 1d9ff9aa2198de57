"""Parameters, operations and kept activations of layers and models, counted by formula.

A FLOP is one addition or one multiplication. As in profilers, only matrix products and convolutions
count: biases, activations, normalization and softmax are few beside them.
A matrix product (N, in) @ (in, out) has 2 · N · in · out FLOPs. Its backward pass has two products
of the same size: one for the gradient of the weight, one for the gradient of the input.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from largemodels.economics._checks import check_at_least, check_positive

__all__ = [
    "Compute",
    "attention",
    "compute_optimal",
    "conv2d",
    "embedding",
    "gpt",
    "layer_norm",
    "lenet",
    "linear",
    "mlp",
    "recurrent",
    "training_flops",
    "transformer_layer",
]

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True)
class Compute:
    """What one training step or one forward pass of a layer needs; sums of layers are models.

    Args:
        parameters: numbers that are learned.
        forward_flops: FLOPs of the forward pass.
        backward_flops: FLOPs of the backward pass.
        activations: numbers that the matrix products keep for the backward pass: their inputs.
            A framework keeps more: inputs of norms and activations, gates, places of maxima.
            PyTorch keeps 1 to 6 times as many for the reference models, about twice for most.

    Example:
        >>> linear(784, 128) + linear(128, 10)
        Compute(parameters=101770, forward_flops=203264, backward_flops=406528, activations=912)

    Taught in: book/concepts/compute_data_algorithms.md
    """

    parameters: int = 0
    forward_flops: int = 0
    backward_flops: int = 0
    activations: int = 0

    def __add__(self, other: Compute) -> Compute:
        return Compute(
            self.parameters + other.parameters,
            self.forward_flops + other.forward_flops,
            self.backward_flops + other.backward_flops,
            self.activations + other.activations,
        )

    @property
    def training_flops(self) -> int:
        """FLOPs of one training step, without the optimizer's, which has no matrix product."""
        return self.forward_flops + self.backward_flops


def linear(
    in_features: int,
    out_features: int,
    *,
    rows: int = 1,
    bias: bool = True,
    input_gradient: bool = True,
) -> Compute:
    """Count a dense layer.

    parameters = out · in + out,  forward = 2 · rows · in · out,  backward = 2 · forward

    Args:
        in_features: in.
        out_features: out.
        rows: the rows of the input: examples, or examples times positions.
        bias: whether there is a bias.
        input_gradient: whether the backward pass goes on below. The first layer needs no gradient
            of its input, and so its backward pass costs half.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> linear(784, 128).parameters
        100480
        >>> linear(784, 128).training_flops
        602112

    Taught in: book/concepts/compute_data_algorithms.md
    """
    _check_sizes(in_features=in_features, out_features=out_features, rows=rows)
    forward = 2 * rows * in_features * out_features
    return Compute(
        parameters=out_features * (in_features + bias),
        forward_flops=forward,
        backward_flops=forward * (1 + input_gradient),
        activations=rows * in_features,
    )


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    input_size: tuple[int, int],
    *,
    batch_size: int = 1,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
    input_gradient: bool = True,
) -> Compute:
    """Count a 2-D convolution with a square kernel.

    out = ⌊(in + 2 · padding − dilation · (kernel − 1) − 1) / stride⌋ + 1, for height and width
    parameters = C_out · (C_in / groups · kernel² + 1)
    forward = 2 · N · H_out · W_out · C_out · C_in / groups · kernel²,  backward = 2 · forward

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: the side of the kernel in pixels.
        input_size: height and width of the input in pixels.
        batch_size: N.
        stride: the step of the kernel in pixels.
        padding: the zeros at each edge in pixels.
        dilation: the distance of the kernel's points in pixels.
        groups: the groups of channels that do not see each other.
        bias: whether there is a bias.
        input_gradient: whether the backward pass goes on below.

    Raises:
        ValueError: if a size is too small, the channels cannot be divided by `groups`, or the
            kernel does not fit into the padded input.

    Example:
        >>> conv2d(1, 6, 5, (28, 28), padding=2).parameters
        156
        >>> conv2d(1, 6, 5, (28, 28), padding=2).forward_flops
        235200

    Taught in: book/concepts/compute_data_algorithms.md
    """
    _check_sizes(
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=kernel_size,
        batch_size=batch_size,
        stride=stride,
        dilation=dilation,
        groups=groups,
    )
    check_at_least("padding", padding, 0)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ValueError(f"`{name}` (={channels}) must be divisible by `groups` (={groups}).")
    height, width = (
        (side + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1 for side in input_size
    )
    if min(height, width) < 1:
        raise ValueError(
            f"`kernel_size` (={kernel_size}) must fit into the padded `input_size` (={input_size})."
        )
    weights = out_channels * (in_channels // groups) * kernel_size**2
    forward = 2 * batch_size * height * width * weights
    return Compute(
        parameters=weights + out_channels * bias,
        forward_flops=forward,
        backward_flops=forward * (1 + input_gradient),
        activations=batch_size * in_channels * input_size[0] * input_size[1],
    )


def recurrent(
    cell: str,
    input_size: int,
    hidden_size: int,
    *,
    steps: int = 1,
    batch_size: int = 1,
    bias: bool = True,
    input_gradient: bool = True,
) -> Compute:
    """Count one recurrent layer whose first state is zero.

    parameters = G · h · (in + h + 2),  G = 1 (RNN), 3 (GRU) or 4 (LSTM) matrices per input
    forward = 2 · N · T · G · h · (in + h)
    backward = 2 · forward − 2 · N · G · h², as the first state needs no gradient

    PyTorch keeps two biases per gate, one for the input and one for the state: the 2 above.

    Args:
        cell: "rnn", "gru" or "lstm".
        input_size: in.
        hidden_size: h.
        steps: T, the length of the sequences.
        batch_size: N.
        bias: whether there are biases.
        input_gradient: whether the backward pass goes on below.

    Raises:
        ValueError: if `cell` is unknown or a size is below 1.

    Example:
        >>> recurrent("lstm", 64, 128, steps=32, batch_size=16).parameters
        99328
        >>> recurrent("lstm", 64, 128, steps=32, batch_size=16).forward_flops
        100663296

    Taught in: book/concepts/compute_data_algorithms.md
    """
    if cell not in GATES:
        raise ValueError(f"`cell` (={cell!r}) must be one of {', '.join(map(repr, GATES))}.")
    _check_sizes(input_size=input_size, hidden_size=hidden_size, steps=steps, batch_size=batch_size)
    width = GATES[cell] * hidden_size
    from_input = 2 * batch_size * steps * width * input_size
    from_state = 2 * batch_size * steps * width * hidden_size
    return Compute(
        parameters=width * (input_size + hidden_size + 2 * bias),
        forward_flops=from_input + from_state,
        backward_flops=from_input * (1 + input_gradient)
        + from_state
        + from_state * (steps - 1) // steps,
        activations=batch_size * steps * (input_size + hidden_size),
    )


def embedding(num_embeddings: int, embedding_dim: int) -> Compute:
    """Count an embedding: a table that is read, not multiplied.

    parameters = V · d,  FLOPs = 0

    Args:
        num_embeddings: V, the rows of the table.
        embedding_dim: d.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> embedding(50257, 768).parameters
        38597376

    Taught in: book/concepts/compute_data_algorithms.md
    """
    _check_sizes(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
    return Compute(parameters=num_embeddings * embedding_dim)


def layer_norm(normalized_shape: int) -> Compute:
    """Count a layer normalization: a scale and a shift per feature, no matrix product.

    parameters = 2 · d

    Args:
        normalized_shape: d.

    Raises:
        ValueError: if the size is below 1.

    Example:
        >>> layer_norm(768).parameters
        1536

    Taught in: book/concepts/compute_data_algorithms.md
    """
    _check_sizes(normalized_shape=normalized_shape)
    return Compute(parameters=2 * normalized_shape)


def attention(
    d_model: int, nhead: int, *, sequence_length: int, batch_size: int = 1, bias: bool = True
) -> Compute:
    """Count multi-head self-attention.

    parameters = 4 · d² + 4 · d
    forward = 8 · N · T · d² (four projections) + 4 · N · T² · d (scores, weighted values)
    backward = 2 · forward
    activations = 5 · N · T · d (x, queries, keys, values, heads' output) + N · H · T² (weights)

    The number of heads changes the activations only. A causal mask is not subtracted: plain kernels
    compute all T² scores, and so do profilers. A kernel that skips what the mask hides needs half
    of the second term. One that computes the scores again in the backward pass (FlashAttention)
    keeps no weights and needs 2 · N · T² · d more FLOPs there.

    Args:
        d_model: d.
        nhead: H.
        sequence_length: T.
        batch_size: N.
        bias: whether the projections have biases.

    Raises:
        ValueError: if a size is below 1, or `d_model` cannot be divided by `nhead`.

    Source:
        Hoffmann et al., "Training compute-optimal large language models", 2022,
        arXiv:2203.15556, appendix F.

    Example:
        >>> attention(768, 12, sequence_length=1024).forward_flops
        8053063680

    Taught in: book/concepts/compute_data_algorithms.md
    """
    _check_sizes(d_model=d_model, nhead=nhead, sequence_length=sequence_length)
    _check_sizes(batch_size=batch_size)
    if d_model % nhead:
        raise ValueError(f"`d_model` (={d_model}) must be divisible by `nhead` (={nhead}).")
    tokens = batch_size * sequence_length
    forward = 8 * tokens * d_model**2 + 4 * tokens * sequence_length * d_model
    return Compute(
        parameters=4 * d_model * (d_model + bias),
        forward_flops=forward,
        backward_flops=2 * forward,
        activations=5 * tokens * d_model + tokens * nhead * sequence_length,
    )


def transformer_layer(
    d_model: int,
    nhead: int,
    *,
    sequence_length: int,
    batch_size: int = 1,
    dim_feedforward: int | None = None,
    bias: bool = True,
) -> Compute:
    """Count a transformer block: self-attention, a network of two linear layers, two norms.

    parameters = 12 · d² + 13 · d with the usual dim_feedforward = 4 · d

    Args:
        d_model: d.
        nhead: the number of heads.
        sequence_length: T.
        batch_size: N.
        dim_feedforward: the width between the two linear layers; `None` takes 4 · d.
        bias: whether the linear layers have biases.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> transformer_layer(768, 12, sequence_length=1024).parameters
        7087872

    Taught in: book/concepts/compute_data_algorithms.md
    """
    width = 4 * d_model if dim_feedforward is None else dim_feedforward
    _check_sizes(d_model=d_model, dim_feedforward=width)
    rows = batch_size * sequence_length
    return (
        attention(d_model, nhead, sequence_length=sequence_length, batch_size=batch_size, bias=bias)
        + linear(d_model, width, rows=rows, bias=bias)
        + linear(width, d_model, rows=rows, bias=bias)
        + layer_norm(d_model)
        + layer_norm(d_model)
    )


def mlp(sizes: Sequence[int], *, batch_size: int = 1) -> Compute:
    """Count a multilayer perceptron.

    parameters = Σ n_k · (n_{k−1} + 1)

    Args:
        sizes: the widths n₀, n₁, …, from the input to the output.
        batch_size: N.

    Raises:
        ValueError: if there are fewer than two sizes, or one is below 1.

    Example:
        >>> mlp([784, 128, 10]).parameters
        101770
        >>> mlp([784, 128, 10]).training_flops
        409088

    Taught in: book/concepts/compute_data_algorithms.md
    """
    if len(sizes) < 2:
        raise ValueError(f"`sizes` (={list(sizes)}) must name an input and an output.")
    total = Compute()
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        total += linear(inputs, outputs, rows=batch_size, input_gradient=index > 0)
    return total


def lenet(*, batch_size: int = 1, in_channels: int = 1, num_classes: int = 10) -> Compute:
    """Count the LeNet of `largemodels.scratch` on 28×28 images.

    conv 6@5×5 (padding 2) → pool → conv 16@5×5 → pool → 400 → 120 → 84 → classes

    Args:
        batch_size: N.
        in_channels: the channels of the image.
        num_classes: the number of classes.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> lenet().parameters
        61706
        >>> lenet().forward_flops
        833040

    Taught in: book/concepts/compute_data_algorithms.md
    """
    first = conv2d(
        in_channels, 6, 5, (28, 28), padding=2, batch_size=batch_size, input_gradient=False
    )
    return (
        first
        + conv2d(6, 16, 5, (14, 14), batch_size=batch_size)
        + linear(400, 120, rows=batch_size)
        + linear(120, 84, rows=batch_size)
        + linear(84, num_classes, rows=batch_size)
    )


def gpt(
    num_embeddings: int,
    context_length: int,
    d_model: int,
    nhead: int,
    num_layers: int,
    *,
    batch_size: int = 1,
    sequence_length: int | None = None,
    dim_feedforward: int | None = None,
    tie_weights: bool = True,
) -> Compute:
    """Count a GPT: embeddings of tokens and positions, blocks, a norm, a head over the vocabulary.

    parameters = (V + T_max) · d + L · (12 · d² + 13 · d) + 2 · d, and V · d more if not tied
    forward = N · T · (L · (24 · d² + 4 · T · d) + 2 · V · d), with dim_feedforward = 4 · d

    Args:
        num_embeddings: V, the size of the vocabulary.
        context_length: T_max, the number of positions that the model has.
        d_model: d.
        nhead: the number of heads.
        num_layers: L.
        batch_size: N.
        sequence_length: T, the tokens of each text; `None` takes T_max.
        dim_feedforward: the width of the network in a block; `None` takes 4 · d.
        tie_weights: whether the head shares the table of the embedding.

    Raises:
        ValueError: if a size is below 1, or the text is longer than the context.

    Source:
        Brown et al., "Language models are few-shot learners", 2020, arXiv:2005.14165, table 2.1,
        has the sizes of GPT-3 in the example.

    Example:
        >>> gpt(50257, 1024, 768, 12, 12).parameters
        124439808
        >>> print(f"{gpt(50257, 2048, 12288, 96, 96).parameters / 1e9:.1f} billion")
        174.6 billion

    Taught in: book/concepts/compute_data_algorithms.md
    """
    length = context_length if sequence_length is None else sequence_length
    _check_sizes(num_layers=num_layers, sequence_length=length)
    if length > context_length:
        raise ValueError(
            f"`sequence_length` (={length}) must not exceed `context_length` (={context_length})."
        )
    total = embedding(num_embeddings, d_model) + embedding(context_length, d_model)
    block = transformer_layer(
        d_model,
        nhead,
        sequence_length=length,
        batch_size=batch_size,
        dim_feedforward=dim_feedforward,
    )
    for _ in range(num_layers):
        total += block
    head = linear(d_model, num_embeddings, rows=batch_size * length, bias=False)
    if tie_weights:
        head = Compute(0, head.forward_flops, head.backward_flops, head.activations)
    return total + layer_norm(d_model) + head


def training_flops(parameters: float, tokens: float) -> float:
    """Estimate the FLOPs of training a language model from two numbers.

    C ≈ 6 · N · D: 2 forward and 4 backward, for each parameter and token

    It leaves out the scores of attention, 12 · L · T · d per token (half of that where a kernel
    skips what the causal mask hides), so it is good where T is well below 6 · d. For the
    exact count, multiply `gpt(...).training_flops` by the number of steps.

    Args:
        parameters: N. The paper leaves the embeddings out.
        tokens: D, all tokens that training reads, repeated ones too.

    Raises:
        ValueError: if a number is not above 0.

    Source:
        Kaplan et al., "Scaling laws for neural language models", 2020, arXiv:2001.08361,
        section 2.1.

    Example:
        >>> print(f"{training_flops(175e9, 300e9):.2e} FLOPs")
        3.15e+23 FLOPs
        >>> step = gpt(50257, 2048, 12288, 96, 96)
        >>> print(f"{step.training_flops / 2048 * 300e9:.2e} FLOPs, counted exactly")
        3.23e+23 FLOPs, counted exactly

    Taught in: book/concepts/compute_data_algorithms.md
    """
    check_positive("parameters", parameters)
    check_positive("tokens", tokens)
    return 6 * parameters * tokens


def compute_optimal(flops: float, *, tokens_per_parameter: float) -> tuple[float, float]:
    """Split a budget of FLOPs into a model size and an amount of text.

    D = r · N and C = 6 · N · D, so N = √(C / 6r)

    Args:
        flops: C, the budget.
        tokens_per_parameter: r. Chinchilla was trained with 1.4e12 / 70e9 = 20. That is right for
            the loss of one training run; a model that serves many requests pays back more text.

    Returns:
        N, the number of parameters, and D, the number of tokens.

    Raises:
        ValueError: if a number is not above 0.

    Source:
        Hoffmann et al., "Training compute-optimal large language models", 2022,
        arXiv:2203.15556.

    Example:
        >>> parameters, tokens = compute_optimal(5.88e23, tokens_per_parameter=20)
        >>> print(f"{parameters / 1e9:.0f} billion parameters, {tokens / 1e12:.1f} trillion tokens")
        70 billion parameters, 1.4 trillion tokens

    Taught in: book/outlook/scaling_laws.md
    """
    check_positive("flops", flops)
    check_positive("tokens_per_parameter", tokens_per_parameter)
    parameters = math.sqrt(flops / (6 * tokens_per_parameter))
    return parameters, tokens_per_parameter * parameters


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        check_at_least(name, size, 1)

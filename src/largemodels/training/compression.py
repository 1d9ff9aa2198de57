"""Smaller models: pruning, quantization and distillation.

The three change different things. Pruning sets weights to 0, and saves memory only where the file
or the kernel leaves zeros out. Quantization keeps all parameters, with fewer bits for each.
Distillation trains another, smaller model. All three make serving cheaper, not training.
"""

from __future__ import annotations

import copy
import io
import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune

__all__ = [
    "Quantized",
    "Sparsity",
    "affine_quantize",
    "distillation_loss",
    "distillation_step",
    "make_pruning_permanent",
    "prune_globally",
    "quantize_dynamic",
    "quantize_weights",
    "saved_bytes",
    "sparsity",
]

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Sparsity:
    """The share of zeros among the weights of linear and convolutional layers, without biases.

    Args:
        total: the share among all of them.
        layers: the share in each layer, by its name.

    Example:
        >>> model = nn.Linear(4, 1)
        >>> model.weight.data = torch.tensor([[0.0, 1.0, 0.0, 2.0]])
        >>> sparsity(nn.Sequential(model))
        Sparsity(total=0.5, layers={'0': 0.5})

    Taught in: book/training/compression.md
    """

    total: float
    layers: dict[str, float]


def prune_globally(model: nn.Module, amount: float) -> None:
    """Set the smallest weights of all linear and convolutional layers together to 0.

    the round(amount · n) weights with the smallest |w| of all n become 0

    The layers keep masks, so that the zeros stay zeros while the model is trained further. A second
    call prunes `amount` of the weights that are left. This is `prune.global_unstructured` of
    PyTorch with the magnitude as the measure.

    Args:
        model: the network; it is changed.
        amount: the share of the weights to prune, from 0 to 1.

    Raises:
        ValueError: if `amount` is not from 0 to 1, or the model has no such layer.

    Source:
        Han, Pool, Tran and Dally, "Learning both weights and connections for efficient neural
        networks", NeurIPS 2015.

    Example:
        >>> model = nn.Linear(4, 1)
        >>> model.weight.data = torch.tensor([[0.1, -3.0, 0.2, 2.0]])
        >>> prune_globally(model, 0.5)
        >>> model.weight.tolist()
        [[0.0, -3.0, 0.0, 2.0]]

    Taught in: book/training/compression.md
    """
    if not 0 <= amount <= 1:
        raise ValueError(f"`amount` (={amount}) must be from 0 to 1.")
    weights = [(layer, "weight") for layer in _layers(model).values()]
    prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=float(amount))


def make_pruning_permanent(model: nn.Module) -> None:
    """Replace weights and masks by the masked weights, as a model for serving has them.

    Args:
        model: a network that `prune_globally` changed; it is changed.

    Example:
        >>> model = nn.Linear(4, 1)
        >>> prune_globally(model, 0.5)
        >>> list(model.state_dict())
        ['bias', 'weight_orig', 'weight_mask']
        >>> make_pruning_permanent(model)
        >>> list(model.state_dict())
        ['bias', 'weight']

    Taught in: book/training/compression.md
    """
    for layer in _layers(model).values():
        if prune.is_pruned(layer):
            prune.remove(layer, "weight")


def sparsity(model: nn.Module) -> Sparsity:
    """Report the share of zeros.

    Args:
        model: the network.

    Raises:
        ValueError: if the model has no linear or convolutional layer.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4))
        >>> prune_globally(model, 0.25)
        >>> sparsity(model).total
        0.25

    Taught in: book/training/compression.md
    """
    zeros = {name: int((layer.weight == 0).sum()) for name, layer in _layers(model).items()}
    sizes = {name: layer.weight.numel() for name, layer in _layers(model).items()}
    shares = {name: zeros[name] / sizes[name] for name in sizes}
    return Sparsity(sum(zeros.values()) / sum(sizes.values()), shares)


def saved_bytes(model: nn.Module, *, sparse: bool = False) -> int:
    """Return the size of the file that `torch.save` writes for a model's `state_dict`.

    Args:
        model: the network.
        sparse: whether to store each matrix by its numbers that are not 0, with a 32-bit column for
            each (compressed sparse rows). That is smaller when more than half are 0.

    Returns:
        The size in bytes, with some hundred for the names.

    Example:
        >>> model = nn.Linear(1000, 10)
        >>> saved_bytes(model) // 1000  # 10,010 numbers of 4 bytes, and names.
        41
        >>> prune_globally(model, 0.9)
        >>> make_pruning_permanent(model)
        >>> saved_bytes(model) // 1000, saved_bytes(model, sparse=True) // 1000
        (41, 10)

    Taught in: book/training/compression.md
    """
    state = model.state_dict()
    if sparse:
        state = {name: _compressed(value) for name, value in state.items()}
    file = io.BytesIO()
    torch.save(state, file)
    return file.tell()


@dataclass(frozen=True)
class Quantized:
    """Numbers in few bits: x ≈ scale · (values − zero_point).

    Args:
        values: integers from 0 to 2ᵇ − 1, one in each byte.
        scale: the distance of neighbouring values.
        zero_point: the integer that means 0.

    Example:
        >>> quantized = Quantized(torch.tensor([0, 3], dtype=torch.uint8), scale=0.5, zero_point=1)
        >>> quantized.dequantize()
        tensor([-0.5000,  1.0000])

    Taught in: book/training/compression.md
    """

    values: Tensor
    scale: float
    zero_point: int

    def dequantize(self) -> Tensor:
        """Return the numbers that the integers mean, in float32."""
        # In float64: the scale of tiny numbers may be 0 in float32.
        return (self.scale * (self.values.double() - self.zero_point)).float()


def affine_quantize(x: Tensor, bits: int = 8) -> Quantized:
    """Round numbers to 2ᵇ equally far values between the smallest and the largest.

    scale = (max − min) / (2ᵇ − 1),  zero_point = round(−min / scale)
    q = clip(round(x / scale) + zero_point, 0, 2ᵇ − 1)

    min and max include 0, so that 0 stays exactly 0 (padding, ReLU).

    error bound: |x − scale · (q − zero_point)| ≤ scale / 2, and float32 rounding

    Args:
        x: the numbers, of any shape.
        bits: b, from 2 to 8.

    Raises:
        ValueError: if `x` is empty or not finite, or `bits` is not from 2 to 8.

    Source:
        Jacob et al., "Quantization and training of neural networks for efficient
        integer-arithmetic-only inference", CVPR 2018, equation 1.

    Example:
        >>> quantized = affine_quantize(torch.tensor([-1.0, 0.0, 0.3, 2.0]), bits=2)
        >>> quantized
        Quantized(values=tensor([0, 1, 1, 3], dtype=torch.uint8), scale=1.0, zero_point=1)
        >>> quantized.dequantize()
        tensor([-1.,  0.,  0.,  2.])

    Taught in: book/training/compression.md
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"`bits` (={bits}) must be from 2 to 8.")
    if x.numel() == 0:
        raise ValueError(f"`x` (of shape {tuple(x.shape)}) is empty.")
    if not x.isfinite().all():
        raise ValueError("`x` must be finite numbers.")
    largest = 2**bits - 1
    low, high = min(x.min().item(), 0.0), max(x.max().item(), 0.0)
    scale = (high - low) / largest or 1.0  # Zeros only: any scale is right.
    zero_point = round(-low / scale)
    values = (torch.round(x.double() / scale) + zero_point).clamp(0, largest)
    return Quantized(values.to(torch.uint8), scale, zero_point)


def quantize_weights(model: nn.Module, bits: int = 8) -> nn.Module:
    """Return a copy of a model with the weights that `bits` bits leave, to see what they cost.

    Each weight of a linear or convolutional layer is quantized and dequantized, one scale for each
    layer. The copy computes in float32, so it is neither smaller nor faster. Only its answers are
    those of a quantized model.

    Args:
        model: the network.
        bits: from 2 to 8.

    Raises:
        ValueError: if the model has no such layer, or `bits` is not from 2 to 8.

    Example:
        >>> model = nn.Linear(10, 10)
        >>> len(quantize_weights(model, bits=2).weight.unique()) <= 4
        True

    Taught in: book/training/compression.md
    """
    model = copy.deepcopy(model)
    for layer in _layers(model).values():
        layer.weight.data = affine_quantize(layer.weight.data, bits).dequantize().to(layer.weight)
    return model


def quantize_dynamic(model: nn.Module) -> nn.Module:
    """Return a copy of a model whose linear layers compute with integers of 8 bits, on the CPU.

    The weights are stored in int8. Those of the input are quantized anew in each pass, by the range
    of the batch (that is the "dynamic"). So no data is needed to prepare it. This is
    `torch.ao.quantization.quantize_dynamic`; PyTorch moves it to the library torchao.

    Args:
        model: the network, on the CPU.

    Returns:
        The quantized copy, for prediction only.

    Example:
        >>> model = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
        >>> saved_bytes(model) / saved_bytes(quantize_dynamic(model)) > 3
        True

    Taught in: book/training/compression.md
    """
    with warnings.catch_warnings():
        # The move to torchao, which is not a part of PyTorch, is told above.
        warnings.filterwarnings("ignore", message=".*deprecated")
        return torch.ao.quantization.quantize_dynamic(
            copy.deepcopy(model).eval(), {nn.Linear}, dtype=torch.qint8
        )


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    *,
    temperature: float,
    weight: float,
) -> Tensor:
    """Return how far a student is from its teacher and from the right classes.

    L = α · T² · KL(softmax(t / T) ‖ softmax(s / T)) + (1 − α) · cross-entropy(s, y)

    A temperature above 1 shows which wrong classes the teacher finds likely. The gradient of the
    first term without its factor falls as 1 / T². With the factor, α means the same for each T.

    Args:
        student_logits: s, shape (N, classes).
        teacher_logits: t, shape (N, classes).
        targets: the right classes y, shape (N,).
        temperature: T, above 0.
        weight: α, from 0 (labels only) to 1 (teacher only).

    Returns:
        The mean over the batch.

    Raises:
        ValueError: if the shapes of the logits differ, or a number is out of range.

    Source:
        Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015,
        arXiv:1503.02531, section 2.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0]])
        >>> other = torch.tensor([[0.0, 0.0]])
        >>> loss = distillation_loss(
        ...     logits, other, torch.tensor([0]), temperature=2.0, weight=1.0
        ... )
        >>> round(loss.item(), 4)  # 4 · (ln cosh(1/2))
        0.4805

    Taught in: book/training/compression.md
    """
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"`student_logits` (of shape {tuple(student_logits.shape)}) must have the shape of "
            f"`teacher_logits`, {tuple(teacher_logits.shape)}."
        )
    if not 0 < temperature < math.inf:
        raise ValueError(f"`temperature` (={temperature}) must be above 0.")
    if not 0 <= weight <= 1:
        raise ValueError(f"`weight` (={weight}) must be from 0 to 1.")
    soft = functional.kl_div(
        functional.log_softmax(student_logits / temperature, dim=1),
        functional.log_softmax(teacher_logits / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    hard = functional.cross_entropy(student_logits, targets)
    return weight * temperature**2 * soft + (1 - weight) * hard


def distillation_step(
    student: nn.Module,
    teacher: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    targets: Tensor,
    *,
    temperature: float,
    weight: float,
) -> float:
    """Let a student learn from one batch: forward of both, loss, backward, step.

    The teacher predicts as it does when it serves (`eval`), and learns nothing.

    Args:
        student: the network that learns.
        teacher: the trained network.
        optimizer: the optimizer of the student's parameters.
        x: the inputs.
        targets: the right classes, shape (N,).
        temperature: T, see `distillation_loss`.
        weight: α, see `distillation_loss`.

    Returns:
        The loss before the step.

    Raises:
        ValueError: if an argument of the loss is out of range.

    Example:
        >>> teacher, student = nn.Linear(2, 3), nn.Linear(2, 3)
        >>> optimizer = torch.optim.SGD(student.parameters(), lr=0.5)
        >>> x, y = torch.randn(8, 2), torch.zeros(8, dtype=torch.long)
        >>> options = {"temperature": 2.0, "weight": 1.0}
        >>> first = distillation_step(student, teacher, optimizer, x, y, **options)
        >>> first > distillation_step(student, teacher, optimizer, x, y, **options)
        True

    Taught in: book/training/compression.md
    """
    teacher.eval()
    with torch.no_grad():
        teacher_logits = teacher(x)
    loss = distillation_loss(
        student(x), teacher_logits, targets, temperature=temperature, weight=weight
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _layers(model: nn.Module) -> dict[str, Any]:
    layers = {name: part for name, part in model.named_modules() if isinstance(part, LAYERS)}
    if not layers:
        raise ValueError(f"`model` (={model!r}) has no linear or convolutional layer.")
    return layers


def _compressed(value: Tensor) -> Tensor:
    if value.ndim < 2:
        return value
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        rows = value.flatten(1).to_sparse_csr()  # (out, …) -> (out, rest)
    return torch.sparse_csr_tensor(
        rows.crow_indices().int(),
        rows.col_indices().int(),
        rows.values(),
        rows.shape,
        check_invariants=True,
    )

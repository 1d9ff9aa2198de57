"""Which parts of an input a prediction rests on: four answers to four different questions.

| function | question |
|---|---|
| `saliency` | Which input, changed a little, changes the score most? |
| `integrated_gradients` | How is the score's change on the way from a baseline shared out? |
| `lime` | Which linear model behaves like this one when parts of the input are missing? |
| `shap_values` | What does each input add, on average over all orders of adding the inputs? |

None of them says what would happen in the world if an input were different, and none makes a model
robust. The explained score is the model's output for one class: a logit for a network that ends in
logits. The model is put into evaluation mode for the explanation, and back afterwards.

For LIME and SHAP of a text, let `x` be its tokens, the baseline the padding, and the model start
with `x.long()`.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from largemodels.trust._models import device_and_dtype, evaluation_mode, to_targets, to_tensor
from largemodels.trust.shapley import shap_values

__all__ = [
    "integrated_gradients",
    "lime",
    "saliency",
    "shap_values",
    "token_attributions",
]


def saliency(model: nn.Module, x: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Return how strongly the score of a class reacts to a small change of each input.

    |∂fₖ(x) / ∂xᵢ|,  k = target

    Args:
        model: the network, (N, ...) -> (N, classes).
        x: the inputs to explain, shape (N, ...).
        target: the class k of each example, integers, shape (N,).

    Returns:
        Numbers of at least 0, in units of score per unit of the input, of the shape of `x`.

    Raises:
        ValueError: if there is no example, or `target` does not fit.

    Source:
        Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2014, section 3.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> model.weight.data = torch.tensor([[1.0, -3.0], [0.5, 0.0]])
        >>> saliency(model, [[10.0, 20.0]], [0])  # The size of the inputs does not matter.
        array([[1., 3.]], dtype=float32)

    Taught in: book/training/interpretability.md
    """
    from captum.attr import Saliency  # Half a second that no other room should pay.

    inputs = to_tensor(model, "x", x)
    classes = to_targets(model, "target", target, len(inputs))
    with evaluation_mode(model):
        attributions = Saliency(model).attribute(inputs.requires_grad_(), target=classes)
    return _to_array(attributions)


def integrated_gradients(
    model: nn.Module,
    x: ArrayLike,
    target: ArrayLike,
    *,
    baseline: ArrayLike | None = None,
    steps: int = 50,
) -> np.ndarray:
    """Return what each input adds to the score of a class on the straight way from a baseline.

    φᵢ = (xᵢ − bᵢ) ∫₀¹ ∂fₖ(b + t (x − b)) / ∂xᵢ dt

    Completeness: Σᵢ φᵢ = fₖ(x) − fₖ(b), up to the error of the numerical integral. Check it: if it
    does not hold well enough, take more steps.

    Args:
        model: the network, (N, ...) -> (N, classes).
        x: the inputs to explain, shape (N, ...).
        target: the class k of each example, integers, shape (N,).
        baseline: the input b that stands for "nothing there", shape (...); by default zeros. The
            explanation depends on it.
        steps: the number of points of the integral (Gauss–Legendre).

    Returns:
        Attributions φ in units of the score, of the shape of `x`.

    Raises:
        ValueError: if there is no example, `target` or `baseline` does not fit, or `steps` is below
            1.

    Source:
        Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017,
        equation 1 and proposition 1.

    Example:
        >>> class Product(nn.Module):
        ...     def forward(self, x):
        ...         return (x[:, 0] * x[:, 1]).unsqueeze(1)  # (N, 2) -> (N, 1)
        >>> integrated_gradients(Product(), [[2.0, 3.0]], [0]).round(4)  # 6, shared fairly.
        array([[3., 3.]], dtype=float32)

    Taught in: book/training/interpretability.md
    """
    from captum.attr import IntegratedGradients

    _check_at_least_one("steps", steps)
    inputs = to_tensor(model, "x", x)
    classes = to_targets(model, "target", target, len(inputs))
    with evaluation_mode(model):
        attributions = IntegratedGradients(model).attribute(
            inputs,
            baselines=_baseline(model, inputs, baseline).expand_as(inputs),
            target=classes,
            n_steps=steps,
        )
    return _to_array(attributions)


def token_attributions(
    model: nn.Module,
    embedding: nn.Module,
    tokens: ArrayLike,
    target: ArrayLike,
    *,
    baseline_token: int = 0,
    steps: int = 50,
) -> np.ndarray:
    """Return what each token of a text adds to the score of a class.

    φₜ = Σ_d φ_{t d}: the integrated gradients of the embedding of token t, summed

    Tokens have no gradient, but their embeddings have one. Completeness holds as in
    `integrated_gradients`: Σₜ φₜ = fₖ(tokens) − fₖ(baseline).

    Args:
        model: the network, (N, T) integers -> (N, classes).
        embedding: the layer of `model` that turns tokens into vectors.
        tokens: the texts to explain, integers, shape (N, T).
        target: the class k of each text, integers, shape (N,).
        baseline_token: the token that stands for "no word", mostly the padding.
        steps: the number of points of the integral.

    Returns:
        Attributions φ in units of the score, shape (N, T).

    Raises:
        ValueError: if the shapes do not fit, `tokens` are no integers, or `steps` is below 1.

    Source:
        Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017,
        section 6.3.

    Example:
        >>> embedding = nn.Embedding.from_pretrained(torch.tensor([[0.0], [2.0], [-5.0]]))
        >>> model = nn.Sequential(embedding, nn.Flatten())  # One score for each place.
        >>> token_attributions(model, embedding, [[1, 2]], [1]).round(4)
        array([[ 0., -5.]], dtype=float32)

    Taught in: book/training/interpretability.md
    """
    from captum.attr import LayerIntegratedGradients

    _check_at_least_one("steps", steps)
    texts = np.asarray(tokens)
    if texts.ndim != 2 or texts.size == 0 or not np.issubdtype(texts.dtype, np.integer):
        raise ValueError(
            f"`tokens` (of shape {texts.shape} and type {texts.dtype}) must be integers of shape "
            "(N, T), N and T above 0."
        )
    inputs = torch.tensor(texts, device=device_and_dtype(model)[0], dtype=torch.long)
    classes = to_targets(model, "target", target, len(inputs))
    with evaluation_mode(model):
        attributions = LayerIntegratedGradients(model, embedding).attribute(
            inputs,
            baselines=torch.full_like(inputs, baseline_token),
            target=classes,
            n_steps=steps,
        )
    return _to_array(attributions.sum(dim=-1))  # (N, T, D) -> (N, T)


def lime(
    model: nn.Module,
    x: ArrayLike,
    target: ArrayLike,
    *,
    baseline: ArrayLike | None = None,
    segments: ArrayLike | None = None,
    samples: int = 1000,
    kernel_width: float = 0.25,
    seed: int,
) -> np.ndarray:
    """Return the coefficients of a linear model that behaves like the network near an input.

    φ = argmin_φ min_c Σ_z π(z) (fₖ(h(z)) − c − φᵀ z)²,  π(z) = exp(−D(z)² / width²),
    D(z) = 1 − √(Σᵢ zᵢ / M)

    z has one 0 or 1 for each of M segments, drawn at random. h(z) is the input with the segments
    where z is 0 replaced by the baseline. D is the cosine distance from z to the input itself, all
    ones. The answer depends on the segments, the width and the draw: try several seeds.

    Args:
        model: the network, (N, ...) -> (N, classes).
        x: the inputs to explain, shape (N, ...).
        target: the class k of each example, integers, shape (N,).
        baseline: what stands for a missing input, shape (...); by default zeros.
        segments: which segment each input belongs to, integers from 0, shape (...); by default each
            input is one. For images, let a segment be a patch.
        samples: the number of draws of z.
        kernel_width: the width of the kernel π.
        seed: the number from which z is drawn.

    Returns:
        Coefficients φ in units of the score, of the shape of `x`: all inputs of a segment have the
        coefficient of the segment.

    Raises:
        ValueError: if a shape does not fit, `kernel_width` is not positive, or there are not more
            samples than segments.

    Source:
        Ribeiro, Singh and Guestrin, "Why should I trust you?", KDD 2016, equation 2; the distance
        and the width are those of the authors' package for text and images.

    Example:
        >>> model = nn.Linear(3, 1)
        >>> model.weight.data = torch.tensor([[1.0, -2.0, 1.0]])
        >>> lime(model, [[5.0, 1.0, 7.0]], [0], samples=100, seed=0).round(3)
        array([[ 5., -2.,  7.]], dtype=float32)

    Taught in: book/training/interpretability.md
    """
    from captum._utils.models.linear_model import SkLearnLinearRegression
    from captum.attr import Lime

    inputs = to_tensor(model, "x", x)
    classes = to_targets(model, "target", target, len(inputs))
    missing = _baseline(model, inputs, baseline)
    parts = _segments(inputs, segments)
    if not kernel_width > 0:
        raise ValueError(f"`kernel_width` (={kernel_width}) must be positive.")
    count = int(parts.max()) + 1
    if samples <= count:
        raise ValueError(
            f"`samples` (={samples}) must be more than the number of segments, {count}."
        )

    def kernel(original: Tensor, perturbed: Tensor, z: Tensor, **options: Any) -> float:
        distance = 1 - sqrt(z.sum().item() / count)
        return float(np.exp(-((distance / kernel_width) ** 2)))

    explainer = Lime(model, SkLearnLinearRegression(), similarity_func=kernel)
    # Captum draws from the global generator: seed a copy, and leave the caller's as it is.
    with evaluation_mode(model), torch.random.fork_rng():
        torch.manual_seed(seed)
        attributions = [
            explainer.attribute(
                example.unsqueeze(0),
                baselines=missing.unsqueeze(0),
                target=int(k),
                feature_mask=parts.unsqueeze(0),
                n_samples=samples,
                perturbations_per_eval=min(samples, 256),
            )
            for example, k in zip(inputs, classes, strict=True)
        ]
    return _to_array(torch.cat(attributions)).astype(inputs.cpu().numpy().dtype)


def _baseline(model: nn.Module, inputs: Tensor, baseline: ArrayLike | None) -> Tensor:
    if baseline is None:
        return torch.zeros_like(inputs[0])
    device, dtype = device_and_dtype(model)
    tensor = torch.tensor(np.asarray(baseline), device=device, dtype=dtype)
    if tensor.shape != inputs.shape[1:]:
        raise ValueError(
            f"`baseline` (of shape {tuple(tensor.shape)}) must have shape "
            f"{tuple(inputs.shape[1:])}."
        )
    return tensor


def _segments(inputs: Tensor, segments: ArrayLike | None) -> Tensor:
    shape = tuple(inputs.shape[1:])
    if segments is None:
        return torch.arange(inputs[0].numel(), device=inputs.device).reshape(shape)
    array = np.asarray(segments)
    if array.shape != shape:
        raise ValueError(f"`segments` (of shape {array.shape}) must have shape {shape}.")
    # A number that no input has would be a segment that changes nothing.
    if not np.array_equal(np.unique(array), np.arange(array.max() + 1)):
        raise ValueError(f"`segments` (={np.unique(array).tolist()}) must be 0, 1, … without gaps.")
    return torch.tensor(array, device=inputs.device, dtype=torch.long)


def _to_array(attributions: Tensor) -> np.ndarray:
    return attributions.detach().cpu().numpy()


def _check_at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"`{name}` (={value}) must be at least 1.")

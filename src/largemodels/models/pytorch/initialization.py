"""Initial weights: the same for all PyTorch twins."""

from __future__ import annotations

from torch import nn

__all__ = ["he_initialize"]


def he_initialize(module: nn.Module) -> None:
    """Draw the weights of a linear layer or a convolution as He et al. do; set its bias to zero.

    Var(w) = 2 / fan_in

    Other layers stay as they are. Give it to `nn.Module.apply`, which calls it for every layer.

    Args:
        module: the layer.

    Source:
        He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015, equation 10.

    Example:
        >>> layer = nn.Sequential(nn.Linear(200, 1000)).apply(he_initialize)[0]
        >>> round(layer.weight.var().item(), 3), layer.bias.abs().max().item()
        (0.01, 0.0)

    Taught in: book/math/neurons_and_activations.md
    """
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)

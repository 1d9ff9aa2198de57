"""What the models that are a plain sequence of layers have in common."""

from torch import nn

__all__ = ["Chain"]


class Chain(nn.Sequential):
    """A sequence of layers of which a slice can be taken, too.

        y = f_n(... f_2(f_1(x))),  and a slice keeps some of the f

    `nn.Sequential` makes a slice of the model's own class, whose arguments are sizes, not layers.

    Shape:
        as the first layer takes it -> as the last one gives it

    Example:
        >>> from largemodels.models.pytorch import MLP
        >>> MLP([3, 4, 2])[:2]
        Sequential(
          (0): Linear(in_features=3, out_features=4, bias=True)
          (1): ReLU()
        )

    Taught in: book/tools/frameworks_side_by_side.md
    """

    def __getitem__(self, index: int | slice) -> nn.Module:
        """One layer, or a plain sequence of some."""
        return nn.Sequential(*list(self)[index]) if isinstance(index, slice) else list(self)[index]

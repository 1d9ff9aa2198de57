"""The graph convolution: every node learns from its neighbors."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from largemodels.scratch.initializers import xavier_uniform
from largemodels.scratch.layer import Layer, Parameter, check_shape

__all__ = ["GraphConvolution", "normalized_adjacency"]


def normalized_adjacency(adjacency: np.ndarray) -> np.ndarray:
    """Return how much each node hears from each other one and from itself.

    Â = D^(−½) (A + I) D^(−½),  D the diagonal matrix of the row sums of A + I

    The identity I lets a node keep what it knows. The division keeps a node of many neighbors
    from growing loud: the eigenvalues of Â are at most 1.

    Args:
        adjacency: A, the weights of an undirected graph's edges, at least 0 and symmetric, shape
            (..., nodes, nodes); 1 and 0 where there is nothing but an edge or none.

    Returns:
        Â, of the same shape; float32 stays float32, integers become float64.

    Raises:
        ValueError: if `adjacency` is not square, not symmetric, or negative somewhere.

    Source:
        Kipf and Welling, "Semi-supervised classification with graph convolutional networks",
        ICLR 2017, equation 2.

    Example:
        >>> normalized_adjacency(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])).round(3)
        array([[0.5  , 0.408, 0.   ],
               [0.408, 0.333, 0.408],
               [0.   , 0.408, 0.5  ]])

    Taught in: book/algorithms/graph_networks.md
    """
    if adjacency.ndim < 2 or adjacency.shape[-1] != adjacency.shape[-2]:
        raise ValueError(f"`adjacency` must have shape (..., nodes, nodes), got {adjacency.shape}.")
    wrong = np.argwhere(~(adjacency >= 0))
    if len(wrong) > 0:
        raise ValueError(
            f"`adjacency` must be at least 0, got {adjacency[tuple(wrong[0])]} "
            f"at {wrong[0].tolist()}."
        )
    wrong = np.argwhere(adjacency != adjacency.swapaxes(-1, -2))
    if len(wrong) > 0:
        raise ValueError(
            "`adjacency` must be symmetric, as an undirected graph's; "
            f"it differs from its transpose at {wrong[0].tolist()}."
        )
    with_self = adjacency + np.eye(adjacency.shape[-1], dtype=adjacency.dtype)
    scale = 1 / np.sqrt(with_self.sum(axis=-1))  # (..., nodes)
    return scale[..., :, None] * with_self * scale[..., None, :]


class GraphConvolution(Layer):
    """Transform the features of each node, then mix them along the edges.

    forward:   Y = Â X Wᵀ + b
    backward:  with G = Âᵀ ∂L/∂Y:  ∂L/∂W = Gᵀ X,  ∂L/∂X = G W,  ∂L/∂b = the sum of the rows of ∂L/∂Y

    One layer looks one edge far, k layers look k edges far. The graph is given and not learned, so
    it has no gradient. An activation is a layer of its own.

    Args:
        in_features: the number of features of a node.
        out_features: the number of features that a node gets.
        bias: whether to add b; it starts at zero.
        rng: the random generator of the initial weight, Xavier uniform; `None` takes a new one.
        dtype: the type of the parameters.

    Attributes:
        weight: W, shape (out_features, in_features).
        bias: b, shape (out_features,), or `None`.

    Shape:
        (..., nodes, in_features) -> (..., nodes, out_features)

    Raises:
        ValueError: if a size is below 1, or an input, a graph or a gradient has a wrong shape.

    Source:
        Kipf and Welling, "Semi-supervised classification with graph convolutional networks",
        ICLR 2017, equation 2.

    Example:
        >>> layer = GraphConvolution(1, 1, dtype=np.float64)
        >>> layer.weight.data[...] = 6
        >>> path = normalized_adjacency(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]))
        >>> layer(np.array([[1.0], [0.0], [0.0]]), path).round(3)  # The far end hears nothing.
        array([[3.   ],
               [2.449],
               [0.   ]])
        >>> layer.backward(np.array([[0.0], [1.0], [0.0]])).round(3)
        array([[2.449],
               [2.   ],
               [2.449]])

    Taught in: book/algorithms/graph_networks.md
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if in_features < 1:
            raise ValueError(f"`in_features` (={in_features}) must be at least 1.")
        if out_features < 1:
            raise ValueError(f"`out_features` (={out_features}) must be at least 1.")
        rng = np.random.default_rng(rng)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(xavier_uniform((out_features, in_features), rng, dtype))
        self.bias = Parameter(np.zeros(out_features, dtype)) if bias else None

    def forward(self, x: np.ndarray, adjacency: np.ndarray) -> np.ndarray:
        """Return Y.

        Args:
            x: X, the features of the nodes, shape (..., nodes, in_features).
            adjacency: Â, as `normalized_adjacency` returns it: one graph for all, of shape
                (nodes, nodes), or a graph for each, of shape (..., nodes, nodes). Compute it once:
                it serves all layers and all steps.
        """
        if x.ndim < 2 or x.shape[-1] != self.in_features:
            raise ValueError(
                f"`x` must have shape (..., nodes, {self.in_features}), got {x.shape}."
            )
        *batch, nodes, _ = x.shape
        if adjacency.ndim != 2:
            check_shape("adjacency", adjacency, (*batch, nodes, nodes))
        else:
            check_shape("adjacency", adjacency, (nodes, nodes))
        self.saved = x, adjacency
        transformed = x @ self.weight.data.T  # (..., nodes, in) @ (in, out) -> (..., nodes, out)
        y = adjacency @ transformed  # (..., nodes, nodes) @ (..., nodes, out)
        if self.bias is not None:
            y = y + self.bias.data  # (..., nodes, out) + (out,)
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Set the gradients of W and b, and return ∂L/∂X from `grad_output` = ∂L/∂Y."""
        x, adjacency = self.saved
        check_shape("grad_output", grad_output, (*x.shape[:-1], self.out_features))
        grad = adjacency.swapaxes(-1, -2) @ grad_output  # Back along the edges: G.
        rows = grad.reshape(-1, self.out_features)  # (..., nodes, out) -> (rows, out)
        self.weight.grad = rows.T @ x.reshape(-1, self.in_features)  # (out, rows) @ (rows, in)
        if self.bias is not None:
            self.bias.grad = grad_output.reshape(-1, self.out_features).sum(axis=0)
        return grad @ self.weight.data  # (..., nodes, out) @ (out, in) -> (..., nodes, in)

    def extra_repr(self) -> str:
        """Return the sizes, as PyTorch prints those of a linear layer."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )

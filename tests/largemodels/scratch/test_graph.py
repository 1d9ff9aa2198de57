"""The graph convolution equals autograd, and two of them find the two halves of a graph."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from largemodels.scratch import (
    Adam,
    CrossEntropyLoss,
    GraphConvolution,
    ReLU,
    normalized_adjacency,
)


def assert_equal(ours: np.ndarray | None, theirs: torch.Tensor | None) -> None:
    assert ours is not None
    assert theirs is not None
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)


def random_graph(rng: np.random.Generator, *shape: int) -> np.ndarray:
    upper = np.triu(rng.random(shape) * (rng.random(shape) < 0.5), k=1)
    return upper + upper.swapaxes(-1, -2)


@given(
    batch=st.lists(st.integers(1, 3), max_size=2).map(tuple),
    nodes=st.integers(1, 6),
    in_features=st.integers(1, 5),
    out_features=st.integers(1, 5),
    bias=st.booleans(),
    shared=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_graph_convolution_equals_pytorch(
    batch: tuple[int, ...],
    nodes: int,
    in_features: int,
    out_features: int,
    bias: bool,
    shared: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    layer = GraphConvolution(in_features, out_features, bias=bias, rng=rng, dtype=np.float64)
    if layer.bias is not None:
        layer.bias.data[...] = rng.standard_normal(out_features)
    x = rng.standard_normal((*batch, nodes, in_features))
    # Any matrix will do, and one without symmetry shows a transpose that is missing.
    adjacency = rng.standard_normal((*(() if shared else batch), nodes, nodes))
    grad_output = rng.standard_normal((*batch, nodes, out_features))
    y = layer(x, adjacency)
    grad_x = layer.backward(grad_output)

    linear = torch.nn.Linear(in_features, out_features, bias=False, dtype=torch.float64)
    linear.load_state_dict({"weight": torch.from_numpy(layer.weight.data)})
    torch_x = torch.from_numpy(x).requires_grad_()
    torch_y = torch.from_numpy(adjacency) @ linear(torch_x)
    if layer.bias is not None:
        torch_bias = torch.from_numpy(layer.bias.data.copy()).requires_grad_()
        torch_y = torch_y + torch_bias
    torch_y.backward(torch.from_numpy(grad_output))
    assert_equal(y, torch_y)
    assert_equal(grad_x, torch_x.grad)
    assert_equal(layer.weight.grad, linear.weight.grad)
    if layer.bias is not None:
        assert_equal(layer.bias.grad, torch_bias.grad)


@given(
    batch=st.lists(st.integers(1, 3), max_size=2).map(tuple),
    nodes=st.integers(1, 7),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_normalized_adjacency_equals_products_with_diagonal_matrices(
    batch: tuple[int, ...], nodes: int, seed: int
) -> None:
    adjacency = random_graph(np.random.default_rng(seed), *batch, nodes, nodes)
    with_self = torch.from_numpy(adjacency) + torch.eye(nodes, dtype=torch.float64)
    root = torch.diag_embed(with_self.sum(-1) ** -0.5)
    result = normalized_adjacency(adjacency)
    assert_equal(result, root @ with_self @ root)
    assert np.abs(np.linalg.eigvalsh(result)).max() <= 1 + 1e-12


def test_a_node_without_edges_keeps_its_features() -> None:
    adjacency = np.zeros((3, 3), int)
    adjacency[0, 1] = adjacency[1, 0] = 1
    np.testing.assert_allclose(normalized_adjacency(adjacency)[2], [0, 0, 1])


@pytest.mark.parametrize(
    ("dtype", "expected"), [(np.float32, np.float32), (np.float64, np.float64), (int, np.float64)]
)
def test_the_type_is_kept_and_the_graph_stays_untouched(dtype: type, expected: type) -> None:
    adjacency = np.array([[0, 1], [1, 0]], dtype)
    adjacency.flags.writeable = False  # A write raises.
    assert normalized_adjacency(adjacency).dtype == expected


def test_names_in_another_order_give_the_same_result_in_that_order() -> None:
    rng = np.random.default_rng(0)
    adjacency, x = random_graph(rng, 6, 6), rng.standard_normal((6, 3))
    layer = GraphConvolution(3, 4, rng=rng, dtype=np.float64)
    order = rng.permutation(6)
    y = layer(x, normalized_adjacency(adjacency))
    shuffled = layer(x[order], normalized_adjacency(adjacency[order][:, order]))
    np.testing.assert_allclose(shuffled, y[order], rtol=1e-12, atol=1e-12)


def test_two_layers_find_both_groups_from_one_label_each() -> None:
    rng = np.random.default_rng(0)
    groups = np.arange(60) % 2
    # A friend of the same group is six times as likely, and features say nothing but the name.
    likely = np.where(groups[:, None] == groups, 0.3, 0.05)
    upper = np.triu(rng.random((60, 60)) < likely, k=1)
    adjacency = normalized_adjacency((upper | upper.T).astype(float))
    x, labelled = np.eye(60), np.array([0, 1])

    first = GraphConvolution(60, 8, rng=rng, dtype=np.float64)
    relu = ReLU()
    second = GraphConvolution(8, 2, rng=rng, dtype=np.float64)
    loss, optimizer = CrossEntropyLoss(), Adam(first.parameters() + second.parameters(), lr=0.01)
    for _ in range(200):
        logits = second(relu(first(x, adjacency)), adjacency)
        loss(logits[labelled], groups[labelled])
        grad = np.zeros_like(logits)
        grad[labelled] = loss.backward()
        first.backward(relu.backward(second.backward(grad)))
        optimizer.step()
    assert (logits.argmax(axis=1) == groups).mean() > 0.9


def test_errors_name_argument_and_value() -> None:
    with pytest.raises(ValueError, match=r"`in_features` \(=0\) must be at least 1"):
        GraphConvolution(0, 3)
    with pytest.raises(ValueError, match=r"`out_features` \(=0\) must be at least 1"):
        GraphConvolution(3, 0)
    layer = GraphConvolution(3, 2)
    with pytest.raises(ValueError, match=r"`x` must have shape \(..., nodes, 3\), got \(4, 2\)"):
        layer(np.zeros((4, 2)), np.zeros((4, 4)))
    for shape in [(4,), (3,)]:
        with pytest.raises(ValueError, match=r"`x` must have shape"):
            layer(np.zeros(shape), np.zeros((4, 4)))
    x = np.zeros((5, 4, 3))
    with pytest.raises(ValueError, match=r"`adjacency` must have shape \(4, 4\), got \(3, 4\)"):
        layer(x, np.zeros((3, 4)))
    message = r"`adjacency` must have shape \(5, 4, 4\), got \(1, 4, 4\)"
    with pytest.raises(ValueError, match=message):
        layer(x, np.zeros((1, 4, 4)))
    message = r"`adjacency` must have shape \(..., nodes, nodes\), got \(2, 3\)"
    with pytest.raises(ValueError, match=message):
        normalized_adjacency(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"must be at least 0, got -1.0 at \[0, 1\]"):
        normalized_adjacency(np.array([[0.0, -1.0], [-1.0, 0.0]]))
    with pytest.raises(ValueError, match=r"must be at least 0, got nan at \[1, 1\]"):
        normalized_adjacency(np.array([[0.0, 1.0], [1.0, np.nan]]))
    with pytest.raises(ValueError, match=r"symmetric, .* differs from its transpose at \[0, 1\]"):
        normalized_adjacency(np.array([[0.0, 1.0], [0.0, 0.0]]))

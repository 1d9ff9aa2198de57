"""What several tests of layers need."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from largemodels.scratch import Layer


@pytest.fixture(scope="session")
def assert_equals_pytorch() -> Callable[[Layer, torch.nn.Module, np.ndarray], None]:
    """Compare a float64 layer with its PyTorch twin: output and all gradients, to 1e-10."""

    def compare(layer: Layer, torch_layer: torch.nn.Module, x: np.ndarray) -> None:
        torch_layer = torch_layer.double()
        state_dict = {name: torch.from_numpy(a) for name, a in layer.state_dict().items()}
        torch_layer.load_state_dict(state_dict)
        y = layer(x)
        grad_output = np.random.default_rng(0).standard_normal(y.shape)
        grad_input = layer.backward(grad_output)

        torch_x = torch.from_numpy(x).requires_grad_()
        torch_y = torch_layer(torch_x)
        torch_y.backward(torch.from_numpy(grad_output))
        # Shapes are compared, too: assert_allclose alone would broadcast.
        assert y.shape == tuple(torch_y.shape)
        assert grad_input.shape == x.shape
        np.testing.assert_allclose(y, torch_y.detach(), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(grad_input, torch_x.grad, rtol=1e-10, atol=1e-10)
        torch_parameters = dict(torch_layer.named_parameters())
        for name, parameter in layer.named_parameters():
            expected = torch_parameters[name].grad
            np.testing.assert_allclose(
                parameter.grad, expected, rtol=1e-10, atol=1e-10, err_msg=name
            )

    return compare

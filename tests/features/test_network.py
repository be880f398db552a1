"""The network of a feature classifier."""

import pytest
import torch

from counterplay.features._network import SmoothNetwork


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 9, 12)])
def test_instances_are_standardised(shape):
    network = SmoothNetwork(shape, 5, 3)
    x = 3 * torch.randn(50, *shape) + 7
    x[:, 0] = 0.1  # a constant value, row or channel
    network.standardise(x)
    seen = (x - network.mean) / network.scale
    constant = torch.zeros_like(seen[:, 0])
    torch.testing.assert_close(seen[:, 0], constant, atol=1e-5, rtol=0)
    assert abs(seen[:, 1:].mean()) < 1e-5
    torch.testing.assert_close(
        seen[:, 1:].var(correction=0), torch.ones(()), rtol=1e-4, atol=0
    )


def test_images_are_halved_until_fewer_than_eight_pixels_are_left():
    linear = {
        side: SmoothNetwork((1, side, side), 5, 3).body[1] for side in (7, 8, 28, 32, 64)
    }
    assert {side: layer.in_features for side, layer in linear.items()} == {
        7: 128,  # too small an image for convolutions
        8: 4 * 4 * 16,
        28: 7 * 7 * 32,
        32: 4 * 4 * 64,
        64: 4 * 4 * 128,
    }


def test_features_have_a_second_derivative():
    network = SmoothNetwork((1, 8, 8), 5, 3).double()
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(network.features, x)


@pytest.mark.parametrize(
    "shape", [(4,), (3, 4), (1, 4, 4), (1, 8, 8), (2, 9, 13), (3, 20, 20)], ids=str
)
def test_without_classes_the_head_gives_instances_back(shape):
    network = SmoothNetwork(shape, 5, None)
    assert network(torch.zeros(2, *shape)).shape == (2, *shape)


def test_the_way_back_has_a_second_derivative():
    network = SmoothNetwork((1, 8, 8), 3, None).double()
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(network, x)

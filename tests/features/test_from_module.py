"""Any network as a feature map."""

import pytest
import torch
from torch import nn

from counterplay.errors import DataError
from counterplay.features import from_module


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Tanh())


def test_the_map_is_frozen_and_the_module_left_alone():
    module = network()
    phi = from_module(module, "mine", n_features=4)
    x = torch.randn(5, 3, requires_grad=True)
    before = phi(x)
    assert torch.equal(before, phi(x))
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    with torch.no_grad():
        module[0].weight.add_(1.0)
    assert torch.equal(before, phi(x))
    assert torch.autograd.grad(before.sum(), x)[0].any()
    assert not any(p.requires_grad for p in phi.module.parameters())


def test_instances_are_brought_to_the_networks_dtype():
    phi = from_module(network(), "mine")
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert phi(x).dtype == torch.float32
    assert torch.autograd.grad(phi(x).sum(), x)[0].dtype == torch.float64


def test_maps_of_features_become_rows():
    phi = from_module(nn.Conv2d(1, 2, 3), "conv", n_features=8)
    assert phi(torch.zeros(5, 1, 4, 4)).shape == (5, 8)


def test_a_network_without_parameters_is_a_feature_map():
    x = torch.randn(5, 3, dtype=torch.float64)
    assert torch.equal(from_module(nn.Tanh(), "tanh")(x), x.tanh())


def test_another_number_of_features_is_refused():
    phi = from_module(network(), "mine", n_features=7)
    with pytest.raises(DataError, match="'mine' has `n_features`=7, but gives 4"):
        phi(torch.zeros(5, 3))


def test_layers_without_weights_are_told_apart_too():
    prints = {from_module(layer, "map").fingerprint for layer in (nn.Tanh(), nn.Sigmoid())}
    assert len(prints) == 2

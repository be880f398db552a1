import pytest
import torch
from torch import nn

from counterplay.errors import ConfigError
from counterplay.nets.mlp import mlp


def _n_params(module):
    return sum(p.numel() for p in module.parameters())


def test_it_computes_what_it_says():
    network = mlp(3, 2, width=4, depth=1, activation="relu", output="tanh")
    first, second = (m for m in network if isinstance(m, nn.Linear))
    x = torch.randn(5, 3)
    expected = torch.tanh(second(torch.relu(first(x))))
    torch.testing.assert_close(network(x), expected)


def test_a_discriminator_gives_one_number_per_instance():
    assert mlp(3, None)(torch.randn(5, 3)).shape == (5,)
    assert mlp(3, 1)(torch.randn(5, 3)).shape == (5, 1)


def test_the_networks_of_the_paper_can_be_written():
    G = mlp(10, 2, width=32, activation="relu", bias=False, glorot=True)
    D = mlp(2, None, width=64, activation="relu", bias=False, glorot=True)
    assert _n_params(G) == 10 * 32 + 32 * 32 + 32 * 2
    assert _n_params(D) == 2 * 64 + 64 * 64 + 64
    # Glorot's bound is sqrt(6 / (n_in + n_out)).
    assert 0.95 < D[2].weight.abs().max() / (6 / 128) ** 0.5 <= 1


def test_glorot_biases_start_at_zero():
    network = mlp(3, 2, glorot=True)
    assert all(m.bias.abs().max() == 0 for m in network if isinstance(m, nn.Linear))


def test_depth_zero_is_linear():
    assert [type(m) for m in mlp(3, 2, depth=0)] == [nn.Linear]


def test_an_unknown_activation_is_refused():
    with pytest.raises(ConfigError, match="no activation 'sine'"):
        mlp(3, 2, activation="sine")

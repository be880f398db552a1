import pytest
import torch
from torch import nn

from counterplay.errors import ConfigError
from counterplay.nets.roles import Beside, Joined, n_given, Role, roles_of, sizes_of


def game(generator, joint_discriminator, *, latent_dim=3, loss="hinge", n_classes=2):
    del generator, joint_discriminator, latent_dim, loss, n_classes


def test_roles_and_sizes_are_read_off_a_factory():
    assert roles_of(game) == ("generator", "joint_discriminator")
    assert sizes_of(game, {"n_classes": 5}) == {"latent_dim": 3, "n_classes": 5}


def test_a_role_that_nothing_is_known_of_is_named():
    def odd(generator, oracle):
        del generator, oracle

    with pytest.raises(ConfigError, match=r"game 'odd' needs a network 'oracle', .*Python"):
        roles_of(odd)


def test_outputs_add_up_and_an_unknown_size_is_named():
    role = Role("x", ("1", "n_classes"))
    assert n_given(role, {"n_classes": 10}) == 11
    with pytest.raises(
        ConfigError, match=r"the size 'n_classes' is not known; .*latent_dim"
    ):
        n_given(role, {"latent_dim": 3})


def test_labels_enter_as_indicators():
    x, y = torch.randn(4, 2, 3), torch.tensor([0, 2, 1, 2])
    network = Joined(nn.Identity(), n_classes=3)
    expected = torch.cat([x.flatten(1), torch.eye(3)[y]], 1)
    assert torch.equal(network(x, y), expected)
    beside = Beside(nn.Flatten(1), nn.Identity(), n_classes=3)
    assert torch.equal(beside(x, y), expected)

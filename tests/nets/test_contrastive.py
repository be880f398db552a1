import pytest
import torch
from torch import nn

from counterplay._layers import SpectralNorm
from counterplay.nets import networks, resnet
from counterplay.nets.contrastive import contrastive, critic


def count(module):
    return sum(p.numel() for p in module.parameters())


def made(family, size=16, **options):
    roles, sizes = ("contrastive_discriminator", "discriminator"), {"n_features": 5}
    return networks(family, roles, (1, size, size), sizes, width=8, **options)


@pytest.mark.parametrize(
    ("family", "size", "n_places"),
    [("mlp", 8, 1), ("dcgan", 16, 64), ("dcgan", 28, 196), ("resnet", 16, 64), ("resnet", 32, 64)],
)  # fmt: skip
def test_places_are_those_before_the_last_stage(family, size, n_places):
    D, _ = made(family, size)
    logits, places, whole = D(torch.randn(3, 1, size, size))
    assert logits.shape == (3,)
    assert places.shape == (3, n_places, 5)
    assert whole.shape == (3, 5)


def test_the_published_network_has_the_published_number_of_parameters():
    # Lee, Tran and Cheung 2021: 1.62 M at 32 x 32, of which 0.56 M are the critics'.
    plain = resnet.discriminator(image_size=32, spectral=False)
    D = contrastive(plain, n_features=1024, activation="relu")
    of_critics = count(D.of_places) + count(D.of_whole)
    assert count(D) == count(plain) + of_critics == 1_615_233
    assert of_critics == 2 * (128 * 129 + 2 * 1024 * 129)
    _, places, _ = D(torch.zeros(1, 3, 32, 32))
    assert places.shape == (1, 64, 1024)


@pytest.mark.parametrize(
    ("family", "options"), [("mlp", {}), ("resnet", {"spectral": False})]
)
def test_the_logit_is_that_of_the_plain_network(family, options):
    D, plain = made(family, **options)
    stages = [*D.trunk, *D.rest, *D.head]
    assert [type(a) for a in stages] == [type(b) for b in plain]
    x = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(D(x)[0], nn.Sequential(*stages)(x))


def test_places_are_read_one_by_one():
    D, _ = made("dcgan")
    local = D.trunk(torch.randn(2, 1, 16, 16))
    assert local.shape == (2, 8, 8, 8)
    places = D.of_places(local.flatten(2).mT)
    torch.testing.assert_close(places[1, 8 * 3 + 5], D.of_places(local[1, :, 3, 5]))


def test_a_critic_has_a_shortcut():
    network, x = critic(3, 2, activation="tanh"), torch.randn(4, 3)
    first, _, last = network.layers
    expected = last(first(x).tanh()) + network.shortcut(x)
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("family", ["dcgan", "resnet"])
def test_spectral_norm_reaches_the_critics_and_is_put_once(family):
    D, _ = made(family, spectral=True)
    matrices = [m for m in D.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    assert sum(isinstance(m, SpectralNorm) for m in D.modules()) == len(matrices)
    assert all(len(m.parametrizations["weight"]) == 1 for m in matrices)


def test_fully_connected_layers_are_at_least_two():
    D, _ = networks("mlp", ("contrastive_discriminator", "generator"), (2,),
                    {"n_features": 5, "latent_dim": 2}, width=8, depth=1)  # fmt: skip
    assert len([m for m in (*D.trunk, *D.rest) if isinstance(m, nn.Linear)]) == 2

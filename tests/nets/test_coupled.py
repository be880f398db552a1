import pytest
import torch
from torch import nn

from counterplay.nets import networks
from counterplay.nets.coupled import CoupledDiscriminator, CoupledGenerator


ROLES = ("coupled_generator", "coupled_discriminator")
FAMILIES = ("mlp", "dcgan", "resnet")


def pair(family, **options):
    return networks(family, ROLES, (1, 8, 8), {"latent_dim": 3}, width=8, **options)


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_domains_share_all_but_one_layer(family):
    G, D = pair(family)
    for own in (G.heads[0], G.heads[1], D.first, D.second):
        kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
        matrices = [m for m in own.modules() if isinstance(m, kinds)]
        assert len(matrices) == 1 or family == "resnet"  # whose first layer is a block
        assert 0 < count(own) < count(G)
    assert count(G) == count(G.trunk) + 2 * count(G.heads[0])
    assert count(D) == count(D.top) + 2 * count(D.first)


@pytest.mark.parametrize("family", FAMILIES)
def test_domains_differ_from_the_start(family):
    G, D = pair(family)
    G.eval()
    one, other = G(torch.randn(4, 3))
    assert one.shape == other.shape == (4, 1, 8, 8)
    assert not torch.allclose(one, other)
    domains = [torch.full((4,), d) for d in (0, 1)]
    assert not torch.allclose(D(one, domains[0]), D(one, domains[1]))


def test_each_row_goes_through_the_layers_of_its_domain():
    first, second, top = nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(2, 1)
    D, x = CoupledDiscriminator(first, second, top), torch.randn(4, 3)
    found = D(x, torch.tensor([0, 1, 1, 0]))
    expected = [
        top(own(row)) for own, row in zip([first, second, second, first], x, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(expected))


def test_heads_read_the_same_features():
    trunk, heads = nn.Linear(3, 2), (nn.Linear(2, 4), nn.Linear(2, 5))
    G, z = CoupledGenerator(trunk, *heads), torch.randn(4, 3)
    for found, head in zip(G(z), heads, strict=True):
        torch.testing.assert_close(found, head(trunk(z)))


def test_a_small_last_layer_may_be_another_upsampling():
    G, _ = pair("dcgan", last_layer="B.1.3")
    assert isinstance(G.heads[0][0], nn.Conv2d)
    assert G.heads[0][0].kernel_size == (3, 3)

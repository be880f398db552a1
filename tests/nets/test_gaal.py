"""Generators that begin as the identity, many at once; a small discriminator."""

import math

import pytest
import torch

from counterplay.nets import gaal


def test_generators_begin_as_the_identity_on_positive_latents():
    z = torch.rand(7, 3)
    assert torch.equal(gaal.generators(3, 4)(z), z.expand(4, 7, 3))
    assert torch.equal(gaal.generator(3)(z), z)


def test_generators_are_what_one_of_them_after_the_other_would_be():
    together = gaal.generators(3, 2)
    for param in together.parameters():
        torch.nn.init.normal_(param, generator=torch.Generator().manual_seed(0))
    z = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1))
    for i in range(2):
        alone = gaal.generator(3)
        with torch.no_grad():
            alone[0].weight.copy_(together.hidden[i].T)
            alone[0].bias.copy_(together.hidden_bias[i, 0])
            alone[2].weight.copy_(together.out[i].T)
            alone[2].bias.copy_(together.out_bias[i, 0])
        torch.testing.assert_close(together(z)[i], alone(z[i]))


@pytest.mark.parametrize(
    "make", [gaal.generator, lambda d, **o: gaal.generators(d, 1, **o)]
)
def test_latents_may_be_of_another_size_than_rows(make):
    assert make(3, latent_dim=5)(torch.rand(4, 5)).shape[-2:] == (4, 3)


def test_the_discriminator_begins_with_variance_one_over_the_inputs():
    torch.manual_seed(0)
    network = gaal.discriminator(50, 2_000)
    assert network(torch.rand(6, 50)).shape == (6, 1)
    for layer in (network[0], network[2]):
        n = layer.in_features
        assert layer.weight.var().item() == pytest.approx(1 / n, rel=0.1)
        assert layer.weight.abs().max().item() <= 2 / math.sqrt(0.7737 * n) + 1e-6
        assert not layer.bias.any()

"""Minibatch discrimination against sums over pairs of rows."""

import math

import pytest
import torch
from torch import nn

from counterplay import nets
from counterplay.nets.minibatch import (
    minibatch_discriminator,
    MinibatchDiscrimination,
    MinibatchDiscriminator,
)


N = 5
WEIGHTS = torch.tensor([1.0, 0.0, 0.5, 2.0, 1.0], dtype=torch.float64)


def layer(**options):
    torch.manual_seed(0)
    return MinibatchDiscrimination(
        3, **{"n_kernels": 2, "kernel_dim": 4, **options}
    ).double()


def rows():
    return torch.randn(N, 3, generator=torch.Generator().manual_seed(1)).double()


def test_closeness_is_a_weighted_mean_over_the_other_rows():
    compared, x = layer(), rows()
    found = compared(x, WEIGHTS)
    assert torch.equal(found[:, :3], x)
    tensor = compared.kernels.weight.detach().view(2, 4, 3)  # kernel, number, feature
    for i in range(N):
        for b in range(2):
            terms = [
                float(w) * math.exp(1 - math.hypot(1, *(2 * tensor[b] @ (x[i] - x[j]))))
                for j, w in enumerate(WEIGHTS)
                if j != i
            ]
            total = float(WEIGHTS.sum() - WEIGHTS[i])
            assert found[i, 3 + b].item() == pytest.approx(sum(terms) / total)


def test_a_row_without_weight_is_seen_by_no_other():
    compared, x = layer(), rows()
    moved = x.clone()
    moved[1] += 5.0
    before, after = compared(x, WEIGHTS), compared(moved, WEIGHTS)
    others = [0, 2, 3, 4]
    assert torch.equal(before[others], after[others])
    torch.testing.assert_close(
        before[others], compared(x[others], WEIGHTS[others]), rtol=1e-12, atol=0
    )
    assert not torch.equal(compared(x, WEIGHTS.roll(1))[0], before[0])


def test_a_row_that_is_alone_is_close_to_nothing():
    assert not layer()(rows()[:1], torch.ones(1).double())[:, 3:].any()


def test_equal_rows_are_as_close_as_can_be():
    same = rows()[:1].expand(N, 3)
    found = layer()(same, WEIGHTS)[:, 3:]
    torch.testing.assert_close(found, torch.ones(N, 2).double())


def test_a_discriminator_compares_what_its_last_layer_reads():
    plain = nets.mlp(2, None, depth=1, width=3).double()
    network = minibatch_discriminator(plain).double()
    x = rows()[:, :2]
    features = network.compared(plain[:2](x), WEIGHTS)
    expected = nn.functional.linear(features, network.head.weight, network.head.bias)
    torch.testing.assert_close(network(x, WEIGHTS), expected[:, 0])


@pytest.mark.parametrize("name", ["mlp", "dcgan", "resnet"])
def test_families_build_discriminators_of_minibatches(name):
    (network,) = nets.networks(name, ["minibatch_discriminator"], (1, 8, 8), {}, width=4)
    assert isinstance(network, MinibatchDiscriminator)
    assert network(torch.randn(N, 1, 8, 8), torch.ones(N)).shape == (N,)


def test_spectral_norm_reaches_the_kernels_too():
    (network,) = nets.networks(
        "dcgan", ["minibatch_discriminator"], (1, 8, 8), {}, width=4, spectral=True
    )
    for weight in (network.compared.kernels.weight, network.head.weight):
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=1e-5)

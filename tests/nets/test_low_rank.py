import pytest
import torch
from torch import nn

from counterplay import nets
from counterplay.errors import GameError
from counterplay.game import apply_of
from counterplay.nets import low_rank


def adapters(network):
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("name", ["stylegan2", "dcgan", "mlp"])
def test_adapters_change_nothing_at_first_and_are_all_that_is_trained(name):
    options = {"latent_dim": 3, "width": 4}
    plain = nets.pair(name, (1, 8, 8), **options)
    adapted = nets.pair(name, (1, 8, 8), **options)
    x = torch.randn(2, 3)
    for before, network in zip(plain, adapted, strict=True):
        assert low_rank(network, 2) is network
        assert torch.equal(before(x), network(x))
        names = adapters(network)
        assert {name.rsplit(".", 1)[1] for name in names} == {"left", "right"}
        layers = [
            m
            for m in network.modules()
            if hasattr(m, "kernel_size") or isinstance(m, nn.Linear)
        ]
        assert len(names) == 2 * sum(not isinstance(m, nn.AvgPool2d) for m in layers)
        x = before(x).detach()


def test_the_change_of_a_weight_has_the_rank_of_its_adapter():
    layer = nn.Conv2d(3, 4, 3).double()
    frozen = layer.weight.detach().clone()
    low_rank(layer, 2)
    for value in adapters(layer).values():
        nn.init.normal_(value)
    change = (layer.weight - frozen).flatten(1)
    assert int(torch.linalg.matrix_rank(change)) == 2
    left, right = adapters(layer).values()
    torch.testing.assert_close(change, left @ right)


def test_a_small_matrix_has_the_rank_that_fits():
    layer = low_rank(nn.Linear(5, 1), 3)
    assert [tuple(p.shape) for p in adapters(layer).values()] == [(1, 1), (1, 5)]


def test_the_family_puts_adapters_on_both_networks_with_the_same_numbers():
    plain = nets.pair("stylegan2", (1, 8, 8), latent_dim=3, width=4)
    adapted = nets.pair("stylegan2", (1, 8, 8), latent_dim=3, width=4, rank=2)
    assert not any(adapters(network).keys() & {"constant"} for network in adapted)
    z = torch.randn(2, 3)
    assert torch.equal(plain[0](z), adapted[0](z))
    shapes = [tuple(p.shape) for p in adapters(adapted[1]).values()]
    assert shapes
    assert all(2 in shape or 1 in shape for shape in shapes)


@pytest.mark.parametrize(
    ("make", "rank", "text"),
    [
        (lambda: nn.Linear(2, 2), 0, r"`rank` must be at least 1, got 0"),
        (lambda: nn.Sequential(nn.Tanh()), 1, r"Sequential has neither a linear layer"),
        (lambda: low_rank(nn.Linear(2, 2), 1), 1, r"a Adapter at 'parametrizations\.weight\.0'"),
        (lambda: nets.spectral_norm(nn.Linear(2, 2)), 1, r"a SpectralNorm at .* leave them out"),
        (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)), 1, r"a _SpectralNorm at"),
    ],
)  # fmt: skip
def test_networks_that_cannot_be_adapted_are_refused(make, rank, text):
    with pytest.raises(GameError, match=text):
        low_rank(make(), rank)


def test_spectral_norm_on_top_of_adapters_is_refused():
    text = r"layer at '0' would have spectral normalisation of a weight that is computed"
    adapted = lambda: low_rank(nn.Sequential(nn.Linear(2, 2)), 1)
    with pytest.raises(GameError, match=text):
        nets.spectral_norm(adapted())
    network = adapted()
    nn.utils.parametrizations.spectral_norm(network[0])
    with pytest.raises(GameError, match=text):
        apply_of("D", network)

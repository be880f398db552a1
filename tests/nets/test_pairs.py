import pytest
import torch
from torch import nn

from counterplay import nets
from counterplay.errors import ConfigError, GameError
from counterplay.nets.families import names, options_of
from counterplay.nets.pairs import pair


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp", (2,)),
        ("mlp", (3, 8, 8)),
        ("mlp", (20, 3)),
        ("dcgan", (3, 8, 8)),
        ("resnet", (1, 8, 8)),
        ("linear_quadratic", (2,)),
        ("linear_quadratic", (1, 4, 4)),
    ],
)
def test_networks_fit_the_data(name, shape):
    G, D = pair(name, shape, latent_dim=4, width=8)
    fake = G(torch.randn(5, 4))
    assert fake.shape == (5, *shape)
    assert D(fake).shape == (5,)


def test_images_of_an_mlp_are_in_range_and_points_are_not_bounded():
    G, _ = pair("mlp", (1, 4, 4))
    assert isinstance(G[-2], nn.Tanh)
    G, _ = pair("mlp", (2,))
    assert isinstance(G[-1], nn.Linear)


def test_the_seed_alone_decides():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = pair("mlp", (2,), seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    same, other = pair("mlp", (2,), seed=3), pair("mlp", (2,), seed=4)
    for i in range(2):
        assert torch.equal(one[i][0].weight, same[i][0].weight)
        assert not torch.equal(one[i][0].weight, other[i][0].weight)


def test_dtype_is_that_of_the_data():
    G, D = pair("dcgan", (1, 8, 8), dtype=torch.float64, spectral=True)
    assert {v.dtype for m in (G, D) for v in m.state_dict().values()} == {torch.float64}


def test_options_reach_the_networks():
    G, D = pair("mlp", (2,), depth=3, activation="relu", bias=False, glorot=True)
    assert sum(isinstance(m, nn.ReLU) for m in G) == 3
    assert len(list(D.parameters())) == 4
    _, D = pair("linear_quadratic", (2,), constant=True)
    assert "constant" in dict(D[0].named_parameters())


@pytest.mark.parametrize("name", ["dcgan", "mlp"])
def test_the_discriminator_may_have_a_width_of_its_own(name):
    def n_params(width, width_d):
        networks = pair(name, (1, 8, 8), width=width, width_d=width_d)
        return [sum(p.numel() for p in network.parameters()) for network in networks]

    (small_g, small_d), (large_g, large_d) = n_params(4, None), n_params(8, None)
    assert n_params(4, 8) == [small_g, large_d]
    assert n_params(8, 4) == [large_g, small_d]


@pytest.mark.parametrize("name", names())
def test_every_option_has_a_default_that_works(name):
    options = options_of(name)
    one, same = pair(name, (1, 8, 8)), pair(name, (1, 8, 8), **options)
    for i in range(2):
        for key, value in one[i].state_dict().items():
            assert torch.equal(same[i].state_dict()[key], value)


def test_batch_norm_is_for_the_generator():
    G, D = pair("dcgan", (1, 8, 8), norm="batch")
    assert any(isinstance(m, nn.BatchNorm2d) for m in G)
    assert not any(isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)) for m in D)


def test_an_unknown_name_or_option_lists_the_known_ones():
    with pytest.raises(
        ConfigError, match=r"no networks 'vgg'; there are \['dcgan', 'linear_q"
    ):
        pair("vgg", (2,))
    with pytest.raises(
        ConfigError, match=r"'mlp' have no option 'norm'; .*'activation', 'depth'"
    ):
        pair("mlp", (2,), norm="group")


@pytest.mark.parametrize("shape", [(2,), (1, 8, 16)])
def test_convolutions_need_square_images(shape):
    with pytest.raises(
        GameError, match=r"square images of shape \(channels, side, side\), but"
    ):
        nets.pair("dcgan", shape)

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from counterplay import _layers, nets
from counterplay.errors import ConfigError
from counterplay.nets import stylegan2
from counterplay.nets.stylegan2 import Styled, UnitLength


def float64(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("image_size", [8, 16, 28])
@pytest.mark.parametrize("equalised", [True, False])
def test_shapes_and_range(image_size, equalised):
    common = {"image_size": image_size, "channels": 1, "width": 4, "equalised": equalised}
    G = stylegan2.generator(**common, latent_dim=5, depth=2)
    D = stylegan2.discriminator(**common)
    fake = G(10 * torch.randn(2, 5))
    assert fake.shape == (2, 1, image_size, image_size)
    assert fake.abs().max() <= 1
    assert D(fake).shape == (2,)


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_published_networks_have_the_parameters_of_the_published_code():
    # At 1024 x 1024: 30,370,060 with 17 strengths of noise, 29,012,513 with 512 kernels of
    # 3 x 3 that read the spread of the batch.
    with torch.device("meta"):
        G = stylegan2.generator(image_size=1024)
        D = stylegan2.discriminator(image_size=1024)
    assert count(G) == 30_370_060 - 17
    assert count(D) == 29_012_513 - 512 * 9
    assert count(G.mapping) == 8 * (512 * 512 + 512)


@pytest.mark.parametrize("equalised", [True, False])
def test_a_styled_convolution_is_one_with_weights_of_each_instance(equalised):
    layer = Styled(3, 4, "tanh", 2, equalised).double()
    layer.bias.data = float64(4, 1, 1, seed=2)
    x, style = float64(5, 3, 6, 6), float64(5, 2, seed=1)
    scales = style @ layer.scale.weight.T + layer.scale.bias
    expected = []
    for image, scale in zip(x, scales, strict=True):
        weight = layer.convolution.weight * scale[:, None, None]
        norm = torch.stack([w.flatten().norm() for w in weight])
        expected.append(conv2d(image[None], weight / norm[:, None, None, None], padding=1))
    expected = torch.cat(expected) + layer.bias
    torch.testing.assert_close(layer(x, style), expected.tanh() * layer.activation.gain)


def test_what_paints_is_not_demodulated():
    layer = Styled(3, 2, None, 2, equalised=True).double()
    layer.bias.data = float64(2, 1, 1, seed=2)
    x, style = float64(5, 3, 6, 6), float64(5, 2, seed=1)
    scales = style @ layer.scale.weight.T + layer.scale.bias
    weight = layer.convolution.weight[:, :, 0, 0]
    expected = torch.einsum("oi,ni,nihw->nohw", weight, scales, x) + layer.bias
    torch.testing.assert_close(layer(x, style), expected)


@pytest.mark.parametrize("size", [0.1, 1.0, 20.0])
def test_demodulation_keeps_the_variance_whatever_the_style(size):
    layer = Styled(8, 4, "tanh", 3, equalised=True).double()
    layer.activation = nn.Identity()  # what goes into the nonlinearity
    x, style = float64(64, 8, 16, 16), size * float64(1, 3, seed=1).expand(64, -1)
    inner = layer(x, style)[..., 1:-1, 1:-1]  # zeros beyond the border have less
    torch.testing.assert_close(
        inner.var((0, 2, 3)).detach(), torch.ones(4).double(), rtol=0.1, atol=0
    )


def test_mappings_forget_how_long_a_latent_is():
    z = float64(4, 3)
    torch.testing.assert_close(UnitLength()(z), UnitLength()(7 * z))
    torch.testing.assert_close(UnitLength()(z).square().mean(1), torch.ones(4).double())


def test_the_mapping_learns_a_hundredth_as_fast():
    G = stylegan2.generator(image_size=8, width=4, latent_dim=8, depth=1)
    parameters = G.mapping[1].parametrizations
    assert float(parameters.weight.original.detach().std()) == pytest.approx(100, rel=0.3)
    assert float(G.mapping[1].weight.detach().std()) == pytest.approx(8**-0.5, rel=0.3)


def test_a_discriminator_does_not_couple_instances():
    D = stylegan2.discriminator(image_size=8, channels=1, width=4).double()
    x = float64(4, 1, 8, 8).requires_grad_()
    (slope,) = torch.autograd.grad(D(x)[0], x)
    assert slope[0].abs().min() > 0
    assert not slope[1:].any()


def test_states_go_round_and_copies_that_games_make_give_the_same():
    G, D = nets.pair("stylegan2", (1, 8, 8), latent_dim=3, width=4)
    twin, _ = nets.pair("stylegan2", (1, 8, 8), latent_dim=3, width=4, seed=1)
    z = torch.randn(2, 3)
    assert not torch.equal(G(z), twin(z))
    twin.load_state_dict(G.state_dict())
    assert torch.equal(G(z), twin(z))
    torch.testing.assert_close(_layers.pure(D)(G(z)), D(G(z)))


def test_other_sizes_are_refused():
    for make in (stylegan2.generator, stylegan2.discriminator):
        with pytest.raises(ConfigError, match=r"power of two from 8, .* got 30"):
            make(image_size=30)

import pytest
import torch
from torch import nn

from counterplay._layers import SpectralNorm
from counterplay.errors import ConfigError
from counterplay.nets import resnet
from counterplay.nets.resnet import HalvingConv2d


@pytest.mark.parametrize("image_size", [8, 16, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(image_size, channels):
    G = resnet.generator(image_size=image_size, channels=channels, latent_dim=5, width=4)
    D = resnet.discriminator(image_size=image_size, channels=channels, width=4)
    fake = G(10 * torch.randn(2, 5))
    assert fake.shape == (2, channels, image_size, image_size)
    assert fake.abs().max() <= 1
    assert D(fake).shape == (2,)


def test_the_published_networks_have_the_published_number_of_parameters():
    # Lee and Town 2020, arXiv 2005.02494: SNGAN at 32 x 32.
    G, D = resnet.generator(image_size=32), resnet.discriminator(image_size=32)
    counts = [sum(p.numel() for p in network.parameters()) for network in (G, D)]
    assert counts == [4_276_739, 1_053_825]


def test_the_halving_convolution_is_a_convolution_and_a_mean():
    layer = HalvingConv2d(3, 2, 3).double()
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    full = nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), nn.functional.avg_pool2d(full, 2))


def test_shortcuts_may_change_channels_before_they_upsample():
    block = resnet.generator(image_size=16, width=4)[2].double()
    pointwise, double = block.shortcut
    x = torch.randn(2, 4, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(block.shortcut(x), pointwise(double(x)))


def test_normalisation_follows_the_options():
    G = resnet.generator(image_size=16, width=8, norm="group")
    assert sum(isinstance(m, nn.GroupNorm) for m in G.modules()) == 5
    G = resnet.generator(image_size=16, width=8)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in G.modules()) == 5
    D = resnet.discriminator(image_size=16, width=8)
    layers = [m for m in D.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert sum(isinstance(m, SpectralNorm) for m in D.modules()) == len(layers) == 8
    D = resnet.discriminator(image_size=16, width=8, spectral=False, activation="relu")
    assert not any(isinstance(m, SpectralNorm) for m in D.modules())
    assert sum(isinstance(m, nn.ReLU) for m in D.modules()) == 6


def test_other_sizes_are_refused():
    for make in (resnet.generator, resnet.discriminator):
        with pytest.raises(ConfigError, match=r"power of two from 8, .* got 30"):
            make(image_size=30)

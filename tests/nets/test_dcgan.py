import pytest
import torch
from torch import nn

from counterplay.errors import ConfigError, GameError
from counterplay.nets import dcgan


@pytest.mark.parametrize("image_size", [8, 16, 28, 32, 56, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(image_size, channels):
    G = dcgan.generator(image_size=image_size, channels=channels, latent_dim=5, width=4)
    D = dcgan.discriminator(image_size=image_size, channels=channels, width=4)
    fake = G(10 * torch.randn(2, 5))
    assert fake.shape == (2, channels, image_size, image_size)
    assert fake.abs().max() <= 1
    assert D(fake).shape == (2,)


def test_width_is_that_of_the_layer_next_to_the_image():
    G = dcgan.generator(image_size=32, width=4)
    D = dcgan.discriminator(image_size=32, width=4)
    into = [m.in_channels for m in G if isinstance(m, nn.ConvTranspose2d)]
    out = [m.out_channels for m in D if isinstance(m, nn.Conv2d)]
    assert into == [16, 8, 4]
    assert out == [4, 8, 16]


@pytest.mark.parametrize(
    ("norm", "layer"),
    [("group", nn.GroupNorm), ("layer", nn.GroupNorm), ("batch", nn.BatchNorm2d)],
)
def test_norms_are_where_they_belong(norm, layer):
    G = dcgan.generator(image_size=16, norm=norm)
    assert sum(isinstance(m, layer) for m in G) == 2
    if norm != "batch":
        D = dcgan.discriminator(image_size=16, norm=norm)
        assert [isinstance(m, layer) for m in D].index(True) > 2


def test_spectral_norm_is_on_every_layer():
    D = dcgan.discriminator(image_size=16, width=4, spectral=True, norm="none")
    names = [name for name, _ in D.named_parameters() if "weight" in name]
    assert len(names) == 3
    assert all(name.endswith("parametrizations.weight.original") for name in names)


def test_batch_norm_in_the_discriminator_is_refused():
    with pytest.raises(
        GameError, match=r"`norm='batch'` mixes the instances .* Use 'group'"
    ):
        dcgan.discriminator(image_size=8, norm="batch")


@pytest.mark.parametrize(
    ("image_size", "nearest"), [(14, 16), (30, 28), (4, 8), (0, 8), (60, 56)]
)
def test_other_sizes_are_refused(image_size, nearest):
    message = (
        rf"power of two from 8, .* got {image_size}\. Resize the images, to {nearest} "
    )
    for make in (dcgan.generator, dcgan.discriminator):
        with pytest.raises(ConfigError, match=message):
            make(image_size=image_size)

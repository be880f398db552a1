import pytest
import torch
from torch import nn

from counterplay import nets
from counterplay.errors import ConfigError
from counterplay.nets.upsampling import (
    bilinear,
    last_layer,
    NAMES,
    nearest,
    zero_insertion,
)


@pytest.fixture
def x():
    return torch.randn(
        2, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


def test_zero_insertion_repeats_the_spectrum_four_times(x):
    tiled = torch.fft.fft2(x).repeat(1, 1, 2, 2)
    error = (torch.fft.fft2(zero_insertion(x)) - tiled).abs().max()
    assert error < 1e-10


def test_nearest_is_zero_insertion_times_a_low_pass(x):
    turn = torch.exp(-2j * torch.pi * torch.arange(12.0, dtype=torch.float64) / 12)
    low_pass = (1 + turn)[:, None] * (1 + turn)
    expected = torch.fft.fft2(zero_insertion(x)) * low_pass
    assert (torch.fft.fft2(nearest(x)) - expected).abs().max() < 1e-10


def test_bilinear_keeps_planes_and_corners():
    ramp = torch.linspace(-1, 1, 5, dtype=torch.float64)
    plane = (ramp[:, None] + 2 * ramp)[None, None]
    finer = torch.linspace(-1, 1, 10, dtype=torch.float64)
    torch.testing.assert_close(bilinear(plane)[0, 0], finer[:, None] + 2 * finer)


@pytest.mark.parametrize("upsampling", [zero_insertion, nearest])
def test_values_stay_at_even_rows_and_columns(x, upsampling):
    assert torch.equal(upsampling(x)[..., ::2, ::2], x)
    rectangle = x[:, :, :2]
    assert upsampling(rectangle).shape == (2, 3, 4, 12)


@pytest.mark.parametrize("name", NAMES)
def test_every_last_layer_doubles_the_side(name):
    G, _ = nets.pair("dcgan", (3, 16, 16), latent_dim=5, width=4, last_layer=name)
    assert G(torch.randn(2, 5)).shape == (2, 3, 16, 16)
    assert len(NAMES) == 13


def test_a_name_tells_upsampling_depth_and_side():
    upsampling, *convolutions = last_layer("B.3.5", 8, 1)
    assert repr(upsampling) == "Upsampling('B')"
    assert [c.out_channels for c in convolutions] == [8, 8, 1]
    assert {c.kernel_size for c in convolutions} == {(5, 5)}
    (baseline,) = last_layer("baseline", 8, 1)
    assert isinstance(baseline, nn.ConvTranspose2d)


def test_a_transposed_convolution_is_zero_insertion_and_a_convolution(x):
    (transposed,) = last_layer("baseline", 3, 1)
    transposed.double()
    kernel = transposed.weight.transpose(0, 1).flip(2, 3)
    padded = nn.functional.pad(zero_insertion(x), (2, 1, 2, 1))
    expected = nn.functional.conv2d(padded, kernel, transposed.bias)
    torch.testing.assert_close(transposed(x), expected)


def test_an_unknown_last_layer_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"no last layer 'N.1.9'; there are \['baseline'"):
        last_layer("N.1.9", 8, 1)

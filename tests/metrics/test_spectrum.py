import math

import numpy as np
import pytest
import torch

from counterplay.errors import DataError
from counterplay.metrics.spectrum import (
    azimuthal_profile,
    decibels,
    spectrum,
    spectrum_discrepancy,
)


def noise(n, side, *, channels=1, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, channels, side, side, generator=random, dtype=torch.float64)


def test_white_noise_is_flat_at_its_variance():
    power = spectrum(3 * noise(4_000, 8))
    # A radius holds at least one coefficient of each of 4,000 images; its square is 9 with a
    # standard deviation of at most 9 sqrt 2.
    assert (power - 9).abs().max() < 5 * 9 * math.sqrt(2 / 4_000)


def test_a_profile_is_the_mean_over_coefficients_at_whole_radii():
    image = noise(1, 6)
    shifted = np.fft.fftshift(np.fft.fft2(image[0, 0].numpy()))
    found = {}
    for row in range(6):
        for column in range(6):
            radius = int(math.hypot(row - 3, column - 3))
            found.setdefault(radius, []).append(abs(shifted[row, column]) ** 2 / 36)
    expected = [float(np.mean(found[radius])) for radius in range(5)]
    torch.testing.assert_close(azimuthal_profile(image)[0].tolist(), expected)


@pytest.mark.parametrize(("side", "radii"), [(2, 2), (8, 6), (28, 20), (32, 23), (98, 70)])
def test_there_is_a_radius_up_to_half_the_diagonal(side, radii):
    profile = azimuthal_profile(torch.ones(1, 1, side, side))
    assert profile.shape == (1, radii)
    expected = torch.zeros(radii, dtype=torch.float64)
    expected[0] = side**2  # a constant image has the zero frequency alone
    torch.testing.assert_close(profile[0], expected)


def test_a_wave_is_at_its_frequency():
    at = 2 * torch.pi * torch.arange(16) / 16
    wave = torch.cos(3 * at[:, None] + 4 * at)[None, None]
    profile = azimuthal_profile(wave)[0]
    assert profile.argmax() == 5
    assert profile[5] == pytest.approx(float(profile.sum()))


def test_colour_is_weighed_as_the_eye_does():
    red = torch.zeros(1, 3, 4, 4)
    red[:, 0] = 1
    assert azimuthal_profile(red)[0, 0] == pytest.approx(16 * 0.2989**2)
    same = noise(2, 4).repeat(1, 3, 1, 1)
    torch.testing.assert_close(
        azimuthal_profile(same), 0.9999**2 * azimuthal_profile(same[:, :1])
    )


def test_chunks_make_no_difference():
    images = noise(1_030, 4)
    each = torch.cat([azimuthal_profile(one) for one in images[1_020:].split(1)])
    torch.testing.assert_close(azimuthal_profile(images)[1_020:], each)


def test_ten_times_the_contrast_is_twenty_decibels():
    images = noise(5, 8)
    assert spectrum_discrepancy(images, images) == 0
    for factor in (0.1, 10):
        value = spectrum_discrepancy(images, factor * images)
        assert value.item() == pytest.approx(20)


def test_powers_are_averaged_before_the_logarithm():
    one = noise(1, 8)
    loud_and_quiet = torch.cat([one, 7 * one])
    expected = 10 * math.log10((1 + 49) / 2)
    assert spectrum_discrepancy(one, loud_and_quiet).item() == pytest.approx(expected)


def test_low_frequencies_can_be_left_out():
    images = noise(5, 8)
    brighter = images + 2  # radius 0 of 6
    assert spectrum_discrepancy(images, brighter).item() > 1
    assert spectrum_discrepancy(images, brighter, above=0.1).item() > 1
    assert spectrum_discrepancy(images, brighter, above=0.2).item() < 1e-9


def test_a_prepared_reference_gives_the_same():
    real, fake = noise(6, 8), noise(4, 8, seed=1)
    assert spectrum_discrepancy(spectrum(real), fake) == spectrum_discrepancy(real, fake)
    assert not spectrum(real.requires_grad_()).requires_grad


def test_black_images_are_finite():
    value = spectrum_discrepancy(noise(2, 4), torch.zeros(2, 1, 4, 4))
    assert 90 < value.item() < 110
    assert decibels(torch.tensor(1e-3, dtype=torch.float64)).item() == pytest.approx(-30)


@pytest.mark.parametrize("shape", [(2, 1, 8, 6), (2, 1, 7, 7), (2, 2, 8, 8)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(DataError, match=r"`fake` has shape .* square images of even side"):
        spectrum_discrepancy(noise(2, 8), torch.zeros(shape))


def test_sides_that_differ_are_refused():
    with pytest.raises(DataError, match=r"`fake` has 8 radii, but the real .* have 6: "):
        spectrum_discrepancy(noise(2, 8), noise(2, 10))


@pytest.mark.parametrize("above", [-0.1, 1.0])
def test_a_share_that_leaves_no_radius_is_refused(above):
    with pytest.raises(
        DataError, match=f"`above` must be at least 0 and below 1, got {above}"
    ):
        spectrum_discrepancy(noise(2, 8), noise(2, 8), above=above)

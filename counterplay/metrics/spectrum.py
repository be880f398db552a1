"""Power spectrum: whether generated images fall off at high frequencies as real ones do."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import checked, Facts
from counterplay.typing import Scalar


Images = Float[Tensor, "n _c _side _side"]
GRAY = (0.2989, 0.5870, 0.1140)  # of red, green, blue
FLOOR = 1e-10  # added to powers; rounding to 8 bits makes 5e-6


def spectrum(images: Images) -> Float[Tensor, " radii"]:
    """The mean profile of real images, a constant."""
    return azimuthal_profile(images.detach(), what="real").mean(0)


def spectrum_discrepancy(
    real: Float[Tensor, " _radii"] | Images,
    fake: Float[Tensor, "m _c _side _side"],
    *,
    above: float = 0.0,
) -> Scalar:
    """Mean absolute difference of azimuthal power spectra, in decibels.

    The mean over radii of |10 log10(P_real / P_fake)|, P the mean of `azimuthal_profile`.
    Lower is better, at least 0. Biased upwards if images are few. Cost O(m) transforms.
    Source: Durall, Keuper and Keuper 2020, arXiv 2003.01826, section 3.1 (the profile).
    Differs: powers are averaged before the logarithm, a profile is not rescaled to [0, 1],
    the zero frequency is the centre, and every radius counts.

    Args:
        real: Real images, or their `spectrum`; a constant.
        fake: Generated images; the result is differentiable in them.
        above: Share of the radii to leave out, the low ones.

    Raises:
        DataError: If the sides differ or no radius is left.
    """
    reference = real if real.dim() == 1 else spectrum(real)
    power = azimuthal_profile(fake, what="fake").mean(0)
    if len(power) != len(reference):
        raise DataError(
            f"`fake` has {len(power)} radii, but the real images have {len(reference)}: "
            "their sides differ. Give images as they were made; resizing changes spectra."
        )
    if not 0 <= above < 1:
        raise DataError(f"`above` must be at least 0 and below 1, got {above!r}.")
    differences = decibels(power) - decibels(reference)
    return differences[int(above * len(power)) :].abs().mean()


def azimuthal_profile(images: Images, *, what: str = "images") -> Float[Tensor, "n radii"]:
    """The mean power of each gray image at the radii r = 0, 1, ... side / sqrt 2.

    That is |F|^2 / side^2, F being the Fourier transform, over the coefficients from r to r
    + 1 away from the zero frequency. White noise is flat at its variance. Differentiable.

    Raises:
        DataError: If images are not square, of even side, of 1 or 3 channels, and finite.
    """
    c, side, width = images.shape[1:] if images.dim() == 4 else (0, 0, 0)
    if c not in (1, 3) or side != width or side % 2:
        raise DataError(
            f"`{what}` has shape {tuple(images.shape)}, but spectra are those of square "
            "images of even side, (n, 1 or 3, side, side). Crop them; do not resize."
        )
    pixels = checked(what, images.flatten(1)).unflatten(1, (c, side, side))
    frequency = torch.fft.ifftshift(torch.arange(side, device=pixels.device) - side // 2)
    radius = torch.hypot(frequency[:, None].double(), frequency.double()).long().flatten()
    n_radii = math.isqrt(side * side // 2) + 1
    weights = pixels.new_tensor(GRAY if c == 3 else (1.0,))
    totals = []
    for chunk in pixels.split(1_024):
        F = torch.fft.fft2(torch.einsum("nchw,c->nhw", chunk, weights), norm="ortho")
        power = torch.view_as_real(F).square().sum(-1).flatten(1)
        totals.append(power.new_zeros(len(chunk), n_radii).index_add(1, radius, power))
    return torch.cat(totals) / radius.bincount(minlength=n_radii)


def decibels(power: Tensor) -> Tensor:
    """Ten times the decimal logarithm, with a floor at -100."""
    return 10 * torch.log10(power + FLOOR)


FACTS = {
    "spectrum_discrepancy": Facts(
        function=spectrum_discrepancy,
        higher_is_better=False,
        bounds=(0.0, math.inf),
        needs="samples",
        prepare=spectrum,
    )
}

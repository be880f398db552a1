"""Reverse KL divergence: how unevenly samples are spread over modes of known centres."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import Facts
from counterplay.metrics._modes import Centres, centres_of, nearest_mode
from counterplay.metrics._shares import discrepancy
from counterplay.typing import Scalar


def reverse_kl(
    fake: Float[Tensor, "m d"],
    centres: Centres,
    *,
    reference: Sequence[float] | Tensor = (),
) -> Scalar:
    """KL(fake || real) of the distributions over modes, every sample at its nearest one.

    sum_k q_k log(q_k / p_k), with q the shares of the samples and p those of the data.
    Lower is better, at least 0, in nats; log 2 if half of equally likely modes is lost. A
    count, so it has a value but no gradient. Biased upwards by about (k - 1) / (2 m). Cost
    O(m k d).
    Source: Lin et al. 2018, arXiv 1712.04086.

    Args:
        fake: Generated points.
        centres: One row per mode.
        reference: The shares of the modes in the data; equal ones by default.

    Returns:
        The divergence.
    """
    known, fake = centres_of(centres, fake)
    _, mode = nearest_mode(known, fake)
    shares = mode.bincount(minlength=len(known)).to(torch.float64) / len(mode)
    return discrepancy(shares, "kl", reference=reference)


def smooth_reverse_kl(
    fake: Float[Tensor, "m d"],
    centres: Centres,
    *,
    temperature: float = 0.25,
    reference: Sequence[float] | Tensor = (),
) -> Scalar:
    """Reverse KL divergence with a gradient: a sample counts a little for farther modes.

    It counts for mode k in proportion to exp(-|fake - centre_k|^2 / (2 s^2)), where s is
    the temperature times the mean distance between a centre and the next one; at 0.25, one
    at its centre counts e^-8 for the next. Lower is better, at least 0, in nats. Samples at
    a centre have next to no slope, those between modes a large one. Cost O(m k d).
    Source: Lin et al. 2018, arXiv 1712.04086, smoothed.

    Args:
        fake: Generated points; the result is differentiable in it.
        centres: One row per mode, at least two.
        temperature: Width of the modes, relative to their mean distance.
        reference: The shares of the modes in the data; equal ones by default.

    Raises:
        DataError: If `temperature` is not positive, or centres coincide.
    """
    if not temperature > 0:
        raise DataError(f"`temperature` must be above 0, got {temperature!r}.")
    known, fake = centres_of(centres, fake, minimum=2)
    gaps = torch.cdist(known, known).fill_diagonal_(math.inf).amin(1)
    width = temperature * float(gaps.mean())
    if not width:
        raise DataError("All `centres` coincide, so no sample is nearer to one of them.")
    squares = (fake[:, None] - known).square().sum(2)
    shares = torch.softmax(-squares / (2 * width**2), dim=1).mean(0)
    return discrepancy(shares, "kl", reference=reference)


FACTS = {
    name: Facts(
        function=function,
        higher_is_better=False,
        bounds=(0.0, math.inf),
        needs="samples",
        differentiable=function is smooth_reverse_kl,
        reads_reference=False,
    )
    for name, function in (
        ("reverse_kl", reverse_kl),
        ("smooth_reverse_kl", smooth_reverse_kl),
    )
}

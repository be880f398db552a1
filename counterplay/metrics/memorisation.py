"""Memorisation: which samples are copies of training instances."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._chunked_mean import mean_by_parts
from counterplay.metrics._facts import checked, Facts
from counterplay.metrics._nearest import (
    centred,
    Nearest as Nearest,
    nearest as nearest,
)
from counterplay.metrics._neighbours import Neighbourhoods, neighbourhoods
from counterplay.typing import Features, Scalar


def authenticity(real: Neighbourhoods | Features, fake: Float[Tensor, "m d"]) -> Scalar:
    """Authenticity: the share of samples that copy no training instance.

    A sample is a copy if it is no farther from the nearest training row than that row is
    from its own nearest neighbour. Higher is better, between 0 and 1; also high far from
    the data. Fresh draws from the data's distribution have about 0.38 in 2 dimensions
    and over 0.8 in hundreds: compare with held-out data in place of samples. A step
    function, so it has no gradient. Cost O((n + m) n d).
    Source: Alaa et al. 2022, arXiv 2102.08921.

    Args:
        real: Features of the training data itself; no sample copies held-out data. Of rows
            that are repeated there, only exact copies are found.
        fake: Features of generated data.
    """
    return (nearest(real, fake).ratio > 1).to(torch.float64).mean()


def smooth_authenticity(
    real: Neighbourhoods | Features,
    fake: Float[Tensor, "m d"],
    *,
    temperature: float = 0.05,
) -> Scalar:
    """Authenticity with soft decisions, for tracing.

    The mean of 1 / (1 + (r_i / d_i)^(1/T)) over all training rows i, weighed by d_i^(-1/T),
    with d_i their distance to the sample and r_i to their nearest neighbour.
    Higher is better, between 0 and 1. Cost O((n + m) n d), memory O((n + m) d).
    Source: Alaa et al. 2022, arXiv 2102.08921, whose steps are the limit T -> 0.

    Args:
        real: Features of the training data itself.
        fake: Features of generated data; the result is differentiable in it.
        temperature: T, the relative difference of distances that is blurred.

    Raises:
        DataError: If `temperature` is out of range.
    """
    if not 0 < temperature <= 1:
        raise DataError(f"`temperature` must be above 0 and at most 1, got {temperature}.")
    known = neighbourhoods(real)
    fake = checked("fake", fake, width=known.rows.shape[1])
    rows, centre = centred(known)
    lengths = rows.square().sum(1)
    scale = lengths.mean().clamp(min=1e-300)
    # Floors above rounding; that of r is higher, as a copy of a repeated row is a copy.
    r = known.radii(1).square().clamp(min=1e-12 * scale).log() / 2

    def score(x: Tensor) -> Tensor:
        squares = torch.addmm(lengths, x, rows.mT, alpha=-2) + x.square().sum(1)[:, None]
        d = squares.clamp(min=1e-14 * scale).log() / 2
        shares = torch.softmax(-d / temperature, dim=1)
        return (shares * torch.sigmoid((d - r) / temperature)).sum(1)

    return mean_by_parts(score, fake - centre, width=4 * len(rows))


FACTS = {
    name: Facts(
        function=function,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        differentiable=function is smooth_authenticity,
        reads_training=True,
        prepare=Neighbourhoods,
    )
    for name, function in (
        ("authenticity", authenticity),
        ("smooth_authenticity", smooth_authenticity),
    )
}

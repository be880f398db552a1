"""Density and coverage that can be traced: with slopes in place of their steps."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.metrics._chunked_mean import mean_by_parts
from counterplay.metrics._facts import Facts
from counterplay.metrics._neighbours import deepest, Neighbourhoods
from counterplay.metrics._smooth import lengths, read
from counterplay.typing import Features, PerInstance, Scalar


def smooth_density(
    real: Neighbourhoods | Float[Tensor, "n d"],
    fake: Float[Tensor, "m d"],
    *,
    k: int = 5,
    temperature: float = 0.02,
) -> Scalar:
    """Density with a gradient.

    1/(k m) sum_ij sigmoid((radius_j - |fake_i - real_j|) / t), with t the temperature times
    the mean radius. Higher is better, at least 0. Above `density`, as there is more space
    just outside of a neighbourhood than just inside: by little if the temperature is well
    below 1 / d for data that fill d dimensions, hence its low default. Cost O((n + m) n d).
    Source: Naeem et al. 2020, arXiv 2002.09797, section 3, smoothed.

    Args:
        real: Features of real data, or their neighbourhoods; a constant.
        fake: Features of generated data; the result is differentiable in it.
        k: Which neighbour sets the radius.
        temperature: Width of the slope, relative to the mean radius of the real rows.

    Returns:
        The mean over the fake rows.
    """
    known, fake, unit = read(real, fake, k, temperature)
    radii, mean = known.radii(k), known.rows.mean(0)
    centres = known.rows - mean  # the expanded square would lose digits far from 0
    squares = centres.square().sum(1)

    def count(part: Features) -> PerInstance:
        part = part - mean
        gaps = part.square().sum(1, keepdim=True) + squares - 2 * part @ centres.mT
        distances = gaps.clamp_min((1e-6 * unit) ** 2).sqrt()  # no infinite slope at 0
        return torch.sigmoid((radii - distances) / unit).sum(1)

    return mean_by_parts(count, fake, width=len(centres)) / k


def smooth_coverage(
    real: Neighbourhoods | Float[Tensor, "n d"],
    fake: Float[Tensor, "m d"],
    *,
    k: int = 5,
    temperature: float = 0.05,
) -> Scalar:
    """Coverage with a gradient, that of the fake row nearest to each real row.

    mean_j sigmoid((radius_j - min_i |fake_i - real_j|) / t), with t the temperature times
    the mean radius. Higher is better, between 0 and 1; below `coverage` where that is high
    and above it where it is low. Cost O((n + m) n d).
    Source: Naeem et al. 2020, arXiv 2002.09797, section 3, smoothed.

    Args:
        real: Features of real data, or their neighbourhoods; a constant.
        fake: Features of generated data; the result is differentiable in it.
        k: Which neighbour sets the radius.
        temperature: Width of the slope, relative to the mean radius of the real rows.

    Returns:
        The smooth share.
    """
    known, fake, unit = read(real, fake, k, temperature)
    nearest = deepest(known.rows, fake, fake.new_zeros(len(fake)))
    depth = known.radii(k) - lengths(known.rows - fake[nearest])
    return torch.sigmoid(depth / unit).mean()


FACTS = {
    name: Facts(function, higher_is_better=True, bounds=bounds, prepare=Neighbourhoods)
    for name, function, bounds in (
        ("smooth_density", smooth_density, (0.0, math.inf)),
        ("smooth_coverage", smooth_coverage, (0.0, 1.0)),
    )
}

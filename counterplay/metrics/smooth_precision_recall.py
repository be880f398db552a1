"""Precision and recall that can be traced: with slopes in place of their steps."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.metrics._facts import Facts
from counterplay.metrics._neighbours import deepest, Neighbourhoods, neighbours
from counterplay.metrics._smooth import lengths, read
from counterplay.typing import Scalar


def smooth_precision(
    real: Neighbourhoods | Float[Tensor, "n d"],
    fake: Float[Tensor, "m d"],
    *,
    k: int = 3,
    temperature: float = 0.05,
) -> Scalar:
    """Improved precision with a gradient.

    mean_i sigmoid(max_j (radius_j - |fake_i - real_j|) / t), with t the temperature times
    the mean radius. Higher is better, between 0 and 1; below `precision` where that is high
    and above it where it is low, the less the lower the temperature. Only rows within a few
    t of a border have a slope. Cost O((n + m) n d).
    Source: Kynkaanniemi et al. 2019, arXiv 1904.06991, equations 1 and 2, smoothed.

    Args:
        real: Features of real data, or their neighbourhoods; a constant.
        fake: Features of generated data; the result is differentiable in it.
        k: Which neighbour sets the radius.
        temperature: Width of the slope, relative to the mean radius of the real rows.

    Returns:
        The smooth share.
    """
    known, fake, unit = read(real, fake, k, temperature)
    radii = known.radii(k)
    best = deepest(fake, known.rows, radii)
    depth = radii[best] - lengths(fake - known.rows[best])
    return torch.sigmoid(depth / unit).mean()


def smooth_recall(
    real: Neighbourhoods | Float[Tensor, "n d"],
    fake: Float[Tensor, "m d"],
    *,
    k: int = 3,
    temperature: float = 0.05,
) -> Scalar:
    """Improved recall with a gradient, through the radii of the fake rows as well.

    As `smooth_precision` with the sets exchanged, but the temperature stays relative to the
    real rows, so that a collapsed generator has a value. Higher is better, between 0 and 1.
    Cost O((n + m)^2 d).
    Source: Kynkaanniemi et al. 2019, arXiv 1904.06991, equations 1 and 2, smoothed.

    Args:
        real: Features of real data, or their neighbourhoods; a constant.
        fake: Features of generated data; the result is differentiable in it.
        k: Which neighbour sets the radius.
        temperature: Width of the slope, relative to the mean radius of the real rows.

    Returns:
        The smooth share.
    """
    known, fake, unit = read(real, fake, k, temperature)
    radii = lengths(fake - fake[neighbours("fake", fake, k).which])
    best = deepest(known.rows, fake, radii)
    depth = radii[best] - lengths(known.rows - fake[best])
    return torch.sigmoid(depth / unit).mean()


FACTS = {
    name: Facts(
        function=function,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        minimum_samples=minimum_samples,
        prepare=Neighbourhoods,
    )
    for name, function, minimum_samples in (
        ("smooth_precision", smooth_precision, 1),
        ("smooth_recall", smooth_recall, 4),
    )
}

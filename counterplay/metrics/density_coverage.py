"""Density and coverage: how densely samples lie among the data, and how much they reach."""

import functools

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.metrics._facts import checked, Facts
from counterplay.metrics._neighbours import Neighbourhoods, neighbourhoods, within
from counterplay.typing import Scalar


def density(
    real: Neighbourhoods | Float[Tensor, "n d"], fake: Float[Tensor, "m d"], *, k: int = 5
) -> Scalar:
    """Density: in how many neighbourhoods of real rows a fake row lies, relative to k.

    1/(k m) sum_ij [|fake_i - real_j| <= distance of real_j's k-th neighbour].
    Higher is better, at least 0; 1 on average if both sets come from one distribution,
    above 1 if the samples crowd where the data are densest. A step function, so it has a
    value but no gradient. Unlike precision, one outlier counts little. Cost O((n + m) n d).
    Source: Naeem et al. 2020, arXiv 2002.09797, section 3.
    Differs: A row at the very border is inside (<=), as in precision and recall; the
    authors' code leaves it out (<). Only repeated rows tell the two apart, and of those
    the latter would say that a row is not in a neighbourhood of its own copies.

    Args:
        real: Features of real data, or their neighbourhoods.
        fake: Features of generated data.
        k: Which neighbour sets the radius.

    Returns:
        The mean over the fake rows.
    """
    real = neighbourhoods(real)
    fake = checked("fake", fake.detach(), width=real.rows.shape[1])
    counts = [part.sum(1) for part in within(fake, real.rows, real.radii(k))]
    return torch.cat(counts).to(torch.float64).mean() / k


def coverage(
    real: Neighbourhoods | Float[Tensor, "n d"], fake: Float[Tensor, "m d"], *, k: int = 5
) -> Scalar:
    """Coverage: the share of real rows with a fake row in their neighbourhood.

    1/n sum_j [min_i |fake_i - real_j| <= distance of real_j's k-th neighbour].
    Higher is better, between 0 and 1; a step function, so it has a value but no gradient.
    For m = n rows of one distribution it is 1 - (n-1)...(n-k) / ((2n-1)...(2n-k)) on
    average, about 1 - 2^-k, so choose k by it; grows with m. Cost O((n + m) n d).
    Source: Naeem et al. 2020, arXiv 2002.09797, section 3.
    Differs: A row at the very border is inside, as for `density`.

    Args:
        real: Features of real data, or their neighbourhoods.
        fake: Features of generated data.
        k: Which neighbour sets the radius.

    Returns:
        The share.
    """
    real = neighbourhoods(real)
    fake = checked("fake", fake.detach(), width=real.rows.shape[1])
    reached = (part.any(0) for part in within(fake, real.rows, real.radii(k)))
    return functools.reduce(torch.logical_or, reached).to(torch.float64).mean()


FACTS = {
    "density": Facts(
        function=density,
        higher_is_better=True,
        bounds=(0.0, float("inf")),
        differentiable=False,
        prepare=Neighbourhoods,
    ),
    "coverage": Facts(
        function=coverage,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        differentiable=False,
        prepare=Neighbourhoods,
    ),
}

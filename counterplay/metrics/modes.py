"""Modes whose centres are known: how many are covered, and how well they are met."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import Facts
from counterplay.metrics._modes import Centres, centres_of, nearest_mode
from counterplay.typing import Scalar


def modes_covered(
    fake: Float[Tensor, "m d"],
    centres: Centres,
    std: float,
    *,
    n_std: float = 3.0,
    at_least: int = 1,
) -> Scalar:
    """Number of modes that are nearest to a sample of high quality.

    Higher is better, from 0 to the number of modes. A count, so it has a value but no
    gradient; grows with the number of samples. Cost O(m k d).
    Source: Srivastava et al. 2017, arXiv 1705.07761.

    Args:
        fake: Generated points.
        centres: One row per mode.
        std: Standard deviation of each mode, in every direction.
        n_std: How many of these a sample of high quality may be off.
        at_least: How many such samples make a mode covered.

    Raises:
        DataError: If `at_least` is below 1.
    """
    if at_least < 1:
        raise DataError(f"`at_least` must be at least 1, got {at_least}.")
    known, fake = centres_of(centres, fake)
    distance, mode = nearest_mode(known, fake)
    counts = mode[distance <= _reach(std, n_std)].bincount(minlength=len(known))
    return (counts >= at_least).sum().to(torch.float64)


def high_quality_share(
    fake: Float[Tensor, "m d"], centres: Centres, std: float, *, n_std: float = 3.0
) -> Scalar:
    """Share of samples within `n_std` standard deviations of a mode.

    Higher is better, between 0 and 1; the data themselves have P(chi^2_d <= n_std^2), .989
    at 3 in the plane. Blind to lost modes. A count, so it has a value but no gradient. Cost
    O(m k d).
    Source: Srivastava et al. 2017, arXiv 1705.07761.

    Args:
        fake: Generated points.
        centres: One row per mode.
        std: Standard deviation of each mode, in every direction.
        n_std: How many of these a sample may be off.

    Returns:
        The share.
    """
    distance, _ = nearest_mode(*centres_of(centres, fake))
    return (distance <= _reach(std, n_std)).to(torch.float64).mean()


def _reach(std: float, n_std: float) -> float:
    if not (std > 0 and n_std > 0):
        raise DataError(f"`std` and `n_std` must be above 0, got {std!r} and {n_std!r}.")
    return n_std * std


FACTS = {
    name: Facts(
        function=function,
        higher_is_better=True,
        bounds=bounds,
        needs="samples",
        differentiable=False,
        reads_reference=False,
    )
    for name, function, bounds in (
        ("modes_covered", modes_covered, (0.0, math.inf)),
        ("high_quality_share", high_quality_share, (0.0, 1.0)),
    )
}

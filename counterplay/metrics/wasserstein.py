"""Wasserstein distances: the least work that turns the samples into the data."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay import _rng
from counterplay.errors import DataError
from counterplay.metrics._facts import checked, Facts
from counterplay.metrics._transport import best_plan, between_sorted
from counterplay.typing import Features, Scalar


def wasserstein_1(real: Features, fake: Float[Tensor, "m d"]) -> Scalar:
    """Wasserstein-1 distance: the mean way of a row under the best transport, exactly.

    Lower is better, at least 0, in feature units. Biased upwards by about m^(-1/d), which
    in many dimensions is most of it: compare only at equal n and m. The gradient is that of
    the best plan held fixed. One column: sorted, O(m log m). Else n = m: an assignment,
    O(m^3), memory O(m^2); n != m: a linear program, for up to a million pairs.
    Source: Peyre and Cuturi 2019, arXiv 1803.00567, proposition 2.2.

    Args:
        real: Features of real data, a constant.
        fake: Features of generated data; the result is differentiable in it.
    """
    real = checked("real", real.detach())
    fake = checked("fake", fake, width=real.shape[1])
    if real.shape[1] == 1:
        return between_sorted(real, fake, power=1)[0]
    i, j, mass = best_plan(real, fake.detach())
    return mass @ torch.linalg.vector_norm(real[i] - fake[j], dim=1)


def sliced_wasserstein(
    real: Features,
    fake: Float[Tensor, "m d"],
    *,
    n_projections: int = 128,
    power: int = 2,
    seed: int = 0,
) -> Scalar:
    """Sliced Wasserstein distance: Wasserstein between projections onto random lines.

    The mean over lines of the distance^power, to the power 1/power. Lower is better, at
    least 0, in feature units; of two sets apart by a shift, its length / sqrt(d). Biased
    upwards, but no more in many dimensions than in one. Cost O(m (d + log m)) per line.
    Where it is 0, so is its gradient.
    Source: Bonneel et al. 2015, Sliced and Radon Wasserstein Barycenters of Measures.

    Args:
        real: Features of real data, a constant.
        fake: Features of generated data; the result is differentiable in it.
        n_projections: Number of lines, the same at every call.
        power: 1 or 2.
        seed: Seed of the lines.

    Raises:
        DataError: If an option is out of range.
    """
    if power not in {1, 2} or n_projections < 1:
        raise DataError(
            f"`power` must be 1 or 2 and `n_projections` at least 1, got {power!r} and "
            f"{n_projections!r}."
        )
    real = checked("real", real.detach())
    fake = checked("fake", fake, width=real.shape[1])
    random = _rng.generator(seed, "sliced wasserstein")
    lines = torch.randn(n_projections, real.shape[1], generator=random, dtype=real.dtype)
    lines = torch.nn.functional.normalize(lines).mT
    mean = between_sorted(real @ lines, fake @ lines, power).mean()
    return mean.sqrt() if power == 2 and mean.item() > 0 else mean


FACTS = {
    name: Facts(function=function, higher_is_better=False, bounds=(0.0, math.inf))
    for name, function in (
        ("sliced_wasserstein", sliced_wasserstein),
        ("wasserstein_1", wasserstein_1),
    )
}

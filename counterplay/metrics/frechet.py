"""Frechet distance: how far two clouds of features are apart, seen as Gaussians."""

import math

from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import checked, Facts
from counterplay.metrics._moments import (
    distance_to,
    Moments as Moments,
    moments as moments,
    moments_from as moments_from,
    standardised,
    StreamingMoments as StreamingMoments,
)
from counterplay.typing import Scalar


def frechet_distance(
    real: Moments | Float[Tensor, "n d"], fake: Float[Tensor, "m d"]
) -> Scalar:
    """Frechet distance between Gaussians with the moments of real and fake features.

    |mean_r - mean_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2)), with S the unbiased
    covariances. Lower is better, at least 0, in squared feature units. Biased upwards by
    about 1/m: compare only at equal m. Cost O(m d^2), and less if a side has fewer rows
    than columns. With F F' = S_r and A' A = S_f, the last trace is the nuclear norm of A F,
    whose gradient is finite at singular covariances too.
    Source: Heusel et al. 2017, arXiv 1706.08500, equation 6.

    Args:
        real: Features of real data, or their moments; a constant.
        fake: Features of generated data; the result is differentiable in it.
    """
    reference = real if isinstance(real, Moments) else moments(real)
    fake = checked("fake", fake, minimum=2, width=len(reference.mean))
    return distance_to(reference, *standardised(fake))


def frechet_between(real: Moments, fake: Moments) -> Scalar:
    """The same from the moments of both sides, such as those of two streams; a constant.

    Raises:
        DataError: If they have different numbers of features.
    """
    if len(real.mean) != len(fake.mean):
        raise DataError(
            f"`real` has {len(real.mean)} features, but `fake` has {len(fake.mean)}. Both "
            "must come from the same feature map."
        )
    return distance_to(real, fake.mean, fake.factor.mT)


FACTS = {
    "frechet": Facts(
        function=frechet_distance,
        higher_is_better=False,
        bounds=(0.0, math.inf),
        minimum_samples=2,
        rows_per_column=1,
        prepare=moments,
    )
}

"""Frechet distance: how far two clouds of features are apart, seen as Gaussians."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import checked, Facts
from counterplay.typing import Features, Scalar


@dataclass(frozen=True)
class Moments:
    """What a Frechet distance needs of the reference, in float64.

    Attributes:
        mean: Mean of the features.
        factor: Any matrix F whose product F F' is the covariance.
    """

    mean: Float[Tensor, " d"]
    factor: Float[Tensor, "d k"]


def moments(features: Features) -> Moments:
    """Mean and covariance of reference features, as constants; the costly part, done once.

    Raises:
        DataError: If there are fewer than two rows, or all are the same.
    """
    rows = checked("real", features.detach(), minimum=2)
    n, d = rows.shape
    mean = rows.mean(0)
    factor = (rows - mean).mT / math.sqrt(n - 1)
    if not factor.any():
        raise DataError(
            f"All {n} rows of `real` are the same. The feature map tells no instance from "
            "another, and every distance to it is meaningless. Look at the feature map."
        )
    return Moments(mean, factor) if n <= d else moments_from(mean, factor @ factor.mT)


def moments_from(mean: Float[Tensor, " d"], covariance: Float[Tensor, "d d"]) -> Moments:
    """The same from a published mean and covariance."""
    values, vectors = torch.linalg.eigh(covariance.detach().to(torch.float64))
    return Moments(mean.detach().to(torch.float64), vectors * values.clamp(min=0).sqrt())


def frechet_distance(
    real: Moments | Float[Tensor, "n d"], fake: Float[Tensor, "m d"]
) -> Scalar:
    """Frechet distance between Gaussians with the moments of real and fake features.

    |mean_r - mean_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2)), with S the unbiased
    covariances. Lower is better, at least 0, in squared feature units. Biased upwards by
    about 1/m: compare only at equal numbers of samples. Cost O(m d^2). With F F' = S_r and
    A' A = S_f the last trace is the sum of the singular values of A F: of that m x d matrix
    while samples are fewer than dimensions, and of the roots of the eigenvalues of the
    symmetric F' S_f F otherwise. Both have a finite gradient at singular covariances.
    Source: Heusel et al. 2017, arXiv 1706.08500, equation 6.

    Args:
        real: Features of real data, or their moments; a constant.
        fake: Features of generated data; the result is differentiable in it.
    """
    reference = real if isinstance(real, Moments) else moments(real)
    rows = checked("fake", fake, minimum=2, width=len(reference.mean))
    mean = rows.mean(0)
    centred = (rows - mean) / math.sqrt(len(rows) - 1)
    traces = centred.square().sum() + reference.factor.square().sum()
    root = _nuclear_norm(centred @ reference.factor)
    return (mean - reference.mean).square().sum() + traces - 2 * root


def _nuclear_norm(matrix: Tensor) -> Tensor:
    """The sum of the singular values; those that are zero to rounding pass no gradient."""
    rounding = max(matrix.shape) * torch.finfo(matrix.dtype).eps
    if matrix.shape[0] < matrix.shape[1]:
        values = torch.linalg.svdvals(matrix)
        return torch.where(values > rounding * values.max(), values, values.detach()).sum()
    squares = torch.linalg.eigvalsh(matrix.mT @ matrix)
    kept = squares > rounding * squares.max()
    constant = squares.detach().clamp(min=0).sqrt()
    return torch.where(kept, torch.where(kept, squares, 1.0).sqrt(), constant).sum()


FACTS = {
    "frechet": Facts(
        function=frechet_distance,
        higher_is_better=False,
        bounds=(0.0, math.inf),
        minimum_samples=2,
        prepare=moments,
    )
}

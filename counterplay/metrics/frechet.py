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
    """What a Frechet distance needs of the reference, in float64."""

    mean: Float[Tensor, " d"]
    factor: Float[Tensor, "d k"]  # F, where F F' is the covariance


def moments(features: Features) -> Moments:
    """Mean and covariance of reference features, as constants; the costly part, done once.

    Raises:
        DataError: If there are fewer than two rows, or all are the same.
    """
    rows = checked("real", features.detach(), minimum=2)
    n, d = rows.shape
    mean = rows.mean(0)
    centred = (rows - mean) / math.sqrt(n - 1)
    if not centred.any():
        raise DataError(
            f"All {n} rows of `real` are the same. The feature map tells no instance from "
            "another, and every distance to it is meaningless. Look at the feature map."
        )
    if n > d:
        return moments_from(mean, centred.mT @ centred)
    squares, vectors = torch.linalg.eigh(centred @ centred.mT)
    return Moments(mean, centred.mT @ vectors[:, _nonzero(squares)])


def moments_from(mean: Float[Tensor, " d"], covariance: Float[Tensor, "d d"]) -> Moments:
    """The same from a published mean and covariance."""
    squares, vectors = torch.linalg.eigh(covariance.detach().to(torch.float64))
    kept = _nonzero(squares)
    return Moments(mean.detach().double(), vectors[:, kept] * squares[kept].sqrt())


def frechet_distance(
    real: Moments | Float[Tensor, "n d"], fake: Float[Tensor, "m d"]
) -> Scalar:
    """Frechet distance between Gaussians with the moments of real and fake features.

    |mean_r - mean_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2)), with S the unbiased
    covariances. Lower is better, at least 0, in squared feature units. Biased upwards by
    about 1/m: compare only at equal m. Cost O(m d^2). With F F' = S_r and A' A = S_f, the
    last trace is the nuclear norm of A F, taken from that m x d matrix if m < d and from
    the symmetric F' S_f F otherwise; its gradient is finite at singular covariances too.
    Source: Heusel et al. 2017, arXiv 1706.08500, equation 6.

    Args:
        real: Features of real data, or their moments; a constant.
        fake: Features of generated data; the result is differentiable in it.
    """
    reference = real if isinstance(real, Moments) else moments(real)
    fake = checked("fake", fake, minimum=2, width=len(reference.mean))
    mean = fake.mean(0)
    centred = (fake - mean) / math.sqrt(len(fake) - 1)
    traces = centred.square().sum() + reference.factor.square().sum()
    root = _nuclear_norm(centred @ reference.factor)
    return (mean - reference.mean).square().sum() + traces - 2 * root


def _nuclear_norm(matrix: Tensor) -> Tensor:
    """The sum of the singular values; those that are zero to rounding pass no gradient."""
    if matrix.shape[0] < matrix.shape[1]:
        values = torch.linalg.svdvals(matrix)
        return values[_nonzero(values)].sum()
    squares = torch.linalg.eigvalsh(matrix.mT @ matrix)
    return squares[_nonzero(squares)].sqrt().sum()


def _nonzero(values: Tensor) -> Tensor:
    return values > len(values) * torch.finfo(values.dtype).eps * values.max()


FACTS = {
    "frechet": Facts(
        function=frechet_distance,
        higher_is_better=False,
        bounds=(0.0, math.inf),
        minimum_samples=2,
        prepare=moments,
    )
}

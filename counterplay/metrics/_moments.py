"""Gaussians with the moments of features, and how far two of them are apart."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import nn, Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import checked
from counterplay.typing import Features, Scalar


BLOCK = 128  # columns whose products are computed at a time
CHUNK = 512  # rows that are centred at a time


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of features, in float64."""

    mean: Float[Tensor, " d"]
    factor: Float[Tensor, "d k"]  # F, where F F' is the covariance


def moments(features: Features) -> Moments:
    """Mean and covariance of reference features, as constants; done once for all.

    Raises:
        DataError: If there are fewer than two rows, or all are the same.
    """
    rows = checked("real", features.detach(), minimum=2)
    n, d = rows.shape
    if torch.equal(rows[1:], rows[:-1]):
        raise DataError(
            f"All {n} rows of `real` are the same. The feature map tells no instance from "
            "another, and every distance to it is meaningless. Look at the feature map."
        )
    if n <= d:
        mean, centred = standardised(rows)
        return Moments(mean, centred.mT)
    stream = StreamingMoments(d, device=rows.device)
    for part in rows.split(CHUNK):
        stream.add(part)
    return stream.finalize()


def moments_from(mean: Float[Tensor, " d"], covariance: Tensor) -> Moments:
    """The same from a published mean and covariance, of shape `(d, d)`.

    Raises:
        DataError: If their shapes do not fit, or either is not finite.
    """
    if covariance.shape != (*mean.shape, *mean.shape):
        raise DataError(
            f"`mean` has shape {tuple(mean.shape)} and `covariance` has shape "
            f"{tuple(covariance.shape)}. Give one number per feature, and one per pair of "
            "features."
        )
    mean = checked("mean", mean.detach()[None])[0]
    return Moments(mean, _factor(checked("covariance", covariance.detach())))


class StreamingMoments:
    """Mean and covariance of rows that come in batches, in constant memory.

    Exact to rounding: every batch is centred on its own mean before it is added.
    Source: Chan, Golub and LeVeque 1983, The American Statistician 37, pairwise updating.

    Args:
        d: Number of features.
        device: Where the moments are kept; it must know float64.

    Attributes:
        n: Number of rows so far.

    Example:
        >>> stream = StreamingMoments(3)
        >>> for batch in torch.randn(10, 3).split(4):
        ...     stream.update(batch)
        >>> stream.n
        10
    """

    def __init__(self, d: int, *, device: torch.device | str = "cpu") -> None:
        self.n = 0
        self._mean = torch.zeros(d, dtype=torch.float64, device=device)
        self._scatter = self._mean.new_zeros(d, d)  # its upper half is unused

    def update(self, batch: Features) -> None:
        """Add rows, as constants."""
        batch = batch.detach().to(self._mean.device)
        self.add(checked("batch", batch, width=len(self._mean)))

    def add(self, rows: Features) -> None:
        """The same for rows that are known to be a finite matrix in float64."""
        mean = rows.mean(0)
        centred = rows - mean
        for i, j in _blocks(len(mean)):
            self._scatter[i:j, :j].addmm_(centred[:, i:j].mT, centred[:, :j])
        self._join(len(rows), mean)

    def merge(self, other: "StreamingMoments") -> None:
        """Add the rows that another stream has seen.

        Raises:
            DataError: If its rows have another width.
        """
        if len(other._mean) != len(self._mean):
            raise DataError(
                f"`other` has seen {len(other._mean)} features, but this stream sees "
                f"{len(self._mean)}. Both must come from the same feature map."
            )
        if other.n:
            self._scatter += other._scatter
            self._join(other.n, other._mean)

    def finalize(self) -> Moments:
        """The moments of all rows so far; the stream can go on.

        Raises:
            DataError: If there are fewer than two rows.
        """
        if self.n < 2:
            raise DataError(
                f"The stream has seen {self.n} rows, but a covariance needs at least 2. "
                "Update it with more."
            )
        return Moments(self._mean.clone(), _factor(self._scatter / (self.n - 1)))

    def _join(self, n: int, mean: Tensor) -> None:
        share = n / (self.n + n)
        shift = mean - self._mean
        self._scatter.addr_(shift, shift, alpha=self.n * share)
        self._mean += share * shift
        self.n += n


def standardised(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of rows, and A, where A' A is their unbiased covariance."""
    mean = rows.mean(0)
    return mean, (rows - mean).div_(math.sqrt(len(rows) - 1))


def gram(rows: Float[Tensor, "m k"]) -> Float[Tensor, "k k"]:
    """`rows.mT @ rows`, without computing its upper half a second time; differentiable."""
    k = rows.shape[1]
    below = [
        nn.functional.pad(rows[:, i:j].mT @ rows[:, :j], (0, k - j)) for i, j in _blocks(k)
    ]
    lower = torch.cat(below)
    return lower.tril() + lower.tril(-1).mT


def _blocks(k: int) -> list[tuple[int, int]]:
    return [(i, min(i + BLOCK, k)) for i in range(0, k, BLOCK)]


def _factor(covariance: Tensor) -> Tensor:
    """F of `Moments`: Cholesky's, a twentieth of the cost, unless it is singular.

    Reads the lower half alone.
    """
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return factor
    squares, vectors = torch.linalg.eigh(covariance)
    kept = squares > len(squares) * torch.finfo(squares.dtype).eps * squares[-1]
    kept[-1] = True  # so that a collapsed set has a factor too, of zeros
    return vectors[:, kept] * squares[kept].clamp_min(0).sqrt()


def distance_to(reference: Moments, mean: Tensor, rows: Tensor) -> Scalar:
    """Frechet distance to the Gaussian with covariance `rows.mT @ rows`."""
    means = (mean - reference.mean).square().sum()
    traces = reference.factor.square().sum() + rows.square().sum()
    distance = means + traces - 2 * _nuclear_norm(rows, reference.factor)
    return distance.clamp_min(0)  # of equal sets, rounding would leave less


def _nuclear_norm(rows: Tensor, factor: Tensor) -> Tensor:
    """The sum of the singular values of `rows @ factor`.

    Their squares come cheaper, from a symmetric matrix on the small side, but to an
    absolute precision only: a value s is off by up to `noise` / s. What that can add up to
    is known afterwards, and where it is too much the values are computed themselves.
    Values that are zero to rounding pass no gradient.
    """
    squares = torch.linalg.eigvalsh(_squared(rows, factor))
    eps = torch.finfo(squares.dtype).eps
    noise = (4 * eps * squares[-1].detach()).clamp_min(0)
    norm = squares[squares > noise].sqrt().sum()
    doubt = (noise / squares.detach().clamp_min(noise).sqrt()).sum()
    if doubt <= 1e-8 * norm:
        return norm
    values = torch.linalg.svdvals(rows @ factor)
    return values[values > len(values) * eps * values[0]].sum()


def _squared(rows: Tensor, factor: Tensor) -> Tensor:
    """A symmetric matrix whose eigenvalues are the squared values, on the small side."""
    if len(rows) > len(factor):
        return factor.mT @ gram(rows) @ factor
    product = rows @ factor
    return gram(product if product.shape[0] > product.shape[1] else product.mT)

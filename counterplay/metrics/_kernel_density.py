"""Kernel densities: the likelihood of rows under others, and the bandwidth to use."""

import functools
import math
from collections.abc import Iterator, Sequence
from itertools import count

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError, MetricError
from counterplay.metrics._chunked_mean import mean_by_parts
from counterplay.metrics._facts import checked
from counterplay.typing import Features, PerInstance, Scalar


_ELEMENTS = 2**22  # of a matrix of distances that is in memory at a time


class HeldOut:
    """Real rows, and the bandwidth that suits them, which is computed once."""

    def __init__(self, real: Features):
        self.rows = checked("real", real)

    @functools.cached_property
    def bandwidth(self) -> float:
        """The one under which each row is likeliest given the others."""
        return bandwidth_by_cross_validation(self.rows)


def log_likelihood(
    rows: Features, centres: Float[Tensor, "m d"], bandwidth: float
) -> Scalar:
    """mean_i log mean_j N(row_i; centre_j, bandwidth^2 I), in nats; differentiable."""
    middle = rows.mean(0).detach()  # the expanded square would lose digits far from 0
    rows, centres = (rows - middle) / bandwidth, (centres - middle) / bandwidth

    def log_sums(part: Features, centres: Tensor) -> PerInstance:
        return torch.logsumexp(_squares(part, centres) / -2, dim=1)

    total = mean_by_parts(log_sums, rows, centres, width=len(centres))
    return total - _log_volume(len(centres), rows.shape[1], bandwidth)


def bandwidth_by_validation(
    validation: Features,
    fake: Float[Tensor, "m d"],
    *,
    bandwidths: Sequence[float] | None = None,
) -> float:
    """The bandwidth, in feature units, under which validation rows are likeliest.

    Source: Goodfellow et al. 2014, arXiv 1406.2661, section 5.

    Args:
        validation: Real rows that are neither training nor test data.
        fake: Generated rows.
        bandwidths: The choices; otherwise 33 from 1/20 to 20 times Scott's rule for `fake`.

    Returns:
        The best of them.
    """
    validation = checked("validation", validation.detach())
    fake = checked("fake", fake.detach(), minimum=2, width=validation.shape[1])
    return _best(bandwidths or _around_scotts_rule(fake), validation, fake)


def bandwidth_by_cross_validation(
    real: Features, *, bandwidths: Sequence[float] | None = None
) -> float:
    """The bandwidth, in feature units, under which each row is likeliest given the others.

    It depends on no generator, so it is the same for all that are compared.
    Source: Duin 1976, doi 10.1109/TC.1976.1674577.

    Args:
        real: Real rows.
        bandwidths: The choices; otherwise 33 from 1/20 to 20 times Scott's rule for `real`.

    Returns:
        The best of them.
    """
    real = checked("real", real.detach(), minimum=3)
    return _best(bandwidths or _around_scotts_rule(real), real, None)


def _best(
    bandwidths: Sequence[float], rows: Features, centres: Float[Tensor, "m d"] | None
) -> float:
    """The choice under which rows are likeliest, given the centres or else each other.

    Raises:
        DataError: If a choice is not positive.
        MetricError: If the best is the smallest or the largest.
    """
    if not all(bandwidth > 0 for bandwidth in bandwidths):
        raise DataError(
            f"`bandwidths` must be above 0, got {min(bandwidths)!r}. If you gave none, "
            "they follow from the spread of the rows, and these are all the same."
        )
    middle = rows.mean(0)
    others = rows if centres is None else centres
    n_others, d = len(others) - (centres is None), rows.shape[1]
    totals = torch.zeros(len(bandwidths), dtype=torch.float64)
    for start, part in _parts(rows - middle, len(others)):
        squares = _squares(part, others - middle)
        if centres is None:
            squares.diagonal(start).fill_(math.inf)
        for i, bandwidth in enumerate(bandwidths):
            totals[i] += torch.logsumexp(squares / (-2 * bandwidth**2), dim=1).sum()
    volumes = [_log_volume(n_others, d, bandwidth) for bandwidth in bandwidths]
    likelihoods = totals / len(rows) - torch.tensor(volumes)
    best = bandwidths[int(likelihoods.argmax())]
    if best in {min(bandwidths), max(bandwidths)}:
        raise MetricError(
            f"Rows are likeliest at bandwidth {best:.4g}, at an end of those tried "
            f"({min(bandwidths):.4g} to {max(bandwidths):.4g}), so the best lies beyond. "
            "Give `bandwidths` that reach further; if it falls towards 0, rows are "
            "repeated."
        )
    return best


def _around_scotts_rule(rows: Features) -> list[float]:
    n, d = rows.shape
    rule = float(rows.std(0).mean()) * n ** (-1 / (d + 4))
    return [rule * 20.0 ** (i / 16) for i in range(-16, 17)]


def _parts(rows: Features, width: int) -> Iterator[tuple[int, Features]]:
    size = max(1, _ELEMENTS // width)
    return zip(count(0, size), rows.split(size), strict=False)


def _squares(rows: Features, centres: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    lengths = rows.square().sum(1, keepdim=True) + centres.square().sum(1)
    return lengths - 2 * rows @ centres.mT


def _log_volume(n: int, d: int, bandwidth: float) -> float:
    return math.log(n) + d * math.log(math.sqrt(2 * math.pi) * bandwidth)

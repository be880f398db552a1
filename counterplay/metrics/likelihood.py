"""Likelihoods: of held-out data under the samples, and of samples under a known density."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError, MetricError
from counterplay.metrics._facts import checked, Facts
from counterplay.typing import Features, PerInstance, Scalar


def average_log_likelihood(
    real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], *, bandwidth: float = 1.0
) -> Scalar:
    """Mean log-likelihood of held-out rows under a kernel density of the fake rows.

    mean_i log mean_j N(real_i; fake_j, bandwidth^2 I). Higher is better, in nats per row.
    Cost O(n m d), memory O(n m). A poor judge in the many dimensions of images (Theis et
    al. 2016, arXiv 1511.01844).
    Source: Terashita et al. 2021, arXiv 2101.08367 (ALL).

    Args:
        real: Held-out real rows.
        fake: Generated rows; the result is differentiable in both.
        bandwidth: Standard deviation of the kernel, in feature units.

    Raises:
        DataError: If `bandwidth` is not positive.
    """
    if not bandwidth > 0:
        raise DataError(f"`bandwidth` must be above 0, got {bandwidth!r}.")
    real = checked("real", real)
    fake = checked("fake", fake, width=real.shape[1])
    centre = real.mean(0).detach()  # the expanded square would lose digits far from 0
    real, fake = (real - centre) / bandwidth, (fake - centre) / bandwidth
    squares = real.square().sum(1)[:, None] + fake.square().sum(1) - 2 * real @ fake.mT
    volume = real.shape[1] * math.log(math.sqrt(2 * math.pi) * bandwidth)
    return torch.logsumexp(-squares / 2, dim=1).mean() - math.log(len(fake)) - volume


def bandwidth_by_validation(
    validation: Float[Tensor, "n d"],
    fake: Float[Tensor, "m d"],
    *,
    bandwidths: Sequence[float] | None = None,
) -> float:
    """The bandwidth, in feature units, under which validation rows are likeliest.

    Args:
        validation: Real rows that are neither training nor test data.
        fake: Generated rows.
        bandwidths: The choices; otherwise 33 from 1/20 to 20 times Scott's rule for `fake`.

    Raises:
        MetricError: If the best is the smallest or the largest of them.
    """
    validation, fake = validation.detach(), fake.detach()
    if bandwidths is None:
        m, d = fake.shape
        rule = float(checked("fake", fake, minimum=2).std(0).mean()) * m ** (-1 / (d + 4))
        bandwidths = [rule * 20.0 ** (i / 16) for i in range(-16, 17)]
    best = max(
        bandwidths, key=lambda b: average_log_likelihood(validation, fake, bandwidth=b)
    )
    if best in {min(bandwidths), max(bandwidths)}:
        raise MetricError(
            f"Validation rows are likeliest at bandwidth {best:.4g}, at an end of those "
            f"tried ({min(bandwidths):.4g} to {max(bandwidths):.4g}), so the best lies "
            "beyond. Give `bandwidths` that reach further; if it falls towards 0, samples "
            "repeat the rows."
        )
    return best


def mean_log_density(
    fake: Features, log_density: Callable[[Features], PerInstance]
) -> Scalar:
    """Mean log density of samples under the known density of the data, in nats.

    Higher is better, but highest for a generator that has collapsed to the mode, so read it
    beside a measure of spread; unbounded.

    Args:
        fake: Generated rows; the result is differentiable in it.
        log_density: From rows, in float64, to the logarithm of the true density at each.
    """
    return log_density(checked("fake", fake)).to(torch.float64).mean()


FACTS = {
    "average_log_likelihood": Facts(average_log_likelihood, higher_is_better=True),
    "mean_log_density": Facts(
        mean_log_density, higher_is_better=True, needs="samples", reads_reference=False
    ),
}

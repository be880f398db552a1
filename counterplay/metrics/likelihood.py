"""Likelihoods: of held-out data under the samples, and of samples under a known density."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import checked, Facts
from counterplay.metrics._kernel_density import (
    bandwidth_by_cross_validation as bandwidth_by_cross_validation,
    bandwidth_by_validation as bandwidth_by_validation,
    HeldOut,
    log_likelihood,
)
from counterplay.typing import Features, PerInstance, Scalar


def average_log_likelihood(
    real: HeldOut | Float[Tensor, "n d"],
    fake: Float[Tensor, "m d"],
    *,
    bandwidth: float | Literal["cross-validation"] = 1.0,
) -> Scalar:
    """Mean log-likelihood of held-out rows under a kernel density of the fake rows.

    mean_i log mean_j N(real_i; fake_j, bandwidth^2 I). Higher is better, in nats per row.
    Cost O(n m d), memory O((n + m) d). A poor judge in the many dimensions of images (Theis
    et al. 2016, arXiv 1511.01844).
    Source: Terashita et al. 2021, arXiv 2101.08367 (ALL).

    Args:
        real: Held-out real rows.
        fake: Generated rows; the result is differentiable in both.
        bandwidth: Standard deviation of the kernel, in feature units. `"cross-validation"`
            takes `bandwidth_by_cross_validation(real)`: no rows are needed beside those, no
            generator has a say in how it is judged, and the gradient is exact, as the
            bandwidth is constant. Papers tend to take `bandwidth_by_validation` instead,
            which suits the generator.

    Raises:
        DataError: If `bandwidth` is not positive.
    """
    held_out = real if isinstance(real, HeldOut) else HeldOut(real)
    fake = checked("fake", fake, width=held_out.rows.shape[1])
    if bandwidth == "cross-validation":
        bandwidth = held_out.bandwidth
    elif isinstance(bandwidth, str) or not bandwidth > 0:  # a file may hold any text
        raise DataError(
            f"`bandwidth` must be above 0 or 'cross-validation', got {bandwidth!r}."
        )
    return log_likelihood(held_out.rows, fake, bandwidth)


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
    "average_log_likelihood": Facts(
        average_log_likelihood, higher_is_better=True, prepare=HeldOut
    ),
    "mean_log_density": Facts(
        mean_log_density, higher_is_better=True, needs="samples", reads_reference=False
    ),
}

"""Kernel distances: whether two clouds of features differ in any way a kernel can see."""

import math

from jaxtyping import Float
from torch import Tensor

from counterplay.metrics._facts import Facts
from counterplay.metrics._kernels import (
    Estimate as Estimate,
    Gaussian as Gaussian,
    kernel_distance_subsets as kernel_distance_subsets,
    Polynomial as Polynomial,
    Reference,
    squared_mmd as squared_mmd,
)
from counterplay.typing import Features, Scalar


def kernel_distance(
    real: Reference | Features,
    fake: Float[Tensor, "m d"],
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef: float = 1.0,
) -> Scalar:
    """Kernel distance: unbiased squared MMD with the kernel (gamma x.y + coef)^degree.

    Lower is better; unbiased at every n and m, so slightly below 0 between equal
    distributions; unit as the kernel. All rows at once. Cost O((n + m)^2 d).
    Source: Binkowski et al. 2018, arXiv 1801.01401, section 4.

    Args:
        real: Features of real data, a constant.
        fake: Features of generated data; the result is differentiable in it.
        degree: Power of the kernel, the highest order of moments it sees.
        gamma: Factor of the scalar product; by default 1/d.
        coef: What is added to it.
    """
    return squared_mmd(real, fake, kernel=Polynomial(degree, gamma, coef))


def kernel_distance_rbf(
    real: Reference | Features,
    fake: Float[Tensor, "m d"],
    *,
    bandwidth: float | None = None,
) -> Scalar:
    """Unbiased squared MMD with the kernel exp(-|x - y|^2 / (2 bandwidth^2)).

    Lower is better, at most 2, slightly below 0 between equal distributions; dimensionless.
    Sees every moment. `bandwidth`, in feature units, is by default the median distance of
    two real rows, so that it stays while the fake rows move. Cost O((n + m)^2 d).
    Source: Gretton et al. 2012, JMLR 13, equation 3; median heuristic as in its section 8.
    """
    reference = Reference.of(real)
    return squared_mmd(reference, fake, kernel=_gaussian(reference, bandwidth))


def maximum_mean_discrepancy(
    real: Reference | Features,
    fake: Float[Tensor, "m d"],
    *,
    bandwidth: float | None = None,
) -> Scalar:
    """Maximum mean discrepancy: the root of the biased square, with a Gaussian kernel.

    Lower is better, between 0 and sqrt 2, a distance between the two sets of rows;
    dimensionless. Too large by noise of about sqrt(1/n + 1/m): compare at equal sizes.
    `bandwidth` and cost as for `kernel_distance_rbf`. Where it is 0, so is its gradient.
    Source: Gretton et al. 2012, JMLR 13, equation 5.
    """
    reference = Reference.of(real)
    kernel = _gaussian(reference, bandwidth)
    squared = squared_mmd(reference, fake, kernel=kernel, unbiased=False)
    return squared.sqrt() if squared.item() > 1e-14 else 0 * squared  # 0 to rounding


def _gaussian(real: Reference, bandwidth: float | None) -> Gaussian:
    return Gaussian(real.median_distance if bandwidth is None else bandwidth)


FACTS = {
    name: Facts(
        function=function,
        higher_is_better=False,
        bounds=bounds,
        minimum_samples=2,
        prepare=Reference.of,
    )
    for name, function, bounds in (
        ("kernel_distance", kernel_distance, (-math.inf, math.inf)),
        ("kernel_distance_rbf", kernel_distance_rbf, (-2.0, 2.0)),
        ("maximum_mean_discrepancy", maximum_mean_discrepancy, (0.0, math.sqrt(2))),
    )
}

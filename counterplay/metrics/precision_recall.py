"""Precision and recall: which samples lie among the data, and the reverse."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.metrics._facts import checked, Facts
from counterplay.metrics._neighbours import (
    Neighbourhoods,
    neighbourhoods,
    neighbours,
    within,
)
from counterplay.typing import Scalar


def precision(
    real: Neighbourhoods | Float[Tensor, "n d"], fake: Float[Tensor, "m d"], *, k: int = 3
) -> Scalar:
    """Improved precision: the share of fake rows that lie among the real rows.

    A row lies among others if it is no farther from one of them than that one's k-th
    nearest neighbour in its own set. Higher is better, between 0 and 1; a step function, so
    it has a value but no gradient. Grows with k and with the number of real rows; one real
    outlier with a wide neighbourhood can make many fake rows precise. Cost O((n + m) n d).
    Source: Kynkaanniemi et al. 2019, arXiv 1904.06991, equations 1 and 2.

    Args:
        real: Features of real data, or their neighbourhoods.
        fake: Features of generated data.
        k: Which neighbour sets the radius.

    Returns:
        The share.
    """
    real = neighbourhoods(real)
    fake = checked("fake", fake.detach(), width=real.rows.shape[1])
    return _covered_share(fake, real.rows, real.radii(k))


def recall(
    real: Neighbourhoods | Float[Tensor, "n d"], fake: Float[Tensor, "m d"], *, k: int = 3
) -> Scalar:
    """Improved recall: the share of real rows that lie among the fake rows.

    The same as `precision` with the two sets exchanged. Higher is better, between 0 and 1.
    Grows with k and with the number of fake rows. Cost O((n + m) m d).
    Source: Kynkaanniemi et al. 2019, arXiv 1904.06991, equations 1 and 2.

    Args:
        real: Features of real data, or their neighbourhoods.
        fake: Features of generated data.
        k: Which neighbour sets the radius.

    Returns:
        The share.
    """
    rows = neighbourhoods(real).rows
    fake = checked("fake", fake.detach(), width=rows.shape[1])
    return _covered_share(rows, fake, neighbours("fake", fake, k).distances)


def _covered_share(points: Tensor, centres: Tensor, radii: Tensor) -> Scalar:
    inside = [part.any(1) for part in within(points, centres, radii)]
    return torch.cat(inside).to(torch.float64).mean()


FACTS = {
    name: Facts(
        function=function,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        minimum_samples=minimum_samples,
        differentiable=False,
        prepare=Neighbourhoods,
    )
    for name, function, minimum_samples in (
        ("precision", precision, 1),
        ("recall", recall, 4),
    )
}

"""Precision and recall: which samples lie among the data, and the reverse."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import checked, Facts
from counterplay.typing import Scalar


def recall(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], *, k: int = 3) -> Scalar:
    """Improved recall: the share of real rows that lie among the fake rows.

    A row lies among others if it is no farther from one of them than that one's k-th
    nearest neighbour in its own set. Higher is better, between 0 and 1; a step function, so
    it has a value but no gradient. Grows with k and with the number of fake rows. Cost O(n
    m d).
    Source: Kynkaanniemi et al. 2019, arXiv 1904.06991, equations 1 and 2.

    Args:
        real: Features of real data.
        fake: Features of generated data.
        k: Which neighbour sets the radius.

    Returns:
        The share.
    """
    return _share(real, fake, k, points="real", centres="fake")


def precision(
    real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], *, k: int = 3
) -> Scalar:
    """Improved precision: the share of fake rows that lie among the real rows.

    The same as `recall` with the two sets exchanged. Higher is better, between 0 and 1.
    Source: Kynkaanniemi et al. 2019, arXiv 1904.06991, equations 1 and 2.

    Args:
        real: Features of real data.
        fake: Features of generated data.
        k: Which neighbour sets the radius.

    Returns:
        The share.
    """
    return _share(fake, real, k, points="fake", centres="real")


def _share(inner: Tensor, outer: Tensor, k: int, *, points: str, centres: str) -> Scalar:
    if k < 1:
        raise DataError(f"`k` must be at least 1, got {k}.")
    outer = checked(centres, outer.detach(), minimum=k + 1)
    inner = checked(points, inner.detach(), width=outer.shape[1])
    radii = torch.cat(
        [part.kthvalue(k + 1, dim=1).values for part in _distances(outer, outer)]
    )
    inside = [(part <= radii).any(1) for part in _distances(inner, outer)]
    return torch.cat(inside).to(torch.float64).mean()


def _distances(rows: Tensor, others: Tensor) -> Iterator[Tensor]:
    for part in rows.split(1_024):
        # By matrix products, the fast form, the distance of equal rows is not 0.
        yield torch.cdist(part, others, compute_mode="donot_use_mm_for_euclid_dist")


FACTS = {
    name: Facts(
        function=function,
        higher_is_better=True,
        bounds=(0.0, 1.0),
        minimum_samples=4,
        differentiable=False,
    )
    for name, function in {"precision": precision, "recall": recall}.items()
}

"""The Frechet distance of infinitely many samples, extrapolated from finitely many."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay import _rng
from counterplay.errors import DataError
from counterplay.metrics._facts import checked, Facts
from counterplay.metrics._moments import distance_to, Moments, moments, standardised
from counterplay.typing import Scalar


def frechet_infinity(
    real: Moments | Float[Tensor, "n d"],
    fake: Float[Tensor, "m d"],
    *,
    n_sizes: int = 3,
    seed: int = 0,
) -> Scalar:
    """Frechet distance without the bias of few samples, which is linear in 1/m.

    The distances of m, m/2, ..., m/n_sizes samples make a line over 1/m, and this is where
    it meets 0. Lower is better; noise can push it below 0; in squared feature units. Needs
    m/n_sizes well above d, or the line is a curve and the result too low. The bias of few
    real rows stays. Which sample is in which part goes by its place, so that the value is
    smooth in the samples, but a little different in another order. Cost n_sizes times that
    of `frechet_distance`.
    Source: Chong and Forsyth 2020, arXiv 1911.07023.
    Differs: the distance at m/k is the mean over k disjoint parts that together hold every
    sample, not that of one random subset, so that noise in the samples moves all points of
    the line alike; the sizes are fewer and not below m/3, where the line is straighter.

    Args:
        real: Features of real data, or their moments; a constant.
        fake: Features of generated data; the result is differentiable in it.
        n_sizes: Number of points on the line.
        seed: Seed of the parts.

    Returns:
        The extrapolated distance.

    Raises:
        DataError: If there are fewer than two sizes, or than two samples in a part.
    """
    if n_sizes < 2:
        raise DataError(f"`n_sizes` is {n_sizes}, but a line needs at least 2 points.")
    reference = real if isinstance(real, Moments) else moments(real)
    rows = checked("fake", fake, minimum=2 * n_sizes, width=len(reference.mean))
    rows = rows[_rng.permutation(len(rows), seed, "frechet_infinity").to(rows.device)]
    divided = [rows.tensor_split(k) for k in range(1, n_sizes + 1)]
    distances = torch.stack([_mean_distance(reference, parts) for parts in divided])
    inverse = [sum(1 / len(part) for part in parts) / len(parts) for parts in divided]
    return _intercept(distances.new_tensor(inverse)) @ distances


def _mean_distance(reference: Moments, parts: Sequence[Tensor]) -> Tensor:
    found = [distance_to(reference, *standardised(part)) for part in parts]
    return torch.stack(found).mean()


def _intercept(x: Tensor) -> Tensor:
    """The weights w for which `w @ y` is the value at 0 of the line fitted to (x, y)."""
    off = x - x.mean()
    return 1 / len(x) - x.mean() * off / off.square().sum()


FACTS = {
    "frechet_infinity": Facts(
        function=frechet_infinity,
        higher_is_better=False,
        minimum_samples=6,
        rows_per_column=3,
        prepare=moments,
    )
}

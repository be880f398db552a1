"""Neighbourhoods: how far each row's neighbours are, and which rows lie within which.

Matrix products find squared distances fast, but to rounding only, so that equal rows come
out apart. They decide alone where they are sure; rows with a pair closer to the border than
their rounding are settled by the differences themselves. The answers are those of
`torch.cdist` without matrix products, bit for bit.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import checked


_ELEMENTS = 2**22  # of a matrix of distances that is in memory at a time
_SPARE = 8  # neighbours beyond the k-th that are looked at for ties


class Neighbours(NamedTuple):
    """The k-th nearest other row of each row."""

    distances: Float[Tensor, " n"]
    which: Int[Tensor, " n"]


class Neighbourhoods:
    """Rows of a reference; the distances between them are computed once for each k."""

    def __init__(self, real: Float[Tensor, "n d"]):
        self.rows = checked("real", real.detach(), minimum=2)
        self._radii: dict[int, Tensor] = {}

    def radii(self, k: int) -> Float[Tensor, " n"]:
        """The distance of each row's k-th nearest neighbour."""
        if k not in self._radii:
            self._radii[k] = neighbours("real", self.rows, k).distances
        return self._radii[k]


def neighbourhoods(real: Neighbourhoods | Tensor) -> Neighbourhoods:
    """The same, made from rows unless it is already there."""
    return real if isinstance(real, Neighbourhoods) else Neighbourhoods(real)


def neighbours(what: str, rows: Float[Tensor, "n d"], k: int) -> Neighbours:
    """The k-th nearest neighbour of each row among the others, without a gradient.

    Raises:
        DataError: If there are not enough rows for a k-th neighbour.
    """
    if k < 1:
        raise DataError(f"`k` must be at least 1, got {k}.")
    rows = checked(what, rows.detach(), minimum=k + 1)
    unit, _, squares, rounding = _prepared(rows, rows)
    slack = 2 * rounding * (squares + squares.max())
    n_near = min(k + 1 + _SPARE, len(rows))
    found = []
    for part in _parts(len(rows), max(len(rows), n_near * rows.shape[1])):
        gaps = torch.addmm(squares, unit[part], unit.mT, alpha=-2)  # less the part's own
        near = gaps.topk(n_near, dim=1, largest=False)
        exact = _distances(rows[part, None], rows[near.indices]).squeeze(1)
        distances, position = exact.kthvalue(k + 1, dim=1)
        which = near.indices.gather(1, position[:, None]).squeeze(1)
        if n_near < len(rows):
            unsure = ~(near.values[:, -1] - near.values[:, k] > slack[part])
            if unsure.any():
                again = _distances(rows[part][unsure], rows).kthvalue(k + 1, dim=1)
                distances[unsure], which[unsure] = again
        found.append((distances, which))
    return Neighbours(*map(torch.cat, zip(*found, strict=True)))


def within(
    points: Float[Tensor, "n d"], centres: Float[Tensor, "m d"], radii: Float[Tensor, " m"]
) -> Iterator[Bool[Tensor, "part m"]]:
    """Which points are no farther from which centres than these reach.

    Yields:
        Part by part of the points, one column per centre.
    """
    unit, centre, squares, rounding = _prepared(points, centres)
    reach = (radii / _scale(centres)).square().to(unit)
    own = unit.square().sum(1, keepdim=True)
    slack = rounding * (own + (squares + reach).max())
    for part in _parts(len(points), len(centres)):
        gaps = torch.addmm(squares - reach, unit[part], centre.mT, alpha=-2)
        inside = gaps <= -own[part] - slack[part]
        unsure = inside ^ (gaps <= slack[part] - own[part])
        yield _settled(inside, unsure, points[part], centres, radii)


def _settled(
    inside: Tensor, unsure: Tensor, points: Tensor, centres: Tensor, radii: Tensor
) -> Bool[Tensor, "part m"]:
    pairs = unsure.nonzero()
    if len(pairs) > unsure.numel() / 50:  # gathering pairs takes 50 times as long as all
        return _distances(points, centres) <= radii
    for some in pairs.split(max(1, _ELEMENTS // points.shape[1])):
        row, column = some.unbind(1)
        exact = _distances(points[row, None], centres[column, None]).flatten()
        inside[row, column] = exact <= radii[column]
    return inside


def deepest(
    points: Float[Tensor, "n d"], centres: Float[Tensor, "m d"], radii: Float[Tensor, " m"]
) -> Int[Tensor, " n"]:
    """The centre whose neighbourhood each point is deepest in, or least far from."""
    points, centres, radii = points.detach(), centres.detach(), radii.detach()
    mean = centres.mean(0)
    points, centres = points - mean, centres - mean
    squares = centres.square().sum(1)
    found = []
    for part in _parts(len(points), len(centres)):
        gaps = torch.addmm(squares, points[part], centres.mT, alpha=-2)
        gaps += points[part].square().sum(1, keepdim=True)
        found.append((radii - gaps.clamp_(min=0).sqrt_()).argmax(1))
    return torch.cat(found)


def _prepared(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
    """Both sets in float32, centred and scaled, the centres' squares, relative rounding."""
    mean, scale, dtype = centres.mean(0), _scale(centres), _dtype()
    unit, centre = ((rows - mean).div(scale).to(dtype) for rows in (points, centres))
    # Rounding errors of a sum grow with the root of its length (Higham and Mary 2019,
    # doi 10.1137/18M1226312); the factor is far above what occurs.
    rounding = 4 * (1 + math.sqrt(points.shape[1])) * torch.finfo(torch.float32).eps
    return unit, centre, centre.square().sum(1), rounding


def _dtype() -> torch.dtype:
    # A program may allow products of float32 to round like half precision.
    try:
        exact = torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # it has been set backend by backend
        exact = False
    return torch.float32 if exact else torch.float64


def _scale(centres: Tensor) -> float:
    return float((centres - centres.mean(0)).abs().max()) or 1.0


def _distances(rows: Tensor, others: Tensor) -> Tensor:
    return torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist")


def _parts(n: int, width: int) -> Iterator[slice]:
    size = max(1, _ELEMENTS // width)
    return (slice(start, start + size) for start in range(0, n, size))

"""Neighbourhoods against all distances, taken one difference at a time."""

import pytest
import torch

from counterplay.errors import DataError
from counterplay.metrics import _neighbours
from counterplay.metrics._neighbours import (
    deepest,
    Neighbourhoods,
    neighbourhoods,
    neighbours,
    within,
)


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()


def distances(x, y):
    return torch.stack([(row - y).square().sum(1).sqrt() for row in x])


def exact(x, y):
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def ring(n):
    angle = 2 * torch.pi * torch.arange(n).double() / 8
    return 2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.02 * normal(n, 2, 3)


repeated = normal(40, 5, 0)[torch.arange(120) % 40]  # each row three times
CASES = {
    "normal": normal(150, 6, 0),
    "one dimension": normal(90, 1, 0),
    "far from 0": normal(150, 6, 0) + 1e7,
    "on a grid": (3 * normal(150, 2, 0)).round(),
    "ring": ring(160),
    "repeated": repeated,
    "collapsed": torch.ones(50, 4).double(),
    "an outlier": torch.cat([normal(80, 3, 0), torch.full((1, 3), 1e12).double()]),
    "tiny": 1e-30 * normal(90, 3, 0),
    "huge": 1e120 * normal(90, 3, 0),
}
each = pytest.mark.parametrize("rows", CASES.values(), ids=CASES.keys())


@pytest.fixture(params=[2**22, 500], ids=["whole", "in parts"])
def memory(request, monkeypatch):
    monkeypatch.setattr(_neighbours, "_ELEMENTS", request.param)


@each
@pytest.mark.parametrize("k", [1, 3, 20])
def test_radii_are_those_of_all_distances_to_the_bit(rows, k, memory):
    found = neighbours("real", rows, k)
    expected = exact(rows, rows).sort(1).values[:, k]
    assert torch.equal(found.distances, expected)
    apart = (rows - rows[found.which]).norm(dim=1)
    torch.testing.assert_close(apart, found.distances, rtol=1e-12, atol=0)


@each
def test_who_lies_within_is_decided_by_all_distances_to_the_bit(rows, memory):
    radii = neighbours("real", rows, 2).distances
    for points in (rows, rows[:30] + 1e-9, 0.7 * rows.flip(0), 1e30 * rows):
        inside = torch.cat(list(within(points, rows, radii)))
        assert torch.equal(inside, exact(points, rows) <= radii)


def test_few_pairs_are_settled_by_themselves(monkeypatch):
    calls = []
    monkeypatch.setattr(
        _neighbours, "_distances", lambda x, y: calls.append(x.dim()) or exact(x, y)
    )
    rows = normal(400, 6, 0)
    radii = neighbours("real", rows, 2).distances
    calls.clear()
    # Each row's second neighbour lies on the border itself.
    assert torch.cat(list(within(rows, rows, radii))).sum() == 3 * 400
    assert set(calls) == {3}


@each
def test_the_deepest_neighbourhood_is_the_one_of_the_largest_margin(rows, memory):
    points, radii = rows[:20] + rows.std(0), neighbours("real", rows, 2).distances
    margin = radii - distances(points, rows)
    best = margin.gather(1, deepest(points, rows, radii)[:, None]).squeeze(1)
    rounding = 1e-7 * float((rows - rows.mean(0)).abs().max())  # of a root, near 0
    torch.testing.assert_close(best, margin.amax(1), rtol=0, atol=rounding)


def refuse():
    raise RuntimeError("mixed")


@pytest.mark.parametrize("answer", [lambda: "medium", refuse])
def test_products_that_may_round_more_are_not_relied_on(answer, monkeypatch):
    seen, addmm = [], torch.addmm
    monkeypatch.setattr(torch, "get_float32_matmul_precision", answer)
    monkeypatch.setattr(
        torch, "addmm", lambda a, *b, **c: seen.append(a.dtype) or addmm(a, *b, **c)
    )
    rows = normal(60, 4, 0)
    radii = neighbours("real", rows, 3).distances
    assert torch.equal(radii, exact(rows, rows).sort(1).values[:, 3])
    inside = torch.cat(list(within(rows + 0.1, rows, radii)))
    assert torch.equal(inside, exact(rows + 0.1, rows) <= radii)
    assert set(seen) == {torch.float64}


def test_a_reference_is_looked_through_once_for_each_k(monkeypatch):
    known = Neighbourhoods(normal(30, 2, 0).requires_grad_())
    assert not known.rows.requires_grad
    assert neighbourhoods(known) is known
    first = known.radii(3)
    monkeypatch.setattr(_neighbours, "neighbours", None)
    assert known.radii(3) is first


def test_a_neighbour_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match="`k` must be at least 1, got 0"):
        neighbours("fake", normal(9, 2, 0), 0)
    with pytest.raises(DataError, match=r"`fake` has 3 rows, .* below 4"):
        neighbours("fake", normal(3, 2, 0), 3)

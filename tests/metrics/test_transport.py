"""Optimal transport against SciPy and by trying every assignment."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from counterplay.errors import DataError
from counterplay.metrics import _transport
from counterplay.metrics._transport import best_plan, between_sorted


def normal(n, d, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64)


@pytest.mark.parametrize(("n", "m"), [(7, 7), (12, 9), (1, 5), (30, 100)])
def test_columns_are_as_far_apart_as_scipy_finds_them(n, m):
    real, fake = normal(n, 3, 0), normal(m, 3, 1) * 2 + 1
    expected = [
        stats.wasserstein_distance(a, b)
        for a, b in zip(real.numpy().T, fake.numpy().T, strict=True)
    ]
    found = between_sorted(real, fake, power=1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_repeating_rows_changes_no_distance():
    real, fake = normal(6, 2, 0), normal(9, 2, 1)
    for power in (1, 2):
        expected = between_sorted(real.repeat(3, 1), fake.repeat(2, 1), power)
        torch.testing.assert_close(between_sorted(real, fake, power), expected)
    i, j, mass = best_plan(real.repeat(3, 1), fake.repeat(2, 1))
    repeated = mass @ (real.repeat(3, 1)[i] - fake.repeat(2, 1)[j]).norm(dim=1)
    i, j, mass = best_plan(real, fake)
    torch.testing.assert_close(mass @ (real[i] - fake[j]).norm(dim=1), repeated)


def test_the_plan_is_the_best_of_all_assignments():
    real, fake = normal(6, 2, 0), normal(6, 2, 1)
    ways = torch.cdist(real, fake)
    costs = [
        float(ways[range(6), list(order)].mean())
        for order in itertools.permutations(range(6))
    ]
    i, j, mass = best_plan(real, fake)
    assert float(mass @ ways[i, j]) == pytest.approx(min(costs), 1e-12)


def test_every_row_gives_or_takes_its_share():
    i, j, mass = best_plan(normal(6, 2, 0), normal(4, 2, 1))
    moved = torch.zeros(6, 4, dtype=torch.float64).index_put((i, j), mass)
    torch.testing.assert_close(moved.sum(1), torch.full((6,), 1 / 6).double())
    torch.testing.assert_close(moved.sum(0), torch.full((4,), 1 / 4).double())


@pytest.mark.parametrize(("n", "m", "other"), [(5, 5, ""), (5, 4, "if n != m")])
def test_too_many_pairs_are_refused(n, m, other, monkeypatch):
    monkeypatch.setattr(_transport, "MOST_EQUAL", 19)
    monkeypatch.setattr(_transport, "MOST_UNEQUAL", 19)
    with pytest.raises(DataError, match=rf"make {n * m} pairs, .* up to 19 .*{other}"):
        best_plan(normal(n, 2, 0), normal(m, 2, 1))

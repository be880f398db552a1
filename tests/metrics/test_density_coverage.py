"""Density and coverage by hand, by a loop over pairs, and in expectation."""

import math

import numpy as np
import pytest
import torch

from counterplay.errors import DataError
from counterplay.metrics._neighbours import Neighbourhoods
from counterplay.metrics.density_coverage import coverage, density


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def by_loop(real, fake, k):
    count, covered = 0, 0
    for i, centre in enumerate(real):
        others = np.delete(real, i, axis=0)
        radius = np.sort(np.linalg.norm(others - centre, axis=1))[k - 1]
        inside = sum(np.linalg.norm(row - centre) <= radius for row in fake)
        count, covered = count + inside, covered + (inside > 0)
    return count / (k * len(fake)), covered / len(real)


@pytest.mark.parametrize("k", [1, 5])
def test_both_agree_with_a_loop_over_pairs(k):
    real, fake = normal(25, 2, 0), 0.6 * normal(30, 2, 1) + 0.5
    expected = by_loop(real.double().numpy(), fake.double().numpy(), k)
    known = Neighbourhoods(real)
    for reference in (real, known):
        found = float(density(reference, fake, k=k)), float(coverage(reference, fake, k=k))
        assert found == pytest.approx(expected, 1e-12)


def test_rows_on_a_line_are_counted_by_hand():
    # Neighbourhoods at k = 1: [-1, 1], [0, 2], [1, 5].
    real = torch.tensor([[0.0], [1.0], [3.0]])
    fake = torch.tensor([[0.5], [0.5], [1.0], [9.0]])
    # 0.5 lies in two, twice, 1 in all three, 9 in none.
    assert float(density(real, fake, k=1)) == 7 / 4
    assert float(coverage(real, fake, k=1)) == 1.0
    assert float(coverage(real, fake[:2], k=1)) == 2 / 3


def test_a_row_at_the_border_is_inside():
    x = normal(20, 3, 0)
    assert float(density(x, x, k=4)) == pytest.approx(5 / 4)  # each row, and k neighbours
    repeated = torch.ones(6, 3)
    assert float(coverage(repeated, repeated)) == 1.0
    assert float(coverage(repeated, repeated + 1e-6)) == 0.0


def test_fresh_draws_have_the_values_that_are_expected():
    k, n = 5, 80
    pairs = [(normal(n, 4, 2 * seed), normal(n, 4, 2 * seed + 1)) for seed in range(60)]
    densities = torch.stack([density(*pair, k=k) for pair in pairs])
    coverages = torch.stack([coverage(*pair, k=k) for pair in pairs])
    missed = math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    for values, expected in ((densities, 1.0), (coverages, 1 - missed)):
        error = float(values.std()) / math.sqrt(len(pairs))
        assert float(values.mean()) == pytest.approx(expected, abs=3 * error)


def test_an_outlier_makes_samples_precise_but_not_dense():
    real = torch.cat([normal(50, 2, 0), torch.full((1, 2), 30.0)])
    astray = normal(60, 2, 1) + 20
    assert float(density(real, astray)) == pytest.approx(1 / 5)  # in the outlier's only
    assert float(coverage(real, astray)) == 1 / 51


def test_a_lost_mode_lowers_coverage_and_not_density():
    modes = torch.cat([normal(100, 2, 0), normal(100, 2, 1) + 20])
    half = normal(200, 2, 2)
    assert float(coverage(modes, half)) == pytest.approx(0.5, abs=0.05)
    assert float(density(modes, half)) > 0.9


def test_too_few_rows_or_other_columns_are_refused():
    with pytest.raises(DataError, match=r"`real` has 5 rows, but .* below 6"):
        density(normal(5, 2, 0), normal(9, 2, 1))
    with pytest.raises(DataError, match="`fake` has 3 columns"):
        coverage(Neighbourhoods(normal(9, 2, 0)), normal(9, 3, 1))

"""Precision and recall against a loop over pairs."""

import numpy as np
import pytest
import torch

from counterplay.errors import DataError
from counterplay.metrics.recall import precision, recall


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def share_by_loop(points, centres, k):
    inside = 0
    for point in points:
        for i, centre in enumerate(centres):
            others = np.delete(centres, i, axis=0)
            radius = np.sort(np.linalg.norm(others - centre, axis=1))[k - 1]
            if np.linalg.norm(point - centre) <= radius:
                inside += 1
                break
    return inside / len(points)


@pytest.mark.parametrize("k", [1, 3])
def test_both_agree_with_a_loop_over_pairs(k):
    real, fake = normal(25, 2, 0), 0.6 * normal(30, 2, 1) + 0.5
    a, b = real.double().numpy(), fake.double().numpy()
    assert float(recall(real, fake, k=k)) == share_by_loop(a, b, k)
    assert float(precision(real, fake, k=k)) == share_by_loop(b, a, k)


def test_a_lost_mode_lowers_recall_and_not_precision():
    modes = torch.cat([normal(50, 2, 0), normal(50, 2, 1) + 20])
    half = normal(80, 2, 2)
    assert float(recall(modes, half)) <= 0.5
    assert float(precision(modes, half)) > 0.9
    assert float(recall(half, modes)) > 0.9
    assert float(precision(half, modes)) <= 0.5


def test_a_set_lies_within_itself_and_repeated_rows_have_radius_zero():
    x = normal(20, 3, 0)
    assert float(recall(x, x)) == 1.0
    repeated = torch.ones(5, 3)
    assert float(recall(repeated, repeated)) == 1.0
    assert float(recall(repeated + 1e-6, repeated)) == 0.0


def test_too_few_rows_for_a_radius_are_refused():
    with pytest.raises(DataError, match=r"`fake` has 3 rows, but .* below 4"):
        recall(normal(9, 2, 0), normal(3, 2, 1))
    with pytest.raises(DataError, match="`k` must be at least 1, got 0"):
        precision(normal(9, 2, 0), normal(9, 2, 1), k=0)

"""Precision and recall against a loop over pairs."""

import numpy as np
import pytest
import torch

from counterplay.errors import DataError
from counterplay.metrics import precision_recall
from counterplay.metrics._neighbours import Neighbourhoods
from counterplay.metrics.precision_recall import precision, recall


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


def test_rows_on_a_line_are_counted_by_hand():
    # Radii at k = 1: 1, 1, 2; the neighbourhoods reach from -1 to 2 and from 1 to 5.
    real = torch.tensor([[0.0], [1.0], [3.0]])
    fake = torch.tensor([[-1.0], [-1.01], [2.5], [5.0], [5.01]])
    assert float(precision(real, fake, k=1)) == 3 / 5
    # Radii .01, .01, 2.5, .01, .01: only the one around 2.5, from 0 to 5, has real rows.
    assert float(recall(real, fake, k=1)) == 1.0
    assert float(recall(real - 0.1, fake, k=1)) == 2 / 3


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


def test_a_prepared_reference_gives_the_same():
    real, fake = normal(25, 2, 0), normal(30, 2, 1) + 0.5
    known = Neighbourhoods(real)
    for metric in (precision, recall):
        assert torch.equal(metric(known, fake, k=2), metric(real, fake, k=2))
    assert all(facts.prepare is Neighbourhoods for facts in precision_recall.FACTS.values())


def test_too_few_rows_for_a_radius_are_refused():
    with pytest.raises(DataError, match=r"`fake` has 3 rows, but .* below 4"):
        recall(normal(9, 2, 0), normal(3, 2, 1))
    with pytest.raises(DataError, match=r"`real` has 3 rows, but .* below 4"):
        precision(normal(3, 2, 0), normal(9, 2, 1))
    with pytest.raises(DataError, match="`k` must be at least 1, got 0"):
        precision(normal(9, 2, 0), normal(9, 2, 1), k=0)
    with pytest.raises(DataError, match="`fake` has 3 columns"):
        recall(Neighbourhoods(normal(9, 2, 0)), normal(9, 3, 1))

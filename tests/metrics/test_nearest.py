"""The nearest training row of each sample."""

import pytest
import torch

from counterplay.errors import DataError
from counterplay.metrics import _nearest
from counterplay.metrics._nearest import nearest
from counterplay.metrics._neighbours import neighbourhoods


def normal(n, d, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64)


def test_rows_and_distances_are_those_of_all_pairs():
    real, fake = normal(30, 3, 0), normal(20, 3, 1)
    found = nearest(real, fake)
    expected = torch.cdist(fake, real).min(1)
    assert torch.equal(found.index, expected.indices)
    torch.testing.assert_close(found.distance, expected.values)
    apart = torch.cdist(real, real).fill_diagonal_(torch.inf).min(1).values
    torch.testing.assert_close(found.ratio, expected.values / apart[expected.indices])


def test_parts_and_neighbourhoods_change_nothing(monkeypatch):
    real, fake = normal(30, 3, 0), normal(20, 3, 1)
    whole = nearest(real, fake)
    monkeypatch.setattr(_nearest, "PAIRS", 100)
    parts = nearest(neighbourhoods(real), fake)
    assert torch.equal(parts.index, whole.index)
    torch.testing.assert_close(parts.ratio, whole.ratio)


def test_copies_come_first():
    real = normal(50, 8, 0) + 1_000
    copied = torch.tensor([3, 17, 40])
    fake = torch.cat([normal(20, 8, 1) + 1_000, real[copied] + 1e-3])
    found = nearest(real, fake)
    first = found.ratio.argsort()[:3]
    assert sorted(first.tolist()) == [20, 21, 22]
    assert sorted(found.index[first].tolist()) == copied.tolist()
    assert found.ratio[first].max() < 0.01


def test_an_exact_copy_has_distance_and_ratio_zero_even_of_a_repeated_row():
    real = torch.cat([normal(9, 2, 0), torch.full((2, 2), 7.0)]) + 1e5
    found = nearest(real, torch.stack([real[4], real[9], real[9] + 0.5]))
    assert found.distance[:2].tolist() == [0, 0]
    assert found.ratio[:2].tolist() == [0, 0]
    assert found.ratio[2] == torch.inf


def test_one_training_row_has_no_neighbour():
    with pytest.raises(DataError, match="`real` has 1 rows"):
        nearest(normal(1, 2, 0), normal(3, 2, 1))

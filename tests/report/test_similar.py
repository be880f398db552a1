import pytest
import torch

from counterplay.report.similar import copies, nearest


def test_the_nearest_are_found_by_the_root_mean_square():
    others = torch.tensor([0.0, 1.0, 3.0])[:, None, None, None].expand(3, 1, 4, 4)
    ((first, second),) = nearest(others[:1] + 0.9, others, "image", k=2)
    assert first == (1, pytest.approx(0.1, abs=1e-5))
    assert second == (0, pytest.approx(0.9, abs=1e-5))


def test_nobody_is_their_own_neighbour():
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    found = nearest(x[[2, 4]], x, "row", k=9, own=[2, 4])
    assert [sorted(row for row, _ in one) for one in found] == [[0, 1, 3, 4], [0, 1, 2, 3]]


def test_large_pictures_are_compared_small():
    checkers = (torch.arange(64) % 2 * 2.0 - 1).expand(1, 3, 64, 64)
    ((same,),) = nearest(checkers, -checkers, "image", k=1)
    assert same == (0, pytest.approx(0.0, abs=1e-5))


def test_columns_of_a_table_count_alike():
    rows = torch.tensor([[0.0, 0.0], [1000.0, 0.0], [0.0, 0.001]])
    ((first, second),) = nearest(rows[:1], rows[1:], "row", k=2)
    assert first[1] == pytest.approx(second[1], rel=1e-3)


def test_copies_have_the_same_bytes():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [1.0, 2.0]])
    assert copies(x) == {0: (2, 3), 2: (0, 3), 3: (0, 2)}

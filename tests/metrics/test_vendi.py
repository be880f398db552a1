"""Vendi score of known sets."""

import math

import pytest
import torch

from counterplay.errors import DataError
from counterplay.metrics.kernel import Gaussian, Polynomial
from counterplay.metrics.vendi import vendi_score


def normal(n, d, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("d", [5, 9])
def test_orthogonal_rows_count_each(d):
    rows = torch.diag(torch.arange(1.0, 6.0))
    rows = torch.nn.functional.pad(rows, (0, d - 5))
    assert float(vendi_score(rows)) == pytest.approx(5.0, 1e-12)
    assert float(vendi_score(rows.repeat(3, 1))) == pytest.approx(5.0, 1e-12)


@pytest.mark.parametrize(("m", "d"), [(1, 4), (7, 3), (3, 7)])
def test_equal_rows_count_once(m, d):
    rows = normal(1, d, 0).repeat(m, 1)
    assert float(vendi_score(rows)) == pytest.approx(1.0, 1e-12)
    assert float(vendi_score(rows, kernel=Gaussian(1.0))) == pytest.approx(1.0, 1e-12)


def test_unequal_shares_count_by_their_entropy():
    rows = torch.eye(3)[[0, 0, 0, 1, 1, 2]]
    entropy = -sum(p * math.log(p) for p in (1 / 2, 1 / 3, 1 / 6))
    assert float(vendi_score(rows)) == pytest.approx(math.exp(entropy), 1e-12)


def test_two_rows_at_an_angle_have_the_closed_form():
    angle = 0.7
    rows = torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]]).double()
    shares = (1 + math.cos(angle)) / 2, (1 - math.cos(angle)) / 2
    expected = math.exp(-sum(p * math.log(p) for p in shares))
    assert float(vendi_score(rows)) == pytest.approx(expected, 1e-6)


@pytest.mark.parametrize(("m", "d"), [(12, 5), (5, 12)])
def test_the_smaller_side_gives_the_value_of_all_similarities(m, d):
    rows = normal(m, d, 0)
    all_similarities = vendi_score(
        rows, kernel=lambda x, y: torch.cosine_similarity(x[:, None], y[None], dim=-1)
    )
    torch.testing.assert_close(vendi_score(rows), all_similarities)


@pytest.mark.parametrize(("m", "d"), [(9, 4), (4, 9)])
def test_the_gradient_is_the_finite_difference(m, d):
    rows = normal(m, d, 0).requires_grad_()
    assert torch.autograd.gradcheck(vendi_score, rows)
    assert torch.autograd.gradcheck(lambda x: vendi_score(x, kernel=Gaussian(1.5)), rows)


def test_the_gradient_is_finite_where_rows_are_equal_or_orthogonal():
    for rows in (torch.ones(6, 3), torch.eye(4).repeat(2, 1), torch.eye(4, 6)):
        rows = rows.double().requires_grad_()
        vendi_score(rows).backward()
        assert rows.grad.abs().max() < 1e-6  # the least and the greatest value


def test_length_and_rotation_of_rows_do_not_matter():
    rows = normal(10, 4, 0)
    turned = rows @ torch.linalg.qr(normal(4, 4, 1)).Q * torch.rand(10, 1).add(0.5)
    torch.testing.assert_close(vendi_score(turned), vendi_score(rows))


def test_dropping_modes_lowers_the_score():
    modes = 10 * torch.eye(8, dtype=torch.float64)
    scores = []
    for n_modes in (8, 4, 2, 1):
        centres = modes[torch.arange(400) % n_modes]
        scores.append(float(vendi_score(centres + 0.1 * normal(400, 8, n_modes))))
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([8, 4, 2, 1], rel=0.05)


def test_a_row_of_zeros_is_refused():
    rows = torch.eye(4)
    rows[2] = 0
    with pytest.raises(DataError, match="1 of 4 rows of `fake` are 0, the first is row 2"):
        vendi_score(rows)
    assert float(vendi_score(rows, kernel=Gaussian(1.0))) > 1


def test_a_kernel_that_is_not_one_on_the_diagonal_is_refused():
    with pytest.raises(DataError, match="needs a `kernel` that is 1 between a row and"):
        vendi_score(normal(5, 3, 0), kernel=Polynomial())

"""Discrepancies of class shares, against a table worked out by hand and scipy."""

import math

import pytest
import torch
from scipy.stats import wasserstein_distance

from counterplay.errors import DataError, MetricError
from counterplay.metrics._shares import (
    discrepancy,
    MEASURES,
    measures_for,
    reference_of,
    rows_of,
    transport_distance,
)


NAMES = ("l2", "l1", "kl", "specificity", "information_specificity")
TABLE = [
    ((0.9, 0.1), (0.5657, 0.8, 0.3681, 0.8, 0.8)),
    ((0.7, 0.1, 0.1, 0.1), (0.5196, 0.9, 0.4458, 0.6, 0.75)),
    ((0.4, 0.3, 0.2, 0.1), (0.2236, 0.4, 0.1064, 0.1667, 0.2833)),
]
NORMALISED = [
    ((0.9, 0.1), (0.8, 0.8, 0.3681 / math.log(2), 0.8, 0.8)),
    ((0.7, 0.1, 0.1, 0.1), (0.6, 0.6, 0.3216, 0.6, 0.6)),
    ((0.4, 0.3, 0.2, 0.1), (0.2582, 0.2667, 0.0768, 0.1667, 0.2267)),
]


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("shares", "expected", "normalised"),
    [(*row, False) for row in TABLE] + [(*row, True) for row in NORMALISED],
)
def test_the_published_measures_have_the_values_of_the_table(shares, expected, normalised):
    found = [discrepancy(tensor(*shares), name, normalised=normalised) for name in NAMES]
    torch.testing.assert_close(torch.stack(found), tensor(*expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize("k", [2, 3, 8])
def test_a_single_class_has_the_largest_value_and_equal_shares_none(k):
    largest = {
        "l2": math.sqrt((k - 1) / k),
        "l1": 2 * (k - 1) / k,
        "kl": math.log(k),
        "total_variation": (k - 1) / k,
        "specificity": 1,
        "information_specificity": (2 * (k - 1) / k + 1) / 2,
        "wds": (2 * (k - 1) / k**2 + 1) / 2,
    }
    assert list(largest) == list(MEASURES)
    worst, fair = torch.eye(k)[1], torch.full((k,), 1 / k, dtype=torch.float64)
    for name, value in largest.items():
        assert discrepancy(worst, name).item() == pytest.approx(value)
        assert discrepancy(worst, name, normalised=True).item() == pytest.approx(1)
        assert discrepancy(fair, name).item() == pytest.approx(0, abs=1e-12)


def test_two_classes_rank_no_measures():
    p = torch.rand(20, 2, generator=torch.Generator().manual_seed(0)).double()
    p = p / p.sum(1, keepdim=True)
    l2 = discrepancy(p, "l2", normalised=True)
    for name in set(MEASURES) - {"kl"}:
        torch.testing.assert_close(discrepancy(p, name, normalised=True), l2)


def test_norms_over_k_are_those_of_the_other_script():
    p = tensor(0.4, 0.3, 0.2, 0.1)
    as_scipy = wasserstein_distance(p.numpy(), [0.25])  # its "Wasserstein"
    assert discrepancy(p, "l1", l1_over_k=True).item() == pytest.approx(as_scipy)
    assert discrepancy(p, "l2", l1_over_k=True).item() == pytest.approx(0.05**0.5 / 4)
    both = [
        discrepancy(p, "wds"),
        discrepancy(p, "information_specificity", l1_over_k=True),
    ]
    assert both[0] == both[1]
    for name in ("l1", "l2"):  # normalised, they agree
        torch.testing.assert_close(
            discrepancy(p, name, l1_over_k=True, normalised=True),
            discrepancy(p, name, normalised=True),
        )


def test_another_reference_moves_the_optimum_and_the_worst_class():
    wanted = [0.7, 0.2, 0.1]
    for name in measures_for(reference_of(3, wanted)):
        assert discrepancy(tensor(*wanted), name, reference=wanted).item() == pytest.approx(
            0, abs=1e-12
        )
        rarest = discrepancy(tensor(0, 0, 1), name, reference=wanted, normalised=True)
        assert rarest.item() == pytest.approx(1)
    assert discrepancy(tensor(1, 0, 0), "kl", reference=wanted).item() == pytest.approx(
        -math.log(0.7)
    )


@pytest.mark.parametrize("name", ["l2", "l1", "kl", "total_variation"])
def test_the_gradient_is_finite_at_equal_shares_and_at_a_missing_class(name):
    for p in (tensor(0.25, 0.25, 0.25, 0.25), tensor(1, 0, 0, 0)):
        p.requires_grad_()
        (slope,) = torch.autograd.grad(discrepancy(p, name), p)
        assert torch.isfinite(slope).all()


def test_answers_are_grouped_and_counted():
    logits = tensor(0.2, 0.35, 0.45).log()[None]
    torch.testing.assert_close(rows_of(logits), tensor(0.2, 0.35, 0.45)[None])
    torch.testing.assert_close(rows_of(logits, [0, 0, 1]), tensor(0.55, 0.45)[None])
    assert rows_of(logits, soft=False).tolist() == [[0, 0, 1]]
    # The likeliest group need not hold the likeliest column.
    assert rows_of(logits, [0, 0, 1], soft=False).tolist() == [[1, 0]]


def test_wasserstein_on_a_line_is_that_of_scipy():
    p, place = tensor(0.4, 0.3, 0.2, 0.1), torch.tensor([0.0, 1.0, 3.0, 7.0])
    distance = (place[:, None] - place).abs()
    for wanted in ([0.25] * 4, [0.1, 0.2, 0.3, 0.4]):
        expected = wasserstein_distance(place, place, p.numpy(), wanted)
        found = transport_distance(p, distance, reference=wanted)
        assert found == pytest.approx(expected)
    # All classes equally far apart: the mass that must move.
    assert transport_distance(p, 1 - torch.eye(4)) == pytest.approx(
        discrepancy(p, "total_variation").item()
    )


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        ([0, 1], r"`groups` is \[0, 1\], but it must give each of the 3 columns"),
        ([0, 0, 2], r"`groups` is \[0, 0, 2\], .* a number from 0 on, leaving none out"),
        ([0, 0, 0], "make 1 class, but shares are compared between at least 2"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups, text):
    with pytest.raises(DataError, match=text):
        rows_of(torch.zeros(4, 3), groups)


@pytest.mark.parametrize("reference", [[0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.3, 0.1]])
def test_a_reference_that_is_no_distribution_is_refused(reference):
    with pytest.raises(DataError, match="3 positive numbers that sum to 1"):
        discrepancy(tensor(0.2, 0.3, 0.5), reference=reference)


def test_measures_that_do_not_exist_or_have_no_meaning_are_refused():
    p = tensor(0.9, 0.1)
    with pytest.raises(MetricError, match=r"no `measure` 'l3'; there are \['l2', 'l1',"):
        discrepancy(p, "l3")
    with pytest.raises(MetricError, match=r"'wds' compares sorted shares .* \[0.8, 0.2"):
        discrepancy(p, "wds", reference=[0.8, 0.2])


def test_distances_that_are_none_are_refused():
    p = tensor(0.9, 0.1)
    for distance in (torch.eye(3), -torch.eye(2)):
        with pytest.raises(DataError, match="each pair of the 2 classes"):
            transport_distance(p, distance)

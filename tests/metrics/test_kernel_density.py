"""The choice of a bandwidth against scikit-learn's kernel density."""

import pytest
import torch
from sklearn.model_selection import GridSearchCV, LeaveOneOut
from sklearn.neighbors import KernelDensity

from counterplay.errors import DataError, MetricError
from counterplay.metrics import _chunked_mean, _kernel_density
from counterplay.metrics._kernel_density import (
    bandwidth_by_cross_validation,
    bandwidth_by_validation,
    HeldOut,
    log_likelihood,
)


CHOICES = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0]


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()


def test_the_likelihood_is_the_same_in_parts(monkeypatch):
    rows, centres = normal(30, 3, 0) + 50, normal(20, 3, 1) + 50
    expected = KernelDensity(bandwidth=0.4, rtol=1e-12).fit(centres).score(rows) / 30
    for elements in (2**22, 100):
        monkeypatch.setattr(_chunked_mean, "_ELEMENTS", elements)
        found = log_likelihood(rows, centres, 0.4)
        assert float(found) == pytest.approx(expected, 1e-9)


def test_the_bandwidth_is_the_best_of_those_tried():
    validation, fake = normal(300, 2, 0), normal(300, 2, 1)
    best = bandwidth_by_validation(validation, fake)
    at = lambda b: float(log_likelihood(validation, fake, b))
    assert at(best) >= max(at(best * factor) for factor in (0.5, 0.8, 1.25, 2.0))
    choices = [0.01, best, 10.0]
    assert bandwidth_by_validation(validation, fake, bandwidths=choices) == best


@pytest.mark.parametrize(("elements", "far"), [(2**22, 0.0), (100, 1e4)])
def test_leaving_one_out_chooses_what_scikit_learn_chooses(elements, far, monkeypatch):
    monkeypatch.setattr(_kernel_density, "_ELEMENTS", elements)
    real = normal(20, 2, 0) + far
    search = GridSearchCV(
        KernelDensity(rtol=1e-12), {"bandwidth": CHOICES}, cv=LeaveOneOut()
    )
    expected = search.fit(real.numpy()).best_params_["bandwidth"]
    assert bandwidth_by_cross_validation(real, bandwidths=CHOICES) == expected


def test_rows_of_a_normal_have_about_the_bandwidth_of_theory():
    # The rule of thumb (4 / (d + 2) / n) ^ (1 / (d + 4)) is the best one for a normal.
    for d in (1, 3):
        rule = (4 / (d + 2) / 400) ** (1 / (d + 4))
        assert bandwidth_by_cross_validation(normal(400, d, 0)) == pytest.approx(
            rule, rel=0.4
        )


def test_held_out_rows_choose_once(monkeypatch):
    held_out = HeldOut(normal(40, 2, 0))
    first = held_out.bandwidth
    assert first == bandwidth_by_cross_validation(held_out.rows)
    monkeypatch.setattr(_kernel_density, "bandwidth_by_cross_validation", None)
    assert held_out.bandwidth == first


def test_a_best_bandwidth_at_the_end_of_the_choices_is_refused():
    with pytest.raises(MetricError, match="at an end of those tried"):
        bandwidth_by_validation(
            normal(50, 2, 0), normal(50, 2, 1), bandwidths=[5.0, 10.0, 20.0]
        )
    with pytest.raises(MetricError, match="towards 0, rows are repeated"):
        bandwidth_by_validation(normal(50, 2, 0), normal(50, 2, 0))
    with pytest.raises(MetricError, match="towards 0, rows are repeated"):
        bandwidth_by_cross_validation(normal(30, 2, 0).repeat(2, 1))


def test_bandwidths_that_are_not_positive_are_refused():
    rows = normal(9, 2, 0)
    with pytest.raises(DataError, match=r"`bandwidths` must be above 0, got -1\.0"):
        bandwidth_by_validation(rows, rows, bandwidths=[1.0, -1.0])
    with pytest.raises(DataError, match=r"got 0\.0\. .* these are all the same"):
        bandwidth_by_validation(rows, torch.ones(5, 2))
    with pytest.raises(DataError, match=r"got 0\.0\. .* these are all the same"):
        bandwidth_by_cross_validation(torch.ones(5, 2))

"""The smooth versions of neighbour metrics against formulas, limits and finite differences."""

import pytest
import torch

from counterplay import metrics
from counterplay.errors import DataError
from counterplay.metrics import _chunked_mean
from counterplay.metrics._neighbours import Neighbourhoods
from counterplay.metrics.smooth_density_coverage import smooth_coverage, smooth_density
from counterplay.metrics.smooth_precision_recall import smooth_precision, smooth_recall


SMOOTH = (smooth_precision, smooth_recall, smooth_density, smooth_coverage)
each = pytest.mark.parametrize("metric", SMOOTH)


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()


REAL, FAKE = normal(60, 3, 0), 0.7 * normal(50, 3, 1) + 0.4


def exact(metric):
    return metrics.load(metric.__name__.removeprefix("smooth_")).function


def formula(metric, real, fake, k, temperature):
    """The definition, over all pairs at once."""
    between = torch.cdist(fake, real)
    radii = torch.cdist(real, real).sort(1).values[:, k]
    unit = temperature * radii.mean()
    if metric is smooth_recall:
        depth = (torch.cdist(fake, fake).sort(1).values[:, k, None] - between).amax(0)
    elif metric is smooth_density:
        return torch.sigmoid((radii - between) / unit).sum() / (k * len(fake))
    else:
        depth = (radii - between).amax(1 if metric is smooth_precision else 0)
    return torch.sigmoid(depth / unit).mean()


@each
@pytest.mark.parametrize("temperature", [0.02, 0.3])
def test_values_are_those_of_the_definition(metric, temperature):
    for reference in (REAL, Neighbourhoods(REAL)):
        value = metric(reference, FAKE, k=2, temperature=temperature)
        expected = formula(metric, REAL, FAKE, 2, temperature)
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=0)


@each
def test_values_become_the_exact_ones_as_the_temperature_falls(metric):
    gaps = [
        abs(float(metric(REAL, FAKE, temperature=t) - exact(metric)(REAL, FAKE)))
        for t in (0.3, 0.03, 1e-6)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-9


@each
def test_the_gradient_is_that_of_finite_differences(metric, monkeypatch):
    fake = (normal(9, 2, 1) + 0.3).requires_grad_()
    for elements in (2**22, 30):
        monkeypatch.setattr(_chunked_mean, "_ELEMENTS", elements)
        assert torch.autograd.gradcheck(
            lambda x: metric(normal(12, 2, 0), x, temperature=0.3), fake
        )


@each
def test_following_the_gradient_raises_the_exact_metric(metric):
    fake = FAKE + 1.5
    before = float(exact(metric)(REAL, fake))
    for _ in range(60):
        leaf = fake.clone().requires_grad_()
        (slope,) = torch.autograd.grad(metric(REAL, leaf, temperature=0.3), leaf)
        fake = fake + 0.05 * slope / slope.norm(dim=1).max()
    assert float(exact(metric)(REAL, fake)) > before + 0.05


@each
def test_samples_that_are_data_or_each_other_have_a_finite_gradient(metric):
    for fake in (REAL.clone(), REAL[:1].repeat(9, 1), torch.ones(9, 3).double()):
        leaf = fake.requires_grad_()
        (slope,) = torch.autograd.grad(metric(REAL, leaf), leaf)
        assert torch.isfinite(slope).all()


def test_a_row_at_the_very_border_counts_half():
    real = torch.tensor([[0.0], [1.0], [3.0]])
    value = smooth_precision(real, torch.tensor([[5.0]]), k=1, temperature=1e-6)
    assert float(value) == pytest.approx(0.5)


@each
def test_what_gives_no_slope_is_refused(metric):
    with pytest.raises(DataError, match="`temperature` must be above 0, got 0"):
        metric(REAL, FAKE, temperature=0.0)
    with pytest.raises(DataError, match="Every row of `real` is there more than 2 times"):
        metric(REAL[:5].repeat(3, 1), FAKE, k=2)
    with pytest.raises(DataError, match="`fake` has 2 columns"):
        metric(Neighbourhoods(REAL), FAKE[:, :2])

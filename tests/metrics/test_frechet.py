"""Frechet distance against closed forms and SciPy's matrix root."""

import numpy as np
import pytest
import scipy.linalg
import torch

from counterplay.errors import DataError
from counterplay.metrics.frechet import (
    frechet_between,
    frechet_distance,
    Moments,
    moments,
    moments_from,
    StreamingMoments,
)


def normal(n, d, seed, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def whitened(n, d, seed=0):
    """Rows with mean 0 and unbiased covariance I, to rounding."""
    x = normal(n, d, seed)
    x = x - x.mean(0)
    factor = torch.linalg.cholesky(x.mT @ x / (n - 1))
    return torch.linalg.solve_triangular(factor, x.mT, upper=False).mT


def by_scipy(real, fake):
    a, b = real.numpy(), fake.numpy()
    s, t = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(s @ t).real
    return np.square(a.mean(0) - b.mean(0)).sum() + np.trace(s + t - 2 * root)


@pytest.mark.parametrize("d", [1, 4, 32])
def test_the_distance_of_two_isotropic_gaussians_is_the_closed_form(d):
    m, s = torch.linspace(-1, 2, d, dtype=torch.float64), 1.7
    fake = whitened(200, d, seed=1) * s + m
    expected = float(m.square().sum() + d * (1 - s) ** 2)
    assert float(frechet_distance(whitened(100, d), fake)) == pytest.approx(expected, 1e-10)
    exact = moments_from(torch.zeros(d), torch.eye(d))
    assert float(frechet_distance(exact, fake)) == pytest.approx(expected, 1e-10)


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 16), (400, 500, 64), (600, 700, 300)])
def test_the_distance_agrees_with_scipy(n, m, d):
    mix = normal(d, d, 2)
    real, fake = normal(n, d, 0), normal(m, d, 1) @ mix + 0.3
    assert float(frechet_distance(real, fake)) == pytest.approx(by_scipy(real, fake), 1e-6)


@pytest.mark.parametrize("n", [10, 60])
@pytest.mark.parametrize("m", [12, 70])
def test_every_form_gives_the_same_value_with_fewer_rows_than_columns(n, m):
    d = 40
    real, fake = normal(n, d, 0), 2 * normal(m, d, 1) + 0.1
    a, b = (x - x.mean(0) for x in (real, fake))
    root = np.linalg.svd((a @ b.mT).numpy(), compute_uv=False).sum()
    root /= np.sqrt((n - 1) * (m - 1))
    traces = float(a.square().sum() / (n - 1) + b.square().sum() / (m - 1))
    means = float((real.mean(0) - fake.mean(0)).square().sum())
    assert float(frechet_distance(real, fake)) == pytest.approx(
        means + traces - 2 * root, 1e-10
    )


def spread_over(decades, n, d, seed):
    """Rows whose variances fall by this many decades, in directions that mix all columns."""
    axes = torch.linalg.qr(normal(d, d, 7))[0]
    return normal(n, d, seed) * torch.logspace(0, -decades / 2, d).double() @ axes


@pytest.mark.parametrize("decades", [0, 4, 8, 16])
@pytest.mark.parametrize(("n", "m"), [(90, 80), (90, 20), (20, 80), (25, 20)])
def test_no_digit_is_lost_where_variances_differ_by_many_decades(decades, n, m):
    real, fake = spread_over(decades, n, 40, 0), spread_over(decades, m, 40, 1)
    # Triangular factors, and no square of anything: the slow form that loses nothing.
    r, f = (np.linalg.qr((x - x.mean(0)).numpy(), "r") for x in (real, fake))
    root = np.linalg.svd(r @ f.T, compute_uv=False).sum() / np.sqrt((n - 1) * (m - 1))
    traces = np.square(r).sum() / (n - 1) + np.square(f).sum() / (m - 1)
    means = np.square((real.mean(0) - fake.mean(0)).numpy()).sum()
    expected = pytest.approx(means + traces - 2 * root, rel=0, abs=2e-9 * traces)
    assert float(frechet_distance(real, fake)) == expected
    assert float(frechet_between(moments(real), moments(fake))) == expected


@pytest.mark.parametrize(("n", "m"), [(60, 50), (60, 8), (8, 50)])
def test_constant_features_add_nothing(n, m):
    real, fake = normal(n, 10, 0), normal(m, 10, 1)
    dead = [torch.cat([x, x.new_ones(len(x), 3)], dim=1) for x in (real, fake)]
    expected = float(frechet_distance(real, fake))
    assert float(frechet_distance(*dead)) == pytest.approx(expected, 1e-10)
    assert float(frechet_distance(*reversed(dead))) == pytest.approx(expected, 1e-10)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 50, 8), (60, 12, 20), (9, 50, 20)])
def test_streams_of_both_sides_give_the_same_distance(n, m, d):
    real, fake = normal(n, d, 0), 1.3 * normal(m, d, 1)
    expected = pytest.approx(float(frechet_distance(real, fake)), 1e-9)
    streams = StreamingMoments(d), StreamingMoments(d)
    for stream, rows in zip(streams, (real, fake), strict=True):
        for batch in rows.split(7):
            stream.update(batch)
    streamed = [stream.finalize() for stream in streams]
    assert float(frechet_between(*streamed)) == expected
    assert float(frechet_between(*reversed(streamed))) == expected
    assert float(frechet_distance(streamed[0], fake)) == expected


def test_a_stream_of_equal_samples_has_a_distance():
    stream = StreamingMoments(4)
    stream.update(torch.zeros(10, 4))
    assert float(frechet_between(moments(whitened(40, 4)), stream.finalize())) == (
        pytest.approx(4.0)
    )


@pytest.mark.parametrize(("n", "d"), [(200, 8), (20, 30)])
def test_the_distance_of_a_set_to_itself_is_zero(n, d):
    x = torch.relu(normal(n, d, 0))
    assert 0 <= float(frechet_distance(x, x)) < 1e-10 * float(x.var(0).sum())
    assert 0 <= float(frechet_between(moments(x), moments(x))) < 1e-10


def test_precomputed_moments_change_nothing():
    real, fake = normal(50, 6, 0), normal(40, 6, 1)
    published = moments_from(real.mean(0), torch.cov(real.mT))
    expected = frechet_distance(real, fake)
    torch.testing.assert_close(frechet_distance(moments(real), fake), expected)
    torch.testing.assert_close(frechet_distance(published, fake), expected)


def test_shifting_or_shrinking_samples_raises_the_distance():
    real = whitened(100, 5)
    distances = [float(frechet_distance(real, scale * real)) for scale in (1.0, 0.7, 0.3)]
    assert distances == sorted(distances)
    assert float(frechet_distance(real, real + 1)) == pytest.approx(5.0, 1e-6)


@pytest.mark.parametrize(("n", "m", "d"), [(30, 20, 4), (30, 5, 8), (6, 9, 12)])
def test_the_gradient_is_the_finite_difference(n, m, d):
    real, fake = normal(n, d, 0), normal(m, d, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: frechet_distance(real, x), fake)


@pytest.mark.parametrize("m", [20, 80])
def test_the_gradient_is_finite_where_variances_differ_by_many_decades(m):
    real, fake = spread_over(16, 90, 40, 0), spread_over(16, m, 40, 1).requires_grad_()
    frechet_distance(real, fake).backward()
    assert torch.isfinite(fake.grad).all()


@pytest.mark.parametrize("m", [6, 50])
def test_the_gradient_is_finite_where_covariances_are_singular(m):
    real, fake = normal(40, 8, 0), normal(m, 8, 1)
    real[:, 3], fake[:, :2] = 1.0, 0.5  # a constant feature on either side
    fake[m // 2 :] = fake[0]
    fake.requires_grad_()
    frechet_distance(real, fake).backward()
    assert torch.isfinite(fake.grad).all()


def test_a_collapsed_generator_has_a_distance_and_a_gradient():
    real = whitened(40, 4)
    fake = torch.zeros(10, 4, dtype=torch.float64, requires_grad=True)
    distance = frechet_distance(real, fake)
    assert distance.item() == pytest.approx(4.0)
    distance.backward()
    assert fake.grad.abs().max() < 1e-15


def test_single_precision_features_lose_no_digits():
    real, fake = normal(60, 5, 0) + 1_000, normal(50, 5, 1) + 1_000
    exact = frechet_distance(real.float().double(), fake.float().double())
    torch.testing.assert_close(frechet_distance(real.float(), fake.float()), exact)


def test_one_row_is_refused():
    with pytest.raises(DataError, match="`real` has 1 rows"):
        moments(torch.ones(1, 3))
    with pytest.raises(DataError, match="`fake` has 1 rows"):
        frechet_distance(normal(5, 3, 0), torch.ones(1, 3))


def test_moments_of_other_features_are_refused():
    real = moments(normal(5, 3, 0))
    with pytest.raises(DataError, match="`real` has 3 features, but `fake` has 4"):
        frechet_between(real, Moments(torch.zeros(4), torch.eye(4)))

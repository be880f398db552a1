import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from counterplay.data.mixture import Mixture, splits_of
from counterplay.errors import DataError


MIXTURE = Mixture(
    means=torch.tensor([[0.0, 1.0], [3.0, -1.0], [-2.0, 0.5]], dtype=torch.float64),
    covariance=torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=torch.float64),
)


def test_log_density_equals_scipys():
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parts = [multivariate_normal(m, MIXTURE.covariance).logpdf(x) for m in MIXTURE.means]
    expected = logsumexp(parts, axis=0) - np.log(3)
    np.testing.assert_allclose(MIXTURE.log_density(x), expected, rtol=1e-12)


def test_log_density_is_differentiable():
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(MIXTURE.log_density, x)


def test_log_density_takes_the_dtype_of_its_input():
    assert MIXTURE.log_density(torch.zeros(1, 2)).dtype == torch.float32


def test_samples_have_the_moments_of_their_mode():
    x, mode = MIXTURE.sample(60_000, torch.Generator().manual_seed(0))
    for k in range(3):
        rows = x[mode == k]
        # 20,000 points: standard errors of the mean are below 0.01.
        torch.testing.assert_close(rows.mean(0), MIXTURE.means[k], atol=0.04, rtol=0)
        torch.testing.assert_close(rows.T.cov(), MIXTURE.covariance, atol=0.08, rtol=0)


def test_an_empty_part_is_refused():
    with pytest.raises(DataError, match="`n_valid` must be at least 1, got 0"):
        splits_of(MIXTURE, name="m", sizes=(1, 0, 1), seed=0, dtype=torch.float32)

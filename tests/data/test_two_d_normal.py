import torch
from scipy.stats import multivariate_normal

from counterplay.data.two_d_normal import log_density, two_d_normal


def test_moments_are_those_of_the_paper():
    x = two_d_normal(n_train=50_000).train["x"]
    assert x.dtype == torch.float64
    torch.testing.assert_close(x.mean(0), torch.ones(2).double(), atol=0.02, rtol=0)
    expected = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(x.T.cov(), expected, atol=0.03, rtol=0)


def test_log_density_equals_scipys():
    x = two_d_normal(n_train=9).train["x"]
    expected = multivariate_normal([1, 1], [[1, 0.8], [0.8, 1]]).logpdf(x)
    torch.testing.assert_close(log_density(x), torch.from_numpy(expected))


def test_sizes_seed_and_dtype():
    splits = two_d_normal(n_train=5, n_valid=4, n_test=3, seed=1, dtype=torch.float32)
    assert (len(splits.train), len(splits.valid), len(splits.test)) == (5, 4, 3)
    assert splits.train["x"].dtype == torch.float32
    assert splits.train.kind == "point"
    again = two_d_normal(n_train=6, n_valid=4, n_test=3, seed=1, dtype=torch.float32)
    assert again.valid.fingerprint == splits.valid.fingerprint
    other = two_d_normal(n_train=5, n_valid=4, n_test=3, seed=2, dtype=torch.float32)
    assert other.valid.fingerprint != splits.valid.fingerprint

"""Moments of features, at once and in batches, against NumPy's."""

import numpy as np
import pytest
import torch

from counterplay.errors import DataError
from counterplay.metrics import _moments
from counterplay.metrics._moments import gram, moments, moments_from, StreamingMoments


def normal(n, d, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64)


def assert_moments_of(rows, found, rtol=1e-10):
    covariance = np.cov(rows.numpy(), rowvar=False)
    np.testing.assert_allclose(found.mean, rows.numpy().mean(0), rtol)
    np.testing.assert_allclose(
        found.factor @ found.factor.mT, covariance, rtol, rtol * covariance.max()
    )


@pytest.mark.parametrize(("n", "d"), [(50, 6), (6, 50), (20, 20), (21, 20)])
def test_the_factor_is_a_root_of_the_covariance(n, d):
    rows = normal(n, d) @ normal(d, d, 1) + 3
    assert_moments_of(rows, moments(rows))
    assert_moments_of(rows, moments_from(rows.mean(0), torch.cov(rows.mT)))


def test_a_singular_covariance_has_a_factor():
    rows = normal(50, 6)
    rows = torch.cat([rows, rows[:, :2] + rows[:, 2:4], torch.ones(50, 1)], dim=1)
    assert_moments_of(rows, moments(rows))


@pytest.mark.parametrize("size", [1, 7, 64, 1_000])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_batches_give_the_moments_of_all_rows(size, offset):
    rows = normal(500, 9) @ normal(9, 9, 1) + offset
    stream = StreamingMoments(9)
    for batch in rows.split(size):
        stream.update(batch)
    assert stream.n == 500
    assert_moments_of(rows, stream.finalize())


def test_a_stream_goes_on_after_its_moments_were_taken():
    rows, stream = normal(60, 4), StreamingMoments(4)
    stream.update(rows[:30])
    first = stream.finalize()
    stream.update(rows[30:])
    assert_moments_of(rows[:30], first)
    assert_moments_of(rows, stream.finalize())


def test_merged_streams_have_seen_the_rows_of_both():
    rows = normal(100, 5) + torch.arange(100.0)[:, None]
    one, other, empty = (StreamingMoments(5) for _ in range(3))
    one.update(rows[:30])
    other.update(rows[30:])
    empty.merge(one)
    empty.merge(StreamingMoments(5))
    empty.merge(other)
    assert empty.n == 100
    assert_moments_of(rows, empty.finalize())
    assert_moments_of(rows[30:], other.finalize())


def test_single_precision_batches_are_summed_in_double_precision():
    rows = (normal(400, 3) + 1_000).float()
    stream = StreamingMoments(3)
    for batch in rows.split(10):
        stream.update(batch.requires_grad_())
    assert_moments_of(rows.double(), stream.finalize())


@pytest.mark.parametrize("k", [1, 4, 5, 8, 11])
def test_the_gram_matrix_of_blocks_is_the_product(monkeypatch, k):
    monkeypatch.setattr(_moments, "BLOCK", 4)
    rows = normal(6, k).requires_grad_()
    torch.testing.assert_close(gram(rows), rows.mT @ rows)
    assert torch.autograd.gradcheck(gram, rows)


def test_moments_of_many_columns_are_summed_block_by_block_and_chunk_by_chunk():
    rows = normal(1_100, 300) + 5
    assert_moments_of(rows, moments(rows))


def test_a_feature_map_that_tells_nothing_apart_is_refused():
    with pytest.raises(DataError, match="All 7 rows of `real` are the same"):
        moments(torch.full((7, 3), 0.1))


def test_a_covariance_of_other_features_is_refused():
    with pytest.raises(DataError, match=r"`mean` has shape \(3,\) .* shape \(4, 4\)"):
        moments_from(torch.zeros(3), torch.eye(4))


def test_a_covariance_that_is_not_finite_is_refused():
    covariance = torch.eye(3)
    covariance[1, 2] = float("nan")
    with pytest.raises(DataError, match=r"1 of 3 rows of `covariance` hold NaN"):
        moments_from(torch.zeros(3), covariance)


def test_batches_of_other_features_are_refused():
    stream = StreamingMoments(3)
    with pytest.raises(DataError, match=r"`batch` has 4 columns, .* has 3"):
        stream.update(torch.ones(2, 4))
    with pytest.raises(DataError, match=r"`other` has seen 4 features, but .* sees 3"):
        stream.merge(StreamingMoments(4))


@pytest.mark.parametrize("n", [0, 1])
def test_a_stream_of_fewer_than_two_rows_has_no_moments(n):
    stream = StreamingMoments(3)
    if n:
        stream.update(torch.ones(n, 3))
    with pytest.raises(DataError, match=f"seen {n} rows, but a covariance needs"):
        stream.finalize()

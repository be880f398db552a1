"""What class-wise distances are made of."""

import pytest
import torch

from counterplay.errors import DataError
from counterplay.metrics import _classes, Classified


def normal(n, d, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(20, 5), (5, 20)])
def test_a_gaussian_has_the_given_moments(shape):
    mean, centred = normal(1, shape[1], 0)[0], normal(*shape, 0)
    found = _classes.gaussian(mean, centred)
    assert torch.equal(found.mean, mean)
    assert found.factor.shape[1] <= min(shape)
    torch.testing.assert_close(found.factor @ found.factor.mT, centred.mT @ centred)


def test_weights_of_a_class_sum_to_one_and_moments_are_weighted():
    rows = Classified(normal(40, 4, 0), 3 * normal(40, 3, 1))
    found = _classes.weighted("real", rows)
    p = rows.logits.softmax(1)
    w = p / p.sum(0)
    torch.testing.assert_close(found.log_weights.exp(), w)
    torch.testing.assert_close(found.log_proportions.exp(), p.mean(0))
    torch.testing.assert_close(found.effective, 1 / w.square().sum(0))
    for k in range(3):
        mean, centred = found.standardised(k)
        torch.testing.assert_close(mean, w[:, k] @ rows.features)
        gaps = rows.features - mean
        covariance = gaps.mT @ (w[:, k, None] * gaps)
        torch.testing.assert_close(centred.mT @ centred, covariance)


def test_moments_are_constants():
    rows = Classified(normal(9, 4, 0).requires_grad_(), normal(9, 3, 1).requires_grad_())
    known = _classes.class_moments(rows)
    assert not any(m.mean.requires_grad or m.factor.requires_grad for m in known.moments)
    assert known.n == 9


def test_features_and_logits_of_other_rows_are_refused():
    rows = Classified(normal(9, 4, 0), normal(8, 3, 1))
    with pytest.raises(DataError, match="`real` has 9 rows of features and 8 of logits"):
        _classes.class_moments(rows)
    one = Classified(normal(1, 4, 0), normal(1, 3, 1))
    with pytest.raises(DataError, match=r"`real.features` has 1 rows"):
        _classes.class_moments(one)

"""Logarithms of class probabilities against SciPy, and beyond what a softmax can hold."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from counterplay.errors import DataError
from counterplay.metrics import _softmax


LOGITS = 2 * torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).double()
P = scipy.special.softmax(LOGITS.numpy(), axis=1)


def test_all_quantities_agree_with_scipy():
    log_p = _softmax.log_probabilities("fake", LOGITS)
    mean = _softmax.log_proportions(log_p)
    np.testing.assert_allclose(log_p.exp(), P, rtol=1e-12)
    np.testing.assert_allclose(mean.exp(), P.mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        _softmax.entropy(log_p), scipy.stats.entropy(P, axis=1), rtol=1e-12
    )
    np.testing.assert_allclose(
        _softmax.divergence(log_p, mean),
        scipy.stats.entropy(P, P.mean(0, keepdims=True), axis=1),
        rtol=1e-10,
    )


def test_probabilities_too_small_for_a_float_keep_their_logarithm():
    log_p = _softmax.log_probabilities("fake", torch.tensor([[2_000.0, 0.0]] * 3))
    assert _softmax.log_proportions(log_p)[1] == -2_000
    even = torch.full((2,), -np.log(2), dtype=torch.float64)
    found = _softmax.divergence(even, _softmax.log_proportions(log_p))
    assert float(found) == pytest.approx(1_000 - np.log(2))


def test_logits_are_checked_under_their_name():
    with pytest.raises(DataError, match=r"`fake` has 5 columns, but .* has 4"):
        _softmax.log_probabilities("fake", LOGITS, width=4)
    with pytest.raises(DataError, match=r"`real` has 40 rows, but .* below 41"):
        _softmax.log_probabilities("real", LOGITS, minimum=41)

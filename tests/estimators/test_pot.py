import numpy as np
import pytest
from scipy.stats import expon

from counterplay.errors import DataError
from counterplay.estimators._pot import peaks_over_threshold


@pytest.mark.parametrize("share", [1e-2, 1e-3, 1e-4])
def test_the_tail_of_exponential_scores_is_extrapolated(share):
    scores = np.random.default_rng(0).exponential(size=20_000)
    # Excesses of an exponential are exponential, a generalised Pareto of shape 0; 400 of
    # them determine the quantile to a few per cent.
    expected = expon.isf(share)
    assert peaks_over_threshold(scores, share) == pytest.approx(expected, rel=0.1)


def test_a_large_share_moves_the_beginning_of_the_tail():
    scores = np.random.default_rng(0).exponential(size=2_000)
    found = peaks_over_threshold(scores, 0.2)
    assert found == pytest.approx(np.quantile(scores, 0.8), rel=0.05)


def test_too_few_scores_are_refused():
    with pytest.raises(DataError, match=r"Only 2 of 100 scores lie above their 0\.98"):
        peaks_over_threshold(np.arange(100.0), 0.01)

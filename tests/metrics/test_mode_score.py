"""Mode scores: the one that is the inception score, and the one that is not."""

import math

import pytest
import scipy.special
import scipy.stats
import torch

from counterplay.errors import DataError
from counterplay.metrics.inception_score import inception_score
from counterplay.metrics.mode_score import mode_score, mode_score_penalised


def logits(m=60, k=5, seed=0):
    return 2 * torch.randn(m, k, generator=torch.Generator().manual_seed(seed)).double()


def test_the_first_formula_is_the_inception_score_whatever_the_data():
    for seed in range(100):
        real, fake = logits(9, seed=seed) * 3, logits(20, seed=seed + 1_000)
        assert float(mode_score(real, fake)) == pytest.approx(
            float(inception_score(fake)), 1e-10
        )


def test_both_agree_with_scipy():
    real, fake = logits(50, seed=1), logits()
    q, p = (scipy.special.softmax(x.numpy(), axis=1) for x in (real, fake))
    q, mean = q.mean(0), p.mean(0)
    kl = scipy.stats.entropy
    expected = math.exp(kl(p, q[None], axis=1).mean() - kl(mean, q))
    assert float(mode_score(real, fake)) == pytest.approx(expected, 1e-10)
    expected = math.exp(kl(p, mean[None], axis=1).mean() - kl(mean, q))
    assert float(mode_score_penalised(real, fake)) == pytest.approx(expected, 1e-10)


def test_the_penalised_score_falls_with_proportions_unlike_the_data():
    sure = 1e4 * torch.eye(4, dtype=torch.float64)
    classes = torch.arange(4).repeat(3)
    even, skewed = sure[classes], sure[torch.tensor([0] * 9 + [1, 2, 3])]
    assert float(mode_score_penalised(even, even)) == pytest.approx(4.0)
    assert mode_score_penalised(skewed, even) < mode_score_penalised(even, even)
    torch.testing.assert_close(
        mode_score_penalised(skewed, skewed), inception_score(skewed)
    )


@pytest.mark.parametrize("score", [mode_score, mode_score_penalised])
def test_a_single_sample_is_refused(score):
    with pytest.raises(DataError, match=r"`fake` has 1 rows, but .* below 2"):
        score(logits(), logits(1))

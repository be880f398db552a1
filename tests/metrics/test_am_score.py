"""AM score against SciPy, its extremes, and the order of digits that it is meant to give."""

import math

import pytest
import scipy.special
import scipy.stats
import torch

from counterplay.metrics.am_score import am_score, am_score_parts
from counterplay.metrics.inception_score import log_inception_score


def logits(m=60, k=5, seed=0, scale=2.0):
    return scale * torch.randn(m, k, generator=torch.Generator().manual_seed(seed)).double()


def sure(classes, k):
    return 1e4 * torch.eye(k, dtype=torch.float64)[classes]


def test_both_terms_agree_with_scipy():
    real, fake = logits(50, seed=1), logits()
    q, p = (scipy.special.softmax(x.numpy(), axis=1) for x in (real, fake))
    divergence, entropy = am_score_parts(real, fake)
    assert float(divergence) == pytest.approx(scipy.stats.entropy(q.mean(0), p.mean(0)))
    assert float(entropy) == pytest.approx(scipy.stats.entropy(p, axis=1).mean())
    assert float(am_score(real, fake)) == pytest.approx(float(divergence + entropy))


def test_sure_samples_in_the_proportions_of_the_data_score_zero():
    classes = torch.tensor([0, 0, 0, 1, 2, 2])
    score = am_score(sure(classes, 3), sure(classes.repeat(2), 3))
    assert float(score) == pytest.approx(0, abs=1e-12)


def test_wrong_proportions_cost_their_divergence_and_doubt_its_entropy():
    real = sure(torch.tensor([0, 1]), 2)
    skewed = sure(torch.tensor([0, 0, 0, 1]), 2)
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert float(am_score(real, skewed)) == pytest.approx(expected, 1e-10)
    doubtful = torch.zeros(4, 2)
    assert float(am_score(real, doubtful)) == pytest.approx(math.log(2), 1e-10)


def test_with_balanced_data_it_is_related_to_the_inception_score():
    # log IS = H(mean p) - mean H, and AM = KL(uniform || mean p) + mean H
    real, fake = torch.zeros(3, 5), logits()
    log_mean = torch.log_softmax(fake, 1).exp().mean(0).log()
    divergence = -log_mean.mean() - math.log(5)
    entropy = -(log_mean.exp() * log_mean).sum() - log_inception_score(fake)
    assert float(am_score(real, fake)) == pytest.approx(float(divergence + entropy), 1e-10)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_it_is_never_below_its_doubt(scale):
    for seed in range(20):
        real, fake = logits(9, 4, seed, scale), logits(7, 4, seed + 100, scale)
        score, entropy = am_score(real, fake), am_score_parts(real, fake).entropy
        assert score >= entropy - 1e-12
        assert 0 <= entropy <= math.log(4) + 1e-12


def test_repeating_all_samples_changes_nothing():
    real, fake = logits(50, seed=1), logits()
    torch.testing.assert_close(am_score(real, fake.repeat(3, 1)), am_score(real, fake))


def test_the_gradient_is_finite_for_a_classifier_beyond_doubt():
    fake = sure(torch.tensor([0, 1, 2]), 3).requires_grad_()
    am_score(logits(9, 3), fake).backward()
    assert torch.isfinite(fake.grad).all()


def test_real_digits_score_better_than_noisy_ones_and_those_better_than_one_class(
    sorted_digits,
):
    classify, real, other = sorted_digits
    noise = torch.randn(other["x"].shape, generator=torch.Generator().manual_seed(0))
    scores = [
        float(am_score(classify.logits(real["x"]), classify.logits(x)))
        for x in (other["x"], other["x"] + 0.3 * noise, other["x"][other["y"] == 3])
    ]
    assert scores == sorted(scores)
    assert scores[0] < 0.9 * scores[1] < 0.3 * scores[2]

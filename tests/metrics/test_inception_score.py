"""Inception score against its definition and its extremes."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from counterplay.errors import DataError
from counterplay.metrics.inception_score import (
    inception_score,
    inception_score_of_parts,
    log_inception_score,
)


def logits(m=60, k=5, seed=0):
    return 2 * torch.randn(m, k, generator=torch.Generator().manual_seed(seed)).double()


def by_scipy(values):
    p = scipy.special.softmax(values.numpy(), axis=1)
    return np.exp(scipy.stats.entropy(p, p.mean(0, keepdims=True), axis=1).mean())


def test_the_score_agrees_with_scipy_whole_and_in_parts():
    values = logits()
    assert float(inception_score(values)) == pytest.approx(by_scipy(values), 1e-10)
    expected = np.mean([by_scipy(part) for part in values.split(20)])
    assert float(inception_score(values, n_splits=3)) == pytest.approx(expected, 1e-10)


def test_sure_and_balanced_samples_score_the_number_of_classes():
    one_hot = 1e4 * torch.eye(7).repeat(3, 1)
    assert float(inception_score(one_hot)) == pytest.approx(7.0, 1e-12)
    assert float(log_inception_score(one_hot)) == pytest.approx(math.log(7), 1e-12)


def test_equal_samples_score_one():
    assert float(inception_score(logits(1).repeat(9, 1))) == pytest.approx(1.0, 1e-12)


def test_only_parts_depend_on_the_order_of_samples():
    values = logits()
    moved = values[values[:, 0].argsort()]
    torch.testing.assert_close(inception_score(moved), inception_score(values))
    assert not torch.isclose(
        inception_score(moved, n_splits=6), inception_score(values, n_splits=6)
    )


@pytest.mark.parametrize("seed", [None, 2020])
def test_mean_and_deviation_of_parts_follow_the_convention_of_papers(seed):
    values = logits(103)
    p = scipy.special.softmax(values.numpy(), axis=1)
    if seed is not None:
        p = p[np.random.RandomState(seed).permutation(len(p))]
    scores = []
    for i in range(10):
        part = p[i * len(p) // 10 : (i + 1) * len(p) // 10]
        kl = part * (np.log(part) - np.log(part.mean(0)))
        scores.append(np.exp(kl.sum(1).mean()))
    found = inception_score_of_parts(values, seed=seed)
    assert found == pytest.approx((np.mean(scores), np.std(scores)), 1e-10)


def test_one_part_has_no_deviation_and_no_order():
    values = logits()
    score = float(inception_score(values))
    assert inception_score_of_parts(values, n_splits=1, seed=7) == pytest.approx((score, 0))


@pytest.mark.parametrize(
    "score",
    [log_inception_score, inception_score, lambda x: inception_score(x, n_splits=2)],
)
def test_the_gradient_is_the_finite_difference(score):
    assert torch.autograd.gradcheck(score, logits(8, 3).requires_grad_())


def test_the_gradient_is_finite_for_a_classifier_beyond_doubt():
    values = (1e4 * torch.eye(3).repeat(2, 1)).requires_grad_()
    inception_score(values).backward()
    assert torch.isfinite(values.grad).all()


@pytest.mark.parametrize("n_splits", [0, 4])
def test_parts_of_less_than_two_rows_are_refused(n_splits):
    for score in (inception_score, inception_score_of_parts):
        with pytest.raises(DataError, match=f"`n_splits` is {n_splits}, but 7 samples"):
            score(logits(7), n_splits=n_splits)

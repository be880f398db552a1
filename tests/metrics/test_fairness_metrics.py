"""Fairness discrepancies as metrics: of probabilities to trace, of decisions to report."""

import inspect

import pytest
import torch

from counterplay import metrics
from counterplay.metrics.fairness import (
    discrepancy,
    fairness_kl,
    fairness_l1,
    fairness_l2,
    hard_fairness,
    total_variation,
)


SMOOTH = {
    fairness_l2: "l2",
    fairness_l1: "l1",
    fairness_kl: "kl",
    total_variation: "total_variation",
}


@pytest.fixture
def logits():
    return torch.randn(40, 4, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("metric", SMOOTH)
def test_a_smooth_metric_is_the_discrepancy_of_mean_probabilities(metric, logits):
    p, name = torch.softmax(logits, 1).mean(0), SMOOTH[metric]
    wanted = [0.1, 0.2, 0.3, 0.4]
    torch.testing.assert_close(metric(logits), discrepancy(p, name))
    torch.testing.assert_close(
        metric(logits, reference=wanted, normalised=True),
        discrepancy(p, name, reference=wanted, normalised=True),
    )
    pairs = torch.stack([p[0] + p[2], p[1] + p[3]])
    torch.testing.assert_close(
        metric(logits, groups=[0, 1, 0, 1]), discrepancy(pairs, name)
    )


def test_the_hard_metric_counts_decisions(logits):
    counts = logits.argmax(1).bincount(minlength=4)
    for measure in ("l2", "specificity"):
        torch.testing.assert_close(
            hard_fairness(logits, measure=measure), discrepancy(counts / 40, measure)
        )


def test_sure_answers_make_both_the_same(logits):
    torch.testing.assert_close(fairness_l2(1e4 * logits), hard_fairness(logits))


def test_following_the_gradient_makes_samples_fair(logits):
    logits = (logits + torch.tensor([3.0, 0, 0, -3])).requires_grad_()
    assert fairness_l2(logits) > 0.5
    for _ in range(200):
        (slope,) = torch.autograd.grad(fairness_kl(logits), logits)
        logits = (logits - 40 * slope).detach().requires_grad_()
    assert fairness_l2(logits) < 0.01


def test_the_metrics_are_found_by_name_and_have_explicit_options():
    for name in ("fairness_kl", "fairness_l1", "fairness_l2", "total_variation"):
        facts = metrics.load(name)
        assert facts.differentiable
        assert not facts.higher_is_better
        assert set(inspect.signature(facts.function).parameters) == {
            "logits",
            "reference",
            "groups",
            "normalised",
        }
    assert not metrics.load("hard_fairness").differentiable

"""Surrogates of detection: the usual numbers at temperature 0, and smooth above it."""

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from counterplay.detection import smooth_average_precision, smooth_roc_auc
from counterplay.errors import MetricError


EXACT = {smooth_roc_auc: roc_auc_score, smooth_average_precision: average_precision_score}
both = pytest.mark.parametrize("smooth", EXACT, ids=lambda smooth: smooth.__name__)


def some(n=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, generator=generator) < 0.3).long()
    scores = torch.randn(n, generator=generator, dtype=torch.float64) + labels
    return scores, labels


@both
@pytest.mark.parametrize("seed", range(3))
def test_a_low_temperature_gives_the_usual_number(smooth, seed):
    scores, labels = some(seed=seed)
    found = smooth(scores, labels, temperature=1e-9)
    assert float(found) == pytest.approx(EXACT[smooth](labels, scores), abs=1e-12)


@both
def test_the_default_temperature_is_near_the_usual_number(smooth):
    scores, labels = some(200)
    assert float(smooth(scores, labels)) == pytest.approx(
        EXACT[smooth](labels, scores), abs=0.03
    )


@both
def test_the_unit_of_the_scores_does_not_matter(smooth):
    scores, labels = some()
    torch.testing.assert_close(smooth(3 * scores + 5, labels), smooth(scores, labels))


@both
def test_the_derivative_is_that_of_finite_differences(smooth):
    scores, labels = some(12)
    assert torch.autograd.gradcheck(
        lambda s: smooth(s, labels), scores.requires_grad_(), atol=1e-7
    )


@both
def test_a_higher_score_of_an_outlier_is_better(smooth):
    scores, labels = some()
    (slope,) = torch.autograd.grad(
        smooth(scores.requires_grad_(), labels, temperature=0.3), scores
    )
    assert (slope[labels == 1] > 0).all()
    assert (slope[labels == 0] < 0).all()


@both
@pytest.mark.parametrize(
    ("scores", "labels", "options", "text"),
    [
        (torch.rand(3), torch.zeros(3), {}, r"Of 3 labelled instances 0 are outliers"),
        (torch.rand(3), torch.ones(3), {}, r"Of 3 labelled instances 3 are outliers"),
        (torch.rand(3, 1), torch.ones(3), {}, r"shape \(3, 1\) and labels \(3,\)"),
        (torch.ones(3), torch.eye(3)[0], {}, r"temperature is 0\.0, but must be above 0"),
        (torch.rand(3), torch.eye(3)[0], {"temperature": -1.0}, r"temperature is -1\.0"),
    ],
)
def test_what_cannot_be_measured_is_said(smooth, scores, labels, options, text):
    with pytest.raises(MetricError, match=text):
        smooth(scores, labels, **options)

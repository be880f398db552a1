"""How well scores tell outliers from normal instances, with slopes in place of steps.

The area under the ROC curve and average precision count pairs that are ordered wrongly, so
their derivative is zero wherever they have one. Here a pair counts by how clearly it is
ordered, which a trace can follow; as the temperature goes to 0, both become the usual ones.
"""

import torch
from jaxtyping import Float, Num
from torch import Tensor

from counterplay.errors import MetricError
from counterplay.typing import Scalar


Scores = Float[Tensor, " n"]
Labels = Num[Tensor, " n"]
SHARPNESS = 0.1  # of the standard deviation of the scores is the default temperature


def smooth_roc_auc(
    scores: Scores, labels: Labels, *, temperature: float | None = None
) -> Scalar:
    """The share of pairs of an outlier and a normal instance that are ordered rightly.

    Higher is better; between 0 and 1, 0.5 for chance.

    Args:
        scores: High for outlying.
        labels: 1 for an outlier, 0 for a normal instance.
        temperature: Difference of scores at which a pair counts 0.73 instead of 1; a tenth
            of the scores' standard deviation if left out, so that the unit of the scores
            does not matter.

    Returns:
        The mean over the pairs of the logistic function of the difference.

    Raises:
        MetricError: If there are no pairs, or the scores do not differ.

    Source: Yan et al. 2003, ICML, "Optimizing classifier performance via an approximation
    to the Wilcoxon-Mann-Whitney statistic".
    Differs: the logistic function takes the place of their polynomial.
    """
    outlying, above = _beaten(scores, labels, temperature)
    return above[:, ~outlying].mean()


def smooth_average_precision(
    scores: Scores, labels: Labels, *, temperature: float | None = None
) -> Scalar:
    """Mean over the outliers of the precision among all that score at least as high.

    Higher is better; at most 1, about the share of outliers for chance.

    Args:
        scores: High for outlying.
        labels: 1 for an outlier, 0 for a normal instance.
        temperature: As for `smooth_roc_auc`.

    Returns:
        Average precision with each rank a sum of logistic functions.

    Raises:
        MetricError: If there are no pairs, or the scores do not differ.

    Source: Brown et al. 2020, arXiv 2007.12163, eq. 6.
    """
    outlying, above = _beaten(scores, labels, temperature)
    higher = 1 - above  # how much each instance stands above each outlier
    others = 1 - torch.eye(len(scores), dtype=scores.dtype, device=scores.device)[outlying]
    higher = higher * others
    return ((1 + higher[:, outlying].sum(1)) / (1 + higher.sum(1))).mean()


def _beaten(
    scores: Tensor, labels: Tensor, temperature: float | None
) -> tuple[Tensor, Tensor]:
    """Who is an outlier, and how clearly each outlier stands above each instance.

    Raises:
        MetricError: If there are no pairs, or the scores do not differ.
    """
    outlying = labels != 0
    if scores.dim() != 1 or scores.shape != labels.shape:
        raise MetricError(
            f"Scores have shape {tuple(scores.shape)} and labels {tuple(labels.shape)}; "
            "detection needs one of each per instance, both of shape (n,)."
        )
    n_outliers = int(outlying.sum())
    if not 0 < n_outliers < len(scores):
        raise MetricError(
            f"Of {len(scores)} labelled instances {n_outliers} are outliers; detection "
            "compares outliers with normal instances. Label some of each."
        )
    width = SHARPNESS * scores.std() if temperature is None else temperature
    if not width > 0:
        raise MetricError(
            f"The temperature is {float(width)!r}, but must be above 0. By default it is a "
            "share of the scores' standard deviation, which is 0 if all scores are equal: "
            "then the detector tells nothing from nothing."
        )
    return outlying, ((scores[outlying, None] - scores) / width).sigmoid()

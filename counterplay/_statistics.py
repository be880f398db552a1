"""Agreement between two rankings, and paired comparisons, each with its uncertainty."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


Array = NDArray[np.float64]
N_RESAMPLES = 1_000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and the p-value of its null hypothesis (no relation)."""

    value: float
    low: float
    high: float
    p_value: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def pearson(predicted: Array, actual: Array) -> float:
    """Linear correlation; 0 if one side is constant."""
    if np.ptp(predicted) == 0 or np.ptp(actual) == 0:
        return 0.0
    return float(stats.pearsonr(predicted, actual).statistic)


def spearman(predicted: Array, actual: Array) -> float:
    """Rank correlation; 0 if one side is constant. On subsets: linear datamodeling score."""
    return pearson(stats.rankdata(predicted), stats.rankdata(actual))


def kendall(predicted: Array, actual: Array) -> float:
    """Kendall's tau-b; 0 if one side is constant."""
    tau = float(stats.kendalltau(predicted, actual).statistic)
    return 0.0 if math.isnan(tau) else tau


def jaccard_of_extremes(predicted: Array, actual: Array, *, share: float = 0.1) -> float:
    """Overlap of the lowest and highest `share` of two rankings, mean of both ends.

    Intersection over union of the two sets of instances; 1 is perfect, chance is about
    `share / (2 - share)`. Source: Terashita et al. 2021, arXiv 2101.08367, section 5.1.
    """
    k = max(1, round(share * len(predicted)))

    def overlap(a: Array, b: Array) -> float:
        first, second = set(np.argsort(a)[:k]), set(np.argsort(b)[:k])
        return len(first & second) / len(first | second)

    return (overlap(predicted, actual) + overlap(-predicted, -actual)) / 2


def estimate(
    measure: Callable[[Array, Array], float],
    predicted: Array,
    actual: Array,
    *,
    seed: int = 0,
) -> Estimate:
    """A measure with its bootstrap interval over pairs and a permutation p-value (one-sided)."""
    random = np.random.default_rng(seed)
    n = len(predicted)
    resampled, permuted = np.empty(N_RESAMPLES), np.empty(N_RESAMPLES)
    for i in range(N_RESAMPLES):
        chosen = random.integers(n, size=n)
        resampled[i] = measure(predicted[chosen], actual[chosen])
        permuted[i] = measure(predicted, random.permutation(actual))
    value = measure(predicted, actual)
    low, high = np.quantile(resampled, [0.025, 0.975])
    p_value = (1 + np.count_nonzero(permuted >= value)) / (1 + N_RESAMPLES)
    return Estimate(value, float(low), float(high), float(p_value))


def paired(better: Array, worse: Array, *, seed: int = 0) -> Estimate:
    """Mean of `better - worse` over seeds, bootstrap interval, one-sided paired t-test.

    The null hypothesis is that the mean difference is not above 0.
    """
    difference = better - worse
    n = len(difference)
    random = np.random.default_rng(seed)
    means = difference[random.integers(n, size=(N_RESAMPLES, n))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    if n < 2 or np.ptp(difference) == 0:
        p_value = 1.0 if n < 2 or difference.mean() <= 0 else 0.0
    else:
        p_value = float(stats.ttest_1samp(difference, 0.0, alternative="greater").pvalue)
    return Estimate(float(difference.mean()), float(low), float(high), p_value)

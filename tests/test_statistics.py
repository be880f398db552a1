"""Measures of agreement against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from counterplay import _statistics
from counterplay._statistics import (
    estimate,
    jaccard_of_extremes,
    kendall,
    paired,
    pearson,
    spearman,
)


def pairs(n=30, noise=1.0, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=n)
    return x, x + noise * random.normal(size=n)


def test_correlations_are_scipys():
    x, y = pairs()
    y = y.round(1)  # ties
    assert pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert kendall(x, y) == stats.kendalltau(x, y).statistic


@pytest.mark.parametrize("n", [2, 3, 17, 64, 300])
@pytest.mark.parametrize("digits", [0, 1, 9])  # many ties, some, none
def test_kendalls_tau_of_many_rows_is_exactly_scipys(n, digits):
    random = np.random.default_rng(n)
    x = random.normal(size=(20, n)).round(digits)
    y = (x + random.normal(size=(20, n))).round(1)
    expected = np.array(
        [stats.kendalltau(*row).statistic for row in zip(x, y, strict=True)]
    )
    assert np.array_equal(kendall(x, y), np.nan_to_num(expected))


def test_every_measure_takes_many_rows_at_once():
    rows = [pairs(25, seed=seed) for seed in range(4)]
    x, y = (np.stack(side) for side in zip(*rows, strict=True))
    x[1] = 3.0
    for measure in (pearson, spearman, kendall, jaccard_of_extremes):
        one_by_one = [measure(*row) for row in zip(x, y, strict=True)]
        np.testing.assert_allclose(measure(x, y), one_by_one, rtol=1e-14)


def test_tiny_effects_are_correlated_like_large_ones():
    x, y = pairs()
    assert pearson(1e-200 * x, 1e-180 * y) == pytest.approx(pearson(x, y))


def test_rankings_with_holes_have_no_tau():
    x, y = pairs(5)
    x[2] = np.nan
    assert kendall(x, y) == 0.0


@pytest.mark.parametrize("measure", [pearson, spearman, kendall])
def test_a_constant_side_agrees_with_nothing(measure):
    x, _ = pairs(5)
    assert measure(x, np.ones(5)) == 0.0
    assert measure(np.ones(5), x) == 0.0


def test_the_overlap_of_extremes_is_counted_by_hand():
    x = np.arange(20.0)
    assert jaccard_of_extremes(x, x) == 1.0
    assert jaccard_of_extremes(x, -x) == 0.0
    swapped = x.copy()
    swapped[[1, 5]] = swapped[[5, 1]]  # lowest two: {0, 1} and {0, 5}
    assert jaccard_of_extremes(x, swapped) == pytest.approx((1 / 3 + 1) / 2)
    assert jaccard_of_extremes(x, swapped, share=0.5) == 1.0
    assert jaccard_of_extremes(x[:3], x[:3]) == 1.0  # at least one


def test_an_interval_covers_the_true_correlation_about_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(_statistics, "N_RESAMPLES", 80)
    covered = 0
    for seed in range(40):
        found = estimate(pearson, *pairs(60, seed=seed), seed=seed)
        covered += found.low <= 1 / np.sqrt(2) <= found.high
    assert covered >= 33


def test_a_p_value_is_small_for_a_relation_and_uniform_without(monkeypatch):
    assert estimate(spearman, *pairs(30, noise=0.3)).p_value == 1 / 1_001
    x, y = pairs(30, noise=0.3)
    monkeypatch.setattr(_statistics, "N_RESAMPLES", 99)
    assert estimate(kendall, x, y).p_value == 1 / 100
    assert estimate(spearman, x, -y).p_value > 0.99  # one-sided
    random = np.random.default_rng(0)
    found = [estimate(pearson, random.normal(size=20), y[:20]).p_value for _ in range(40)]
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_an_estimate_is_reproducible_and_reads_well(monkeypatch):
    monkeypatch.setattr(_statistics, "N_RESAMPLES", 99)
    x, y = pairs(40, noise=0.5)
    assert estimate(spearman, x, y, seed=3) == estimate(spearman, x, y, seed=3)
    assert estimate(spearman, x, y, seed=3) != estimate(spearman, x, y, seed=4)
    assert str(_statistics.Estimate(0.5, 0.25, 0.75, 0.01)) == "0.500 [0.250, 0.750]"


def test_the_paired_test_is_scipys():
    better, worse = pairs(12)
    found = paired(better + 0.3, worse)
    expected = stats.ttest_rel(better + 0.3, worse, alternative="greater")
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.value == pytest.approx(np.mean(better + 0.3 - worse))
    assert found.low < found.value < found.high
    low, high = expected.confidence_interval(0.90).low, np.inf
    assert low < found.value < high


@pytest.mark.parametrize(
    ("difference", "p_value"),
    [([1.0], 1.0), ([0.0] * 4, 1.0), ([-2.0] * 3, 1.0), ([2.0] * 3, 0.0)],
)
def test_without_spread_there_is_no_t_test(difference, p_value):
    difference = np.array(difference)
    assert paired(difference, np.zeros(len(difference))).p_value == p_value

"""Agreement between two rankings, and paired comparisons, each with its uncertainty."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


Array = NDArray[np.float64]
Ints = NDArray[np.integer]
Measure = Callable[[Array, Array], Array]  # two `(..., n)` -> one number per row
N_RESAMPLES = 1_000
AT_ONCE = 50  # resamples measured together; bounds the memory


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and the p-value of no relation."""

    value: float
    low: float
    high: float
    p_value: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def pearson(predicted: Array, actual: Array) -> Array:
    """Linear correlation of each row; 0 if one side is constant."""
    return np.clip((_standard(predicted) * _standard(actual)).sum(-1), -1, 1)


def _standard(rows: Array) -> Array:
    """Each row around 0 and of length 1; zeros if it is constant."""
    constant = np.ptp(rows, -1, keepdims=True) == 0
    centred = np.where(constant, 0.0, rows - rows.mean(-1, keepdims=True))
    # By the largest first, because squares of small effects would underflow.
    centred = centred / np.where(constant, 1.0, abs(centred).max(-1, keepdims=True))
    length = np.sqrt((centred**2).sum(-1, keepdims=True))
    return centred / np.where(constant, 1.0, length)


def spearman(predicted: Array, actual: Array) -> Array:
    """Rank correlation of each row; on subsets, the linear datamodeling score.

    Source: Park et al. 2023, arXiv 2303.14186, section 2 (the score).
    Differs: small groups are left out of one run with its seed, where theirs are halves of
    the data with fresh seeds.
    """
    return pearson(stats.rankdata(predicted, axis=-1), stats.rankdata(actual, axis=-1))


def kendall(predicted: Array, actual: Array) -> Array:
    """Kendall's tau-b of each row; 0 if one side is constant or not a number.

    Source: Knight 1966, whose sort-and-merge is done here for all rows at once.
    """
    n = predicted.shape[-1]
    bits = n.bit_length()
    pairs = np.sort((_dense_ranks(predicted) << bits) + _dense_ranks(actual))
    x, y = pairs >> bits, pairs & ((1 << bits) - 1)
    total = n * (n - 1) // 2
    untied_x, untied_y = total - _tied(x), total - _tied(np.sort(y))
    balance = untied_x + untied_y - total + _tied(pairs) - 2 * _falling(y)
    known = (untied_x > 0) & (untied_y > 0) & ~np.isnan(predicted + actual).any(-1)
    tau = balance / np.sqrt(np.maximum(untied_x, 1)) / np.sqrt(np.maximum(untied_y, 1))
    return np.clip(tau, -1, 1) * known


def _dense_ranks(rows: Array) -> Ints:
    """1 for the smallest of each row; equal values share a rank."""
    order = np.argsort(rows)
    ranks = np.empty(rows.shape, dtype=np.int64)
    rises = np.diff(np.take_along_axis(rows, order, -1), prepend=np.nan) != 0
    np.put_along_axis(ranks, order, rises.cumsum(-1), -1)
    return ranks


def _tied(rows: Ints) -> Ints:
    """How many pairs of each sorted row are equal."""
    place = np.arange(rows.shape[-1])
    begins = np.where(np.diff(rows, prepend=-1) != 0, place, 0)
    return (place - np.maximum.accumulate(begins, axis=-1)).sum(-1)


def _falling(rows: Ints) -> Ints:
    """How many pairs of each row stand in falling order, by merging sorted halves."""
    *shape, n = rows.shape
    full, width = 1 << (n - 1).bit_length(), 1
    highest = np.full((*shape, full - n), n + 1)  # falls behind nothing
    rows = np.concatenate([rows, highest], axis=-1, dtype=np.int32)
    count = np.zeros(shape, dtype=np.int64)
    while width < full:
        # The last bit says which half a value is of; among equals the left one comes first.
        halves = 2 * rows.reshape(*shape, -1, 2, width)
        halves[..., 1, :] += 1
        merged = np.sort(halves.reshape(*shape, -1, 2 * width))
        places = (merged & 1).sum(-2) @ np.arange(2 * width)
        # Each larger value on the left moves a value on the right forward by one place.
        count += full // (2 * width) * (width * (3 * width - 1) // 2) - places
        rows, width = merged >> 1, 2 * width
    return count


def jaccard_of_extremes(predicted: Array, actual: Array, *, share: float = 0.1) -> Array:
    """Overlap of the lowest and highest `share` of two rankings, mean of both ends.

    Intersection over union of the two sets of instances; 1 is perfect, chance is about
    `share / (2 - share)`. Source: Terashita et al. 2021, arXiv 2101.08367, section 5.1.
    """
    k = max(1, round(share * predicted.shape[-1]))

    def lowest(rows: Array) -> NDArray[np.bool_]:
        inside = np.zeros(rows.shape, dtype=bool)
        np.put_along_axis(inside, np.argsort(rows)[..., :k], True, -1)
        return inside

    def overlap(a: Array, b: Array) -> Array:
        first, second = lowest(a), lowest(b)
        return (first & second).sum(-1) / (first | second).sum(-1)

    return (overlap(predicted, actual) + overlap(-predicted, -actual)) / 2


def estimate(
    measure: Measure, predicted: Array, actual: Array, *, seed: int = 0
) -> Estimate:
    """A measure with its bootstrap interval over pairs and one-sided permutation test."""
    random = np.random.default_rng(seed)
    n, resampled, permuted = len(predicted), [], []
    for begin in range(0, N_RESAMPLES, AT_ONCE):
        draws = [
            (random.integers(n, size=n), random.permutation(n))
            for _ in range(begin, min(begin + AT_ONCE, N_RESAMPLES))
        ]
        chosen, order = (np.stack(rows) for rows in zip(*draws, strict=True))
        resampled.append(measure(predicted[chosen], actual[chosen]))
        permuted.append(measure(np.broadcast_to(predicted, order.shape), actual[order]))
    value = float(measure(predicted, actual))
    low, high = np.quantile(np.concatenate(resampled), [0.025, 0.975])
    # What differs by rounding counts as equal.
    as_high = np.concatenate(permuted) >= value - 1e-12
    p_value = (1 + np.count_nonzero(as_high)) / (1 + N_RESAMPLES)
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
        test = stats.ttest_1samp(difference, 0.0, alternative="greater")
        p_value = float(np.asarray(test)[1])
    return Estimate(float(difference.mean()), float(low), float(high), p_value)

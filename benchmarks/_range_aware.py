"""Measures of detection that know that faults are stretches of time."""

import numpy as np
from numpy.typing import NDArray


Values = NDArray[np.float64]


def stretches(labels: NDArray) -> list[tuple[int, int]]:
    """First row and row after the last of every run of labels above 0."""
    edges = np.flatnonzero(np.diff(np.r_[0, labels > 0, 0]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def range_average_precision(scores: Values, labels: NDArray, buffer: int) -> float:
    """The area under the precision-recall curve for labels with soft edges.

    Rows up to half a buffer from a fault count in part, and recall is multiplied by the
    share of faults of which any row is found.

    Source: Paparrizos et al. 2022, PVLDB 15(11), "Volume under the surface", section 4.1.
    """
    soft = labels.astype(np.float64)
    for begin, end in stretches(labels) if buffer else ():
        for side in (np.arange(begin - 1, begin - 1 - buffer // 2, -1),
                     np.arange(end, end + buffer // 2)):  # fmt: skip
            inside = side[(side >= 0) & (side < len(soft))]
            height = np.sqrt(1 - np.arange(1, len(inside) + 1) / buffer)
            soft[inside] = np.maximum(soft[inside], height)
    order = np.argsort(-scores, kind="stable")
    last = np.r_[np.diff(scores[order]) != 0, True]  # equal scores are found together
    found = soft[order].cumsum()[last]
    precision = found / (np.flatnonzero(last) + 1)
    peaks = np.sort([scores[a:b].max() for a, b in stretches(soft)])
    thresholds = scores[order][last]
    existing = 1 - np.searchsorted(peaks, thresholds) / len(peaks)
    recall = np.minimum(2 * found / (labels.sum() + soft.sum()), 1) * existing
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def vus_pr(scores: Values, labels: NDArray, *, longest: int = 100, n: int = 11) -> float:
    """Volume under the precision-recall surface: the mean over buffers up to `longest`."""
    buffers = np.linspace(0, longest, n).astype(int)
    return float(np.mean([range_average_precision(scores, labels, b) for b in buffers]))


def best_f1(scores: Values, labels: NDArray, *, adjusted: bool = False) -> float:
    """The best F1 over all thresholds, which takes the labels to choose.

    Adjusted, a fault counts as found in every row if it is found in one. That rewards
    chance: never look at it without the plain one.
    """
    if adjusted:
        scores = scores.copy()
        for begin, end in stretches(labels):
            scores[begin:end] = scores[begin:end].max()
    order = np.argsort(-scores, kind="stable")
    found = labels[order].cumsum()
    n_called = np.arange(1, len(scores) + 1)
    last = np.r_[np.diff(scores[order]) != 0, True]
    return float((2 * found / (n_called + labels.sum()))[last].max())

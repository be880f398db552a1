"""A threshold for rare scores, from the tail of those that were seen."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import genpareto

from counterplay.errors import DataError


MIN_EXCESSES = 10


def peaks_over_threshold(
    scores: NDArray[np.float64], share: float, *, level: float = 0.98
) -> float:
    """The score that a given share of normal rows is expected to exceed.

    Excesses over the quantile at `level` follow a generalised Pareto distribution, fitted
    by maximum likelihood, so the share may be far smaller than one in the number of scores.
    If the share is above `1 - level`, the quantile at twice the share takes its place.

    Source: Siffer et al. 2017, KDD, "Anomaly detection in streams with extreme value
    theory", eq. 1 and section 4.1.

    Args:
        scores: Scores of normal rows, high for outlying.
        share: Of rows that shall lie above.
        level: Where the tail begins.

    Returns:
        The threshold.

    Raises:
        DataError: If the tail holds too few scores.
    """
    level = min(level, max(1 - 2 * share, 0.0))
    begin = float(np.quantile(scores, level))
    excesses = scores[scores > begin] - begin
    if len(excesses) < MIN_EXCESSES:
        raise DataError(
            f"Only {len(excesses)} of {len(scores)} scores lie above their {level:.2f} "
            f"quantile; the tail of `threshold='pot'` needs {MIN_EXCESSES}. Give a longer "
            "series, or use threshold='quantile'."
        )
    shape, _, scale = genpareto.fit(excesses, floc=0.0)
    beyond = share * len(scores) / len(excesses)  # the share, among the excesses
    return begin + float(genpareto.isf(beyond, shape, loc=0.0, scale=scale))

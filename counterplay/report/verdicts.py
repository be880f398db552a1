"""Whether the rankings of a run may be believed, and how far."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from counterplay._influence import Influence
from counterplay.report.records import Run


COVERAGE = 0.9  # share of the removals that a margin is to hold for


@dataclass(frozen=True)
class Judged:
    """One ranking and what verifying said of it.

    Attributes:
        metric: Name of the metric.
        adjoint: How the ranking was computed.
        attributable: Whether it may be believed; None if nobody has checked.
        reason: What was found.
        advice: What usually helps, if it is not.
        tau: Kendall's tau with `low`, `high`, `p_value` and `n`, or None.
        actual: True removal effects, found by retraining, by row of the training set.
        margin: How far at most a prediction is off for 9 in 10 instances, or None.
    """

    metric: str
    adjoint: str
    attributable: bool | None
    reason: str
    advice: tuple[str, ...]
    tau: Mapping[str, Any] | None
    actual: Mapping[int, float] = field(default_factory=dict)
    margin: float | None = None


def verdicts(run: Run) -> list[Judged]:
    """One verdict per traced metric; of verified metrics whose trace is missing, too."""
    traced = {influence.metric for influence in run.influences}
    alone = [
        judged(entry["metric"], adjoint, entry)
        for entry in run.verified
        if entry["metric"] not in traced
        for adjoint in entry["verdict"]
    ]
    return [of(run, influence) for influence in run.influences] + alone


def of(run: Run, influence: Influence) -> Judged:
    """The verdict on one influence."""
    return judged(influence.metric, influence.adjoint, run.verified_on(influence.metric))


def judged(metric: str, adjoint: str, entry: Mapping[str, Any] | None) -> Judged:
    """What an entry of `verify.json` says of an adjoint."""
    verdict = entry["verdict"].get(adjoint) if entry else None
    if entry is None or verdict is None:
        return Judged(metric, adjoint, None, "", (), None)
    wanted = (adjoint, "instance", "kendall")
    own = [
        row
        for row in entry["rows"]
        if (row["adjoint"], row["change"], row["measure"]) == wanted
    ]
    return Judged(
        metric=metric,
        adjoint=adjoint,
        attributable=verdict["attributable"],
        reason=verdict["reason"],
        advice=tuple(verdict["advice"]),
        tau=max(own, key=lambda row: row["size"], default=None),
        **_removals(entry, adjoint),
    )


def _removals(entry: Mapping[str, Any], adjoint: str) -> dict[str, Any]:
    """What really removing instances showed, and how far predictions were off."""
    wanted = (adjoint, "instance", 1.0)
    for one in entry["comparisons"]:
        if (one["adjoint"], one["what"], one["size"]) == wanted:
            predicted, actual = np.array(one["predicted"]), np.array(one["actual"])
            by_row = dict(zip(entry["instances"], actual.tolist(), strict=True))
            return {"actual": by_row, "margin": margin(predicted, actual)}
    return {}


def margin(predicted: np.ndarray, actual: np.ndarray) -> float | None:
    """The half width of an interval around a prediction that holds 9 in 10 true effects.

    The instances that were retrained without are a random choice, so a further one is
    within the k-th smallest of n errors, k = ceil(0.9 (n + 1)), with that probability. That
    is over all instances: at the ends of a ranking errors may be larger.
    Source: Lei et al. 2018, arXiv 1604.04173, section 2.2 (split conformal intervals).

    Args:
        predicted: Removal effects as predicted.
        actual: The same, found by retraining.

    Returns:
        The margin; None if the instances are too few for it, which are 8 or fewer.
    """
    errors = np.sort(np.abs(predicted - actual))
    k = math.ceil(COVERAGE * (len(errors) + 1))
    return float(errors[k - 1]) if k <= len(errors) else None

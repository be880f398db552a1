"""Whether the rankings of a run may be believed, and how far."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from counterplay._influence import Influence
from counterplay.report.records import Run


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
    """

    metric: str
    adjoint: str
    attributable: bool | None
    reason: str
    advice: tuple[str, ...]
    tau: Mapping[str, Any] | None


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
    )

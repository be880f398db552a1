"""Is the estimate right? Compare it with real retraining, and say when it is not.

An influence is a derivative; a removal is a step of size 1. `verify` retrains with weights
lowered a little and with weights at 0, so that one sees whether the derivative is right and
whether the run is linear enough for it to predict a removal.
"""

import functools
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, overload, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor

from counterplay import _rng, executors
from counterplay._influence import Influence
from counterplay._notebook import card, Tabular
from counterplay._retrain import (
    count_of,
    counterfactual_effects,
    leave_out,
    OnRuns,
)
from counterplay._statistics import (
    Array,
    Estimate,
    estimate,
    jaccard_of_extremes,
    kendall,
    pearson,
    spearman,
)
from counterplay._trajectory import Trajectory
from counterplay.errors import TraceError
from counterplay.game import Columns, Game
from counterplay.metrics.target import Target
from counterplay.typing import Index


MEASURES = {
    "pearson": pearson,
    "spearman": spearman,
    "kendall": kendall,
    "jaccard": jaccard_of_extremes,
}
ADVICE = (
    "a larger batch",
    "a lower learning rate, or fewer moves",
    "Adam's epsilon inside the root (`eps_root`, 1e-6 to 1e-2)",
    "smooth activations (tanh, SiLU, softplus) in place of ReLU and leaky ReLU, or the "
    "adjoint `Mollified` (`--adjoint mollified`), which sees their kinks",
    "another penalty on the discriminator's slope (`r1`), weaker or stronger",
    "a shorter trace (`last=`) with retraining of the same moves",
)


@dataclass(frozen=True)
class Comparison:
    """Predicted against true changes of the metric, for one kind of weight change.

    Attributes:
        adjoint: What predicted.
        what: `"instance"` or `"subset"`.
        size: How far the weight is lowered (instances) or the share removed (subsets).
        predicted: First-order predictions.
        actual: Changes found by retraining.
    """

    adjoint: str
    what: str
    size: float
    predicted: Array
    actual: Array

    def agreement(self) -> dict[str, Estimate]:
        """Every measure of agreement that fits."""
        return self._agreement

    @functools.cached_property  # many resamples, and read by texts, tables and pages
    def _agreement(self) -> dict[str, Estimate]:
        names = MEASURES if self.what == "instance" else ("pearson", "spearman")
        return {
            name: estimate(MEASURES[name], self.predicted, self.actual) for name in names
        }


@dataclass(frozen=True)
class Verdict:
    """Whether the scores of a run may be believed.

    Attributes:
        attributable: Whether removal is predicted well enough to rank instances.
        reason: What was found, with numbers.
        advice: What usually helps, if it is not.
    """

    attributable: bool
    reason: str
    advice: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = (
            f"{'Attributable' if self.attributable else 'NOT attributable'}: {self.reason}"
        )
        return text + "".join(f"\n  try {line}" for line in self.advice)


@dataclass(frozen=True)
class Agreement(Tabular):
    """What `verify` found.

    Attributes:
        metric: Name of the metric.
        instances: Rows of the training set that were retrained without.
        comparisons: One per adjoint and kind of change.
        verdict: Per adjoint, whether its scores may be believed.
    """

    metric: str
    instances: Index
    comparisons: tuple[Comparison, ...]
    verdict: Mapping[str, Verdict]

    def rows(self) -> list[dict[str, Any]]:
        """One row per adjoint, kind of change and measure, for tables and files."""
        return [
            {
                "metric": self.metric,
                "adjoint": comparison.adjoint,
                "change": comparison.what,
                "size": comparison.size,
                "n": len(comparison.actual),
                "measure": "linear datamodeling score"
                if comparison.what == "subset" and measure == "spearman"
                else measure,
                "value": found.value,
                "low": found.low,
                "high": found.high,
                "p_value": found.p_value,
            }
            for comparison in self.comparisons
            for measure, found in comparison.agreement().items()
        ]

    def _repr_html_(self) -> str:
        rows = [{k: v for k, v in row.items() if k != "metric"} for row in self.rows()]
        facts = {"instances": len(self.instances), **self.verdict}
        return card(f"Agreement with retraining: {self.metric}", facts, rows)

    def __str__(self) -> str:
        lines = [f"{self.metric}, {len(self.instances)} instances"]
        for row in self.rows():
            lines.append(
                f"  {row['adjoint']}  {row['change']} {row['size']:g}  {row['measure']} "
                f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]  "
                f"p={row['p_value']:.3g}"
            )
        return "\n".join([*lines, *(f"{k}: {v}" for k, v in self.verdict.items())])


class Options(TypedDict, total=False):
    """The keywords of `verify`."""

    instances: int | Index
    lowered: Sequence[float]
    subsets: int
    fractions: Sequence[float]
    since: int
    seed: int
    executor: executors.Choice
    chunk: int
    bank: MutableMapping[str, list[float]] | None
    on_runs: OnRuns | None


@overload
def verify(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    metric: Target,
    influence: Influence | Sequence[Influence],
    **options: Unpack[Options],
) -> Agreement: ...
@overload
def verify(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    metric: Sequence[Target],
    influence: Influence | Sequence[Influence],
    **options: Unpack[Options],
) -> tuple[Agreement, ...]: ...
def verify(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    metric: Target | Sequence[Target],
    influence: Influence | Sequence[Influence],
    *,
    instances: int | Index = 64,
    lowered: Sequence[float] = (0.1, 1.0),
    subsets: int = 0,
    fractions: Sequence[float] = (0.01, 0.05, 0.1),
    since: int = 0,
    seed: int = 0,
    executor: executors.Choice = None,
    chunk: int = 64,
    bank: MutableMapping[str, list[float]] | None = None,
    on_runs: OnRuns | None = None,
) -> Agreement | tuple[Agreement, ...]:
    """Compare predicted with true changes of the metric.

    Args:
        game: The game.
        data: The training set of the run.
        trajectory: The run.
        metric: The metric that was traced; several are measured on the same retrainings.
        influence: One influence, or several, of different adjoints or metrics.
        instances: How many random instances to leave out one at a time, of those that the
            run has not left out already; or which.
        lowered: How far their weight is lowered; 1 removes them.
        subsets: Random groups to leave out per fraction (linear datamodeling score).
        fractions: Shares of the data that these groups hold.
        since: Retrain from this move on; should be the first move that was traced.
        seed: Determines instances and subsets.
        executor: Who plays the runs, see `counterfactual_effects`.
        chunk: Runs played at once.
        bank: Finished runs, looked up first and added to.
        on_runs: Called with the number of finished runs.

    Returns:
        The comparisons and a verdict per adjoint; one `Agreement` per metric, or just one
        for a single metric.

    Raises:
        TraceError: If an influence is of another metric, or `lowered` or `instances` is
            empty.
    """
    targets = [metric] if isinstance(metric, Target) else list(metric)
    influences = [influence] if isinstance(influence, Influence) else list(influence)
    _require_comparable(influences, targets, lowered)
    changes, weights = [], trajectory.plan.weights
    chosen = _choose(instances, weights, seed)
    for level in lowered:
        rows = _lower(weights, chosen, level)
        changes.append(_Change("instance", level, chosen[:, None], rows))
    for fraction in fractions if subsets else ():
        groups = _groups(len(data), fraction, subsets, seed)
        changes.append(
            _Change("subset", fraction, groups, leave_out(weights, list(groups)))
        )
    effects = counterfactual_effects(
        game, data, trajectory, targets, torch.cat([change.rows for change in changes]),
        since=since, executor=executor, chunk=chunk, bank=bank, on_runs=on_runs,
    )  # fmt: skip
    agreements = []
    for target, column in zip(targets, effects.T, strict=True):
        own = [one for one in influences if one.metric == target.name]
        comparisons = _compare(changes, own, column)
        verdict = {one.adjoint: judge(comparisons, one.adjoint) for one in own}
        agreements.append(Agreement(target.name, chosen, tuple(comparisons), verdict))
    return agreements[0] if isinstance(metric, Target) else tuple(agreements)


@dataclass(frozen=True)
class _Change:
    """One kind of weight change: who is left out, and the weights of the runs."""

    what: str
    size: float
    groups: Tensor  # (n_runs, instances of a run)
    rows: Tensor  # (n_runs, n)


def _compare(
    changes: Sequence[_Change], influences: Sequence[Influence], effects: Tensor
) -> list[Comparison]:
    comparisons = []
    parts = effects.split([len(change.rows) for change in changes])
    for change, actual in zip(changes, parts, strict=True):
        share = change.size if change.what == "instance" else 1.0
        for one in influences:
            predicted = share * one.removal[change.groups].sum(1)
            comparisons.append(
                Comparison(
                    one.adjoint, change.what, change.size, predicted.numpy(), actual.numpy()
                )
            )
    return comparisons


def judge(comparisons: Sequence[Comparison], adjoint: str) -> Verdict:
    """The gate: a smooth run predicts small changes, a linear one predicts removals.

    A ranking is believed when Kendall's tau against removal is at least 0.3 and
    significantly above 0 (p < 0.01).
    """
    own = [c for c in comparisons if c.adjoint == adjoint and c.what == "instance"]
    own.sort(key=lambda comparison: comparison.size)
    smooth, removal = own[0], own[-1]
    small = float(pearson(smooth.predicted, smooth.actual))
    tau = estimate(kendall, removal.predicted, removal.actual)
    found = (
        f"lowering weights by {smooth.size:g} correlates {small:.3f} with the prediction, "
        f"lowering them by {removal.size:g} has Kendall's tau {tau} "
        f"({len(removal.actual)} instances, p = {tau.p_value:.2g})"
    )
    if np.isfinite(tau.value) and tau.value >= 0.3 and tau.p_value < 0.01:
        return Verdict(True, found)
    if tau.value >= 0.3:
        return Verdict(
            False, f"{found}: too few instances to tell", ("more instances to leave out",)
        )
    cause = (
        "the metric is not smooth in the weights over this many moves"
        if small < 0.9
        else "the derivative is right, but a whole removal lies outside the linear range"
    )
    return Verdict(False, f"{found}: {cause}", ADVICE)


def _require_comparable(
    influences: Sequence[Influence], targets: Sequence[Target], lowered: Sequence[float]
) -> None:
    traced, verified = [{one.metric for one in influences}, {one.name for one in targets}]
    for name in sorted(traced ^ verified):
        raise TraceError(
            f"The influences are on {sorted(traced)}, but {sorted(verified)} are to be "
            f"verified: {name!r} is in only one of them. Give each metric's influence."
        )
    if not lowered:
        raise TraceError(
            "`lowered` is empty, so there is no retraining to judge the influence by. Use "
            "`lowered=(0.1, 1.0)`: a small step and a removal."
        )


def _choose(instances: int | Index, weights: Tensor, seed: int) -> Index:
    """The rows to leave out; one that is left out already would show no change at all.

    Raises:
        TraceError: If there is none, or one does not exist.
    """
    if isinstance(instances, int):
        order = _rng.permutation(len(weights), seed, "verify", "instances")
        chosen = order[weights[order] != 0][: max(instances, 0)]
    else:
        chosen = torch.as_tensor(instances, dtype=torch.int64)
    if not len(chosen) or int(chosen.min()) < 0 or int(chosen.max()) >= len(weights):
        raise TraceError(
            f"`instances` must be at least 1, or rows from 0 to {len(weights) - 1}, got "
            f"{instances!r}."
        )
    return chosen


def _lower(weights: Tensor, instances: Index, level: float) -> Tensor:
    rows = weights.repeat(len(instances), 1)
    rows[torch.arange(len(instances)), instances] *= 1 - level
    return rows


def _groups(n: int, fraction: float, count: int, seed: int) -> Tensor:
    size = count_of(fraction, n)
    return torch.stack(
        [_rng.permutation(n, seed, "verify", f"{fraction}", i)[:size] for i in range(count)]
    )

"""Remove the harmful, retrain, and prove the gain on data that nothing was chosen by."""

import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterplay import executors
from counterplay._adjoint import AbstractAdjoint, Unroll
from counterplay._influence import trace
from counterplay._notebook import card, Tabular
from counterplay._retrain import (
    count_of,
    counterfactual_effects,
    leave_out,
    OnRuns,
    removed,
    retrain,
)
from counterplay._statistics import Estimate, paired
from counterplay._trajectory import Trajectory
from counterplay.errors import DataError
from counterplay.game import Columns, Game
from counterplay.metrics.target import Target
from counterplay.typing import Index, PerInstance


FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Cleansing(Tabular):
    """What one run becomes when each method removes each share of the data.

    Attributes:
        methods: Names of the ways to choose.
        fractions: Shares of the training set that were removed.
        higher_is_better: Direction of each metric.
        before: Each metric of the run as it was.
        after: Per metric, its value after removal, `(n_methods, n_fractions)`.
        removed: Ids removed by each method at the largest fraction, most harmful first.
        drift: How far replays of the run were from its record, where they were allowed to
            be, by move and relative to the largest entry of a tensor.
    """

    methods: tuple[str, ...]
    fractions: tuple[float, ...]
    higher_is_better: Mapping[str, bool]
    before: Mapping[str, float]
    after: Mapping[str, NDArray[np.float64]]
    removed: Mapping[str, tuple[str, ...]]
    drift: Mapping[int, float] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """One row per metric, method and fraction, for tables and files."""
        return [
            {
                "metric": metric,
                "method": method,
                "fraction": fraction,
                "before": self.before[metric],
                "after": float(values[i, j]),
                "gain": float(gains[i, j]),
            }
            for metric, values in self.after.items()
            for gains in [self.gains(metric)]
            for i, method in enumerate(self.methods)
            for j, fraction in enumerate(self.fractions)
        ]

    def _repr_html_(self) -> str:
        best = [
            max(own, key=lambda row: row["gain"])
            for metric in self.after
            for method in self.methods
            for own in [
                [r for r in self.rows() if (r["metric"], r["method"]) == (metric, method)]
            ]
        ]
        note = "Each method at its own best share; choose it on other data than you report."
        return card("Cleansing", {"shares": self.fractions}, best, note)

    def gains(self, metric: str) -> NDArray[np.float64]:
        """Improvement over no removal, positive is better, `(n_methods, n_fractions)`."""
        sign = 1.0 if self.higher_is_better[metric] else -1.0
        return sign * (self.after[metric] - self.before[metric])


def cleanse(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    metric: Target,
    *,
    report: Sequence[Target],
    scores: Mapping[str, PerInstance] | None = None,
    fractions: Sequence[float] = FRACTIONS,
    adjoint: AbstractAdjoint = Unroll(),  # noqa: B008
    since: int = 0,
    executor: executors.Choice = None,
    chunk: int = 32,
    bank: MutableMapping[str, list[float]] | None = None,
    on_runs: OnRuns | None = None,
) -> Cleansing:
    """Retrain without the instances that each method calls harmful.

    Args:
        game: The game.
        data: The training set of the run.
        trajectory: The run.
        metric: What influence is traced on, computed on validation data.
        report: What is reported, computed on test data.
        scores: Harm scores of other methods by name, `(n,)` each; see
            `counterplay.baselines`. The influence on `metric` is traced and added to them,
            unless the name of one begins with "influence".
        fractions: Shares of the training set to remove.
        adjoint: How the influence is computed.
        since: Retrain only from this move on.
        executor: Who plays the runs, see `counterfactual_effects`.
        chunk: Runs played at once.
        bank: Finished runs, looked up first and added to.
        on_runs: Called with the number of finished runs.

    Returns:
        Metric values per method and fraction.

    Raises:
        DataError: If validation, test and training data overlap, or scores do not fit.
    """
    require_disjoint(data, metric, report)
    if not scores or not any(name.startswith("influence") for name in scores):
        influence = trace(game, data, trajectory, metric, adjoint=adjoint)
        scores = {f"influence on {metric.name}": influence.harm, **(scores or {})}
    orders = {name: _order(name, score, len(data)) for name, score in scores.items()}
    counts = [count_of(fraction, len(data)) for fraction in fractions]
    groups = [order[:count] for order in orders.values() for count in counts]
    metrics = [metric, *report]
    effects = counterfactual_effects(
        game,
        data,
        trajectory,
        metrics,
        leave_out(trajectory.plan.weights, groups),
        since=since,
        executor=executor,
        chunk=chunk,
        bank=bank,
        on_runs=on_runs,
    ).reshape(len(orders), len(counts), len(metrics))
    before = {target.name: target.value(trajectory.final) for target in metrics}
    return Cleansing(
        methods=tuple(orders),
        fractions=tuple(fractions),
        higher_is_better={target.name: target.higher_is_better for target in metrics},
        before=before,
        after={
            target.name: before[target.name] + effects[:, :, i].numpy()
            for i, target in enumerate(metrics)
        },
        removed={
            name: tuple(data.ids[int(j)] for j in order[: max(counts)])
            for name, order in orders.items()
        },
        drift=dict(trajectory.drift or {}),
    )


def require_disjoint(data: Columns, metric: Target, report: Sequence[Target]) -> None:
    """Refuse scoring, reporting or feature training on the same instances.

    Raises:
        DataError: If an instance has two roles.
    """
    train, valid = set(data.ids), set(metric.reads)
    for target in (metric, *report):
        if train.issubset(target.reads):
            raise DataError(
                f"Metric {target.name!r} compares with all of the training data, as those "
                "of memorisation do, so no gain can be proven by it. Use a metric that "
                "compares with held-out data; `trace` and `score` take this one."
            )
    test = {name for target in report for name in target.reads}
    learnt = {name for target in (metric, *report) for name in target.learnt_from}
    for what, shared in {
        "training and validation data": train & valid,
        "training and test data": train & test,
        "validation and test data": valid & test,
        "training data and the feature map's training data": train & learnt,
        "test data and the feature map's training data": test & learnt,
    }.items():
        if shared:
            raise DataError(
                f"{len(shared)} instances are in {what} alike, for example "
                f"{sorted(shared)[0]!r}. A gain measured on data that chose the removals "
                "proves nothing; use three disjoint splits."
            )


def _order(name: str, score: PerInstance, n: int) -> Index:
    """The rows of the training set, the most harmful first.

    Raises:
        DataError: If the scores do not fit.
    """
    if score.shape != (n,) or bool(score.isnan().any()):
        raise DataError(
            f"The scores of {name!r} must be {n} numbers without NaN, got shape "
            f"{tuple(score.shape)}."
        )
    return score.argsort(descending=True, stable=True)


@dataclass(frozen=True)
class Comparison:
    """One method against no removal and against another method, over seeds.

    Attributes:
        metric: What is compared.
        method: The method, at the fraction that was best for it on validation data.
        fraction: That fraction.
        gain: Improvement over no removal (positive is better), one-sided paired test.
        against: Per other method at its own best fraction, the advantage over it.
    """

    metric: str
    method: str
    fraction: float
    gain: Estimate
    against: Mapping[str, Estimate] = field(default_factory=dict)


def compare(cleansings: Sequence[Cleansing], *, chosen_by: str) -> list[Comparison]:
    """Compare methods over several seeds.

    Each method's fraction is the one with the best mean gain in `chosen_by`, a metric on
    validation data; the comparison itself is made on every other metric.

    Args:
        cleansings: One per seed, with the same methods and fractions.
        chosen_by: Name of the validation metric.

    Returns:
        One comparison per metric and method.
    """
    first = cleansings[0]
    by_valid = np.mean([one.gains(chosen_by) for one in cleansings], axis=0)
    best = by_valid.argmax(axis=1)
    found = []
    for metric in (name for name in first.after if name != chosen_by):
        gains = np.stack(
            [one.gains(metric) for one in cleansings]
        )  # seed, method, fraction
        chosen = gains[:, np.arange(len(best)), best]
        for i, method in enumerate(first.methods):
            against = {
                other: paired(chosen[:, i], chosen[:, j])
                for j, other in enumerate(first.methods)
                if j != i
            }
            gain = paired(chosen[:, i], np.zeros(len(chosen)))
            found.append(
                Comparison(metric, method, first.fractions[best[i]], gain, against)
            )
    return found


@dataclass(frozen=True)
class Round:
    """One round of iterative cleansing.

    Attributes:
        removed: Instances removed so far.
        step: How many this round tried to remove.
        accepted: Whether the validation metric improved.
        valid: Validation metric of the retrained run.
        test: Test metrics of the retrained run.
    """

    removed: Index
    step: int
    accepted: bool
    valid: float
    test: Mapping[str, float]


def cleanse_iteratively(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    metric: Target,
    *,
    report: Sequence[Target] = (),
    step: float = 0.02,
    n_rounds: int = 10,
    since: int = 0,
    adjoint: AbstractAdjoint | None = None,
    on_round: Callable[[Round], None] | None = None,
) -> tuple[Trajectory, list[Round]]:
    """Remove a few, retrain, trace again; step and stopping are chosen on validation data.

    First order holds near the weights where it was computed, so many small removals follow
    the metric further than one large one. A round that does not improve the validation
    metric is taken back and the step halved; it stops below one instance or after
    `n_rounds`.

    Args:
        game: The game.
        data: The training set of the run.
        trajectory: The run to start from.
        metric: What is improved, computed on validation data.
        report: What is reported, computed on test data.
        step: First share to remove in one round.
        n_rounds: Most rounds to play.
        since: Trace and retrain only from this move on.
        adjoint: How the influence is computed; unrolling these moves if left out.
        on_round: Called after each round.

    Returns:
        The best run and all rounds.
    """
    require_disjoint(data, metric, report)
    sign = 1.0 if metric.higher_is_better else -1.0
    best, rounds = trajectory, []
    adjoint = adjoint or Unroll(last=trajectory.n_steps - since)
    value, size = metric.value(best.final), count_of(step, len(data))
    influence = trace(game, data, best, metric, adjoint=adjoint)
    for _ in range(n_rounds):
        weights = best.plan.weights
        present = int((weights > 0).sum())
        size = min(size, present - best.plan.batch_size)
        if size < 1:
            break
        harm = influence.harm.clone()
        harm[weights == 0] = -math.inf
        group = harm.argsort(descending=True)[:size]
        candidate = retrain(
            game, data, trajectory, weights=removed(weights, group), since=since
        )
        reached = metric.value(candidate.final)
        accepted = sign * (reached - value) > 0
        found = Round(
            removed=(candidate.plan.weights == 0).nonzero().flatten(),
            step=size,
            accepted=accepted,
            valid=reached,
            test={target.name: target.value(candidate.final) for target in report},
        )
        rounds.append(found)
        if on_round is not None:
            on_round(found)
        if accepted:
            best, value = candidate, reached
            influence = trace(game, data, best, metric, adjoint=adjoint)
        else:
            size //= 2
    return best, rounds

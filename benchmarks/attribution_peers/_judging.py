"""Scores against the truth, and the table."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from _methods import AFFORDABLE, LEAVE_ONE_OUT, Method, METRIC
from torch import Tensor

from counterplay._statistics import Array, estimate, kendall, spearman


WORST = 0.1
TITLES = (
    "method",
    "asked for",
    "Kendall's tau",
    "LDS 5 %",
    "worst 10 %: in top, in bottom",
    "CPU / training",
    "peak MiB (above imports)",
)


@dataclass(frozen=True)
class Truth:
    """What retraining found, turned so that positive means that removal helps.

    Attributes:
        instances: Who was removed alone.
        alone: What it changed.
        groups: Who was removed together.
        together: What that changed.
        cpu: CPU seconds of one retraining.
    """

    instances: Tensor
    alone: Array
    groups: Tensor
    together: Array
    cpu: float


@dataclass(frozen=True)
class Row:
    """How one method did on one seed; shares are of the CPU of the training.

    Attributes:
        reason: Why there is no result; empty if there is one.
        tau: Kendall's tau against removal of single instances.
        low: Lower end of its bootstrap interval.
        high: Upper end.
        lds: Rank correlation with removal of groups.
        top: Share of the truly worst that it ranks worst.
        bottom: Share of them that it ranks best.
        cpu: CPU of the method.
        process: CPU of its whole process, imports included.
        peak: Largest resident memory, MiB.
        added: The part of it above what imports and loading took.
    """

    reason: str = ""
    tau: float = 0.0
    low: float = 0.0
    high: float = 0.0
    lds: float = 0.0
    top: float = 0.0
    bottom: float = 0.0
    cpu: float = 0.0
    process: float = 0.0
    peak: float = 0.0
    added: float = 0.0


Rows = dict[Method, Row]


def judged(harm: Array, true: Truth) -> Row:
    """Scores of all instances against the truth; the cost is filled in by who knows it."""
    if not np.isfinite(harm).all():
        return Row(reason="its scores are not finite")
    predicted = harm[true.instances.numpy()]
    together = harm[true.groups.numpy()].sum(1)
    k = max(1, round(WORST * len(predicted)))
    worst = set(np.argsort(-true.alone)[:k].tolist())
    order = np.argsort(-predicted, kind="stable").tolist()
    tau = estimate(kendall, predicted, true.alone)
    return Row(
        tau=tau.value,
        low=tau.low,
        high=tau.high,
        lds=float(spearman(together, true.together)),
        top=len(worst & set(order[:k])) / k,
        bottom=len(worst & set(order[-k:])) / k,
    )


def left_out(true: Truth, budget: float, training: float, n: int) -> Rows:
    """Leave-one-out of everyone, and of the share that the CPU of our trace pays for."""
    harm = np.zeros(n)
    harm[true.instances.numpy()] = true.alone
    everyone = n * true.cpu / training
    share = min(1.0, budget / everyone)
    part = harm.copy()
    part[true.instances.numpy()[round(share * len(true.instances)) :]] = 0
    found = {
        LEAVE_ONE_OUT: replace(judged(harm, true), cpu=everyone),
        AFFORDABLE: replace(judged(part, true), cpu=share * everyone),
    }
    if len(true.instances) < n:  # groups hold instances that were not removed alone
        found = {method: replace(row, lds=math.nan) for method, row in found.items()}
    return found


def table(seeds: Sequence[Rows]) -> str:
    """One Markdown table; of several seeds the means, with the extremes of tau."""
    lines = [f"| {' | '.join(TITLES)} |", f"|{'---|' * len(TITLES)}"]
    for method in seeds[0]:
        row = cells([rows[method] for rows in seeds])
        lines.append(f"| {' | '.join([method.label, method.asks, *row])} |")
    return "\n".join(lines)


def cells(rows: Sequence[Row]) -> list[str]:
    failed = [row.reason for row in rows if row.reason]
    if failed:
        some = "" if len(failed) == len(rows) else f"{len(failed)} of {len(rows)} seeds: "
        return [f"none: {some}{failed[0]}", "", "", "", ""]

    def mean(name: str) -> float:
        return statistics.mean(getattr(row, name) for row in rows)

    taus = [row.tau for row in rows]
    ends = (rows[0].low, rows[0].high) if len(rows) == 1 else (min(taus), max(taus))
    measured = mean("peak") > 0
    return [
        f"{mean('tau'):.3f} [{ends[0]:.3f}, {ends[1]:.3f}]",
        "" if math.isnan(mean("lds")) else f"{mean('lds'):.2f}",
        f"{mean('top'):.0%}, {mean('bottom'):.0%}",
        f"{mean('cpu'):.2f}",
        f"{mean('peak'):.0f} (+{mean('added'):.0f})" if measured else "",
    ]


def verdict(seeds: Sequence[Rows]) -> str:
    """Who estimates best, by the mean tau and by the mean LDS."""
    means = {
        method: [
            statistics.mean(getattr(rows[method], by) for rows in seeds)
            for by in ("tau", "lds")
        ]
        for method in seeds[0]
        if not any(rows[method].reason for rows in seeds) and method.script
    }
    best = [max(means, key=lambda method: means[method][i]) for i in range(2)]
    named = [
        f"by {by}, {method.label} ({method.asks}) at {means[method][i]:.3f}"
        for i, (by, method) in enumerate(zip(("tau", "LDS"), best, strict=True))
    ]
    peers = [m for m in best if m.asks != METRIC or not m.label.startswith("Counterplay")]
    ending = " **A peer wins here.**" if peers else ""
    return f"Best estimate {'; '.join(named)}.{ending}"

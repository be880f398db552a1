"""What each training instance does to a metric: the user's entry to the adjoints."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload, Self
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterplay._adjoint import AbstractAdjoint, OnMove, Unroll
from counterplay._atomic import write_atomically
from counterplay._notebook import card, Tabular
from counterplay._sweep import SweepFile
from counterplay._trajectory import Trajectory
from counterplay.errors import RunError, TraceError
from counterplay.game import Columns, Game
from counterplay.metrics.target import Target
from counterplay.ranks import ALONE, Ranks
from counterplay.typing import Index, PerInstance


@dataclass(frozen=True)
class Influence(Tabular):
    """The influence of every training instance on one metric.

    Attributes:
        metric: Name of the metric, protocol included.
        higher_is_better: Direction of the metric.
        value: The metric of the run as it was.
        gradient: d metric / d weight, `(n,)`; NaN where not traced.
        weights: The weights of the run, `(n,)`.
        ids: Who the instances are.
        adjoint: How it was computed.
        drift: Where the replay was allowed to differ from the recorded run: how far it did,
            relative to the largest entry of a tensor, by move.
        by_stretch: What each stretch of the run contributes to `gradient`,
            `(n_stretches, n)`; a stretch is one epoch, or several in a long run. None if
            they were not told apart.
        stretches: The first move of each stretch, and the end of the last.
    """

    metric: str
    higher_is_better: bool
    value: float
    gradient: PerInstance
    weights: PerInstance
    ids: tuple[str, ...]
    adjoint: str
    drift: Mapping[int, float] = field(default_factory=dict)
    by_stretch: Float[Tensor, "n_stretches n"] | None = None
    stretches: tuple[int, ...] = ()

    @property
    def removal(self) -> PerInstance:
        """Predicted metric without the instance minus the metric with it."""
        return -self.gradient * self.weights

    @property
    def harm(self) -> PerInstance:
        """Predicted gain of removal: positive where removing improves the metric."""
        return self.removal if self.higher_is_better else -self.removal

    def harmful(self, k: int) -> Index:
        """The `k` instances whose removal is predicted to improve the metric most."""
        return self._ranked(k, descending=True)

    def helpful(self, k: int) -> Index:
        """The `k` instances whose removal is predicted to worsen the metric most."""
        return self._ranked(k, descending=False)

    def _ranked(self, k: int, *, descending: bool) -> Index:
        traced = torch.nonzero(~torch.isnan(self.harm)).flatten()
        if not 0 <= k <= len(traced):
            raise TraceError(
                f"`k` must be between 0 and the {len(traced)} traced instances, got {k!r}."
            )
        order = torch.argsort(self.harm[traced], descending=descending, stable=True)
        return traced[order[:k]]

    def of_group(self, instances: Index) -> float:
        """Predicted change of the metric without a group: the sum, to first order."""
        return float(self.removal[instances].sum())

    @property
    def ranks(self) -> list[int | None]:
        """Per instance its place, 1 for the most harmful; None if it was not traced."""
        ranks: list[int | None] = [None] * len(self.ids)
        n = int((~self.harm.isnan()).sum())
        for rank, row in enumerate(self.harmful(n).tolist(), 1):
            ranks[row] = rank
        return ranks

    def rows(self) -> list[dict[str, Any]]:
        """One row per instance: its id, removal effect, harm, and rank, 1 for the worst.

        An instance that was not traced has no numbers.
        """
        found = []
        for row, (name, rank) in enumerate(zip(self.ids, self.ranks, strict=True)):
            known = rank is not None
            removal, harm = float(self.removal[row]) + 0.0, float(self.harm[row]) + 0.0
            found.append({
                "id": name,
                "removal": removal if known else None,
                "harm": harm if known else None,
                "rank": rank,
            })  # fmt: skip
        return found

    def _repr_html_(self) -> str:
        rows = [row for row in self.rows() if row["rank"]]
        rows.sort(key=lambda row: row["rank"])
        facts = {
            "value": self.value,
            "better": "higher" if self.higher_is_better else "lower",
            "instances": len(self.ids),
            "adjoint": self.adjoint,
        }
        note = "The most harmful and the most helpful; `verify` says whether to believe it."
        return card(f"Influence on {self.metric}", facts, rows[:5] + rows[5:][-5:], note)

    def save(self, path: Path | str) -> None:
        """Write everything to one `.npz` file."""
        content = io.BytesIO()
        np.savez(
            content,
            metric=self.metric,
            higher_is_better=self.higher_is_better,
            value=self.value,
            gradient=self.gradient.numpy(),
            weights=self.weights.numpy(),
            ids=np.array(self.ids),
            adjoint=self.adjoint,
            drift=np.array(list(self.drift.items()), dtype=np.float64).reshape(-1, 2),
            stretches=np.array(self.stretches, dtype=np.int64),
            by_stretch=np.empty(0) if self.by_stretch is None else self.by_stretch.numpy(),
        )
        write_atomically(Path(path), content.getvalue())

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            RunError: If the file is missing, damaged or something else.
        """
        try:
            with np.load(io.BytesIO(Path(path).read_bytes())) as file:
                return cls(
                    metric=str(file["metric"]),
                    higher_is_better=bool(file["higher_is_better"]),
                    value=float(file["value"]),
                    gradient=torch.from_numpy(file["gradient"]),
                    weights=torch.from_numpy(file["weights"]),
                    ids=tuple(str(i) for i in file["ids"]),
                    adjoint=str(file["adjoint"]),
                    drift=_drift_in(file),
                    **_stretches_in(file),
                )
        except (
            OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, BadZipFile,
        ) as error:  # fmt: skip
            raise RunError(
                f"{str(path)!r} holds no influence: it is missing, damaged or another kind "
                "of file. Trace the run again and save the result."
            ) from error


def _stretches_in(file: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The contributions of stretches in an open file, if they were told apart."""
    stretches = tuple(file.get("stretches", np.empty(0, int)).tolist())
    if not stretches:
        return {}
    return {"stretches": stretches, "by_stretch": torch.from_numpy(file["by_stretch"])}


def _drift_in(file: Mapping[str, np.ndarray]) -> dict[int, float]:
    """The drift in an open file; those written before it was measured have none."""
    pairs = file.get("drift", np.empty((0, 2)))
    return {int(move): float(relative) for move, relative in pairs}


@overload
def trace(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    metric: Target,
    *,
    adjoint: AbstractAdjoint = ...,
    on_move: OnMove | None = ...,
    unfinished: Path | str | None = ...,
    ranks: Ranks = ...,
    tolerate_drift: bool = ...,
) -> Influence: ...
@overload
def trace(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    metric: Sequence[Target],
    *,
    adjoint: AbstractAdjoint = ...,
    on_move: OnMove | None = ...,
    unfinished: Path | str | None = ...,
    ranks: Ranks = ...,
    tolerate_drift: bool = ...,
) -> tuple[Influence, ...]: ...
def trace(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    metric: Target | Sequence[Target],
    *,
    adjoint: AbstractAdjoint = Unroll(),  # noqa: B008
    on_move: OnMove | None = None,
    unfinished: Path | str | None = None,
    ranks: Ranks = ALONE,
    tolerate_drift: bool = False,
) -> Influence | tuple[Influence, ...]:
    """Trace every training instance's effect on a metric, in one backward sweep.

    Args:
        game: The game.
        data: The training set of the run.
        trajectory: The run.
        metric: What to measure at the end of the run; several share the sweep.
        adjoint: How the derivative is computed.
        on_move: Called with the moves done and the moves in all.
        unfinished: A file in which the sweep is kept every half minute. If it holds an
            interrupted sweep of the same trace, that is continued, to the same bits.
        ranks: The processes that played the run together; all of them call this function,
            and each gets the whole influence.
        tolerate_drift: Whether to go on where a replay differs from the record, as on other
            hardware, from each checkpoint as it was recorded. The influence says how far
            it differed.

    Returns:
        One influence per metric, or just one for a single metric.
    """
    trajectory.plan.numerics.require_traceable()
    trajectory = trajectory.tolerant() if tolerate_drift else trajectory
    ranks.require_recorded(trajectory.plan)
    metrics = [metric] if isinstance(metric, Target) else list(metric)
    with trajectory.plan.numerics.arithmetic():
        final = trajectory.final
        found = [target.cotangent(final) for target in metrics]
        ranks.agree("The metric", repr([value for value, _ in found]))
        gradients = adjoint.gradients(
            ranks.share(game, trajectory.plan.batch_size),
            data,
            trajectory,
            [cotangent for _, cotangent in found],
            on_move=on_move,
            kept=None if unfinished is None else SweepFile(unfinished, ranks=ranks),
        )
    ranks.agree("The influence", repr(gradients.tolist()))
    stretches = adjoint.stretches(game, trajectory)
    influences = tuple(
        Influence(
            metric=target.name,
            higher_is_better=target.higher_is_better,
            value=value,
            gradient=parts.sum(0),
            weights=trajectory.plan.weights,
            ids=data.ids,
            adjoint=repr(adjoint),
            drift=dict(trajectory.drift or {}),
            by_stretch=parts.float() if len(parts) > 1 else None,
            stretches=stretches if len(parts) > 1 else (),
        )
        for target, (value, _), parts in zip(metrics, found, gradients, strict=True)
    )
    return influences[0] if isinstance(metric, Target) else influences

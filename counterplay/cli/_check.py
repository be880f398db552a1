"""Comparing scores with retraining, and keeping what was retrained."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from counterplay._drift import summary
from counterplay._influence import Influence
from counterplay._retrain import way_of
from counterplay._trajectory import Trajectory
from counterplay._verify import Agreement, verify
from counterplay.cli import _options, _show
from counterplay.cli._folder import RunFolder
from counterplay.game import Game
from counterplay.metrics.target import Target


def check(
    folder: RunFolder,
    game: Game,
    trajectory: Trajectory,
    targets: Sequence[Target],
    influences: Sequence[Influence],
    *,
    instances: int,
    since: int,
    lowered: Sequence[float] = (0.1, 1.0),
    subsets: int = 0,
    fractions: Sequence[float] = (),
    executor: _options.Executor,
    chunk: int,
) -> Sequence[Agreement]:
    """Retrain, compare with the influences on each metric, and write what was found."""
    instances = min(instances, len(folder.data))
    n_runs = instances * len(lowered) + subsets * len(fractions)
    title = "Retraining for the check"
    if executor is None:
        title += f": {way_of(game, trajectory.plan, None).text}"
    with _show.stage(title, n_runs) as advance:
        agreements = verify(
            game,
            folder.data,
            trajectory,
            targets,
            influences,
            instances=instances,
            lowered=lowered,
            subsets=subsets,
            fractions=fractions,
            since=since,
            executor=executor,
            chunk=chunk,
            bank=folder.bank,
            on_runs=advance,
        )
    folder.write_json("verify.json", [_as_json(one) for one in agreements])
    folder.write_table("verify.csv", [row for one in agreements for row in one.rows()])
    return agreements


def _as_json(agreement: Agreement) -> dict[str, Any]:
    return {
        "metric": agreement.metric,
        "instances": agreement.instances,
        "comparisons": [asdict(comparison) for comparison in agreement.comparisons],
        "rows": agreement.rows(),
        "verdict": {name: asdict(one) for name, one in agreement.verdict.items()},
    }


def show_drift(trajectory: Trajectory) -> None:
    """Print how far replays were from the record, if they were allowed to be."""
    if found := summary(trajectory.drift or {}):
        _show.say(found)


def show(agreements: Sequence[Agreement]) -> None:
    """Print how well retraining was predicted, verdicts first."""
    for one in agreements:
        for adjoint, verdict in one.verdict.items():
            _show.say(f"{one.metric}, {adjoint}: {verdict}")
    for one in agreements:
        _show.table(
            f"Predicted and true changes of {one.metric}",
            [
                {
                    "adjoint": row["adjoint"],
                    "change": row["change"],
                    "size": row["size"],
                    "n": row["n"],
                    "measure": row["measure"],
                    "value": row["value"],
                    "95 %": f"{row['low']:.3f} to {row['high']:.3f}",
                    "p": row["p_value"],
                }
                for row in one.rows()
            ],
        )

"""The scores of a run: what tracing leaves in its folder."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from counterplay._influence import Influence
from counterplay._verify import Agreement
from counterplay.cli import _show
from counterplay.cli._folder import RunFolder
from counterplay.errors import RunError, TraceError


Row = dict[str, Any]


def save_influences(
    folder: RunFolder, influences: Sequence[Influence], names: Sequence[str], since: int
) -> None:
    """Write one file per metric; `trace.json` is there if all of them are.

    `names` are the metrics as a recipe names them, which `verify` makes them again by.

    What was said of an earlier trace goes: should the check of this one be interrupted, no
    report shows the one beside the other. Its retrainings stay in the bank.
    """
    metrics = [influence.metric for influence in influences]
    adjoint = influences[0].adjoint
    facts: Row = {
        "metrics": metrics,
        "names": list(names),
        "since": since,
        "adjoint": adjoint,
    }
    if drift := influences[0].drift:
        facts["drift"] = {str(move): relative for move, relative in drift.items()}
    finished = [f"influence_{i}.npz" for i in range(len(influences))]
    drafts = {name: folder.path / f".{name}.{os.getpid()}" for name in finished}
    for name, influence in zip(finished, influences, strict=True):
        influence.save(drafts[name])
    drafts["trace.json"] = folder.path / f".trace.json.{os.getpid()}"
    folder.write_json(drafts["trace.json"].name, facts)
    # Everything is on the disk, so it cannot be full any more when the old ones go.
    for name in ("trace.json", "scores.*", "verify.*", "influence_*.npz"):
        for path in folder.path.glob(name):
            path.unlink()
    for name, draft in drafts.items():  # trace.json last
        draft.rename(folder.path / name)


def load_influences(folder: RunFolder) -> tuple[list[Influence], int]:
    """The influences of a folder, and the first move that was traced.

    Raises:
        TraceError: If there are none.
    """
    facts = _facts(folder)
    if not facts:
        raise TraceError(
            f"The run {str(folder.path)!r} has not been traced. Use `counterplay trace "
            f"{folder.path}` first."
        )
    paths = [folder.path / f"influence_{i}.npz" for i in range(len(facts["metrics"]))]
    return [Influence.load(path) for path in paths], facts["since"]


def traced(
    folder: RunFolder, metrics: Sequence[str], adjoint: str
) -> list[Influence] | None:
    """The influences of a folder, if they are on these metrics and by this adjoint."""
    facts = _facts(folder)
    if (facts.get("metrics"), facts.get("adjoint")) != (list(metrics), adjoint):
        return None
    return load_influences(folder)[0]


def _facts(folder: RunFolder) -> dict[str, Any]:
    """What `trace.json` says, or nothing.

    Raises:
        RunError: If it is damaged.
    """
    facts = folder.read_json("trace.json", {})
    if facts and not {"metrics", "names", "since", "adjoint"} <= set(facts):
        raise RunError(
            f"{str(folder.path / 'trace.json')!r} is damaged. Delete it, and use "
            f"`counterplay trace {folder.path}` again."
        )
    return facts


def save_scores(
    folder: RunFolder, influences: Sequence[Influence], agreements: Sequence[Agreement]
) -> list[Row]:
    """Write `scores.csv` and `scores.parquet`: every instance, what it does, and its rank.

    Args:
        folder: The folder.
        influences: One per metric.
        agreements: One per metric; they say whether the scores may be believed.

    Returns:
        The rows, in the order of the training set.
    """
    data, planted = folder.data, folder.recipe.planted
    verdicts = {one.metric: one.verdict for one in agreements}
    believed = all(verdicts[one.metric][one.adjoint].attributable for one in influences)
    columns: dict[str, Sequence[object]] = {"id": data.ids}
    if data.labels is not None:
        columns["label"] = data.labels
    if planted is not None:
        columns["planted"] = planted.tolist()
    for one in influences:
        columns[f"removal_{one.metric}"] = (one.removal + 0.0).tolist()  # no -0
        columns[f"harm_{one.metric}"] = (one.harm + 0.0).tolist()
        columns[f"rank_{one.metric}"] = one.ranks  # None if it was not traced
    columns["attributable"] = [believed] * len(data)
    rows = [
        dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
    ]
    folder.write_table("scores.csv", rows)
    folder.write_table("scores.parquet", rows)
    return rows


def show_most_harmful(
    rows: Sequence[Mapping[str, Any]], metric: str, *, k: int = 10
) -> None:
    """Print the instances whose removal is predicted to improve a metric most."""
    doubt = "" if rows[0]["attributable"] else ", NOT attributable: see above"
    ranked = [row for row in rows if row[f"rank_{metric}"]]
    chosen = sorted(ranked, key=lambda row: row[f"rank_{metric}"])[:k]
    columns = ("rank", "id", "label", "planted", "harm")
    named = [
        {**row, "rank": row[f"rank_{metric}"], "harm": row[f"harm_{metric}"]}
        for row in chosen
    ]
    _show.table(
        f"Most harmful to {metric}{doubt}",
        [{name: row[name] for name in columns if name in row} for row in named],
    )

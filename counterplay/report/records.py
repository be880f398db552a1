"""What a run folder holds, as plain values; what has not been made yet is empty."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterplay._influence import Influence
from counterplay._sealed import loads, read_lines
from counterplay._toml import read_toml
from counterplay.errors import RunError


Row = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """The files of a run folder.

    Attributes:
        folder: Where they are.
        recipe: The tables of `run.toml`.
        log: One row per logged move.
        influences: One per traced metric.
        scores: One row per instance.
        verified: One entry per verified metric.
        cleansing: Seeds and comparisons, or empty.
        detection: How many planted instances each method found, or empty.
        rounds: The rounds of iterative cleansing.
    """

    folder: Path
    recipe: Mapping[str, Row]
    log: Sequence[Row]
    influences: tuple[Influence, ...]
    scores: list[Row]
    verified: list[Row]
    cleansing: Row
    detection: Row
    rounds: list[Row]

    def verified_on(self, metric: str) -> Row | None:
        """What verifying found for a metric, if it was verified."""
        return next((entry for entry in self.verified if entry["metric"] == metric), None)


def read(folder: Path | str) -> Run:
    """Read a run folder.

    Raises:
        RunError: If it is not a run folder, or a file in it is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(
            f"There is no run folder {str(folder)!r}; `counterplay play` makes one."
        )
    toml = folder / "run.toml"
    influences = tuple(_influence(path) for path in _traced(folder))
    return Run(
        folder=folder,
        recipe=read_toml(toml) if toml.exists() else {},
        log=log_rows(folder / "log.jsonl"),
        influences=influences,
        scores=_scores(folder / "scores.csv", influences),
        verified=_json(folder / "verify.json", [], "verify"),
        cleansing=_json(folder / "cleansing.json", {}, "cleanse"),
        detection=_json(folder / "detection.json", {}, "cleanse"),
        rounds=_json(folder / "rounds.json", [], "cleanse"),
    )


def log_rows(path: Path) -> list[dict[str, float]]:
    """The intact rows of a log, in the order they were written."""
    return [
        row
        for row in read_lines(path)
        if "step" in row and all(isinstance(x, int | float | None) for x in row.values())
    ]


def is_planted(row: Row) -> bool:
    """Whether a row of `scores.csv` is marked as planted."""
    return str(row.get("planted", "")).lower() in ("true", "1")


def _influence(path: Path) -> Influence:
    try:
        return Influence.load(path)
    except RunError as error:
        raise RunError(_damaged(path, error.__cause__ or error, "trace")) from error


def _traced(folder: Path) -> list[Path]:
    numbers = [
        path.stem.removeprefix("influence_") for path in folder.glob("influence_*.npz")
    ]
    found = sorted(int(number) for number in numbers if number.isdigit())
    # An earlier trace of more metrics may have left files behind.
    last = len(_json(folder / "trace.json", {}, "trace").get("metrics", found))
    return [folder / f"influence_{number}.npz" for number in found[:last]]


def _json(path: Path, missing: Any, verb: str) -> Any:
    if not path.exists():
        return missing
    try:
        return loads(path.read_bytes())
    except ValueError as error:
        raise RunError(_damaged(path, error, verb)) from error


def _scores(path: Path, influences: Sequence[Influence]) -> list[Row]:
    """Who the instances are; what they do is read from the influences.

    Raises:
        RunError: If the file is damaged.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows: list[Row] = list(csv.DictReader(file))
    except (ValueError, csv.Error) as error:
        raise RunError(_damaged(path, error, "trace")) from error
    named = [row.get("id") for row in rows]
    if any(named != list(influence.ids) for influence in influences):
        raise RunError(_damaged(path, "it names other instances", "trace"))
    return rows


def _damaged(path: Path, error: BaseException | str, verb: str) -> str:
    return (
        f"{str(path)!r} is damaged: {error}. Delete it; `counterplay {verb} "
        f"{path.parent}` writes it again."
    )

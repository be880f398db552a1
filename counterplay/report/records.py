"""What a run folder holds, as plain values; what has not been made yet is empty."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterplay._influence import Influence
from counterplay._recipe import read_toml
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
    log: list[Row]
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
    return Run(
        folder=folder,
        recipe=read_toml(toml) if toml.exists() else {},
        log=log_rows(folder / "log.jsonl"),
        influences=tuple(_influence(path) for path in _traced(folder)),
        scores=_table(folder / "scores.csv"),
        verified=_json(folder / "verify.json", [], "verify"),
        cleansing=_json(folder / "cleansing.json", {}, "cleanse"),
        detection=_json(folder / "detection.json", {}, "cleanse"),
        rounds=_json(folder / "rounds.json", [], "cleanse"),
    )


def log_rows(path: Path) -> list[Row]:
    """The rows of a log; a last line that a running or killed process left torn is dropped.

    Raises:
        RunError: If another line is damaged.
    """
    lines = path.read_text().splitlines() if path.exists() else []
    rows = []
    for i, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if i < len(lines) - 1:
                raise RunError(
                    f"Line {i + 1} of {str(path)!r} is not JSON: {error}. Delete the line "
                    "to report on the others."
                ) from error
    return rows


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
        return json.loads(path.read_text())
    except ValueError as error:
        raise RunError(_damaged(path, error, verb)) from error


def _table(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _damaged(path: Path, error: BaseException, verb: str) -> str:
    return (
        f"{str(path)!r} is damaged: {error}. Delete it; `counterplay {verb} "
        f"{path.parent}` writes it again."
    )

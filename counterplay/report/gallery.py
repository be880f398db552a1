"""The instances that harm and help most, each with its picture, score and marks."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from counterplay._influence import Influence
from counterplay.game import Columns
from counterplay.report import pictures, verdicts, words
from counterplay.report.records import Row, Run


N_SHOWN = 50


def rankings(run: Run, data: Columns | None) -> list[dict[str, Any]]:
    """One ranking per traced metric: its verdict, and tiles for both of its ends."""
    known = _Known(run, data)
    return [_ranking(run, influence, known) for influence in run.influences]


def is_planted(row: Row) -> bool:
    """Whether a row of `scores.csv` is marked as planted."""
    return str(row.get("planted", "")).lower() in ("true", "1")


class _Known:
    """What is known of an instance besides its scores."""

    def __init__(self, run: Run, data: Columns | None):
        self._data = data
        self._scores = {row["id"]: row for row in run.scores}
        self._rows = {} if data is None else {name: i for i, name in enumerate(data.ids)}

    def planted(self, name: str) -> bool:
        return is_planted(self._scores.get(name, {}))

    def label(self, name: str) -> str:
        if written := self._scores.get(name, {}).get("label"):
            return str(written)
        if self._data is None or name not in self._rows or "y" not in self._data.tensors:
            return ""
        value = self._data["y"][self._rows[name]].item()
        names = self._data.class_names
        return names[int(value)] if names else f"{value:g}"

    def picture(self, name: str) -> str:
        if self._data is None or name not in self._rows:
            return ""
        x = self._data["x"]
        return pictures.thumbnail(x[self._rows[name]], self._data.kind, among=x)


@dataclass(frozen=True)
class Tile:
    """One instance of a ranking.

    Attributes:
        name: Its id.
        picture: A data URI, or empty.
        label: Its label, or empty.
        planted: Whether it is known to be corrupt.
        rank: 1 is the most harmful.
        removal: Predicted change of the metric without it, in units of the metric.
        effect: The same in words.
        size: The change relative to the largest of the ranking, from 0 to 1.
        others: What removal does to the other metrics, in words.
    """

    name: str
    picture: str
    label: str
    planted: bool
    rank: int
    removal: float
    effect: str
    size: float
    others: str


def _ranking(run: Run, influence: Influence, known: _Known) -> dict[str, Any]:
    harm = influence.harm
    n = int((~harm.isnan()).sum())
    k = min(N_SHOWN, n)
    harmful = [i for i in influence.harmful(k).tolist() if harm[i] > 0]
    helpful = [i for i in influence.helpful(k).tolist() if harm[i] < 0]
    largest = max((abs(float(harm[i])) for i in [*harmful[:1], *helpful[:1]]), default=1.0)

    def tiles(ranked: Iterable[tuple[int, int]]) -> list[Tile]:
        return [_tile(run, influence, i, rank, largest, known) for rank, i in ranked]

    return {
        "metric": influence.metric,
        "value": influence.value,
        "higher_is_better": influence.higher_is_better,
        "n": n,
        "judged": verdicts.of(run, influence),
        "harmful": tiles(enumerate(harmful, 1)),
        "helpful": tiles((n - j, i) for j, i in enumerate(helpful)),
    }


def _tile(
    run: Run, influence: Influence, i: int, rank: int, largest: float, known: _Known
) -> Tile:
    name, harm = influence.ids[i], float(influence.harm[i])
    others = [
        words.effect(float(other.harm[i]), other.metric)
        for other in run.influences
        if other.metric != influence.metric and not other.harm[i].isnan()
    ]
    return Tile(
        name=name,
        picture=known.picture(name),
        label=known.label(name),
        planted=known.planted(name),
        rank=rank,
        removal=float(influence.removal[i]),
        effect=words.effect(harm, influence.metric),
        size=abs(harm) / largest,
        others="; ".join(others),
    )

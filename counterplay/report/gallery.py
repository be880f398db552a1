"""The instances that harm and help most, with all that is known of each."""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch
from markupsafe import Markup
from torch import Tensor

from counterplay._influence import Influence
from counterplay.data.splits import Scaling
from counterplay.errors import DataError
from counterplay.game import Columns
from counterplay.report import pictures, similar, verdicts, words
from counterplay.report.records import is_planted, Run


N_SHOWN = 500  # instances of a page
N_OTHERS = 1_500  # instances besides them that may be a neighbour
N_NEAREST = 4
N_SAMPLES = 256  # generated, to look for the nearest among
N_COPIES = 5  # of an instance, that are named
N_VALUES = 32  # of a row of a table, the most unusual


def content(
    run: Run,
    data: Columns | None,
    *,
    n: int = N_SHOWN,
    samples: Tensor | None = None,
    scaling: Scaling | None = None,
) -> dict[str, Any]:
    """What a gallery shows, as JSON can hold it; `gallery.js` shows it.

    Args:
        run: The run.
        data: Its training set, if it is at hand; without it there are no pictures.
        n: Instances to show, from both ends of the ranking by every metric.
        samples: What the run generates, rows like column `"x"`.
        scaling: How the rows of a table were made from measured values.

    Returns:
        `metrics`, one per ranking; `instances`, with what removing them does to each
        metric, their copies and neighbours; `known`, who they and their neighbours are, by
        row; `pictures`, data URIs by row; `samples`, data URIs of the neighbours among the
        samples, by place.

    Raises:
        DataError: If the data is not that of the run.
    """
    influences = run.influences
    ids = influences[0].ids if influences else ()
    rows = chosen(influences, n)
    if data is not None and ids:
        _require_same(data, ids)
    ranks = [one.ranks for one in influences]
    seen = _Seen(data, rows, samples, scaling) if data is not None and rows else None
    shown = list(dict.fromkeys([*rows, *(seen.neighbours if seen else ())]))
    return {
        "kind": data.kind if data is not None else "",
        "pixelated": data is not None and pictures.is_pixelated(data["x"], data.kind),
        "n": len(ids),
        "n_compared": len(seen.pool) if seen else 0,
        "n_samples": 0 if samples is None else min(len(samples), N_SAMPLES),
        "metrics": [_metric(run, influence) for influence in influences],
        "instances": [
            {
                "row": row,
                "removal": [number(one.removal[row]) for one in influences],
                "rank": [rank[row] for rank in ranks],
                "by_stretch": [_by_stretch(one, row) for one in influences],
                **(seen.of(place, row, ids) if seen else {}),
            }
            for place, row in enumerate(rows)
        ],
        "known": {row: _known(run, data, row, ids[row]) for row in shown},
        "pictures": {},
        "samples": {},
        **(seen.pictures(shown) if seen else {}),
    }


def chosen(influences: Sequence[Influence], n: int) -> list[int]:
    """The rows of `n` instances, in turn from either end of the ranking by each metric."""
    ends = []
    for one in influences:
        k = min(n, int((~one.harm.isnan()).sum()))
        ends += [one.harmful(k).tolist(), one.helpful(k).tolist()]
    found = dict.fromkeys(row for rank in zip_longest(*ends) for row in rank)
    return [row for row in found if row is not None][:n]


def embedded(content: Mapping[str, Any]) -> Markup:
    """A value as JSON that may stand in a `script` element of type `application/json`."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Nothing in it can end the element, or begin a comment in it.
    return Markup(text.replace("<", "\\u003c"))


def unusual(
    x: Tensor, mean: Tensor, std: Tensor, scaling: Scaling | None, n: int
) -> list[list[Any]]:
    """Column, value and deviations from the mean of a row, its `n` most unusual first."""
    deviations = (x - mean) / std
    order = deviations.abs().argsort(descending=True, stable=True)[:n].tolist()
    names = scaling.names if scaling else range(1, len(x) + 1)
    measured = scaling.undo(x.float()) if scaling else x
    return [[f"{names[i]}", number(measured[i]), number(deviations[i])] for i in order]


class _Seen:
    """What instances look like, and who looks alike."""

    def __init__(
        self,
        data: Columns,
        rows: Sequence[int],
        samples: Tensor | None,
        scaling: Scaling | None,
    ):
        self.data, self.x, self.samples, self.scaling = data, data["x"], samples, scaling
        spacing = -(-len(data) // N_OTHERS)
        self.pool = list(dict.fromkeys([*rows, *range(0, len(data), spacing)]))
        self.copies = similar.copies(self.x)
        found = similar.nearest(
            self.x[rows], self.x[self.pool], data.kind, k=N_NEAREST, own=range(len(rows))
        )
        self.near = [[(self.pool[place], d) for place, d in one] for one in found]
        self.near_samples: list[similar.Near] = [[] for _ in rows]
        if samples is not None:
            self.near_samples = similar.nearest(
                self.x[rows], samples[:N_SAMPLES], data.kind, k=N_NEAREST
            )

    @property
    def neighbours(self) -> list[int]:
        """The rows of all neighbours."""
        return [row for found in self.near for row, _ in found]

    @functools.cached_property
    def _usual(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of every column."""
        std, mean = torch.std_mean(self.x.flatten(1).double(), 0, correction=0)
        return mean, std.clamp(min=1e-9)

    def of(self, place: int, row: int, ids: Sequence[str]) -> dict[str, Any]:
        """The copies, the neighbours and, of a table, the values of an instance."""
        same = self.copies.get(row, ())
        found = {
            "n_copies": len(same),
            "copies": [ids[other] for other in same[:N_COPIES]],
            "near": [[other, number(d)] for other, d in self.near[place]],
            "near_samples": [[other, number(d)] for other, d in self.near_samples[place]],
        }
        if self.data.kind == "row":
            found["values"] = self._values(row)
        return found

    def _values(self, row: int) -> list[list[Any]]:
        """Column, value and deviations from the mean, the most unusual first."""
        mean, std = self._usual
        x = self.x[row].flatten().double()
        return unusual(x, mean, std, self.scaling, N_VALUES)

    def pictures(self, rows: Sequence[int]) -> dict[str, dict[int, str]]:
        """Data URIs of the instances by row, of the nearest samples by place."""
        places = list(dict.fromkeys(i for found in self.near_samples for i, _ in found))
        n = len(rows) + len(places)
        given = {"pictures": (self.x, rows), "samples": (self.samples, places)}
        return {
            name: dict(zip(wanted, self._drawn(x[wanted], len(wanted) / n), strict=True))
            for name, (x, wanted) in given.items()
            if x is not None
        }

    def _drawn(self, x: Tensor, share: float) -> list[str]:
        budget = int(share * pictures.BUDGET)
        return pictures.thumbnails(x, self.data.kind, among=self.x, budget=budget)


def _metric(run: Run, influence: Influence) -> dict[str, Any]:
    judged = verdicts.of(run, influence)
    return {
        **ranked(influence, judged),
        "n": int((~influence.harm.isnan()).sum()),
        "margin": None if judged.margin is None else number(judged.margin),
        "stretches": list(influence.stretches),
        "actual": {row: number(value) for row, value in judged.actual.items()},
    }


def ranked(influence: Influence, judged: verdicts.Judged) -> dict[str, Any]:
    """What a ranking is by, and whether it may be believed."""
    return {
        "name": influence.metric,
        "title": words.metric_title(influence.metric),
        "short": words.metric_name(influence.metric),
        "higher_is_better": influence.higher_is_better,
        "value": number(influence.value),
        "attributable": judged.attributable,
    }


def _by_stretch(influence: Influence, row: int) -> list[float | None] | None:
    """What each stretch of the run contributes to the removal effect, if it is known."""
    if influence.by_stretch is None:
        return None
    parts = -influence.by_stretch[:, row] * influence.weights[row]
    return [number(part) for part in parts.tolist()]


def _known(run: Run, data: Columns | None, row: int, name: str) -> dict[str, Any]:
    """Who an instance is."""
    written = run.scores[row] if run.scores else {}
    label = str(written.get("label") or "")
    if not label and data is not None and data.labels is not None:
        label = data.labels[row]
    return {"id": name, "label": label, "planted": is_planted(written)}


def _require_same(data: Columns, ids: Sequence[str]) -> None:
    """Refuse other data than that of the run.

    Raises:
        DataError: If it is.
    """
    if data.ids != tuple(ids):
        raise DataError(
            f"`data` has {len(data)} instances from {data.ids[:1]} on, but {len(ids)} were "
            f"traced, from {tuple(ids[:1])} on: pictures would stand beside the scores of "
            "others. Give the training set of the run."
        )


def number(value: Any) -> float | None:
    """Four digits are enough to read; JSON has neither NaN nor infinity."""
    value = float(value)
    return float(f"{value:.4g}") if math.isfinite(value) else None

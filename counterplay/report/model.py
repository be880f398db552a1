"""One self-contained page about a fitted detector: what it found, and what explains it."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
import tomli_w
from numpy.typing import NDArray

from counterplay._atomic import write_atomically
from counterplay.errors import RunError
from counterplay.report import figures, model_figures, words
from counterplay.report.charts import Chart
from counterplay.report.page import write
from counterplay.report.records import log_rows


N_ROWS, N_STRETCHES, N_HARMFUL = 50, 50, 20  # in tables
N_COLUMNS = 3  # named per row
N_CHANNELS = 3  # drawn
_METHODS = {
    "mad_gan": "MAD-GAN",
    "mo_gaal": "MO-GAAL",
    "so_gaal": "SO-GAAL",
    "window_pca": "principal components of windows",
}
_FILES = {
    "model.toml": "what was fitted to what",
    "scores.csv": "one row per row of the data",
    "influence.csv": "what each training instance does to the detection",
    "log.csv": "losses over the moves",
}
_KEPT = "page.npz"
_ARRAYS = ("values", "scores", "labels", "residuals")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Fitted:
    """What a fit has found.

    Attributes:
        folder: Where the model is.
        tables: Those of `model.toml`.
        names: The measured columns.
        ids: What the rows are called.
        values: The rows that were fitted to, as measured, `(n, d)`.
        scores: Their scores, high for outlying.
        threshold: Above it a row is called an outlier.
        labels: 1 for an outlier, 0 for a normal row, if that is known.
        residuals: For series, how far each channel is from its reconstruction, `(n, d)`.
        quality: How well labelled rows are told apart, by name of the measure.
        harmful: Training instances with `row`, `id` and `harm`, the worst first.
    """

    folder: Path
    tables: Mapping[str, Any]
    names: tuple[str, ...]
    ids: tuple[str, ...]
    values: NDArray[np.float64]
    scores: NDArray[np.float64]
    threshold: float
    labels: NDArray[np.int64] | None = None
    residuals: NDArray[np.float64] | None = None
    quality: Mapping[str, float] | None = None
    harmful: Sequence[Row] = ()

    @property
    def above(self) -> NDArray[np.bool_]:
        """Which rows are called outliers."""
        return self.scores > self.threshold

    def save(self) -> None:
        """Write what the page is made of to the folder, so that it can be made again."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        facts = {
            "names": self.names, "ids": self.ids, "threshold": self.threshold,
            "quality": self.quality, "harmful": self.harmful[:N_HARMFUL],
        }  # fmt: skip
        content = io.BytesIO()
        np.savez_compressed(
            content,
            facts=json.dumps(facts),
            **{name: array for name, array in arrays.items() if array is not None},
        )
        write_atomically(self.folder / _KEPT, content.getvalue())

    @classmethod
    def load(cls, folder: Path, tables: Mapping[str, Any]) -> Self:
        """Read what `save` wrote to the folder of the model with these tables.

        Raises:
            RunError: If it is not there, or damaged.
        """
        try:
            with np.load(io.BytesIO((folder / _KEPT).read_bytes())) as file:
                facts = json.loads(str(file["facts"]))
                arrays = {name: file.get(name) for name in _ARRAYS}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise RunError(
                f"The page of the model {str(folder)!r} cannot be made again: its {_KEPT}, "
                "in which `counterplay fit` keeps the rows and their scores, is missing or "
                "damaged. Fit the model again."
            ) from error
        named = {name: tuple(facts.pop(name)) for name in ("names", "ids")}
        return cls(folder=folder, tables=tables, **named, **facts, **arrays)


def build(fitted: Fitted, *, out: Path | None = None) -> Path:
    """Write `report.html` to the folder of a model; it needs no other file.

    Args:
        fitted: What was fitted.
        out: Where to write instead.

    Returns:
        Where the page is.
    """
    return write(out or fitted.folder / "report.html", "model.html", content(fitted))


def content(fitted: Fitted) -> dict[str, Any]:
    """Everything that the template prints."""
    series = fitted.residuals is not None
    spread = Spread(fitted.names, fitted.values)
    losses = log_rows(fitted.folder / "log.jsonl")
    charts, kept = _charts(fitted, losses)
    hurting = [row for row in fitted.harmful if row["harm"] > 0][:N_HARMFUL]
    return {
        "name": fitted.folder.resolve().name,
        "title": "When the channels were unusual" if series else "Which rows stand out",
        "series": series,
        "summary": _summary(fitted),
        "facts": _facts(fitted),
        "charts": {name: chart.markup() for name, chart in charts.items()},
        "kept": kept,
        "rows": [] if series else _ranked(fitted, spread),
        "stretches": _stretches(fitted) if series else [],
        "labelled": fitted.labels is not None,
        "traced": bool(fitted.harmful),
        "harmful": [_hurting(fitted, spread, row) for row in hurting],
        "n_shown": N_STRETCHES if series else N_ROWS,
        "settings": tomli_w.dumps(dict(fitted.tables)),
        "files": {f: what for f, what in _FILES.items() if (fitted.folder / f).exists()},
    }


class Spread:
    """Where the columns usually are, and so which ones stand out in a row."""

    def __init__(self, names: Sequence[str], values: NDArray[np.float64]):
        self.names, self.mean = tuple(names), values.mean(0)
        std = values.std(0)
        self.std = np.where(std > 0, std, np.inf)  # a constant column never stands out

    def standing_out(self, row: NDArray[np.float64]) -> list[dict[str, str]]:
        """The columns of a row that are furthest from their mean, in deviations."""
        distance = (row - self.mean) / self.std
        order = np.argsort(-np.abs(distance), kind="stable")[:N_COLUMNS]
        return [
            {
                "name": self.names[i],
                "value": words.number(float(row[i])),
                "distance": f"{distance[i]:+.1f}".replace("-", words.MINUS),
            }
            for i in order
        ]


def bounds_of(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First row, and row after the last, of every stretch of marked rows."""
    edges = np.diff(np.concatenate([[0], marked.astype(np.int8), [0]]))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [(int(a), int(b)) for a, b in zip(begins, ends, strict=True)]


def _method(fitted: Fitted) -> str:
    name: str = fitted.tables["model"]["estimator"]
    return _METHODS.get(name, name)


def _summary(fitted: Fitted) -> list[str]:
    """What was done, in plain sentences."""
    n, d = fitted.values.shape
    files = ", ".join(fitted.tables["data"].get("files", ["a table"]))
    series = fitted.residuals is not None
    rows, columns = ("time stamp", "channel") if series else ("row", "column")
    sentences = [
        f"{_method(fitted)} was fitted to {words.count(n, rows)} of "
        f"{words.count(d, columns)} from {files}, without labels.",
        f"A {rows} whose score is above {words.number(fitted.threshold)} is called an "
        f"outlier: {int(fitted.above.sum()):,} are.",
    ]
    if fitted.harmful:
        sentences.append(
            "Then the run was traced backwards: for every training "
            f"{'window' if series else 'row'}, how well would labelled rows be told apart "
            "without it?"
        )
    return sentences


def _facts(fitted: Fitted) -> list[dict[str, str]]:
    n = len(fitted.scores)
    share = words.percent(float(fitted.above.mean()))
    facts = [
        {
            "value": f"{n:,}",
            "what": "time stamps" if fitted.residuals is not None else "rows",
        },
        {"value": f"{int(fitted.above.sum()):,}", "what": f"above the threshold, {share}"},
    ]
    said = {"roc_auc": "ROC-AUC; 0.5 is chance", "average_precision": "average precision"}
    for measure, value in (fitted.quality or {}).items():
        what = f"{said.get(measure, measure)}, on the labelled rows"
        facts.append({"value": f"{value:.3f}", "what": what})
    return facts


def _charts(fitted: Fitted, losses: Sequence[Row]) -> tuple[dict[str, Chart], float]:
    """Every chart there is, and the share of the variance that the projection keeps."""
    n = int(fitted.above.sum())
    found = [
        Chart(
            "histogram",
            model_figures.score_histogram(fitted.scores, fitted.threshold, fitted.labels),
            f"Histogram of {len(fitted.scores):,} outlier scores; {n:,} are above the "
            f"threshold {words.number(fitted.threshold)}.",
        )
    ]
    kept = 0.0
    if fitted.residuals is None:
        plane, kept = model_figures.principal_plane(fitted.values)
        figure = model_figures.projection(plane, fitted.scores, fitted.threshold)
        text = f"The rows on two principal axes; {n:,} of them are above the threshold."
        found.append(Chart("projection", figure, text))
    else:
        found.append(_series_chart(fitted, fitted.residuals))
    if any(name.startswith("loss_") for row in losses for name in row):
        text = "The loss of each player over the moves of the run."
        found.append(Chart("training", figures.training_curves(losses), text))
    return {chart.name: chart for chart in found}, kept


def _series_chart(fitted: Fitted, residuals: NDArray[np.float64]) -> Chart:
    found = bounds_of(fitted.above)
    explaining = residuals[fitted.above] if found else residuals
    channels = np.argsort(-explaining.mean(0), kind="stable")[:N_CHANNELS]
    names = [fitted.names[i] for i in channels]
    figure = model_figures.series_scores(
        fitted.scores,
        fitted.threshold,
        fitted.values[:, channels],
        names,
        found=found,
        labelled=[] if fitted.labels is None else bounds_of(fitted.labels == 1),
    )
    text = (
        f"Scores over time, with {words.count(len(found), 'stretch')} above the threshold; "
        f"below, the channels that explain them most: {', '.join(names)}."
    )
    return Chart("series", figure, text)


def _ranked(fitted: Fitted, spread: Spread) -> list[dict[str, Any]]:
    order = np.argsort(-fitted.scores, kind="stable")[:N_ROWS]
    return [
        {
            "rank": rank,
            "id": fitted.ids[row],
            "score": float(fitted.scores[row]),
            "above": bool(fitted.above[row]),
            "label": None if fitted.labels is None else int(fitted.labels[row]),
            "columns": spread.standing_out(fitted.values[row]),
        }
        for rank, row in enumerate(order, 1)
    ]


def _stretches(fitted: Fitted) -> list[dict[str, Any]]:
    """The stretches above the threshold, the highest peak first."""
    assert fitted.residuals is not None
    found = []
    for begin, end in bounds_of(fitted.above):
        mean = fitted.residuals[begin:end].mean(0)
        share = mean / max(mean.sum(), np.finfo(float).tiny)
        order = np.argsort(-mean, kind="stable")[:N_COLUMNS]
        labels = None if fitted.labels is None else fitted.labels[begin:end]
        found.append({
            "begin": fitted.ids[begin],
            "end": fitted.ids[end - 1],
            "n": end - begin,
            "peak": float(fitted.scores[begin:end].max()),
            "label": None if labels is None else float(labels.mean()),
            "channels": [(fitted.names[i], words.percent(share[i])) for i in order],
        })  # fmt: skip
    return sorted(found, key=lambda one: -one["peak"])[:N_STRETCHES]


def _hurting(fitted: Fitted, spread: Spread, row: Row) -> dict[str, Any]:
    if fitted.residuals is not None:
        return {"id": row["id"], "harm": row["harm"], "columns": []}
    at = row["row"]
    return {
        "id": row["id"],
        "harm": row["harm"],
        "score": float(fitted.scores[at]),
        "label": None if fitted.labels is None else int(fitted.labels[at]),
        "columns": spread.standing_out(fitted.values[at]),
    }

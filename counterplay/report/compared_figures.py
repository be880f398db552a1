"""Several runs in one figure: their metrics over the moves, what cleansing gained."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from counterplay.errors import DataError
from counterplay.report import figures, words
from counterplay.report.drawing import COLOURS, INK, MARKERS, panels, SMALL


TITLE = 44  # characters of a line above a panel


def metric_curves(logs: Mapping[str, figures.Rows]) -> Figure:
    """The metrics of several runs over the moves: a panel per metric, a line per run.

    Args:
        logs: The rows of each run's log, by its name.

    Raises:
        DataError: If no row has a metric.
    """
    everything = [row for rows in logs.values() for row in rows]
    names = figures.columns(everything, lambda name: bool(words.metric_part(name)))
    figure, axes = panels(len(names), height=2.7, columns=2)
    for ax, name in zip(axes, names, strict=True):
        for i, (run, rows) in enumerate(logs.items()):
            if any(row.get(name) is not None for row in rows):
                step, values = figures.series(rows, name)
                ax.plot(step, values, label=run, **_style(i))
        title = textwrap.fill(words.metric_title(name), TITLE)
        ax.set_title(title, color=INK, fontsize=SMALL, loc="left")
        ax.set_xlabel("moves")
    _key(figure)
    return figure


def cleansing_curves(cleansings: Mapping[str, Mapping[str, Any]], metric: str) -> Figure:
    """What removing the harmful gained in several runs, against the share removed.

    Args:
        cleansings: The content of each run's `cleansing.json`, by its name.
        metric: Name of the metric to show.

    Raises:
        DataError: If no run was cleansed by an influence and measured by it.
    """
    figure, (ax,) = panels(1, height=3.0)
    ax.axhline(0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    drawn = []
    for i, (run, cleansing) in enumerate(cleansings.items()):
        first = cleansing["seeds"][0]
        chief = figures.emphasised(first["methods"])
        if chief is None or metric not in first["after"]:
            continue
        own = first["methods"].index(chief)
        gains = [figures.gains(seed, metric)[own] for seed in cleansing["seeds"]]
        ax.plot(first["fractions"], np.mean(gains, axis=0), label=run, **_style(i))
        drawn.append(run)
    if not drawn:
        raise DataError(
            f"None of {sorted(cleansings)} was cleansed by an influence and measured by "
            f"{metric!r}. Use `counterplay cleanse` on the runs first."
        )
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: words.percent(share)))
    ax.set_xlim(0)
    ax.set_xlabel("share of the training set removed")
    ax.set_ylabel(f"gain in {words.metric_name(metric)}\n(above 0 is better)")
    _key(figure)
    return figure


def _style(i: int) -> dict[str, Any]:
    line = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
    return {**line, "markersize": 3, "linewidth": 1.3}


def _key(figure: Figure) -> None:
    """What the lines of all panels are, above them."""
    found = {}
    for ax in figure.axes:
        handles, labels = ax.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    figure.legend(
        list(found.values()), list(found), loc="outside upper left",
        ncols=min(len(found), 3), frameon=False, labelcolor=INK, fontsize=SMALL,
        handlelength=1.6,
    )  # fmt: skip

"""What a detector has found, as figures: its scores, the rows in a plane, series."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from counterplay.report.drawing import (
    HARMFUL,
    HELPFUL,
    INK,
    legend,
    panels,
    PLANTED,
)


Values = NDArray[np.float64]
Bounds = Sequence[tuple[int, int]]  # first row, and row after the last
N_POINTS = 1_500  # of the projection
N_COLUMNS = 900  # of a plot of a series; a longer one is drawn as lows and highs of these
_OUTLYING = LinearSegmentedColormap.from_list("outlying", [INK, HARMFUL])


def score_histogram(
    scores: Values, threshold: float, labels: NDArray[np.int64] | None = None
) -> Figure:
    """How many rows have which score, and where the threshold is.

    Args:
        scores: High for outlying.
        threshold: Above it a row is called an outlier.
        labels: 1 for an outlier, 0 for a normal row, if that is known.
    """
    figure, (ax,) = panels(1, height=2.6)
    edges = np.histogram_bin_edges(scores, bins=60)
    above = scores > threshold
    outlying, names = (
        (above, ("below the threshold", "above"))
        if labels is None
        else (labels == 1, ("labelled normal", "labelled outlier"))
    )
    for chosen, colour, name in zip(
        (~outlying, outlying), (HELPFUL, HARMFUL), names, strict=True
    ):
        counts, _ = np.histogram(scores[chosen], edges)
        ax.stairs(counts, edges, fill=True, color=colour, alpha=0.75, label=name)
    ax.axvline(threshold, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="threshold")
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(0)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set_xlabel("outlier score, high for outlying")
    ax.set_ylabel("rows (log scale)")
    legend(ax, n=3)
    return figure


def principal_plane(values: Values) -> tuple[Values, float]:
    """Rows on the first two principal axes of their standardised columns.

    Returns:
        Two coordinates per row, and the share of the variance that they keep.
    """
    spread = values.std(0)
    standard = (values - values.mean(0)) / np.where(spread > 0, spread, 1.0)
    power, axes = np.linalg.eigh(standard.T @ standard)
    plane = standard @ axes[:, ::-1][:, :2]
    if plane.shape[1] < 2:
        plane = np.column_stack([plane, np.zeros(len(plane))])
    return plane, float(power[-2:].sum() / max(power.sum(), np.finfo(float).tiny))


def projection(plane: Values, scores: Values, threshold: float) -> Figure:
    """Rows in a plane, the redder the more outlying.

    Args:
        plane: Two coordinates per row.
        scores: High for outlying.
        threshold: Above it a row is drawn as a diamond.
    """
    figure, (ax,) = panels(1, height=3.6, width=4.6)
    order = np.argsort(scores, kind="stable")
    few = max(1, -(-len(order) // N_POINTS))
    # The highest are all there, and drawn on top.
    shown = np.concatenate([order[:-200:few], order[-200:]])
    rank = np.empty(len(order))
    rank[order] = np.linspace(0, 1, len(order))
    above = scores > threshold
    for chosen, marker, size, name in (
        (shown[~above[shown]], "o", 7, "below the threshold"),
        (shown[above[shown]], "D", 16, "above"),
    ):
        ax.scatter(
            *plane[chosen].T, c=rank[chosen] ** 3, cmap=_OUTLYING, vmin=0, vmax=1, s=size,
            marker=marker, linewidths=0, alpha=0.75, label=name,
        )  # fmt: skip
    ax.set_xlabel("first principal axis")
    ax.set_ylabel("second principal axis")
    legend(ax, n=2)
    return figure


def series_scores(
    scores: Values,
    threshold: float,
    values: Values,
    names: Sequence[str],
    *,
    found: Bounds = (),
    labelled: Bounds = (),
) -> Figure:
    """Scores over time with the threshold, above the channels that explain them.

    Args:
        scores: One per time stamp, high for outlying.
        threshold: Above it a stamp is called an outlier.
        values: The channels to draw, `(n, channels)`.
        names: What they are called.
        found: Stretches above the threshold.
        labelled: Stretches known to be faulty.
    """
    figure, axes = panels(1 + len(names), height=1.5)
    ax, *others = axes
    _envelope(ax, scores, HELPFUL)
    ax.axhline(threshold, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="threshold")
    ax.set_ylabel("score")
    for other, channel, name in zip(others, values.T, names, strict=True):
        _envelope(other, channel, INK)
        other.set_ylabel(_short(name))
    for panel in axes:
        _shade(panel, found, HARMFUL, "above the threshold")
        panel.set_xlim(0, max(len(scores) - 1, 1))
    for begin, end in labelled:
        ax.plot([begin, end - 1], [1.02, 1.02], color=PLANTED, linewidth=3, clip_on=False,
                transform=ax.get_xaxis_transform())  # fmt: skip
    axes[-1].set_xlabel("row")
    legend(ax, n=2)
    return figure


def _envelope(ax: Axes, values: Values, colour: str) -> None:
    if len(values) <= N_COLUMNS:
        ax.plot(values, color=colour, linewidth=1)
        return
    pieces = np.array_split(values, N_COLUMNS)
    at = np.linspace(0, len(values) - 1, N_COLUMNS)
    low, high = ([f(piece) for piece in pieces] for f in (np.min, np.max))
    ax.fill_between(at, low, high, color=colour, linewidth=0.5)


def _shade(ax: Axes, bounds: Bounds, colour: str, label: str) -> None:
    for begin, end in bounds:
        ax.axvspan(
            begin - 0.5, end - 0.5, color=colour, alpha=0.2, linewidth=0, label=label
        )
        label = "_"  # named once


def _short(name: str) -> str:
    # A dollar sign would begin a formula.
    return (name if len(name) <= 18 else f"{name[:17]}…").replace("$", r"\$")

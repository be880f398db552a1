"""Results as Matplotlib figures, drawn from plain rows, without pyplot or global state.

Every figure is transparent, and its ink is a middle grey that reads on white and on black.
Colours are told apart by people who see few of them, and never carry a meaning alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from counterplay._statistics import paired
from counterplay.errors import DataError
from counterplay.report import words
from counterplay.report.drawing import (
    COLOURS,
    HARMFUL,
    HELPFUL,
    INK,
    legend,
    MARKERS,
    panels,
    PLANTED,
    save as save,
    SMALL,
)


N_BINS = 160  # a longer log is drawn as means and ranges of this many stretches

Rows = Sequence[Mapping[str, Any]]


def training_curves(log_rows: Rows) -> Figure:
    """Each player's loss over the moves.

    Raises:
        DataError: If no row has a loss.
    """
    names = columns(log_rows, lambda name: name.startswith("loss_"))
    figure, (ax,) = panels(1, height=2.5)
    for name, colour in zip(names, COLOURS, strict=False):
        step, values = series(log_rows, name)
        at, mean, low, high = _stretches(step, values)
        ax.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(at, mean, color=colour, linewidth=1.3, label=name.removeprefix("loss_"))
    ax.set_xlabel("moves")
    ax.set_ylabel("loss")
    legend(ax, n=len(names))
    return figure


def metric_curves(log_rows: Rows) -> Figure:
    """Each metric over the moves; one panel per kind, validation and test together.

    Raises:
        DataError: If no row has a metric.
    """
    names = columns(log_rows, lambda name: bool(words.metric_part(name)))
    kinds = list(dict.fromkeys(words.metric_name(name) for name in names))
    figure, axes = panels(len(kinds), height=2.5, columns=2)
    for ax, kind in zip(axes, kinds, strict=True):
        own = [name for name in names if words.metric_name(name) == kind]
        for name, colour, marker in zip(own, COLOURS, MARKERS, strict=False):
            step, values = series(log_rows, name)
            label = {"valid": "validation"}.get(
                words.metric_part(name), words.metric_part(name)
            )
            ax.plot(
                step, values, color=colour, marker=marker, markersize=3, linewidth=1.3,
                label=label,
            )  # fmt: skip
        ax.set_xlabel("moves")
        ax.set_ylabel(kind)
        legend(ax, n=len(own))
    return figure


def influence_histogram(
    removal: Sequence[float] | np.ndarray,
    name: str,
    *,
    higher_is_better: bool = False,
    planted: Sequence[bool] | np.ndarray | None = None,
) -> Figure:
    """How many instances have which predicted removal effect.

    Args:
        removal: Predicted change of the metric without each instance; NaN is left out.
        name: Name of the metric.
        higher_is_better: Its direction, which says what side is harmful.
        planted: Which instances are known to be corrupt, to be marked.

    Raises:
        DataError: If there is not one effect to draw.
    """
    values = np.asarray(removal, dtype=float)
    traced = ~np.isnan(values)
    if not traced.any():
        raise DataError(
            f"None of the {len(values)} removal effects on {name!r} is a number, so there "
            "is nothing to draw. Trace the run first."
        )
    figure, (ax,) = panels(1, height=2.6)
    edges = _edges(values[traced])
    counts, _ = np.histogram(values[traced], edges)
    improves = (edges[:-1] + edges[1:] > 0) == higher_is_better
    for side, colour, label in (
        (improves, HARMFUL, "harmful: removal improves"),
        (~improves, HELPFUL, "helpful: removal worsens"),
    ):
        ax.stairs(np.where(side, counts, 0), edges, fill=True, color=colour, label=label)
    if planted is not None and np.any(planted):
        at = values[traced & np.asarray(planted, dtype=bool)]
        ax.plot(
            at, np.full(len(at), 0.035), "|", color=PLANTED, markersize=9,
            transform=ax.get_xaxis_transform(), label="planted",
        )  # fmt: skip
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(0)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.tick(value)))
    ax.set_xlabel(f"predicted change of the {words.metric_name(name)} when removed")
    ax.set_ylabel("instances (log scale)")
    legend(ax, n=3)
    return figure


def verification_scatter(agreement: Mapping[str, Any]) -> Figure:
    """Predicted against true changes: a panel per adjoint and size, with the agreement.

    Args:
        agreement: One entry of `verify.json`.
    """
    comparisons = agreement["comparisons"]
    figure, axes = panels(len(comparisons), height=2.55, columns=3)
    adjoints = list(dict.fromkeys(c["adjoint"] for c in comparisons))
    for ax, comparison in zip(axes, comparisons, strict=True):
        number = adjoints.index(comparison["adjoint"])
        predicted, actual = (
            np.array(comparison["predicted"]),
            np.array(comparison["actual"]),
        )
        _identity(ax, predicted, actual)
        ax.plot(
            predicted, actual, MARKERS[number], color=COLOURS[number], markersize=3.5,
            alpha=0.75, markeredgewidth=0,
        )  # fmt: skip
        title = change(comparison)
        if len(adjoints) > 1:
            title = f"{comparison['adjoint'].partition('(')[0]}: {title}"
        ax.set_title(f"{title}\n{_agreement_text(agreement, comparison)}", color=INK,
                     fontsize=SMALL, loc="left")  # fmt: skip
        ax.set_xlabel("predicted change")
        ax.set_ylabel("true change")
    return figure


def cleansing_curves(cleansing: Mapping[str, Any], metric: str) -> Figure:
    """Gain over no removal against the share removed, mean and 95 % interval over seeds.

    Args:
        cleansing: The content of `cleansing.json`.
        metric: Name of the metric to show.

    Raises:
        DataError: If that metric was not measured.
    """
    seeds = cleansing["seeds"]
    first = seeds[0]
    if metric not in first["after"]:
        raise DataError(
            f"The cleansing did not measure {metric!r}; it measured "
            f"{sorted(first['after'])}."
        )
    by_seed = np.stack([gains(seed, metric) for seed in seeds])  # (seed, method, fraction)
    figure, (ax,) = panels(1, height=3.0)
    ax.axhline(0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    ax.annotate(
        "no removal", (1, 0), xycoords=("axes fraction", "data"), color=INK, fontsize=SMALL,
        ha="right", va="bottom", xytext=(0, 2), textcoords="offset points",
    )  # fmt: skip
    chief = emphasised(first["methods"])
    colours = iter(COLOURS[1:] * len(first["methods"]))
    for i, method in enumerate(first["methods"]):
        strong = method == chief
        colour = HELPFUL if strong else next(colours)
        _band(ax, first["fractions"], by_seed[:, i], colour, MARKERS[i % 7], strong, method)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: words.percent(share)))
    ax.set_xlim(0)
    ax.set_xlabel("share of the training set removed")
    ax.set_ylabel(f"gain in {words.metric_name(metric)}\n(above 0 is better)")
    legend(ax, n=3)
    return figure


def score_spread(rows: Rows) -> Figure:
    """Values of several models with their intervals; one panel per metric.

    Args:
        rows: Rows of `counterplay score`: `model`, `metric`, `value`, `low`, `high`,
            `of_real`.

    Raises:
        DataError: If there is nothing to draw.
    """
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    models = list(dict.fromkeys(row["model"] for row in rows))
    if not rows:
        raise DataError("There is no score to draw. Give at least one model and metric.")
    figure, axes = panels(len(metrics), height=0.9 + 0.28 * len(models))
    for ax, metric in zip(axes, metrics, strict=True):
        own = [row for row in rows if row["metric"] == metric]
        for row in own:
            at = models.index(row["model"])
            ax.plot([row["low"], row["high"]], [at, at], color=HELPFUL, linewidth=2.2)
            ax.plot(row["value"], at, "o", color=HELPFUL, markersize=5)
            ax.plot(row["of_real"], at, "|", color=HARMFUL, markersize=12)
        ax.set_yticks(range(len(models)), models)
        ax.set_ylim(len(models) - 0.5, -0.5)
        ax.set_title(f"{words.metric_title(metric)}, {own[0]['better']} is better",
                     color=INK, fontsize=SMALL, loc="left")  # fmt: skip
    axes[-1].set_xlabel("value, with its interval; the bar is what real data get")
    return figure


def points_scatter(real: Any, fake: Any) -> Figure:
    """Real and generated points of the plane.

    Args:
        real: Instances, shape `(n, 2)`.
        fake: Samples, shape `(m, 2)`.
    """
    figure, (ax,) = panels(1, height=3.5, width=3.6)
    for rows, colour, marker, label in (
        (real, INK, "o", "real"),
        (fake, HARMFUL, "x", "generated"),
    ):
        at = np.asarray(rows, dtype=float)[:2_000]
        ax.plot(
            at[:, 0], at[:, 1], marker, color=colour, markersize=3, alpha=0.6, label=label,
            markeredgewidth=0.8 if marker == "x" else 0,
        )  # fmt: skip
    ax.set_aspect("equal", "datalim")
    ax.set_xlabel("first coordinate")
    ax.set_ylabel("second coordinate")
    legend(ax, n=2)
    return figure


def emphasised(methods: Sequence[str]) -> str | None:
    """The method that a comparison is about: the first that is an influence on a metric."""
    return next((name for name in methods if name.startswith("influence")), None)


def columns(log_rows: Rows, wanted: Callable[[str], bool]) -> list[str]:
    """The columns of a log that are wanted, in the order in which they come up.

    Raises:
        DataError: If there is none.
    """
    names = list(dict.fromkeys(name for row in log_rows for name in row if wanted(name)))
    if not names:
        raise DataError(
            f"None of the {len(log_rows)} rows of the log has a column to draw. Log losses "
            "as 'loss_<player>' and metrics as 'valid_<metric>' or 'test_<metric>'."
        )
    return names


def series(log_rows: Rows, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The moves at which a column of a log has a value, and the values."""
    found = [(row["step"], row[name]) for row in log_rows if row.get(name) is not None]
    step, values = np.array(found, dtype=float).T
    return step, values


def _stretches(step: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, ...]:
    n = min(len(step), N_BINS)
    pieces = np.array_split(values, n)
    at = np.array([piece.mean() for piece in np.array_split(step, n)])
    return at, *(
        np.array([f(piece) for piece in pieces]) for f in (np.mean, np.min, np.max)
    )


def _edges(values: np.ndarray, n: int = 60) -> np.ndarray:
    # One edge at exactly 0, so that no bar holds harmful and helpful instances.
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    width = (high - low or 1.0) / n
    return width * np.arange(np.floor(low / width), np.ceil(high / width) + 1)


def _identity(ax: Axes, predicted: np.ndarray, actual: np.ndarray) -> None:
    low, high = min(predicted.min(), actual.min()), max(predicted.max(), actual.max())
    ends = [low, high]
    ax.plot(ends, ends, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    ax.axhline(0, color=INK, linewidth=0.5, alpha=0.6)
    ax.axvline(0, color=INK, linewidth=0.5, alpha=0.6)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4))


def change(comparison: Mapping[str, Any]) -> str:
    """What was done to the weights, in words, from a comparison or a row of `Agreement`."""
    size, what = comparison["size"], comparison.get("what", comparison.get("change"))
    if what == "subset":
        return f"{words.percent(size)} removed at random"
    return "one instance removed" if size == 1 else f"one weight lowered by {size:g}"


def _agreement_text(agreement: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    symbol, measure = (
        ("LDS", "linear datamodeling score")
        if comparison["what"] == "subset"
        else ("τ", "kendall")
    )
    for row in agreement["rows"]:
        same = (row["adjoint"], row["change"], row["size"], row["measure"])
        if same == (comparison["adjoint"], comparison["what"], comparison["size"], measure):
            return f"{symbol} = {row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    return ""


def gains(seed: Mapping[str, Any], metric: str) -> np.ndarray:
    """Improvement over no removal of one seed of `cleansing.json`, (method, fraction)."""
    sign = 1.0 if seed["higher_is_better"][metric] else -1.0
    return sign * (np.array(seed["after"][metric], dtype=float) - seed["before"][metric])


def _band(
    ax: Axes,
    fractions,
    gains: np.ndarray,
    colour: str,
    marker: str,
    strong: bool,
    method: str,
) -> None:
    zeros = np.zeros(len(gains))
    found = [paired(column, zeros) for column in gains.T]
    low, high = [e.low for e in found], [e.high for e in found]
    ax.fill_between(
        fractions, low, high, color=colour, alpha=0.22 if strong else 0.08, linewidth=0
    )
    ax.plot(
        fractions, [e.value for e in found], color=colour, marker=marker,
        markersize=4.5 if strong else 3, linewidth=2.2 if strong else 1.1,
        linestyle="-" if strong else (0, (5, 2)), zorder=3 if strong else 2,
        label=words.method_name(method),
    )  # fmt: skip

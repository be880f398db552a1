"""Mean ranks of several methods on one line, joined where they may differ by chance."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import studentized_range


INK = "#7d838c"


def nemenyi(n_methods: int, n_tables: int, *, level: float = 0.05) -> float:
    """The smallest difference of mean ranks that Nemenyi's test calls one.

    Source: Demšar 2006, JMLR 7, section 3.2.2.
    """
    quantile = studentized_range.ppf(1 - level, n_methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(n_methods * (n_methods + 1) / (6 * n_tables)))


def draw(ranks: Mapping[str, float], critical: float, path: Path) -> None:
    """Draw the line, best to the left, as an SVG or PNG file.

    Source: Demšar 2006, JMLR 7, figure 1.
    """
    names = sorted(ranks, key=ranks.__getitem__)
    values = [ranks[name] for name in names]
    joined = _groups(values, critical)
    half = -(-len(names) // 2)
    figure = Figure(figsize=(6.8, 0.9 + 0.17 * len(joined) + 0.24 * half))
    ax = figure.add_axes((0.28, 0.02, 0.44, 0.96))
    low, high = int(np.floor(values[0])), int(np.ceil(values[-1]))
    ax.hlines(0, low, high, color=INK, linewidth=1)
    for tick in range(low, high + 1):
        ax.vlines(tick, 0, 0.25, color=INK, linewidth=1)
        ax.text(tick, 0.4, str(tick), ha="center", color=INK, fontsize=8)
    for level, (first, last) in enumerate(joined):
        at = -0.35 - 0.35 * level
        ax.hlines(at, values[first] - 0.03, values[last] + 0.03, color=INK, linewidth=3)
    floor = -0.35 * (len(joined) + 1)
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        left = place < half
        depth = floor - 0.6 * (place if left else len(names) - 1 - place)
        side = low - 0.1 if left else high + 0.1
        ax.plot([value, value, side], [0, depth, depth], color=INK, linewidth=0.8)
        text = f"{name}  {value:.2f}" if left else f"{value:.2f}  {name}"
        ax.text(
            side, depth, text, ha="right" if left else "left", va="center", color=INK,
            fontsize=8,
        )  # fmt: skip
    ax.set_ylim(floor - 0.6 * half, 1)
    ax.set_axis_off()
    figure.savefig(path, transparent=True, bbox_inches="tight")


def _groups(values: list[float], critical: float) -> list[tuple[int, int]]:
    """The longest stretches of sorted ranks that lie within the critical difference."""
    found: list[tuple[int, int]] = []
    for first, value in enumerate(values):
        last = max(i for i, other in enumerate(values) if other - value < critical)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found

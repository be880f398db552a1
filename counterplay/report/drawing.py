"""How every figure looks: ink, colours, quiet axes, and files."""

import io
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from counterplay._atomic import make_folder, write_atomically
from counterplay.report import words


INK = "#7d838c"
HARMFUL = "#cc5a2b"
HELPFUL = "#2f7fc4"
PLANTED = "#8f4bb8"
COLOURS = (HELPFUL, HARMFUL, "#1a9c78", "#b8882a", PLANTED, "#56aec9", INK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH = 6.8  # inches
SMALL = 8.0  # points


def panels(
    n: int, *, height: float, columns: int = 1, width: float = WIDTH
) -> tuple[Figure, list[Axes]]:
    """A figure of `n` quiet axes, each of a height in inches."""
    columns = min(n, columns)
    rows = -(-n // columns)
    figure = Figure(figsize=(width, height * rows), layout="constrained", facecolor="none")
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(n)]
    for ax in axes:
        _quieten(ax)
    return figure, axes


def _quieten(ax: Axes) -> None:
    ax.set_facecolor("none")
    ax.tick_params(colors=INK, labelsize=SMALL, length=3, width=0.8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(color=INK, linewidth=0.8)
    ax.grid(color=INK, alpha=0.16, linewidth=0.7)
    ax.set_axisbelow(True)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.label.set(color=INK, fontsize=SMALL + 1)
        axis.set_major_formatter(FuncFormatter(lambda value, _: words.tick(value)))


def legend(ax: Axes, *, n: int) -> None:
    """What the `n` lines of an axis are, in one row above it."""
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, ncols=max(n, 1),
        frameon=False, labelcolor=INK, fontsize=SMALL, handlelength=1.6, columnspacing=1.4,
    )  # fmt: skip


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as `.svg` and `.png` beside each other."""
    make_folder(stem.parent)
    paths = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    # A fixed salt and no date: the same run gives the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": stem.name}):
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.savefig(png, format="png", dpi=200)
    for path, content in zip(paths, (svg, png), strict=True):
        write_atomically(path, content.getvalue())
    return paths

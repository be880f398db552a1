"""Does every metric get worse when samples do?

Real images take the place of samples and are degraded in five levels, four ways: noise,
blur, classes dropped (the others fill up), and collapse within classes (fewer and fewer
different images of each, repeated). Every metric of the library that needs no more than
real images, samples and a classifier is computed on each; the classifier is trained on
other instances again, and each seed has its own. A metric that is blind to a way of getting
worse shows it here.

Prints a table and writes `degradation.csv` and `degradation.png`, on digits, or on MNIST
from an `.npz` file.

Run: python benchmarks/degradation.py --out results [--mnist mnist.npz]
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
import tyro
from matplotlib import pyplot
from torch import Tensor

from counterplay import data, features, metrics
from counterplay._statistics import spearman
from counterplay.errors import CounterplayError
from counterplay.game import Columns
from counterplay.metrics._reading import read


WAYS = {  # how strong at levels 1 to 4; at 0 nothing is done
    "noise": (0.2, 0.4, 0.8, 1.6),  # standard deviation; images are in [-1, 1]
    "blur": (0.05, 0.08, 0.125, 0.2),  # standard deviation, in sides of the image
    "classes dropped": (0.2, 0.4, 0.6, 0.8),  # share of the classes
    "collapse in class": (1 / 2, 1 / 5, 1 / 12, 1 / 30),  # share of different images
}
LEVELS = 5
Values = dict[str, np.ndarray]  # metric: its values, (seeds, ways, levels)


def main(out: Path, mnist: Path | None = None, n: int = 1_000, seeds: int = 3) -> None:
    """Degrade real images and see which metrics notice.

    Args:
        out: Folder for the values and the figure.
        mnist: An `.npz` file to use in place of the digits.
        n: Largest number of images on either side.
        seeds: Number of splits, classifiers and degradations.
    """
    torch.set_num_threads(1)
    mpl.use("agg")
    out.mkdir(parents=True, exist_ok=True)
    skipped: dict[str, str] = {}
    values: Values = defaultdict(lambda: np.full((seeds, len(WAYS), LEVELS), math.nan))
    for seed in range(seeds):
        splits = (
            data.npz(mnist, n_train=5_000, n_valid=n, seed=seed)
            if mnist
            else data.digits(seed=seed)
        )
        classify = features.classifier(splits.train, seed=seed)
        real = splits.valid.select(range(min(n, len(splits.valid), len(splits.test))))
        sets = list(degraded(splits.test, len(real), seed))
        for name in metrics.names():
            measure(name, classify, real, sets, values, skipped, seed)
        print(f"seed {seed}: classifier {classify.accuracy:.1%}, {len(real)} images")
    print_table(values)
    for name, reason in skipped.items():
        print(f"- no value of {name}: {reason.split('. ')[0]}.")
    write(values, out / "degradation.csv")
    draw(values, out / "degradation.png")


def measure(
    name: str,
    classify,
    real: Columns,
    sets: list[tuple[int, int, Tensor]],
    values: Values,
    skipped: dict[str, str],
    seed: int,
) -> None:
    """One metric of every degraded set, or why it has no value there."""
    try:
        reading = read(name, classify, real, n=len(real), chunk=256)
    except CounterplayError as error:
        skipped[name] = str(error)
        return
    for way, level, images in sets:
        try:
            with torch.no_grad():
                found = float(reading.metric(reading.rows(images)))
        except CounterplayError as error:
            if level == 0:
                skipped[name] = str(error)
                return
            skipped.setdefault(f"{name} under {list(WAYS)[way]}", str(error))
            continue
        ways = slice(None) if level == 0 else way  # level 0 is the same for all
        values[name][seed, ways, level] = found


def degraded(pool: Columns, n: int, seed: int) -> Iterator[tuple[int, int, Tensor]]:
    """Images worse and worse; nothing is done at level 0, which comes once.

    Yields:
        Way, level and `n` images.
    """
    draws = torch.Generator().manual_seed(seed)
    pool = pool.select(torch.randperm(len(pool), generator=draws))
    x = pool["x"][:n]
    noise = torch.randn(x.shape, generator=draws)
    classes = pool["y"].unique()
    classes = classes[torch.randperm(len(classes), generator=draws)]
    yield 0, 0, x
    for level, (sigma, width, dropped, different) in enumerate(
        zip(*WAYS.values(), strict=True), 1
    ):
        kept = torch.isin(pool["y"], classes[round(dropped * len(classes)) :])
        yield 0, level, (x + sigma * noise).clamp(-1, 1)
        yield 1, level, blurred(x, width * x.shape[-1])
        yield 2, level, pool["x"][repeated(kept.nonzero().squeeze(1), n)]
        yield 3, level, x[collapsed(pool["y"][:n], different)]


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Images after a Gaussian filter of `sigma` pixels; borders are reflected."""
    reach = min(math.ceil(3 * sigma), x.shape[-1] - 1)
    kernel = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    channels = x.shape[1]
    for shape, pad in (
        ((1, 1, 1, -1), (reach, reach, 0, 0)),
        ((1, 1, -1, 1), (0, 0, reach, reach)),
    ):
        weight = kernel.reshape(shape).expand(channels, *(-1,) * 3)
        padded = torch.nn.functional.pad(x, pad, mode="reflect")
        x = torch.nn.functional.conv2d(padded, weight, groups=channels)
    return x


def repeated(rows: Tensor, n: int) -> Tensor:
    """The first `n` rows, from the start again if there are fewer."""
    return rows[torch.arange(n) % len(rows)]


def collapsed(y: Tensor, share: float) -> Tensor:
    """Rows with the classes of `y`, of which only a share differs within each class."""
    parts = []
    for label in y.unique():
        mine = (y == label).nonzero().squeeze(1)
        different = mine[: max(1, round(share * len(mine)))]
        parts.append(repeated(different, len(mine)))
    return torch.cat(parts)


def worse(name: str, values: np.ndarray) -> np.ndarray:
    """Values turned so that larger is worse."""
    return -values if metrics.load(name).higher_is_better else values


def print_table(values: Values) -> None:
    print("\nRank correlation of level and badness, mean over seeds; bold where the mean")
    print("over seeds gets strictly worse at every level.\n")
    print(f"| metric | better | real | {' | '.join(WAYS)} |")
    print(f"|---|---|---:|{'---:|' * len(WAYS)}")
    for name, found in sorted(values.items()):
        better = "higher" if metrics.load(name).higher_is_better else "lower"
        cells = [cell(worse(name, found[:, way])) for way in range(len(WAYS))]
        row = [f"`{name}`", better, f"{found[:, 0, 0].mean():.4g}", *cells]
        print(f"| {' | '.join(row)} |")


def cell(badness: np.ndarray) -> str:
    if np.isnan(badness).any():
        return "no value"
    levels = np.broadcast_to(np.arange(float(LEVELS)), badness.shape)
    correlation = f"{spearman(levels, badness).mean():.2f}"
    strictly = (np.diff(badness.mean(0)) > 0).all()
    return f"**{correlation}**" if strictly else correlation


def write(values: Values, path: Path) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["metric", "way", "level", "seed", "value"])
        for name, found in sorted(values.items()):
            for (seed, way, level), value in np.ndenumerate(found):
                table.writerow([name, list(WAYS)[way], level, seed, value])


def draw(values: Values, path: Path) -> None:
    """One panel per metric, one line per way, a band from the least to the largest seed."""
    n_columns = 6
    n_rows = -(-len(values) // n_columns)
    figure, panels = pyplot.subplots(
        n_rows,
        n_columns,
        figsize=(2.4 * n_columns, 1.8 * n_rows + 0.6),
        squeeze=False,
        layout="constrained",
    )
    for panel in panels.flat[len(values) :]:
        panel.set_visible(False)
    for panel, (name, found) in zip(panels.flat, sorted(values.items()), strict=False):
        for way, label in enumerate(WAYS):
            low, high = found[:, way].min(0), found[:, way].max(0)
            panel.fill_between(range(LEVELS), low, high, alpha=0.2, linewidth=0)
            panel.plot(found[:, way].mean(0), marker=".", label=label)
        arrow = "higher" if metrics.load(name).higher_is_better else "lower"
        panel.set_title(f"{name}\n({arrow} is better)", fontsize=7)
        panel.tick_params(labelsize=6)
        panel.set_xticks(range(LEVELS))
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(),
        title="value against the level of",
        loc="outside lower center",
        ncols=len(WAYS),
    )
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    tyro.cli(main)
